"""`chainrule export`: a trained network as ONNX."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.common import Run, app, flag, print_lines
from chainrule.errors import UsageError


@app.command(epilog="Example: chainrule export runs/churn-1 churn.onnx")
def export(
    run: Run,
    out: Annotated[str, typer.Argument(metavar="OUT", help="The ONNX file to write.")],
    quiet: Annotated[bool, flag("-q", "--quiet", "Say nothing.")] = False,
) -> None:
    """Write a trained network, encoding included, as ONNX.

    The file takes the raw columns.
    """
    from chainrule.explaining import console
    from chainrule.onnx import to_onnx
    from chainrule.tables.run_folder import load_table_model

    if not out.endswith(".onnx"):
        raise UsageError(f"{out}: expected a name that ends in .onnx")
    model = load_table_model(run)
    to_onnx(model, out)
    if not quiet:
        print_lines(console.export_lines(model, out))
