"""The paper's experiments, in ``conf/experiment/paper``; each file is a sweep with its claim.

A file lists its runs under ``hydra.sweeper.params``, like any Hydra sweep. So ``compass-sim -m
experiment=paper/fig19`` makes the same runs as ``compass-lab reproduce 19``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from lab.common.options import in_folders
from lab.config.compose import VERSION_BASE
from lab.config.settings import About, register
from lab.run_cache.jobs import Job, Measure
from studies.common.study import WHOLE, Scale, refuse_planners

SEED, PLANNER = "seed", "planner"


@dataclass(frozen=True)
class SweepFile:
    """A file of ``conf/experiment/paper``."""

    name: str
    about: About
    settings: tuple[str, ...]  # overrides of all its runs
    swept: dict[str, tuple[str, ...]]  # values of each swept key except the seed
    seeds: tuple[int, ...]

    def jobs(self, measure: Measure, **labels: Any) -> list[Job]:
        """Return the runs with their measure; rows have the labels and the swept values."""
        combinations = product(*self.swept.values())
        return [
            Job(
                (
                    *self.settings,
                    *(f"{key}={value}" for key, value in zip(self.swept, values, strict=True)),
                ),
                seed,
                measure,
                {**labels, **dict(zip(self.swept, values, strict=True))},
            )
            for values in combinations
            for seed in self.seeds
        ]


def names() -> list[str]:
    """Return the names of all experiment files for the paper's figures."""
    return [name.removeprefix("paper/") for name in in_folders("experiment")]


def runs(
    scenes: Mapping[str, str], scale: Scale, measure: Measure, label: str = "scene", **more: Any
) -> list[Job]:
    """Return the runs of several experiments.

    `scenes` maps names of experiments to values of the column `label` in the rows. `more` has
    further labels. Raises InputError if planners are given but an experiment does not sweep
    planners.
    """
    return [
        job
        for name, scene in scenes.items()
        for job in experiment(name, scale).jobs(measure, **{label: scene, **more})
    ]


def commands(jobs: list[Job]) -> list[str]:
    """Return the ``compass-sim`` commands that make the same runs as sweeps."""
    first = dict.fromkeys(job.overrides[0] for job in jobs)
    return [f"compass-sim -m {override}" for override in first]


def experiment(name: str, scale: Scale = WHOLE) -> SweepFile:
    """Return an experiment; its small form has fewer seeds and the settings of ``about.quick``.

    Raises InputError if planners are given but the experiment does not sweep planners.
    """
    about, params = _read(name)
    settings: tuple[str, ...] = (f"experiment=paper/{name}",)
    swept = {key: tuple(_values(f"{key}={value}")) for key, value in params.items()}
    seeds = tuple(map(int, swept.pop(SEED, ("0",))))
    if scale.quick:
        for key, value in about.quick.items():
            if key in swept:
                swept[key] = tuple(_values(f"{key}={value}"))
            else:
                settings = (*settings, f"{key}={value}")
    if PLANNER not in swept:
        refuse_planners(f"paper/{name}", scale.planners)
    elif scale.planners:
        swept[PLANNER] = tuple(scale.planners)
    return SweepFile(name, about, settings, swept, tuple(scale.seeds_or(seeds)))


@cache  # because composing takes 0.1 s
def _read(name: str) -> tuple[About, dict[str, Any]]:
    """Return the section ``about`` of an experiment's file, and the parameters of its sweep."""
    register()
    with initialize_config_module("conf", version_base=VERSION_BASE):
        config = compose("config", [f"experiment=paper/{name}"], return_hydra_config=True)
    found: Any = OmegaConf.to_container(config)
    return About(**found["about"]), found["hydra"]["sweeper"]["params"]


def _values(override: str) -> Iterator[str]:
    parsed = OverridesParser.create().parse_override(override)
    if parsed.is_sweep_override():
        yield from parsed.sweep_string_iterator()
    else:
        yield parsed.get_value_element_as_str()
