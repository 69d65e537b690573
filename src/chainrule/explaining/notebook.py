"""Explanations in notebooks: the page in a frame, and as a widget that follows a training."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from typing import Any

import numpy as np

from chainrule.errors import UsageError
from chainrule.explaining.page import page_of
from chainrule.explaining.page.markup import asset
from chainrule.explaining.story import Course, Opened, Story
from chainrule.explaining.trace import Trace, trace_step

MOST_FRAMES = 16  # updates that a widget keeps while following a training
RENDER = """
export default {
  render({ model, el }) {
    const root = el.attachShadow({ mode: "open" });
    let mounted = null;
    const show = () => {
      const start = mounted?.here() ?? {};
      mounted?.stop();
      const { style, body, data } = model.get("page");
      root.innerHTML = `<style>${style}</style>${body}`;
      mounted = mount(root, structuredClone(data), start);
    };
    model.on("change:page", show);
    show();
    return () => { mounted?.stop(); model.off("change:page", show); };
  },
};
"""


def framed(page: str, text: str) -> str:
    """The page in a frame; notebooks that are not trusted remove the frame and keep the text."""
    return (
        f'<iframe srcdoc="{escape(page)}" sandbox="allow-scripts" title="Explanation of an update" '
        'style="width: 100%; height: 56rem; border: 0"></iframe>'
        f"<details><summary>Show as text</summary><pre>{escape(text)}</pre></details>"
    )


def widget(story: Story, row: int, digits: int) -> Any:
    """An anywidget that shows a story.

    Parameters
    ----------
    story : Story
        The updates to show.
    row : int
        The index of the row that is shown first.
    digits : int
        The number of decimal places.

    Returns
    -------
    anywidget.AnyWidget
        The widget.

    Raises
    ------
    UsageError
        If the package anywidget is not installed.
    """
    return _widget_class()(story, row, digits)


@lru_cache(maxsize=1)
def _widget_class() -> Any:
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise UsageError("widgets need the package anywidget: pip install 'chainrule[notebook]'") from error

    class StepWidget(anywidget.AnyWidget):
        """The page of an update; `follow` adds further epochs of its training as they are completed."""

        _esm = asset("page.js") + RENDER
        page = traitlets.Dict().tag(sync=True)

        def __init__(self, story: Story, row: int, digits: int):
            self._story, self._row, self._digits = story, row, digits
            super().__init__(page=self._told())

        def follow(self, state: Any) -> None:
            """Show the next update of the same rows from a state of a training, for `train(checkpoint=...)`."""
            frames = followed(self._story, state)
            self._story = Story(frames, len(frames) - 1, _course_of(frames))
            self.page = self._told()

        def _told(self) -> dict[str, Any]:
            page = page_of(self._story, self._row, self._digits)
            return {"style": asset("page.css"), "body": page.body, "data": page.data}

    return StepWidget


def followed(story: Story, state: Any) -> tuple[Opened, ...]:
    """The frames of a story and the update that follows a state; if there are many, every other frame is dropped."""
    opened = story.opened
    trace: Any = opened.trace
    if not isinstance(trace, Trace):
        raise TypeError("a prediction has no training to follow")
    epoch = int(state.epoch) + 1
    step = trace_step(
        trace.network,
        state.params,
        trace.X,
        trace.Y,
        rule=trace.rule,
        rule_state=state.rule_state,
        weights=trace.weights,
        rows=trace.rows,
        names=trace.names,
        about={**trace.about, "epoch": epoch, "batch": 1, "batches": 1},
    )
    before = [frame for frame in story.frames if frame.trace.about.get("epoch", epoch) < epoch]
    if len(before) >= MOST_FRAMES:
        before = before[::2]
    return (*before, Opened(step, opened.raw))


def _course_of(frames: tuple[Opened, ...]) -> Course:
    epochs = np.array([frame.trace.about["epoch"] for frame in frames])
    costs = np.array([frame.trace.cost for frame in frames if isinstance(frame.trace, Trace)])
    none = np.full(len(costs), np.nan)
    return Course(epochs, costs, none, "before the update, of these rows", int(epochs[-1]))
