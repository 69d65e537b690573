"""Makes docs/page.png, the README's picture of a page: needs Chromium.

python docs/pictures.py
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from chainrule.examples.worked import example_named, trace_of
from chainrule.explaining.page import to_html
from chainrule.explaining.story import Opened

HERE = Path(__file__).parent
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars"


def main() -> None:
    """Write the lecture's page aside, with the third node chosen, and photograph it."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("docs/pictures.py needs Chromium: apt install chromium")
    page = to_html(Opened(trace_of(example_named("lecture")), {}))
    page = page.replace("\nshow();\n", '\nshow();\nchoose("H3");\nwindow.scrollTo(0, 0);\n')
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "page.html").write_text(page, encoding="utf-8")
        picture = f"--screenshot={HERE / 'page.png'}"
        profile = f"--user-data-dir={folder}/profile"
        command = [browser, *FLAGS.split(), profile, "--window-size=1280,900", picture, f"file://{folder}/page.html"]
        subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
