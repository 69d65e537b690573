"""From files to networks: reading with DuckDB, column kinds, encoding, targets, fitting, scoring, predicting."""
