"""A promise to the compiler, for compiled loops that read indexes out of arrays."""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


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
another array, only the programmer knows that it is none of those. It changes no result.
"""
