"""`chainrule evaluate`: score a trained network on rows with known targets."""

from __future__ import annotations

from chainrule.cli.common import Files, Json, MaxRows, Run, Sql, answer, app


@app.command(epilog="Example: chainrule evaluate runs/churn-1 labelled.csv")
def evaluate(
    run: Run,
    data: Files = None,
    sql: Sql = None,
    max_rows: MaxRows = None,
    as_json: Json = False,
) -> None:
    """Score a trained network on rows with known targets."""
    from chainrule.explaining import console
    from chainrule.tables import predict
    from chainrule.tables.reading import check_rows, open_table
    from chainrule.tables.run_folder import load_table_model, trained_on

    model, source = load_table_model(run), open_table(data or [], sql)
    with console.reading_line(source, not as_json):
        check_rows(source, max_rows)
        scores, without = predict.evaluate(model, source)
    notes = [f"ignored {console.counted(without, 'row')} without a target", ""] if without else []
    if trained_on(run, source):
        notes += ["warning: the network was trained on this file, so the scores include its training rows", ""]
    answer(scores.to_json(), as_json, [*notes, *console.score_lines(scores, "scored")])
