"""From files to networks: reading (DuckDB), column kinds, encoding, targets, fitting, scoring, predicting."""
