"""An explanation in a notebook: run by nbclient; its frame and its widget shown in Chromium."""

import json

import pytest

import chainrule as cr
from chainrule.examples.lecture import lecture_setting
from chainrule.explaining.notebook import MOST_FRAMES

FIRST = """
import chainrule as cr
from chainrule.examples.lecture import lecture_setting

network, params, X, Y, rule = lecture_setting()
step = cr.explain_step(network, params, X, Y, rule=rule, row=2, names=["age", "<b>pay</b>"])
step
"""
CELLS = (
    FIRST,
    "shown = step.widget()\nshown",
    "fit = cr.train(network, params, X, Y, rule=rule, epochs=100, dtype='float64', checkpoint=shown.follow)",
)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    import nbformat
    from nbclient import NotebookClient

    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(made, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path_factory.mktemp("notebook")))
    return made


def test_an_explanation_is_a_page_and_text(notebook):
    data = notebook.cells[0].outputs[0]["data"]
    assert data["text/plain"].startswith("one update: 10 rows; gradient_descent, learning rate 0.5")
    assert "input sum H1 = (-0.6900 * -0.2000)" in data["text/plain"]
    assert data["text/html"].startswith("<iframe srcdoc=")
    assert "<b>pay</b>" not in data["text/html"]


def test_the_frame_shows_the_page_and_its_text_stays_without_it(notebook, opened):
    html = notebook.cells[0].outputs[0]["data"]["text/html"]
    with opened(f"<!doctype html><title>notebook</title>{html}") as page:
        inside = page.frame_locator("iframe")
        inside.locator("#next").click()
        assert inside.locator("#now").text_content() == "Step 2 of 6, Initialize; row 2"
    sanitized = html.partition("</iframe>")[2]  # what an untrusted notebook leaves
    with opened(f"<!doctype html><title>notebook</title>{sanitized}") as page:
        page.click("summary")
        assert "input sum H1 = (-0.6900 * -0.2000)" in page.locator("pre").inner_text()


def test_the_widget_went_along_with_the_training(notebook):
    widgets = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    (page,) = (widget["state"]["page"] for widget in widgets if "page" in widget["state"])
    epochs = [frame["epoch"] for frame in page["data"]["frames"]]
    assert epochs == [1, 2, 3, 5, 9, 17, 33, 65, 101]
    assert page["data"]["at"] == 8
    assert "<polyline" in page["body"]


SHOW = """
async ([source, pages]) => {
  const module = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const heard = [];
  let page = pages[0];
  const model = { get: () => page, on: (name, call) => heard.push(call), off: () => {} };
  const el = document.createElement("div");
  document.body.append(el);
  module.default.render({ model, el });
  const told = [el.shadowRoot.querySelector("#now").textContent];
  el.shadowRoot.querySelector('nav [data-step="3"]').click();
  for (page of pages.slice(1)) {
    heard.forEach((call) => call());
    told.push(el.shadowRoot.querySelector("#now").textContent);
  }
  return told;
}
"""


def test_the_widgets_module_shows_each_page_and_keeps_the_readers_step(browser):
    network, params, X, Y, rule = lecture_setting()
    shown = cr.explain_step(network, params, X, Y, rule=rule).widget()
    pages = [shown.page]
    cr.train(
        network,
        params,
        X,
        Y,
        rule=rule,
        epochs=4,
        checkpoint=lambda state: (shown.follow(state), pages.append(shown.page)),
    )
    page = browser.new_page()
    told = page.evaluate(
        SHOW, [shown._esm if isinstance(shown._esm, str) else str(shown._esm), json.loads(json.dumps(pages))]
    )
    page.close()
    assert told[0] == "Step 1 of 6, Design; row 1"
    assert told[1:] == ["Step 3 of 6, Forward; row 1", *(f"Step 3 of 6, Forward; epoch {e}; row 1" for e in (2, 3, 5))]


def test_of_many_epochs_the_widget_keeps_some():
    network, params, X, Y, rule = lecture_setting()
    shown = cr.explain_step(network, params, X, Y, rule=rule).widget()
    cr.train(network, params, X, Y, rule=rule, epochs=30, checkpoint=shown.follow, keep_every=1)
    epochs = [frame["epoch"] for frame in shown.page["data"]["frames"]]
    assert epochs[-1] == 31
    assert epochs[0] == 1
    assert len(epochs) <= MOST_FRAMES + 1
