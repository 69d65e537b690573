"""`chainrule predict`: add predictions to the columns of a table."""

from __future__ import annotations

import sys
from typing import Annotated

from chainrule.cli.common import Files, MaxRows, Run, Sql, app, flag, option, print_lines


@app.command(epilog="Example: chainrule predict runs/churn-1 new.csv -o predictions.csv")
def predict(
    run: Run,
    data: Files = None,
    out: Annotated[str, option("-o", "--out", "FILE", ".csv, .tsv, .parquet or .jsonl; - for stdout [-].")] = "-",
    sql: Sql = None,
    max_rows: MaxRows = None,
    quiet: Annotated[bool, flag("-q", "--quiet", "Suppress messages.")] = False,
) -> None:
    """Add predictions to a table.

    The order of the rows is preserved. Class predictions include probabilities.
    """
    from chainrule.explaining import console
    from chainrule.tables.predict import predict_to
    from chainrule.tables.reading import check_rows, open_table
    from chainrule.tables.run_folder import load_table_model

    model, source = load_table_model(run), open_table(data or [], sql)
    with console.reading_line(
        source, not quiet and not (out == "-" and sys.stdout is not None and sys.stdout.isatty())
    ):
        check_rows(source, max_rows)
        rows = predict_to(model, source, out)
    if out != "-" and not quiet:
        print_lines([f"wrote predictions for {console.counted(rows, 'row')} to {out}"])
