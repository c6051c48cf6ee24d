"""YAML by the compiled parser and emitter of PyYAML, which are quicker, where it has them."""

from collections.abc import Sequence
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def load(text: str) -> Any:
    """Return what a text says.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    return yaml.load(text, Loader=_LOADER)


def dump_lists(lists: Sequence[Sequence[str]]) -> str:
    """Return lists of words as YAML, a line for each; the same bytes with and without the emitter.

    Args:
        lists: the lists.
    """
    # What is beyond the basic plane of Unicode, the compiled emitter escapes.
    plain = all(word.isascii() for words in lists for word in words)
    dumper = _DUMPER if plain else yaml.SafeDumper
    text: str = yaml.dump(
        lists, Dumper=dumper, default_flow_style=None, width=10_000, allow_unicode=True
    )
    return text
