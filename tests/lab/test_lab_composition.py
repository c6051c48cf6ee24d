"""Configurations that are composed quickly are those that Hydra composes."""

import os

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from omegaconf import OmegaConf

from lab.common.errors import InputError
from lab.config import compose as module
from lab.config.compose import VERSION_BASE, compose, set_up
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


@pytest.mark.parametrize(
    "overrides",
    [
        ["horizn_s=60"],
        ["planner=greedy", "planner.nope=1"],
        ["planner.budget_s=3", "planner=gredy"],
        ["seed.x=1"],
        ["resume=perhaps"],
        ["cluster.nodes=[1]"],
        ["cluster.nodes.edge={nope: 3}"],
        ["drift=machine_failure", "drift.events.9.at_s=5"],
        ["tables.nope=x"],
    ],
)
def test_an_error_is_explained_as_by_hydra_alone(overrides: list[str], monkeypatch) -> None:
    with pytest.raises(InputError) as ours:
        compose(overrides)
    monkeypatch.setattr(module, "_composed", module._by_hydra)
    with pytest.raises(InputError) as theirs:
        compose(overrides)
    assert str(ours.value) == str(theirs.value)


def test_a_configuration_is_the_callers_own() -> None:
    changed = compose(["planner=greedy"])
    changed.workload.rate = 9.0
    assert compose(["planner=greedy"]).workload.rate != 9.0


def test_options_are_composed_once_for_each_state_of_their_files(tmp_path, monkeypatch) -> None:
    composed, by_hydra = [], module._by_hydra
    monkeypatch.setattr(module, "_by_hydra", lambda one: composed.append(one) or by_hydra(one))
    monkeypatch.setattr(module, "FILES", tmp_path)
    (tmp_path / "mine.yaml").touch()
    for rate in ("0.1", "0.2"):
        assert compose(["planner=greedy", f"workload.rate={rate}"]).workload.rate == float(rate)
    assert composed == [("planner=greedy",)]
    os.utime(tmp_path / "mine.yaml", (1, 1))
    compose(["planner=greedy"])
    assert len(composed) == 2


@pytest.mark.parametrize("override", ["workload.rate=0.1,0.2", "seed=range(3)"])
def test_a_sweep_is_no_configuration(override: str) -> None:
    with pytest.raises(InputError, match="add -m to run every value"):
        compose([override])


def test_shared_cores_need_the_data_plane_that_simulates_them() -> None:
    words = ["experiment=speech_small", "cluster.nodes.edge.replicas_per_core=4"]
    said = (
        "cluster.nodes.edge.replicas_per_core=4: data_plane=blocks simulates no shared cores; add"
    )
    with pytest.raises(InputError, match=said):
        set_up(compose(words), words)
    words += ["data_plane=events", "cluster.nodes.edge.core_slowdown=[1, 1.2]"]
    [node, _] = set_up(compose(words), words).scenario().cluster.nodes.values()
    assert (node.replicas_per_core, list(node.core_slowdown)) == (4, [1, 1.2])
