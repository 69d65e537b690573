"""The page of an update: as text it is whole and safe; in a browser its script runs, offline and without an error."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.examples.worked import example_named, trace_of
from chainrule.explaining.page import mathml, to_html
from chainrule.explaining.story import Opened
from chainrule.trace import names_of, trace_step

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --v=0"
)
VOID = {"meta"}


class Page(HTMLParser):
    """Tags that open and close in order, their text, and every address that would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.addresses = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def lecture_page(row=0):
    return to_html(Opened(trace_of(example_named("lecture")), {}), row)


def test_the_lectures_page_is_whole_small_and_fetches_nothing():
    text = lecture_page()
    page = Page(text)
    assert page.open == []
    assert page.addresses == []
    assert not re.search(r"url\(|@import|https?://", text)
    assert len(text.encode()) < 300_000
    assert page.tags.count("table") >= 2
    assert "{{" not in text


def test_its_numbers_are_the_traces():
    trace, words = trace_of(example_named("lecture")), Page(lecture_page()).words
    for i in range(10):
        assert f"{trace.forward.z[1][i, 0]:.3f}" in words
    for layer in trace.after:
        for value in layer.W.ravel():
            assert f"{value:.3f}" in words
    data = json.loads(re.search(r'id="data">(.*?)</script>', lecture_page(), re.S).group(1))
    assert [row["row"] for row in data] == list(range(1, 11))
    assert data[4]["a"][1] == [f"{x:.3f}" for x in trace.forward.a[1][4]]


def test_formulas_are_mathml():
    assert mathml("1/2 * (0.1 - 0)^2 = 0.005").endswith(
        "<msup><mo>)</mo><mn>2</mn></msup><mo>=</mo><mn>0.005</mn></math>"
    )
    assert "<mn>\N{MINUS SIGN}0.6</mn>" in mathml("w(H1->ON) = -0.6")
    assert "&lt;" in mathml("a<b = 1")


def evil_page():
    evil = "<script>alert(1)</script>"
    network = cr.Network([2, 2, 2], ["tanh", "softmax"], "categorical_cross_entropy")
    params = cr.initialize(network, seed=0)
    names = names_of(network, [evil, '"onload=alert(2)'], [evil, "</title>"])
    X, Y = np.eye(2), np.eye(2)
    trace = trace_step(network, params, X, Y, rule=cr.gradient_descent(0.1), names=names, about={"rule": evil})
    return to_html(Opened(trace, {evil: [evil, "a & b"]})), evil


def test_names_and_values_are_text_whatever_they_say():
    text, evil = evil_page()
    page = Page(text)
    assert evil not in text
    assert page.tags.count("script") == 2
    assert evil in "".join(page.words)


def test_a_wide_network_says_what_it_leaves_out():
    network = cr.Network([30, 40, 1], ["tanh", "identity"])
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(50, 30)), rng.normal(size=(50, 1))
    params = cr.initialize(network, seed=0)
    words = Page(to_html(Opened(trace_step(network, params, X, Y, rule=cr.gradient_descent(0.1)), {}))).words
    assert "and 22 more" in words
    assert "and 32 more" in words
    assert "and 38 rows more" in words


def test_a_prediction_has_no_page_yet(tmp_path):
    with pytest.raises(TypeError, match="a prediction has no page yet"):
        to_html(Opened(None, {}))


def rendered(text, folder: Path):
    """The page after its script has run, and what the browser said of it."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    command = [
        str(CHROMIUM),
        *FLAGS.split(),
        f"--user-data-dir={folder}/profile",
        "--dump-dom",
        f"file://{folder}/page.html",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")
@pytest.mark.parametrize("page", [lecture_page, lambda: evil_page()[0]], ids=["lecture", "evil names"])
def test_in_a_browser_the_script_runs_without_an_error(tmp_path, page):
    dom, said = rendered(page(), tmp_path)
    assert said == []
    assert 'class="scripted"' in dom
    assert re.search(r'id="now"[^>]*>All steps; row 1<', dom)
    assert dom.count('data-place="0" class="chosen"') == 1


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")
def test_keys_step_and_move_and_nodes_open(tmp_path):
    keys = "".join(
        f'document.dispatchEvent(new KeyboardEvent("keydown", {{key: "{key}", bubbles: true}}));'
        for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown")
    ).replace("document.dispatch", "document.body.dispatch")
    node = 'document.querySelector(\'.node[data-node="H2"]\').dispatchEvent(new MouseEvent("click", {bubbles: true}));'
    text = lecture_page().replace("\nshow();\n", f"\nshow();\n{keys}{node}\n")
    dom, said = rendered(text, tmp_path)
    trace = trace_of(example_named("lecture"))
    assert said == []
    assert "Step 3, Forward; row 2, node H2" in dom
    values = re.findall(r'<text class="value"[^>]*>([^<]*)<', dom)
    assert values == [f"{x:.3f}" for a in trace.forward.a for x in a[1]]
    assert re.search(r'<details class="row" open="">\s*<summary>row 2<', dom)
