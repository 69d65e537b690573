"""Pages in headless Chromium, offline: whatever a page asks for or complains of is a failure."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import numpy as np
import pytest

import chainrule as cr
from chainrule.examples.shown import story_of
from chainrule.examples.worked import example_named
from chainrule.explaining.page import to_html
from chainrule.explaining.story import Course, Opened, Story
from chainrule.explaining.trace import names_of, trace_step

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs Chromium: make browser, or apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield launched
        launched.close()


@pytest.fixture
def opened(browser, tmp_path):
    """A function that opens HTML from a file, offline; afterwards the page has asked for nothing and logged nothing."""

    @contextmanager
    def open_page(html, width=1280, height=900, **context):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        made = browser.new_context(viewport={"width": width, "height": height}, offline=True, **context)
        page = made.new_page()
        page.set_default_timeout(10_000)
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto(path.as_uri())
        yield page
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        assert said == []
        made.close()

    return open_page


@pytest.fixture(scope="session")
def lecture_story():
    return story_of(example_named("lecture"))


@pytest.fixture(scope="session")
def lecture_page(lecture_story):
    return to_html(lecture_story)


EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="session")
def evil_page():
    """Names and values that would like to be more than text; two epochs, three classes, a course."""
    network = cr.Network([2, 2, 3], ["tanh", "softmax"], "categorical_cross_entropy")
    names = names_of(network, [EVIL, '"onload=alert(2)'], [EVIL, "</title>", "{{SCRIPT}}"])
    X, Y, rule = np.eye(2), np.eye(3)[:2], cr.gradient_descent(0.1)
    frames = []
    for epoch in (1, 2):
        params = cr.initialize(network, seed=epoch)
        about = {"rule": EVIL, "epoch": epoch, "batch": 1, "batches": 1}
        trace = trace_step(network, params, X, Y, rule=rule, names=names, about=about)
        frames.append(Opened(trace, {EVIL: [EVIL, "a & b"], "|": ["|", "\t"]}))
    course = Course(np.array([1, 2]), np.array([2.0, 1.0]), np.array([np.nan, np.nan]), EVIL, 2)
    return to_html(Story(tuple(frames), 0, course))


@pytest.fixture(scope="session")
def wide_story():
    """A network too wide to draw whole, two epochs of mini-batches of different sizes."""
    network = cr.Network([30, 40, 1], ["tanh", "identity"])
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(50, 30)), rng.normal(size=(50, 1))
    frames = []
    for epoch, rows in ((1, range(50)), (3, range(2, 9))):
        rows = list(rows)
        params, about = cr.initialize(network, seed=epoch), {"epoch": epoch, "batch": 1, "batches": 2}
        numbers = [100 + i for i in rows]
        trace = trace_step(network, params, X[rows], Y[rows], rule=cr.gradient_descent(0.1), rows=numbers, about=about)
        frames.append(Opened(trace, {"column": [f"value {n}" for n in numbers]}))
    course = Course(np.arange(1, 4), np.array([3.0, 2.0, 1.0]), np.array([3.0, 1.0, 2.0]), "averaged", 2)
    return Story(tuple(frames), 0, course)
