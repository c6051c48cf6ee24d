"""Garbage collection and memory of a process."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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


def give_back_memory() -> None:
    """Free unreachable objects, and return freed memory to the system if the C library can.

    A process that makes many runs keeps the fragments between their arrays otherwise, which can be
    as much as it uses.
    """
    gc.collect()
    if sys.platform == "linux":
        with suppress(AttributeError):  # Not every C library has this function.
            ctypes.CDLL(None).malloc_trim(0)
