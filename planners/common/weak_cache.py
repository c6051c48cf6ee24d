"""What follows from an object that never changes, kept for as long as the object lives.

Views of plans, pipelines and arrays of features are shared by many searches, which would each work
out the same of them. What is kept is no state: it would be the same if it were worked out anew.
What is kept of a planning context lasts for one call.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import ref

Value = TypeVar("Value")


class Kept:
    """Values by the object that they follow from, and by a key."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[ref[Any], dict[Hashable, Any]]] = {}

    def of(self, owner: object, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return what is kept, made if need be.

        Args:
            owner: what it follows from; it must not change, nor be held by what is kept of it, or
                neither of them would ever go.
            key: what it is, together with all else that it depends on.
            make: makes it.
        """
        number = id(owner)
        known = self._known.get(number)
        if known is None:
            # Numbers are used again once an object is gone; by then this is gone as well.
            known = ref(owner, lambda _: self._known.pop(number, None)), {}
            self._known[number] = known
        values = known[1]
        if key not in values:
            values[key] = make()
        value: Value = values[key]
        return value

    def __len__(self) -> int:
        """Return of how many objects something is kept."""
        return len(self._known)


KEPT = Kept()
"""What all planners of a process keep."""
