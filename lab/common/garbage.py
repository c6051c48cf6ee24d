"""Garbage collection in the process of a command."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

ALLOCATIONS_PER_COLLECTION = 50_000  # first threshold of ``gc``


@contextmanager
def imported_for_good() -> Iterator[None]:
    """Disable garbage collection during imports, and make it rarer afterwards.

    Later collections skip the imported objects. Modules live as long as the process, and scanning
    them would take a tenth of a short run's time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if first := gc.get_threshold()[0]:  # 0 disables collection
            gc.set_threshold(max(ALLOCATIONS_PER_COLLECTION, first))
        if enabled:
            gc.enable()
