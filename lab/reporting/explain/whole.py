"""The whole explanation of a query, in its order, for a terminal or the app."""

from collections.abc import Iterator
from textwrap import TextWrapper

from rich.console import RenderableType

from lab.analysis.run_data import plan_notation
from lab.reporting.explain.findings import answer
from lab.reporting.explain.record import QueryRecord
from lab.reporting.explain.text import sections


def wrapper(width: int) -> TextWrapper:
    """Return what fills the lines of an explanation, in characters."""
    return TextWrapper(width, "", "    ", break_long_words=False, break_on_hyphens=False)


def whole(record: QueryRecord, rows: int, lines: TextWrapper) -> Iterator[RenderableType]:
    """Yield filled lines and tables; tables have at most `rows` rows (0 means all)."""
    for sentence in filter(None, (answer(record), plan_notation(record.run))):
        yield lines.fill(sentence)
    for section in sections(record, rows):
        for at, part in enumerate(section):
            if not at:
                yield ""
            yield lines.fill(part) if isinstance(part, str) else part
