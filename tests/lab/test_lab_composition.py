"""Configurations that are composed quickly are those that Hydra composes."""

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from omegaconf import OmegaConf

from lab.common.errors import InputError
from lab.config.compose import VERSION_BASE, compose
from lab.config.settings import register


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["workload.rate=0.2", "experiment=speech_small", "seed=3", "horizon_s=${seed}"],
        ["planner=compass", "planner.budget_s=2", "planner={budget_s: 3}", "planner=vulcan"],
        ["planner=compass", "planner={budget_s: 3}", "planner.budget_s=2"],
        ["workload.tiers={all: {latency_s: 0.5}}", "workload.tiers.all.latency_s=3"],
        ["+drift.events=[{kind: machine_failure}]", "drift.events=[]", "max_wall_s='60'"],
        ["cluster.nodes.cloud.count=4", "~cluster.nodes.edge", "figures=no"],
        ["experiment=paper/fig19", "network=wifi", "+planner@planner.compare.more=greedy"],
    ],
)
def test_a_configuration_is_that_of_hydra(overrides: list[str]) -> None:
    register()
    with initialize_config_module("conf", version_base=VERSION_BASE):
        theirs = hydra_compose("config", overrides)
    for ours in (compose(overrides), compose(overrides)):
        assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(theirs)
        assert OmegaConf.is_struct(ours)


def test_a_configuration_is_the_callers_own() -> None:
    changed = compose(["planner=greedy"])
    changed.workload.rate = 9.0
    assert compose(["planner=greedy"]).workload.rate != 9.0


@pytest.mark.parametrize("override", ["workload.rate=0.1,0.2", "seed=range(3)"])
def test_a_sweep_is_no_configuration(override: str) -> None:
    with pytest.raises(InputError, match="add -m to run every value"):
        compose([override])
