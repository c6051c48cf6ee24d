"""Assignment of array rows to numbered objects that are created and removed, such as queries."""

import mmap
import sys
from contextlib import suppress
from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scenarios.compiled import inlined
from sim._jit.hints import LINE, index

LEAST = 64
LINE_BYTES = 8 * LINE
LARGE_BYTES = 1 << 22
"""Size from which NumPy, too, asks for large pages."""
Item = TypeVar("Item", bound=np.generic)


class IdPool:
    """Assigns an array row to each number: the most recently freed row, or else a new row.

    ``row_of`` reads ``table``. Its first element is the lowest number that has a row. The other
    elements are the rows of that number and of the numbers after it, or -1 for a number without a
    row. The table stays short, because numbers increase and old numbers are removed.
    """

    def __init__(self) -> None:
        self.table: NDArray[np.int64] = np.zeros(1, np.int64)
        self._free: list[int] = []
        self._given = 0

    def add(self, number: int) -> int:
        """Assign a row to a number that does not have one, and return the row."""
        if not 0 <= number - self.table[0] < len(self.table) - 1:
            self._make_place(number)
        row = self._free.pop() if self._free else self._given
        self._given = max(self._given, row + 1)
        self.table[1 + number - self.table[0]] = row
        return row

    def _make_place(self, number: int) -> None:
        used = np.flatnonzero(self.table[1:] >= 0)
        numbers, rows = used + self.table[0], self.table[1 + used]
        least = min(number, int(numbers.min(initial=number)))
        span = max(number, int(numbers.max(initial=number))) + 1 - least
        self.table = np.full(1 + max(LEAST, 2 * span), -1, np.int64)
        self.table[0] = least
        self.table[1 + numbers - least] = rows

    def find(self, number: int) -> int:
        """Return the row of a number, or -1 if no row is assigned to it."""
        at = number - int(self.table[0])
        return int(self.table[1 + at]) if 0 <= at < len(self.table) - 1 else -1

    def remove(self, number: int) -> int:
        """Free the row of a number and return the row; raise KeyError if no row is assigned."""
        row = self.find(number)
        if row < 0:
            raise KeyError(number)
        self._free.append(row)
        self.table[1 + number - self.table[0]] = -1
        return row


@inlined
def row_of(table: NDArray[np.int64], number: int) -> int:
    """Return the row of a number, given ``IdPool.table``; raise KeyError if no row is assigned."""
    at = number - table[0]
    if at < 0 or at >= len(table) - 1 or table[index(1 + at)] < 0:
        raise KeyError
    return index(table[index(1 + at)])


def aligned(shape: tuple[int, ...], dtype: np.dtype[Item]) -> NDArray[Item]:
    """Return an array of zeros that is aligned to a cache line.

    A large array has a map of its own, in large pages if the system has them, so that its memory is
    free for others as soon as the array is.
    """
    size = prod(shape) * dtype.itemsize
    if size >= LARGE_BYTES and sys.platform == "linux":
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # not all kernels have large pages
            pages.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(pages, dtype).reshape(shape)
    memory = np.zeros(size + LINE_BYTES, dtype=np.uint8)
    skip = -memory.ctypes.data % LINE_BYTES
    return memory[skip : skip + size].view(dtype).reshape(shape)


def grown(array: NDArray[Item], size: int) -> NDArray[Item]:
    """Return the array if it has ``size`` rows, else an aligned copy at least twice as long."""
    if size <= len(array):
        return array
    longer = aligned((max(size, 2 * len(array)), *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
