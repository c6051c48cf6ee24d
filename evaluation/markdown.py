"""Pieces of Markdown."""

from collections.abc import Iterable, Iterator


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield the lines of a table, and an empty one."""
    heads = list(heads)
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        cells = (" ".join(str(cell).replace("|", "\\|").split()) for cell in row)
        yield f"| {' | '.join(cells)} |"
    yield ""


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many significant digits, or a dash."""
    if value is None:
        return "-"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def interval(middle: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    """Return a value with its interval, after a sign if it is a bound."""
    sign = f"{sign} " if sign else ""
    if middle is None or low is None or high is None:
        return sign + number(middle)
    return f"{sign}{number(middle)} [{number(low)}, {number(high)}]"


def probability(p: float | None) -> str:
    """Return a p-value."""
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"
