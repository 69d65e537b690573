"""`chainrule export`: write a trained network as ONNX."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.common import Run, app, flag, print_lines
from chainrule.errors import UsageError


@app.command(epilog="Example: chainrule export runs/churn-1 churn.onnx")
def export(
    run: Run,
    out: Annotated[str, typer.Argument(metavar="OUT", help="ONNX file to write.")],
    quiet: Annotated[bool, flag("-q", "--quiet", "Suppress messages.")] = False,
) -> None:
    """Export a trained network to ONNX.

    The ONNX model includes the encoding: its inputs are the raw columns.
    """
    from chainrule.explaining import console
    from chainrule.onnx import to_onnx
    from chainrule.tables.run_folder import load_table_model

    if not out.endswith(".onnx"):
        raise UsageError(f"{out}: expected a file name ending in .onnx")
    model = load_table_model(run)
    to_onnx(model, out)
    if not quiet:
        print_lines(console.export_lines(model, out))
