"""What DuckDB says of a file that cannot be read, said again for the reader."""

from __future__ import annotations

import re


def explained(error: Exception, name: str) -> str:
    text = str(error)
    line, file = re.search(r"CSV Error on Line: (\d+)", text), re.search(r"^\s*file = (.+)$", text, re.M)
    where = f"{file.group(1) if file else name}, line {line.group(1)}" if line else name
    widths = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if widths:
        return (
            f"{where}: expected {widths.group(1)} values as in the header, found {widths.group(2)}; "
            "quote values that contain the delimiter, or mend the line"
        )
    if "unterminated quote" in text:
        return f"{where}: a quote is opened and never closed"
    if "reached an invalid state" in text:
        return (
            f"{where}: the text cannot be split into lines; where some end in \\r\\n and others in \\n, make them one: "
            "sed -i 's/\\r$//' FILE"
        )
    if "utf-8" in text.lower():
        return not_utf8(file.group(1) if file else name, line.group(1) if line else None)
    return f"{where}: {first_line(error)}"


def not_utf8(path: str, line: int | str | None) -> str:
    return (
        f"{path}{f', line {line}' if line else ''}: the text is not UTF-8; convert the file first, "
        "for example with: iconv -f LATIN1 -t UTF-8"
    )


def first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else repr(error)
