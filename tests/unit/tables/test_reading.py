"""How files become columns: their names, and what is refused before it costs anything."""

import pytest

from chainrule.tables.reading import count_rows, open_table

ENDS = ["\n", "\r\n", "\r"]


@pytest.fixture
def opened(tmp_path):
    """Open a file of the given text."""

    def open_(text, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return open_table([str(path)])

    return open_


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\x1d", "\x1e"])
def test_lines_end_at_line_ends_alone(opened, end, odd):
    """Not where Unicode has a line of text end."""
    source = opened(f"a{odd}b,y{end}1,2{end}3,4{end}")
    assert list(source.types) == [f"a{odd}b", "y"]
    assert count_rows(source) == 2
