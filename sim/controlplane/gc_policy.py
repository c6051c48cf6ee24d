"""Collections of garbage, which a running world needs few of."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MORE = 50_000
"""How many more containers there may be until the next collection. A world holds much that lives
long, which the collector walks again and again, and drops little that hangs in a cycle, which
nothing else would free."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Let garbage be collected seldom meanwhile, in the whole process, if at all."""
    before = gc.get_threshold()
    if before[0]:
        gc.set_threshold(max(MORE, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
