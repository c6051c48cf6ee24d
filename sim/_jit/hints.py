"""Promises and hints to compiler and processor, for compiled loops over rows anywhere in memory.

They change no result. ``benchmarks/without.py`` measures what each is worth: without `prefetch`,
the large planned run takes 8 % longer and its data plane alone more than twice as long; without
`index`, the data plane alone takes 15 % longer.
"""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

AHEAD = 12  # how many rows ahead to fetch: far enough for memory to answer, near enough to be kept

LINE = 8  # values of 8 bytes in a line of a cache, which is what is fetched at once


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
    # For reading, to be kept in all caches, as data.
    builder.call(hint, [builder.bitcast(place, pointer), number(0), number(3), number(1)])
    return context.get_dummy_value()


def _prefetch(_: Any, array: Any, row: Any, column: Any) -> Any:
    return types.void(array, row, column), _hint


def _prefetch_item(_: Any, array: Any, item: Any) -> Any:
    return types.void(array, item), _hint


prefetch = cast("Callable[[NDArray[Any], int, int], None]", intrinsic(_prefetch))
"""Begin to fetch one place of an array, shape (n, columns), into the cache; compiled code only.

A loop that reads rows in no order waits for memory at each of them, unless it asks for those to
come beforehand.
"""

prefetch_item = cast("Callable[[NDArray[Any], int], None]", intrinsic(_prefetch_item))
"""The same for an item of an array, shape (n,); for the beginning of one that is a record."""


def _promise(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
    (number,) = arguments
    builder.assume(builder.icmp_signed(">=", number, ir.Constant(number.type, 0)))
    return number


def _index(_: Any, number: Any) -> Any:
    return types.int64(types.int64), _promise


index = cast("Callable[[int], int]", intrinsic(_index))
"""Return an index, which must not be negative; compiled code only.

A negative index counts from the end of an array, so that each access to an array of unknown size
takes a comparison, an addition and a choice more than it need. Where an index was read out of
another array, only the programmer knows that it is none of those.
"""
