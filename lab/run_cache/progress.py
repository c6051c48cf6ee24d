"""A bar of progress on standard error, while configurations are composed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

FEW = 10
"""Configurations that are composed within seconds, for which there is no bar."""


@contextmanager
def composing(total: int) -> Iterator[Callable[[], object]]:
    """Show a bar while configurations are composed; yield what is to be called after each.

    Nothing is shown where standard error is not a terminal, nor of few.

    Args:
        total: how many there are.
    """
    console = Console(stderr=True)
    shown = console.is_terminal and total > FEW
    with Progress(console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("composing", total=total)
        yield lambda: progress.advance(task)
