"""Lines of formula as MathML."""

import re

from chainrule.explaining.page.formulas import mathml


def test_a_moment_is_no_subtraction():
    told = mathml("x = (2026-01-31 - 2025-06-14 07:12:00) / 98.2 days = 2.35")
    assert re.findall(r"<mn>([^<]*)</mn>", told) == ["2026-01-31", "2025-06-14 07:12:00", "98.2", "2.35"]
    assert "<mi>days</mi>" in told


def test_a_comma_belongs_to_no_number():
    told = mathml("x = clip((1,234.5 - 2) / 3, 0, 1) - 0.5 = -0.5")
    assert re.findall(r"<mn>([^<]*)</mn>", told) == ["1,234.5", "2", "3", "0", "1", "0.5", "\N{MINUS SIGN}0.5"]
