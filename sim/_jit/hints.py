"""Hints to the compiler and the processor for compiled loops over rows scattered in memory.

Loops prefetch the data that later iterations will read (software pipelining). Hints do not change
results. ``benchmarks/without.py`` measures the benefit of each hint.
"""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

AHEAD = 12  # number of rows to fetch ahead: memory has time to answer, and rows stay cached

LINE = 8  # values of 8 bytes in a cache line, the unit of fetching


def _hint(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    kind = signature.args[0]
    array = context.make_array(kind)(context, builder, arguments[0])
    place = cgutils.get_item_pointer(  # type: ignore[no-untyped-call]
        context, builder, kind, array, arguments[1:]
    )
    pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    hint = builder.module.declare_intrinsic(
        "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, *[number] * 3])
    )
    # a data prefetch for reading, into all caches
    builder.call(hint, [builder.bitcast(place, pointer), number(0), number(3), number(1)])
    return context.get_dummy_value()


def _prefetch(_: Any, array: Any, row: Any, column: Any) -> Any:
    return types.void(array, row, column), _hint


def _prefetch_item(_: Any, array: Any, item: Any) -> Any:
    return types.void(array, item), _hint


prefetch = cast("Callable[[NDArray[Any], int, int], None]", intrinsic(_prefetch))
"""Begin to fetch one element of an array of shape (n, columns) into the cache; compiled code only.

A loop that reads rows in random order waits for memory at each row unless it prefetches.
"""

prefetch_item = cast("Callable[[NDArray[Any], int], None]", intrinsic(_prefetch_item))
"""Begin to fetch an item of an array of shape (n,), or the beginning of the item if it is a
record."""


def _promise(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
    (number,) = arguments
    builder.assume(builder.icmp_signed(">=", number, ir.Constant(number.type, 0)))
    return number


def _index(_: Any, number: Any) -> Any:
    return types.int64(types.int64), _promise


index = cast("Callable[[int], int]", intrinsic(_index))
"""Return an index, which must not be negative; compiled code only.

Negative indices count from the end, so each access costs a comparison, an addition and a selection.
The compiler cannot know that an index read from another array is never negative.
"""
