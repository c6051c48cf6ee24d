"""Sweepers of compass-sim: one runs all combinations of values, the other wraps another sweeper.

Hydra imports this package at every start, so slow imports happen only when a sweep starts.
`BasicSweeper`, Hydra's sweeper of all combinations, is private to Hydra (``hydra._internal``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write


@dataclass
class CompassSweeperConf(BasicSweeperConf):
    """The parameters of ``CompassSweeper``, which are the same as those of Hydra's sweeper."""

    _target_: str = f"{__name__}.CompassSweeper"


ConfigStore.instance().store(
    group="hydra/sweeper", name="compass", node=CompassSweeperConf, provider="compass-sim"
)


class CompassSweeper(BasicSweeper):
    """A sweeper that checks all jobs and then runs every combination of values."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Create the launcher; raise InputError if the launcher cannot run here."""
        from lab.sweeps.launchers import prepare

        prepare(config)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs.

        Args:
            arguments: overrides of the sweep.

        Raises:
            InputError: the input is wrong; nothing was written.
            BrokenSweepError: the launcher failed.
        """
        from lab.common.errors import InputError
        from lab.config.overrides import MOST_JOBS, swept_values
        from lab.config.validation import check_types
        from lab.sweeps.sweep import running_sweep

        assert self.config is not None
        assert self.hydra_context is not None
        config, loader = self.config, self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        parsed = parser.parse_overrides([*self._parse_config(), *arguments])
        count = 1
        for override in parsed:  # Check that no sweep lacks values or repeats one.
            if override.is_discrete_sweep():
                count *= len(swept_values(override, str(override.input_line)))
        if count > MOST_JOBS:
            raise InputError(f"-m: would be {count:,} jobs; the most is {MOST_JOBS:,}")
        [jobs] = self.split_arguments(parsed, None)

        def composed(job: Sequence[str]) -> DictConfig:
            made = loader.load_sweep_config(config, list(job))
            check_types(made, job)
            return made

        with running_sweep(config, jobs, composed):
            return super().sweep(arguments)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing: ``running_sweep`` has checked the jobs already."""


class WatchedSweeper(Sweeper):
    """A sweeper that wraps another one, whose jobs are not known in advance.

    Args:
        sweeper: the configuration of the other sweeper.
    """

    def __init__(self, sweeper: DictConfig) -> None:
        self._node = sweeper

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Create the other sweeper and its launcher; raise InputError if they cannot run here."""
        from lab.sweeps.launchers import prepare

        prepare(config)
        self._config = config
        with read_write(config), open_dict(config):
            config.hydra.sweeper = self._node
        self._sweeper = Plugins.instance().instantiate_sweeper(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs; the arguments and errors are those of `CompassSweeper.sweep`."""
        from lab.sweeps.sweep import running_sweep

        with running_sweep(self._config):
            return self._sweeper.sweep(arguments)
