"""Command lines of tests: overrides that a module shares, and how the command refuses them."""

from collections.abc import Sequence

import pytest

from lab.common.errors import InputError
from lab.config.compose import compose, set_up

SHORT = ["horizon_s=60", "workload.rate=0.05", "figures=false"]
"""A short run that leaves no pictures."""
GREEDY = "planner=cheapest_feasible"


def changed(overrides: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return overrides, without those of keys that the words after them set, and these words."""
    keys = {word.partition("=")[0] for word in words}
    return [*(one for one in overrides if one.partition("=")[0] not in keys), *words]


def sentence_of(ended: tuple[int, str, str]) -> str:
    """Return the one sentence by which a command, which has ended so, refused bad input."""
    status, out, err = ended
    assert (status, out, err.count("\n")) == (2, "", 1)
    return err


def refusal(overrides: Sequence[str]) -> str:
    """Return the sentence by which a configuration is refused, as the command composes it."""
    words = changed(SHORT, overrides)
    with pytest.raises(InputError) as refused:
        set_up(compose(words), words)
    return str(refused.value)
