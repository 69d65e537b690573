"""report.html of a run: what it says is what metrics.json says, and it reads on every screen."""

import html
import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from chainrule.cli import app


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of classes, with a column that names itself as a script, and a run of numbers with two targets."""
    folder = tmp_path_factory.mktemp("runs")
    lines = ["<script>alert(1)</script>,x,kind,y,y2"]
    lines += [
        f"{'a' if i % 3 else 'b'},{i % 17},{'in' if i % 17 > 8 else '<i>out</i>'},{i % 17 * 2},{i % 5}"
        for i in range(200)
    ]
    (folder / "table.csv").write_text("\n".join(lines))
    table = str(folder / "table.csv")
    for name, more in (("classes", ["-t", "kind", "--drop", "y"]), ("numbers", ["-t", "y", "-t", "y2"])):
        command = ["train", table, *more, "--epochs", "30", "-q", "-o", str(folder / name)]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    return folder


def test_it_says_what_the_metrics_say(opened, runs):
    metrics = json.loads((runs / "classes" / "metrics.json").read_text())["test_scores"]
    with opened((runs / "classes" / "report.html").read_text()) as page:
        rows = page.eval_on_selector_all(
            "section:nth-of-type(1) table:not(.confusion) tbody tr",
            "rows => rows.map(r => [...r.cells].map(c => c.textContent))",
        )
        for name, network, baseline, _ in rows:
            key = name.replace(" ", "_")
            assert float(network) == pytest.approx(metrics["network"][key], abs=6e-5)
            assert float(baseline) == pytest.approx(metrics["baseline"][key], abs=6e-5)
        assert [row[0] for row in rows] == [name.replace("_", " ") for name in metrics["network"]]
        cells = page.eval_on_selector_all(".confusion td", "cells => cells.map(c => Number(c.textContent))")
        assert cells == [n for row in metrics["confusion"] for n in row]


def test_it_names_the_column_that_matters_and_the_epoch_that_was_kept(opened, runs):
    best = json.loads((runs / "classes" / "metrics.json").read_text())["best_epoch"]
    with opened((runs / "classes" / "report.html").read_text()) as page:
        assert page.locator("td.rise").count() == 3
        assert page.locator("tr:has(td.rise) th").first.text_content() == "x"
        assert f"in epoch {best:,}, which was kept" in page.inner_text("main")
        assert page.locator("line.kept").count() == 1
        words = page.inner_text("body")
        assert "<script>alert(1)</script>" in words
        assert "<i>out</i>" in words


def test_numbers_are_drawn_against_the_truth(opened, runs):
    with opened((runs / "numbers" / "report.html").read_text()) as page:
        rows = json.loads((runs / "numbers" / "metrics.json").read_text())["test_scores"]["rows"]
        assert page.locator(".point").count() == 2 * rows
        assert "Increase of RMSE" in page.inner_text("main")


@pytest.mark.parametrize("run", ["classes", "numbers"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(opened, runs, run, scheme):
    from axe_playwright_python.sync_playwright import Axe

    with opened((runs / run / "report.html").read_text(), color_scheme=scheme, bypass_csp=True) as page:
        found = Axe().run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("run", ["classes", "numbers"])
def test_on_a_phone_nothing_is_wider_than_the_screen(opened, runs, run):
    with opened((runs / run / "report.html").read_text(), width=360, height=740) as page:
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 360


def test_the_command_in_it_makes_the_run_again(tmp_path, monkeypatch):
    (tmp_path / "table.csv").write_text("a,b\n" + "\n".join(f"{i % 7},{i % 3}" for i in range(60)))
    command = ["chainrule", "train", "table.csv", "-t", "b", "--epochs", "3", "-q"]
    for first in (["-o", "one"], ["--out=two"], ["--out", "three"]):
        subprocess.run([sys.executable, "-m", *command, *first], cwd=tmp_path, check=True, capture_output=True)
        name = first[-1].removeprefix("--out=")
        told = html.unescape((tmp_path / name / "report.html").read_text().partition('<pre tabindex="0">')[2])
        folder, again = told.partition("</pre>")[0].splitlines()
        assert folder == f"cd {tmp_path}"
        assert again.split()[-len(command) + 1 :] == command[1:]


def test_too_few_rows_tell_nothing_of_the_columns(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(f"{i % 7},{i % 2}" for i in range(40)))
    done = CliRunner().invoke(
        app, ["train", str(tmp_path / "t.csv"), "-t", "b", "--epochs", "2", "-o", str(tmp_path / "r")]
    )
    assert done.exit_code == 0
    assert "this needs at least 10 scored rows" in (tmp_path / "r" / "report.html").read_text()
