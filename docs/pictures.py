"""Make the screenshots docs/page.png and docs/report.png; needs Chromium and playwright (in the extra "test").

python docs/pictures.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from chainrule.examples.shown import story_of
from chainrule.examples.worked import example_named
from chainrule.explaining.page import to_html

HERE = Path(__file__).resolve().parent
FLAGS = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking"


def main() -> None:
    """Take screenshots of the lecture's page at epoch 100 (step Forward, node H3 selected) and of a report."""
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("docs/pictures.py needs Chromium: apt install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder, "page.html")
        path.write_text(to_html(story_of(example_named("lecture"))), encoding="utf-8")
        launched = playwright.chromium.launch(executable_path=browser, args=FLAGS.split())
        page = launched.new_page(viewport={"width": 1280, "height": 900})
        page.goto(path.as_uri())
        page.select_option("#epoch", label="100")
        page.click('nav [data-step="3"]')
        page.click('.node[data-of="H3"]')
        page.screenshot(path=HERE / "page.png")
        page.goto(_report(Path(folder)).as_uri())
        page.screenshot(path=HERE / "report.png")
        launched.close()


def _report(folder: Path) -> Path:
    """Train a regression on the penguins and return its report."""
    command = ["train", str(HERE.parent / "examples" / "penguins.csv"), "--target", "body_mass_g"]
    run = Path("runs", "penguins-1")
    subprocess.run([sys.executable, "-m", "chainrule", *command, "--quiet", "-o", str(run)], check=True, cwd=folder)
    return folder / run / "report.html"


if __name__ == "__main__":
    main()
