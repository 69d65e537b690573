"""The page of an update, used as a person would: offline, with a mouse, with keys alone, on a phone, on paper."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import chainrule as cr
from chainrule.explaining.page import page_of, to_html
from chainrule.explaining.page.charts import has_surface, surface_words
from chainrule.explaining.page.formulas import mathml
from chainrule.explaining.story import Opened, Story
from chainrule.explaining.terms import plain, term
from chainrule.explaining.text import View, backward_lines, cost_lines, forward_lines, update_lines
from chainrule.explaining.trace import trace_step

from .conftest import EVIL

VOID = {"meta"}
STEPS = ["Design", "Initialize", "Forward", "Cost", "Backward", "Update"]


class Page(HTMLParser):
    """Tags that open and close in order, their text, and every address that would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.addresses = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "data", "action") and v[:5] != "data:"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href") and v[:5] != "data:"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_lectures_page_is_whole_small_and_fetches_nothing(lecture_page):
    page = Page(lecture_page)
    assert page.open == []
    assert page.addresses == []
    assert not re.search(r"url\(|@import|https?://", lecture_page)
    assert len(lecture_page.encode()) < 300_000
    assert page.tags.count("table") >= 4
    assert "{{" not in lecture_page


def test_formulas_are_mathml_with_terms_that_know_their_source():
    assert mathml("1/2 * (0.1 - 0)^2 = 0.005").endswith(
        "<msup><mo>)</mo><mn>2</mn></msup><mo>=</mo><mn>0.005</mn></math>"
    )
    assert "<mn>\N{MINUS SIGN}0.6</mn>" in mathml("w(H1->ON) = -0.6")
    assert "&lt;" in mathml("a<b = 1")
    assert '<mrow data-of="H1-&gt;ON"><mn>2</mn></mrow>' in mathml("1 * " + term("2", "H1->ON"))
    assert "<mn>(\N{MINUS SIGN}2)</mn>" in mathml("1 + (-2)")
    assert "<mo>(</mo><mn>\N{MINUS SIGN}2</mn><mo>)</mo>" in mathml("tanh(-2)")


def test_names_and_values_are_text_whatever_they_say(evil_page):
    page = Page(evil_page)
    assert EVIL not in evil_page
    assert page.tags.count("script") == 2
    assert EVIL in "".join(page.words)
    assert "{{SCRIPT}}" in "".join(page.words)


def test_a_wide_network_says_what_it_leaves_out(wide_story):
    words = "".join(Page(to_html(wide_story)).words)
    assert re.search(r"and \d+ more", words)
    assert "too wide to draw in full" in words
    assert "8 of 1,200 paths" in words
    assert "and 38 more rows" in words


def words_of(line):
    """A formula's characters as MathML shows them, without spaces."""
    told = plain(line).replace("->", "\N{RIGHTWARDS ARROW}").replace("*", "·").replace("-", "\N{MINUS SIGN}")
    return re.sub(r"\s|\^", "", told)


def shown(page, group):
    texts = page.eval_on_selector_all(f'[data-group="{group}"] li', "items => items.map(item => item.textContent)")
    return [re.sub(r"\s", "", text) for text in texts]


def expected(trace, row):
    view = View(row, digits=3, drawn=tuple(tuple(range(n)) for n in trace.network.layers))
    layers = {i: list(range(n)) for i, n in enumerate(trace.network.layers[1:])}
    cost = cost_lines(trace, view)
    return {
        "forward": forward_lines(trace, view, layers)[1:],
        "cost": [cost[0].partition(": ")[2], *cost[1:]],
        "backward": backward_lines(trace, view, layers)[1:],
        "update": update_lines(trace, view, layers)[1:],
    }


def texts(page, selector):
    return page.eval_on_selector_all(selector, "parts => parts.map(part => part.textContent)")


def choose(page, menu, place):
    page.select_option(menu, index=place)


def test_every_epoch_and_row_shows_the_numbers_of_its_trace(opened, lecture_page, lecture_story):
    with opened(lecture_page) as page:
        for place, frame in enumerate(lecture_story.frames):
            trace = frame.trace
            choose(page, "#epoch", place)
            after = [f"{v:.3f}" for layer, v in _parameters(trace.after)]
            assert texts(page, '[data-slots="after"] .s') == [
                f"{v:.3f}" for layer in trace.after for v in layer.W.ravel()
            ]
            assert texts(page, '[data-slots="parameters"] td:last-child') == after
            assert f"{trace.cost_after:.4g} after" in page.text_content("#about")
            for row in range(10):
                choose(page, "#row", row)
                values = [float(x) for a in trace.forward.a for x in a[row]]
                np.testing.assert_allclose(
                    [float(t) for t in texts(page, ".node .value")], values, rtol=0.06, atol=5e-4
                )
                for group, lines in expected(trace, row).items():
                    told = [words_of(line) if " = " in line else re.sub(r"\s", "", plain(line)) for line in lines]
                    assert shown(page, group) == told
                told = texts(page, "#observations tr.chosen td")
                assert float(told[-1]) == pytest.approx(trace.costs[row], rel=0.06, abs=5e-4)


def _parameters(params):
    """Node by node, as the table has them: the weights into it, then its bias."""
    return [(i, value) for i, (W, b) in enumerate(params) for j in range(len(b)) for value in (*W[:, j], b[j])]


def test_steps_go_forth_and_back_and_on_to_the_next_epoch(opened, lecture_page):
    with opened(lecture_page) as page:
        for i, name in enumerate(STEPS, 1):
            assert page.text_content("#now") == f"Step {i} of 6, {name}; epoch 1; row 1"
            assert page.locator("section[data-step]:visible").count() == 1
            assert page.locator("section.current h2").text_content() == f"{i} {name}"
            page.click("#next") if i % 2 else page.keyboard.press("ArrowRight")
        assert page.text_content("#now") == "Step 1 of 6, Design; epoch 10; row 1"
        page.keyboard.press("ArrowLeft")
        assert page.text_content("#now") == "Step 6 of 6, Update; epoch 1; row 1"
        page.click("#all")
        assert page.locator("section[data-step]:visible").count() == 6
        page.click('nav [data-step="3"]')
        assert page.locator("section[data-step]:visible").count() == 1


def test_play_and_pause(opened, lecture_page):
    with opened(lecture_page) as page:
        page.clock.install()
        page.click("#play")
        page.clock.run_for(5200)
        assert page.text_content("#now").startswith("Step 3 of 6")
        page.click("#play")
        page.clock.run_for(9000)
        assert page.text_content("#now").startswith("Step 3 of 6")


def test_a_row_a_mark_and_a_term_can_be_clicked(opened, lecture_page):
    with opened(lecture_page) as page:
        page.click("#observations tbody tr:nth-child(4) td >> nth=0")
        assert page.text_content("#now").endswith("row 4")
        page.click(".mark >> nth=2")
        assert "epoch 100; row 4" in page.text_content("#now")
        assert page.locator("div.frame:visible").get_attribute("data-frame") == "2"
        assert page.locator("div.frame:visible .dot.chosen").get_attribute("data-row") == "4"
        page.click('nav [data-step="3"]')
        page.click('section.current [data-of="IN1->H2"]')
        assert page.text_content("#chosen h2") == "IN1 \N{RIGHTWARDS ARROW} H2, row 4"
        assert page.locator('.edge.chosen[data-of="IN1->H2"]').count() == 1
        page.hover('section.current [data-of="H1"] >> nth=0')
        assert page.locator('.node.lit[data-of="H1"]').count() == 1
        page.click('.node[data-of="H3"]')
        told = texts(page, "#chosen li")
        assert [told[0][:8], len(told)] == ["input su", 6]
        page.keyboard.press("Escape")
        assert page.locator("#chosen").is_hidden()


def test_keys_alone_reach_everything(opened, lecture_page):
    with opened(lecture_page) as page:
        focused = "document.activeElement"
        reached = []
        for _ in range(40):
            page.keyboard.press("Tab")
            name = page.evaluate(
                f"{focused}.id || {focused}.dataset.of || {focused}.ariaLabel || {focused}.textContent"
            )
            reached.append(name)
        names = ["1 Design", "6 Update", "all", "epoch", "row", "play", "next", "IN1", "Observations of this update"]
        assert [name for name in names if name not in reached] == []

        parts = page.eval_on_selector_all(".node, .edge", "parts => parts.map(part => part.dataset.of)")
        focus = "name => [...document.querySelectorAll('.node, .edge')].find(part => part.dataset.of === name).focus()"
        seen, todo = set(), ["IN1"]
        while todo:
            here = todo.pop()
            seen.add(here)
            for key in ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"):
                page.evaluate(focus, here)
                page.keyboard.press(key)
                there = page.evaluate(f"{focused}.dataset.of")
                if there != here:
                    assert page.text_content("#chosen h2") == there.replace("->", " \N{RIGHTWARDS ARROW} ") + ", row 1"
                    todo += [there] if there not in seen else []
        assert seen == set(parts)
        assert page.text_content("#now").startswith("Step 1")  # walking along the network leaves the steps alone


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["lecture", "evil", "wide", "prediction"])
def test_axe_finds_no_serious_violation(opened, which, scheme, pages):
    from axe_playwright_python.sync_playwright import Axe

    with opened(pages[which], color_scheme=scheme, bypass_csp=True) as page:
        page.click("#all")
        page.focus(".node >> nth=0")
        page.keyboard.press("ArrowRight")
        found = Axe().run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")] == []


@pytest.fixture
def pages(lecture_page, evil_page, wide_story, prediction_page):
    return {"lecture": lecture_page, "evil": evil_page, "wide": to_html(wide_story), "prediction": prediction_page}


@pytest.fixture
def prediction_page(wide_story):
    return to_html(prediction_of(wide_story))


def prediction_of(story):
    from chainrule.explaining.trace import trace_prediction

    trace = story.opened.trace
    told = trace_prediction(trace.network, trace.params, trace.X[:1], about={"file": "new.csv", "run": "runs/a"})
    return Opened(told, {"column": ["a value"]})


@pytest.mark.parametrize("which", ["lecture", "evil", "wide", "prediction"])
def test_on_a_phone_nothing_is_wider_than_the_screen(opened, which, pages):
    with opened(pages[which], width=360, height=740) as page:
        page.click("#all")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
        box = page.locator("#next").bounding_box()
        assert box["x"] + box["width"] <= 360


def test_on_paper_all_steps_are_there_and_no_buttons(opened, lecture_page):
    with opened(lecture_page) as page:
        page.emulate_media(media="print")
        assert page.locator("section[data-step]:visible").count() == 6
        assert page.locator("button:visible, select:visible").count() == 0


def test_without_javascript_the_page_reads(opened, lecture_page):
    with opened(lecture_page, java_script_enabled=False) as page:
        assert page.locator("section[data-step]:visible").count() == 6
        assert page.locator("button:visible, select:visible").count() == 0
        assert "0.614" in page.locator('[data-group="forward"]').inner_text()
        assert page.locator("table:visible").count() == 4


def test_evil_names_stay_text_while_stepping(opened, evil_page):
    with opened(evil_page) as page:
        for _ in range(14):
            page.click("#next")
        page.click("#all")
        assert EVIL in page.locator("section[data-step='1']").inner_text()
        assert page.locator("main script").count() == 0
        assert texts(page, '[data-slots="raw"] tr:nth-child(1) td') == [EVIL, "|"]


def test_a_batch_of_fewer_rows_hides_the_rest(opened, wide_story):
    with opened(to_html(wide_story)) as page:
        assert page.locator("#observations tbody tr:visible").count() == 12
        choose(page, "#row", 2)
        choose(page, "#epoch", 1)
        assert page.text_content("#now") == "Step 1 of 6, Design; epoch 3; row 102"  # the same row
        assert page.locator("#observations tbody tr:visible").count() == 7
        assert texts(page, "#row option") == [str(n) for n in range(102, 109)]
        assert texts(page, '[data-slots="raw"] tr:visible td') == [f"value {n}" for n in range(102, 109)]


def test_a_prediction_has_its_own_steps(opened, wide_story):
    told = prediction_of(wide_story)
    with opened(to_html(told)) as page:
        for name in ("Design", "Parameters", "Forward", "Effects"):
            assert name in page.text_content("#now")
            page.click("#next") if name != "Effects" else None
        first = texts(page, "section.current tbody tr:nth-child(1) td")
        place = int(np.argmax(np.abs(told.trace.pushes[0] * told.trace.X[0])))
        assert first == [
            f"{v[place]:.3f}" for v in (told.trace.X[0], told.trace.pushes[0], told.trace.pushes[0] * told.trace.X[0])
        ]


def two_classes():
    """Two epochs of 30 rows in two orders; the classes take turns."""
    network = cr.Network([2, 3, 2], ["tanh", "softmax"], "categorical_cross_entropy")
    rng = np.random.default_rng(0)
    X, Y, frames = rng.normal(size=(30, 2)), np.eye(2)[np.arange(30) % 2], []
    for epoch, order in ((1, np.arange(30)), (2, np.arange(30)[::-1])):
        params, about = cr.initialize(network, seed=epoch), {"epoch": epoch, "batch": 1, "batches": 1}
        rows = [100 + i for i in order]
        trace = trace_step(network, params, X[order], Y[order], rule=cr.gradient_descent(0.1), rows=rows, about=about)
        frames.append(Opened(trace, {}))
    return Story(tuple(frames))


def test_a_row_beyond_the_first_ones_is_followed_to_other_epochs(opened):
    with opened(to_html(two_classes(), row=20)) as page:
        assert page.text_content("#now").endswith("epoch 1; row 120")
        choose(page, "#epoch", 1)
        assert page.text_content("#now").endswith("epoch 2; row 120")


def test_a_formula_of_another_shape_is_told_whole_and_belongs_to_its_own_node(opened):
    story = two_classes()
    changes = [row["formulas"]["cost"][0] for row in page_of(story).data["frames"][0]["rows"]]
    assert [isinstance(change, str) for change in changes] == [i % 2 == 0 for i in range(12)]
    with opened(to_html(story)) as page:
        page.click('.node[data-of="ON2"]')
        without = texts(page, "#chosen li")
        choose(page, "#row", 1)
        told = texts(page, "#chosen li")
        assert len(told) == len(without) + 1
        assert any("ln" in line for line in told)
        choose(page, "#row", 2)
        assert len(texts(page, "#chosen li")) == len(without)


def test_back_goes_where_next_came_from(opened, lecture_page):
    with opened(lecture_page) as page:
        seen = []
        for _ in range(20):
            seen.append(page.text_content("#now"))
            page.click("#next")
        for before in reversed(seen):
            page.click("#back")
            assert page.text_content("#now") == before


def test_a_surface_is_shown_only_where_its_outputs_mean_one_thing():
    X, Y = np.random.default_rng(0).normal(size=(2, 5, 2))
    network = cr.Network([2, 3, 2], ["tanh", "identity"])
    step = cr.explain_step(network, cr.initialize(network, seed=0), X, Y, rule=cr.gradient_descent(0.1))
    assert not has_surface(step.trace)
    one = cr.Network([2, 3, 1], ["tanh", "identity"])
    step = cr.explain_step(one, cr.initialize(one, seed=0), X, np.round(Y[:, :1]) % 2, rule=cr.gradient_descent(0.1))
    assert has_surface(step.trace)
    assert "where it is low" in surface_words(step.trace)
