"""Jobs of a sweep are composed as Hydra composes them, those that copy another too."""

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from lab.config.compose import VERSION_BASE
from lab.config.settings import register
from lab.sweeps.job_loader import JobLoader

GREEDY = "planner=greedy"


@pytest.fixture
def loaders():
    """Return Hydra's loader, ours, and the configuration of a sweep."""
    register()
    with initialize_config_module("conf", version_base=VERSION_BASE):
        hydra = GlobalHydra.instance().config_loader()
        named = (
            "hydra.job.config.override_dirname.exclude_keys=[seed]",
            "hydra.sweep.subdir='${hydra.job.override_dirname}'",
        )
        yield hydra, JobLoader(hydra), compose("config", [*named], return_hydra_config=True)


@pytest.mark.parametrize(
    "jobs",
    [
        [(GREEDY, f"seed={seed}", f"workload.rate={rate}") for seed in (0, 7) for rate in (1, 0.5)],
        [(f"planner={name}", f"seed={seed}") for seed in (0, 1) for name in ("greedy", "ilp")],
        [(GREEDY, f"planner.samples={samples}") for samples in (3, 4, -1)],
        [(f"planner.samples={samples}", GREEDY) for samples in (3, 4)],
        [(f"seed={seed}", "hydra.sweep.dir=there", "~drift") for seed in (1, 2)],
        [(f"+mine={{a: {one}}}", f"+yours={one}", f"seed={one}") for one in (1, 2)],
        [(f"workload.rate={rate}", "workload={rate: 0.3}") for rate in (0.1, 0.2)],
        [("workload={rate: 0.3}", f"workload.rate={rate}") for rate in (0.1, 0.2)],
        [(f"workload={{rate: {rate}}}", "workload.rate=1.25") for rate in (0.1, 0.2)],
        [(f"seed={seed}", "horizon_s=${seed}") for seed in (10, 20)],
        [(f"application.tiers.premium.latency_s={one}", "seed=1") for one in (0.5, 1, 2)],
        [(f"horizon_s={one}",) for one in ("010", "1e2", "1_0", "10.", "-0", "20")],
        [(f"workload.rate={one}",) for one in ("1", "1e2", "1_0", "10.", "-0", "2.50")],
        [(f"workload.rate={one}", f"horizon_s=float({one}1)") for one in (1, 2)],
        [("hydra.verbose=false", f"about.figure={one}") for one in (3, 4.5)],
    ],
    ids=str,
)
def test_a_job_is_composed_as_hydra_composes_it(loaders, jobs):
    hydra, ours, sweep = loaders
    for job in jobs * 2:
        expected = hydra.load_sweep_config(sweep, list(job))
        found = ours.load_sweep_config(sweep, list(job))
        assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected)
        for key in ("seed", "workload.rate"):
            node, other = (OmegaConf.select(one, key) for one in (found, expected))
            assert type(node) is type(other)
        found.seed = 99  # What is done to one job is not seen by the next.


def test_only_jobs_that_differ_in_more_than_numbers_are_composed(loaders, monkeypatch):
    hydra, ours, sweep = loaders
    composed = []
    load = hydra.load_sweep_config
    monkeypatch.setattr(
        hydra, "load_sweep_config", lambda sweep, job: composed.append(job) or load(sweep, job)
    )
    for planner in ("greedy", "ilp"):
        for seed in range(5):
            ours.load_sweep_config(sweep, [f"planner={planner}", f"seed={seed}"])
    assert len(composed) == 2
    JobLoader(hydra).load_sweep_config(sweep, [GREEDY, "seed=9"])
    assert len(composed) == 3, "another sweep may have other files"
