"""Pieces of Markdown."""

from collections.abc import Iterable, Iterator

from lab.common.formatting import interval, number


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield the lines of a table, then an empty line."""
    heads = list(heads)
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        cells = (" ".join(str(cell).replace("|", "\\|").split()) for cell in row)
        yield f"| {' | '.join(cells)} |"
    yield ""


def estimated(middle: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    """Return a value with its interval, preceded by a sign if it is a bound."""
    parts = sign, number(middle), "" if middle is None else interval(low, high)
    return " ".join(part for part in parts if part)
