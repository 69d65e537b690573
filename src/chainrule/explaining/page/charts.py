"""SVG charts: cost curves, decision surfaces, and scatter plots."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

from chainrule.explaining.page.markup import shortened
from chainrule.explaining.story import Course
from chainrule.explaining.trace import Trace
from chainrule.tables.columns import Scale

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 300, 56, 16, 20, 44
MOST_POINTS, MOST_DOTS, MOST_MARKED = 300, 200, 40
LARGEST = 1e300  # costs are clipped to this
LOGARITHMIC = 100  # epochs from which the axis is logarithmic
LOW, MIDDLE, HIGH = (230, 159, 80), (247, 247, 247), (80, 145, 205)
CLASS_COLOURS = ((166, 206, 227), (253, 191, 111), (178, 223, 138), (251, 154, 153), (202, 178, 214), (255, 255, 153))


def curve_svg(course: Course, marks: Sequence[tuple[int, int]] = ()) -> str:
    """Training and validation cost over the epochs.

    `marks` holds (epoch, index of the frame) for the epochs that can be shown.
    """
    epochs = course.epoch
    costs, held = (np.clip(x, -LARGEST, LARGEST) for x in (course.cost, course.validation_cost))
    log = epochs[-1] >= LOGARITHMIC
    finite = np.concatenate([costs[np.isfinite(costs)], held[np.isfinite(held)], [0.0]])
    low, high = min(0.0, float(finite.min())), float(finite.max()) or 1.0
    scale = np.log10 if log else np.asarray
    first, last = float(scale(1.0)), float(scale(float(max(2, epochs[-1]))))

    along, y = _across(first, last), _up(low, high)

    def x(epoch: Any) -> Any:
        return along(scale(np.asarray(epoch, float)))

    below = [(f"{e:,}", x(e)) for e in _ticks_of_epochs(epochs, log)]
    inside = axes("epoch", below, "cost", [(f"{v:.3g}", y(v)) for v in round_values(low, high)])
    kept = x(max(1, course.best_epoch))
    inside += f'<line class="kept" x1="{kept:.1f}" y1="{TOP}" x2="{kept:.1f}" y2="{HEIGHT - BOTTOM}"/>'
    end = kept > (LEFT + WIDTH - RIGHT) / 2
    inside += (
        f'<text class="axis {"end" if end else "start"}" x="{kept - 5 if end else kept + 5:.1f}" y="{TOP + 12}">'
        f"kept: {course.best_epoch:,}</text>"
    )
    thin = _thinned(epochs, log)
    for kind, values in (("training", costs), ("validation", held)):
        points = [(x(epochs[i]), y(values[i])) for i in thin if np.isfinite(values[i])]
        if points:
            drawn = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
            inside += f'<polyline class="{kind}" points="{drawn}"/>'
    for epoch, place in marks:
        cost = float(costs[np.searchsorted(epochs, epoch)])
        at = cost if np.isfinite(cost) else low
        inside += (
            f'<circle class="mark" data-frame="{place}" cx="{x(epoch):.1f}" cy="{y(at):.1f}" r="5">'
            f"<title>epoch {epoch:,}</title></circle>"
        )
    return chart(curve_words(course), inside)


def curve_words(course: Course) -> str:
    """A sentence that describes the curve."""
    told = f"Training cost from {course.cost[0]:.4g} to {course.cost[-1]:.4g} in {course.epoch[-1]:,} epochs"
    if np.isfinite(course.validation_cost).any():
        lowest = np.nanmin(course.validation_cost)
        told += f"; lowest validation cost (dashed) {lowest:.4g} in epoch {course.best_epoch:,}, which was kept"
    return told


def has_surface(trace: Trace) -> bool:
    """Whether the outputs can be shown over two inputs: a single output, or softmax classes."""
    return trace.surface is not None and (trace.network.layers[-1] == 1 or _is_softmax(trace))


def surface_words(trace: Trace) -> str:
    """A caption that explains the colours and digits on the surface."""
    outputs = trace.names.outputs
    if _is_softmax(trace):
        listed = ", ".join(f"{k + 1} {name}" for k, name in enumerate(outputs[:12]))
        says = f"the most likely class over the two inputs; circles are the rows, numbered by class: {listed}"
    elif _is_class(trace):
        says = "the output over the two inputs, orange near 0, blue near 1; circles are the rows with their targets"
        if outputs[0] != trace.names.nodes[-1][0]:
            says += f" (1 is {outputs[0]})"
    else:
        says = "the output over the two inputs, orange where it is low, blue where it is high; circles are the rows"
    dropped = any(mask is not None for mask in trace.forward.keep)
    return says[0].upper() + says[1:] + (". Dropout is not applied here." if dropped else ".")


def _is_softmax(trace: Trace) -> bool:
    return trace.network.activations[-1].name == "softmax"


def _is_class(trace: Trace) -> bool:
    """Whether the single output is a probability: a sigmoid whose targets are 0 or 1."""
    return trace.network.activations[-1].name == "sigmoid" and bool(np.isin(trace.Y, (0, 1)).all())


def surface_svg(trace: Trace, scales: dict[str, Scale], row: int | None) -> str:
    """The outputs over the two inputs, with the observations of the update."""
    surface: Any = trace.surface
    means, stds = zip(*(_scale_of(scales, name) for name in trace.names.inputs), strict=True)
    names = [shortened(name, 24) for name in trace.names.inputs]
    left, right, bottom, top = surface.x[0], surface.x[-1], surface.y[0], surface.y[-1]

    x, y = _across(left, right), _up(bottom, top)
    ticks = [
        [(f"{v:.4g}", place((v - mean) / std)) for v in round_values(mean + std * low, mean + std * high)]
        for mean, std, low, high, place in zip(means, stds, (left, bottom), (right, top), (x, y), strict=True)
    ]
    picture = _png(_colours(surface.values)[::-1])
    inside = (
        f'<image x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}" '
        f'preserveAspectRatio="none" href="{picture}"/>'
    )
    inside += axes(names[0], ticks[0], names[1], ticks[1])
    for i in sorted(range(min(MOST_DOTS, len(trace.X))), key=lambda i: i == row):
        inside += _dot(x(trace.X[i, 0]), y(trace.X[i, 1]), _target_mark(trace, i), trace.rows[i])
    label = f"The output over {names[0]} and {names[1]}, with {min(MOST_DOTS, len(trace.X))} observations"
    return chart(label, inside)


def chart(label: str, inside: str) -> str:
    """An SVG image of WIDTH by HEIGHT with a label."""
    shape = f'class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    return f'<svg {shape} aria-label="{escape(label)}">{inside}</svg>'


def _scale_of(scales: dict[str, Scale], name: str) -> tuple[float, float]:
    scale = scales.get(name)
    return (scale.mean, scale.std) if scale else (0.0, 1.0)


def _dot(x: float, y: float, mark: str, row: int) -> str:
    text = f'<text x="{x:.1f}" y="{y + 4:.1f}">{mark}</text>' if mark else ""
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{7 if mark else 4}"/>'
    return f'<g class="dot" data-row="{row}">{circle}{text}<title>row {row}</title></g>'


def _target_mark(trace: Trace, i: int) -> str:
    """The class of an observation as a digit; an empty string for numeric targets."""
    if len(trace.X) > MOST_MARKED:
        return ""
    y = trace.Y[i]
    if _is_softmax(trace):
        return str(int(np.argmax(y)) + 1)
    return f"{y[0]:.0f}" if _is_class(trace) else ""


def _colours(values: np.ndarray) -> np.ndarray:
    """Colours (n, n, 3) for values (n, n, outputs): a ramp for one output, the colour of the largest for several."""
    if values.shape[-1] > 1:
        return np.array(CLASS_COLOURS, np.uint8)[values.argmax(axis=-1) % len(CLASS_COLOURS)]
    v = np.nan_to_num(values[..., 0])
    low, high = (0.0, 1.0) if v.min() >= 0 and v.max() <= 1 else (v.min(), v.max())
    t = (v - low) / ((high - low) or 1.0)
    return np.stack([np.interp(t, [0, 0.5, 1], column) for column in zip(LOW, MIDDLE, HIGH, strict=True)], -1).astype(
        np.uint8
    )


def _png(pixels: np.ndarray) -> str:
    """Pixels (height, width, 3) as a data URL with a minimal PNG (RFC 2083)."""
    height, width, _ = pixels.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1).tobytes()
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


def scatter_svg(truth: np.ndarray, predicted: np.ndarray, label: str) -> str:
    """A scatter plot of predicted against true values, which are equal on the line."""
    low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
    high = high if high > low else low + 1
    x, y = _across(low, high), _up(low, high)
    ticks = [(f"{v:.4g}", v) for v in round_values(low, high)]
    inside = axes("true", [(text, x(v)) for text, v in ticks], "predicted", [(text, y(v)) for text, v in ticks])
    inside += f'<line class="kept" x1="{x(low):.1f}" y1="{y(low):.1f}" x2="{x(high):.1f}" y2="{y(high):.1f}"/>'
    inside += "".join(
        f'<circle class="point" cx="{x(t):.1f}" cy="{y(p):.1f}" r="3"/>' for t, p in zip(truth, predicted, strict=True)
    )
    return chart(label, inside)


def _across(low: Any, high: Any) -> Callable[[Any], Any]:
    """A function from values to horizontal positions."""
    return lambda value: LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)


def _up(low: Any, high: Any) -> Callable[[Any], Any]:
    """A function from values to vertical positions."""
    return lambda value: TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)


def axes(x_name: str, below: Sequence[tuple[str, Any]], y_name: str, beside: Sequence[tuple[str, Any]]) -> str:
    """A frame with the names of both axes and with ticks, each a text and its position."""
    inside = f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 6}">{escape(x_name)}</text>'
    inside += f'<text class="axis start" x="4" y="{TOP - 7}">{escape(y_name)}</text>'
    for text, x in below:
        inside += f'<line class="tick" x1="{x:.1f}" y1="{HEIGHT - BOTTOM}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM + 4}"/>'
        inside += f'<text class="axis" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}">{text}</text>'
    for text, y in beside:
        inside += f'<line class="tick" x1="{LEFT - 4}" y1="{y:.1f}" x2="{LEFT}" y2="{y:.1f}"/>'
        inside += f'<text class="axis end" x="{LEFT - 7}" y="{y + 4:.1f}">{text}</text>'
    frame = (
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/>'
    )
    return frame + inside


def round_values(low: float, high: float) -> list[float]:
    """A few round values between two others; none if these are too close together or too far apart.

    >>> round_values(0, 7)
    [0.0, 2.0, 4.0, 6.0]
    """
    with np.errstate(over="ignore", invalid="ignore"):
        half = (np.float64(high) - low) / 2
    if not 1e-300 < half < np.inf:
        return []
    step = 10 ** np.floor(np.log10(half))
    step *= next((m for m in (5, 2) if m * step <= half), 1)
    return [float(v) for v in np.arange(np.ceil(low / step), high / step + 1e-9) * step]


def _ticks_of_epochs(epochs: np.ndarray, log: bool) -> list[int]:
    last = int(epochs[-1])
    if log:
        return [10**k for k in range(int(np.log10(last)) + 1)]
    return sorted({1, max(1, last // 2), last})


def _thinned(epochs: np.ndarray, log: bool) -> np.ndarray:
    """Indices of at most `MOST_POINTS` epochs, spread along the axis."""
    n = len(epochs)
    if n <= MOST_POINTS:
        return np.arange(n)
    spread = np.geomspace(1, n, MOST_POINTS) - 1 if log else np.linspace(0, n - 1, MOST_POINTS)
    return np.unique(spread.round().astype(int))
