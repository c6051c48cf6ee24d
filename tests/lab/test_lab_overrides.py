"""What overrides mean: mappings, keys set twice, numbers in texts, classes that have moved."""

import pytest
from command_line import SHORT, refusal

from lab.common.errors import InputError
from lab.config.compose import compose, set_up
from lab.config.overrides import repeated_keys
from lab.config.targets import current_path


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("network.technologies={WiFi: 2}", {"WiFi"}),
        ("+network.technologies={WiFi: 2}", {"WiFi", "4G-LTE"}),
        ("workload.devices={jetson: 1}", {"jetson"}),
        ("+workload.devices={jetson: 1}", {"jetson", "phone"}),
    ],
)
def test_a_mapping_set_whole_replaces_and_plus_adds(override, names):
    key = override.lstrip("+").partition("=")[0]
    group, name = key.split(".")
    overrides = [*SHORT, override]
    config = set_up(compose(overrides), overrides).config
    assert names <= set(config[group][name])
    if not override.startswith("+"):
        assert set(config[group][name]) == names


@pytest.mark.parametrize(
    ("overrides", "left"),
    [
        (["workload.datasets={}", "+workload.datasets.LibriSpeech=1.0"], {"LibriSpeech": 1.0}),
        (["workload.datasets={}", "workload.datasets={TED-LIUM: 2}"], {"TED-LIUM": 2.0}),
        (["+workload.datasets.LibriSpeech=1.0", "workload.datasets={}"], {}),
        (["network.technologies={}", "+network.technologies={WiFi: 3}"], {"WiFi": 3.0}),
        (
            ["+workload.devices.jetson=1", "workload.devices={}", "workload.devices.phone=1"],
            {"phone": 1.0},
        ),
        (
            [
                *("workload.devices={}", "+workload.devices={jetson: 1, phone: 1}"),
                *("~workload.devices.phone", "workload.devices.jetson=2"),
            ],
            {"jetson": 2.0},
        ),
        (
            [
                "network.technologies={}",
                "network.technologies.4G-LTE=1",
                "+network.technologies.5G-driving=2",
            ],
            {"4G-LTE": 1.0, "5G-driving": 2.0},
        ),
        (
            [
                *("workload.devices={}", "workload.devices.phone=1"),
                *("workload.devices={}", "+workload.devices.jetson=1"),
            ],
            {"jetson": 1.0},
        ),
    ],
)
def test_an_emptied_mapping_holds_the_entries_of_later_overrides(overrides, left):
    group, name = overrides[0].lstrip("+").partition("=")[0].split(".")[:2]
    overrides = [*SHORT, *overrides]
    config = set_up(compose(overrides), overrides).config
    assert dict(config[group][name]) == left


def test_a_new_entry_of_an_emptied_mapping_keeps_no_old_keys():
    gold = "+workload.tiers={gold: {latency_s: 1, cost_usd_per_hour: 2}}"
    overrides = [*SHORT, gold, "workload.tiers={}", "+workload.tiers={gold: {latency_s: 3}}"]
    tiers = set_up(compose(overrides), overrides).config.workload.tiers
    assert list(tiers) == ["gold"]
    assert (tiers.gold.latency_s, tiers.gold.cost_usd_per_hour) == (3, None)
    overrides = [*SHORT, "cluster.nodes={}", "cluster.nodes.cloud.count=2"]
    config = compose(overrides)
    with pytest.raises(InputError, match=r"cluster\.nodes\.cloud\.count=2: there is no key"):
        set_up(config, overrides)


def test_planners_to_compare_are_chosen_anew_after_all_were_taken_out():
    chosen = ["+planner@planner.compare.mine=greedy", "planner.compare.mine.budget_s=7"]
    overrides = [*SHORT, "planner=comparison", "planner.compare={}", *chosen]
    planners = set_up(compose(overrides), overrides).planners
    assert [(name, one.budget_s) for name, one in planners.items()] == [("mine", 7)]
    overrides = [*SHORT, "planner=comparison", *chosen, "planner.compare={}"]
    config = compose(overrides)
    with pytest.raises(InputError, match="name a planner class"):
        set_up(config, overrides)


def test_a_key_that_is_set_twice_takes_the_last_value_with_a_warning(compass):
    twice = ("seed=1", "seed=2")
    status, out, err = compass("planner=cheapest_feasible", "workload.rate=0.01", *twice)
    assert status == 0
    assert (
        err == "compass-sim: warning: seed=1 seed=2: seed is set several times; the last one wins\n"
    )
    assert "seed 2" in out
    fine = ("+workload.devices={jetson: 1}", "+workload.devices={rpi: 1}", "seed=1", "seed=1")
    assert repeated_keys(fine) == []


def test_a_key_that_is_swept_and_set_again_is_refused(compass, tmp_path):
    status, out, err = compass("-m", "seed=0,1", "seed=2,3")
    said = "seed=0,1 seed=2,3: seed is swept; give all values in one sweep"
    assert (status, out, err) == (2, "", f"compass-sim: {said}\n")
    assert list(tmp_path.iterdir()) == []
    [sentence] = repeated_keys(["seed=0", "seed=2,3"])
    assert sentence.endswith("; the last one wins")


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("planners.videostorm.VideoStorm", "planners.baselines.videostorm.VideoStorm"),
        ("planners.compass.search.CmboSearch", "planners.compass.search.search.CmboSearch"),
        ("sim.blocks.plane.BlocksPlane", "sim.dataplane.blocks.plane.BlocksPlane"),
        ("evaluation.paper.belief_probe.BeliefProbe", "studies.probes.belief_probe.BeliefProbe"),
        ("evaluation.surrogates.Probe", "studies.probes.latency_probe.LatencyProbe"),
        ("planners.Greedy", "planners.Greedy"),
        ("my_pkg.videostorm.VideoStorm", "my_pkg.videostorm.VideoStorm"),
    ],
)
def test_a_class_is_found_by_the_path_that_it_once_had(then, now):
    assert current_path(then) == now


def test_a_configuration_may_name_classes_by_the_paths_that_they_once_had():
    overrides = [
        *(*SHORT, "planner=compass", "planner._target_=planners.compass.Compass"),
        "planner.search._target_=planners.compass.search.CmboSearch",
        "data_plane._target_=sim.blocks.plane.BlocksPlane",
    ]
    config = set_up(compose(overrides), overrides).config
    assert config.planner.search._target_ == "planners.compass.search.search.CmboSearch"
    assert config.data_plane._target_ == "sim.dataplane.blocks.plane.BlocksPlane"


def test_numbers_in_texts_are_read_as_from_the_environment(monkeypatch):
    monkeypatch.setenv("COMPASS_SEED", "3")
    overrides = ["seed=${oc.env:COMPASS_SEED}", "horizon_s=60"]
    config = set_up(compose(overrides), overrides).config
    assert (config.seed, config.horizon_s) == (3, 60.0)
    assert isinstance(config.horizon_s, float)


def test_every_key_of_an_event_can_be_set_and_a_slip_is_told():
    overrides = [*SHORT, "drift=planner_crash", "drift.events.0.duration_s=5"]
    assert set_up(compose(overrides), overrides).config.drift.events[0].duration_s == 5.0
    err = refusal(["drift=planner_crash", "drift.events.0.duraton_s=5"])
    assert "drift.events.0.duraton_s" in err
    assert "did you mean 'duration_s'" in err
