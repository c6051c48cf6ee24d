"""A cache of values derived from immutable objects; values are dropped with their object.

Many searches share views of plans, pipelines and arrays of features. Emptying the cache changes no
result, because recomputed values are the same.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import ref

Value = TypeVar("Value")


class Kept:
    """Cached values, looked up by a key and by the object from which they are derived."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[ref[Any], dict[Hashable, Any]]] = {}

    def of(self, owner: object, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the cached value; compute it first if it is missing.

        Args:
            owner: the object; it must never change, and the value must not refer to it.
            key: identifies everything else that the value depends on.
            make: computes the value.
        """
        number = id(owner)
        known = self._known.get(number)
        if known is None:
            # Ids are reused once an object is gone; by then its entry is gone as well.
            known = ref(owner, lambda _: self._known.pop(number, None)), {}
            self._known[number] = known
        values = known[1]
        if key not in values:
            values[key] = make()
        value: Value = values[key]
        return value

    def __len__(self) -> int:
        """Return the number of objects with cached values."""
        return len(self._known)


KEPT = Kept()
"""The cache that all planners of a process share."""
