"""Composes the jobs of a sweep: of those that differ in numbers alone, one, which others copy."""

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from secrets import token_hex

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, ListConfig, OmegaConf

from lab.common.errors import key_of

NUMBER = re.compile(r"(?P<key>[a-z_]\w*(?:\.\w+)*)=(?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?)", re.I)
"""An override that sets a key to what Hydra reads as Python does."""
MOST_KEPT = 64
"""Configurations that a process keeps of a sweep."""


@dataclass
class _Kept:
    """What a process keeps of a sweep.

    Args:
        are_groups: whether a key is a group of the configuration.
        composed: configurations, by their overrides without the numbers.
    """

    are_groups: dict[str, bool] = field(default_factory=dict)
    composed: dict[tuple[str, ...], DictConfig] = field(default_factory=dict)


_kept: dict[str, _Kept] = {}  # Of the sweep at hand alone; a launcher sends the loader, not this.


class JobLoader(ConfigLoaderImpl):
    """Composes as Hydra's loader does, but jobs of a sweep as copies where only numbers differ.

    Args:
        loader: what composed the configuration of the sweep.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        super().__init__(loader.get_search_path())
        self._sweep = token_hex()

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: Sequence[str]
    ) -> DictConfig:
        """Return the configuration of a job.

        Args:
            master_config: the configuration of the sweep.
            sweep_overrides: the overrides of the job.
        """
        kept = self._kept_of_sweep()
        numbers = self._numbers(kept.are_groups, master_config, sweep_overrides)
        like = (
            *_texts(master_config.hydra.overrides.hydra),
            *(f"{key_of(one)}=" if key_of(one) in numbers else one for one in sweep_overrides),
        )
        if numbers and like in kept.composed:
            try:
                return _with_numbers(kept.composed[like], master_config, numbers)
            except Exception:  # A number that its key cannot take: Hydra says so.
                return super().load_sweep_config(master_config, list(sweep_overrides))
        config = super().load_sweep_config(master_config, list(sweep_overrides))
        if numbers:
            if len(kept.composed) == MOST_KEPT:
                del kept.composed[next(iter(kept.composed))]
            kept.composed[like] = deepcopy(config)
        return config

    def _kept_of_sweep(self) -> _Kept:
        if self._sweep not in _kept:
            _kept.clear()
            _kept[self._sweep] = _Kept()
        return _kept[self._sweep]

    def _numbers(
        self, are_groups: dict[str, bool], master_config: DictConfig, overrides: Sequence[str]
    ) -> dict[str, str]:
        """Return the numbers that overrides set, by key: those that no other override touches."""

        def is_group(key: str) -> bool:
            if key not in are_groups:
                given = _texts(master_config.hydra.overrides.hydra)
                name = master_config.hydra.job.config_name
                options = self.get_group_options(key, None, config_name=name, overrides=given)
                are_groups[key] = bool(options)
            return are_groups[key]

        # An option of a group is chosen before any key is set, but a mapping sets keys of it.
        set_keys = [key_of(one) for one in overrides if "{" in one or not is_group(key_of(one))]
        found = {}
        for override in overrides:
            match = NUMBER.fullmatch(override)
            if match is None or is_group(key := match["key"]) or key.startswith("hydra."):
                continue
            if sum(_overlap(key, one) for one in set_keys) == 1:
                found[key] = match["number"]
        return found


def _overlap(key: str, other: str) -> bool:
    """Tell whether one of two keys is the other, or above it."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def _texts(overrides: ListConfig) -> list[str]:
    """Return overrides as they were written, whatever they refer to."""
    written = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(written, list)
    return [str(one) for one in written]


def _with_numbers(
    composed: DictConfig, master_config: DictConfig, numbers: dict[str, str]
) -> DictConfig:
    """Return a configuration like one that was composed, with other numbers."""
    config = deepcopy(composed)
    for key, text in numbers.items():
        OmegaConf.update(config, key, float(text) if "." in text else int(text))
    lines = [
        f"{key}={numbers[key]}" if (key := key_of(one)) in numbers else one
        for one in _texts(config.hydra.overrides.task)
    ]
    config.hydra.overrides.task = lines
    changes = [
        Override(OverrideType.CHANGE, key_of(one), None, None, input_line=one) for one in lines
    ]
    job, named = config.hydra.job, config.hydra.job.config.override_dirname
    job.override_dirname = get_overrides_dirname(
        changes, kv_sep=named.kv_sep, item_sep=named.item_sep, exclude_keys=named.exclude_keys
    )
    OmegaConf.copy_cache(from_config=master_config, to_config=config)
    return config
