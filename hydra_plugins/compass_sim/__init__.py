"""The sweepers of compass-sim: one runs every combination of values, one watches over another.

Hydra takes plugins from this package alone, and imports it at every start; so all that is heavy
waits until there is a sweep.
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
    """Parameters of ``CompassSweeper``, which are those of Hydra's."""

    _target_: str = f"{__name__}.CompassSweeper"


ConfigStore.instance().store(
    group="hydra/sweeper", name="compass", node=CompassSweeperConf, provider="compass-sim"
)


class CompassSweeper(BasicSweeper):
    """Runs every combination of values; checks first, and watches over, what is run."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Set up what runs the jobs.

        Raises:
            InputError: it is not there.
        """
        context = _prepared(hydra_context, config)
        super().setup(hydra_context=context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs.

        Args:
            arguments: overrides of the sweep.

        Raises:
            InputError: the sweep cannot start; nothing was written.
            BrokenSweepError: it could not end.
        """
        from lab.config.overrides import check_swept
        from lab.sweeps.sweep import under_way

        assert self.config is not None
        assert self.hydra_context is not None
        config, loader = self.config, self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        parsed = parser.parse_overrides([*self._parse_config(), *arguments])
        check_swept(parsed)
        [jobs] = self.split_arguments(parsed, None)
        with under_way(config, jobs, lambda job: loader.load_sweep_config(config, list(job))):
            return super().sweep(arguments)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing, for ``under_way`` composed what there is to compose before it wrote."""


class WatchedSweeper(Sweeper):
    """Watches over what another sweeper runs, whose jobs are not known before.

    Args:
        sweeper: the configuration of the other.
    """

    def __init__(self, sweeper: DictConfig) -> None:
        self._node = sweeper

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Set up the other sweeper, and what runs the jobs.

        Raises:
            InputError: the latter is not there.
        """
        self._config = config
        context = _prepared(hydra_context, config)
        with read_write(config), open_dict(config):
            config.hydra.sweeper = self._node
        self._sweeper = Plugins.instance().instantiate_sweeper(
            hydra_context=context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs.

        Args:
            arguments: overrides of the sweep.

        Raises:
            InputError: the sweep cannot start; nothing was written.
            BrokenSweepError: it could not end.
        """
        from lab.sweeps.sweep import watched

        with watched(self._config):
            return self._sweeper.sweep(arguments)


def _prepared(context: HydraContext, config: DictConfig) -> HydraContext:
    """Prepare the launcher, and return what jobs are composed with."""
    from lab.sweeps.job_loader import JobLoader
    from lab.sweeps.launchers import prepare

    prepare(config)
    return HydraContext(JobLoader(context.config_loader), context.callbacks)
