"""Numbers, intervals and probabilities as text."""

from collections.abc import Sequence
from math import isinf, isnan


def number(value: float | None, digits: int = 3, missing: str = "-") -> str:
    """Return a number with `digits` significant digits, or more if more precede the point."""
    if value is None or isnan(value):
        return missing
    if isinf(value):
        return "infinite"
    if 10**digits - 0.5 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def count(things: int, one: str, several: str = "") -> str:
    """Return a number with its noun, in singular or plural; the default plural adds an s."""
    return f"{things:,} {one if things == 1 else several or f'{one}s'}"


def interval(low: float | None, high: float | None, digits: int = 3, missing: str = "") -> str:
    """Return an interval in brackets; `number` formats its ends.

    An interval without an upper end is written as [≥ low].
    """
    if low is None or high is None:
        return missing
    if isinf(high) and not isinf(low):
        return f"[≥ {number(low, digits)}]"
    return f"[{number(low, digits)}, {number(high, digits)}]"


def probability(p: float | None) -> str:
    """Return a p-value, or a dash for None."""
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_value(p: float | None) -> str:
    """Return a p-value as written in a sentence, such as ``p = 0.012`` or ``p < 0.001``."""
    text = probability(p)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def listed(words: Sequence[str]) -> str:
    """Return words as a list within a sentence, such as ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
