"""Values kept for objects that never change: made once for each, and freed with it."""

import numpy as np

from planners.common.weak_cache import Kept


def test_it_is_made_once_for_each_object_and_key():
    kept, made = Kept(), []
    first, second = np.arange(3), np.arange(3)

    def number():
        made.append(None)
        return len(made)

    asked = (first, "a"), (first, "a"), (first, "b"), (second, "a"), (first, "b")
    assert [kept.of(owner, key, number) for owner, key in asked] == [1, 1, 2, 3, 2]


def test_what_is_kept_for_an_object_ends_with_it():
    kept = Kept()
    owner = np.arange(3)
    kept.of(owner, "a", list)
    assert len(kept) == 1
    del owner
    assert len(kept) == 0
