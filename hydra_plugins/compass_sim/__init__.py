"""The sweeper of compass-sim: Hydra's, which runs every combination of values, and then more.

Hydra takes plugins from this package alone, and imports it at every start; so all that is heavy
waits until there is a sweep.
"""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class CompassSweeper(BasicSweeper):
    """Runs every combination of values; checks first, and watches over, what is run."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Set up what runs the jobs.

        Raises:
            InputError: it is not there.
        """
        from lab.job_loader import JobLoader
        from lab.launchers import prepare

        prepare(config)
        context = HydraContext(JobLoader(hydra_context.config_loader), hydra_context.callbacks)
        super().setup(hydra_context=context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs.

        Args:
            arguments: overrides of the sweep.

        Raises:
            InputError: the sweep cannot start; nothing was written.
            BrokenSweepError: it could not end.
        """
        from lab.sweep import under_way

        assert self.config is not None
        assert self.hydra_context is not None
        config, loader = self.config, self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        parsed = parser.parse_overrides([*self._parse_config(), *arguments])
        [jobs] = self.split_arguments(parsed, None)
        with under_way(config, jobs, lambda job: loader.load_sweep_config(config, list(job))):
            return super().sweep(arguments)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing, for ``under_way`` composed what there is to compose before it wrote."""
