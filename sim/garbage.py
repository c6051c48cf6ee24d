"""Collections of garbage, which a running world needs few of."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

ALLOCATIONS = 50_000
"""Objects made between two collections. A world holds much that lives long, which the collector
walks again and again, and drops little that hangs in a cycle, which nothing else would free."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Let garbage be collected seldom meanwhile, if it is collected at all."""
    before = gc.get_threshold()
    if before[0]:
        gc.set_threshold(max(ALLOCATIONS, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
