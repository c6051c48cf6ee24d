"""A wrong override ends in one sentence: its key, its value, what is allowed, the nearest name."""

from pathlib import Path

import pytest
from command_line import refusal, sentence_of

WRONG = [
    (
        ["planner=vidostorm"],
        ["planner=vidostorm", "cheapest_feasible", "did you mean 'videostorm'"],
    ),
    (
        ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=4"],
        ["hydra/sweeper=optuna: is not installed; pip install hydra-optuna-sweeper"],
    ),
    (["hydra/sweeper=optun"], ["choose one of basic, compass", "did you mean 'optuna'"]),
    (["drift=slowdown"], ["drift=slowdown", "none", "did you mean 'device_slowdown'"]),
    (["workload.rat=3"], ["workload.rat=3", "rate", "did you mean 'rate'"]),
    (["plannr=videostorm"], ["plannr=videostorm", "did you mean 'planner'"]),
    (["+horizn_s=3"], ["horizn_s", "did you mean 'horizon_s'"]),
    (["workload.rate=abc"], ["workload.rate=abc", "a number"]),
    (["seed=x"], ["seed=x", "a whole number"]),
    (["seed=null"], ["seed=null", "must not be null"]),
    (["workload.rate=nan"], ["workload.rate=nan", "finite"]),
    (["workload.rate=-1"], ["workload.rate=-1", "between 0 and"]),
    (["horizon_s=0"], ["horizon_s=0", "1 s or more"]),
    (["cluster.nodes={}"], ["cluster.nodes={}", "at least one node"]),
    (["cluster.nodes.edge.count=0"], ["cluster.nodes.edge.count=0", "1 machine or more"]),
    (["cluster.nodes.edge.machine=g2"], ["cluster.nodes.edge", "machine=g2", "g2-standard-4"]),
    (["horizon_s=10min"], ["horizon_s=10min: must be a number, in s"]),
    (["workload.rate=often"], ["workload.rate=often: must be a number, in queries/s"]),
    (
        ["application.tiers.premium.accuracy=90"],
        ["accuracy=90", "accuracy_of_best, cost_usd_per_hour", "did you mean 'accuracy_of_best'"],
    ),
    (
        ["application.tiers.premium.cost_usd_per_hour=1"],
        ["to add it, write +application.tiers.premium.cost_usd_per_hour="],
    ),
    (["cluster.nodes.egde.count=2"], ["cluster.nodes.egde", "edge, cloud", "did you mean 'edge'"]),
    (["application.tiers.premium.weight=-1"], ["application.tiers.premium.weight=-1", "0 or more"]),
    (["workload.tiers.premium.weight=1"], ["workload.tiers.premium", "application.tiers"]),
    (
        ["drift.events=[{kind: slow}]"],
        ["drift.events.0.kind=slow", "did you mean 'device_slowdown'"],
    ),
    (
        ["workload=azure_code", "workload.arrivals.path=nope.csv"],
        ["workload.arrivals.path='nope.csv'", "no such file", "azure_llm_2023_code"],
    ),
    (["+cluster.nodes.lab={tier: cloud}"], ["cluster.nodes.lab", "'+cluster.nodes={lab: ...}'"]),
    (["workload.datasets={LibriSpeech: 0, TED-LIUM: 0, VOiCES: 0}"], ["workload.datasets"]),
    (
        ["planner=cheapest_feasible", "planner.budget_s=-1"],
        ["planner.budget_s=-1", "from 0 to"],
    ),
    (["planner=compass", "planner.budget_s=1e10"], ["planner.budget_s=1", "from 0 to 1e+09 s"]),
    (["planner=compass", "planner.replan_every_s=1e-10"], ["replan_every_s=1e-10", "from 1e-09"]),
    (
        ["drift.events=[{kind: content_shift, at_s: 1e10}]"],
        ["drift.events.0.at_s=1", "between 0 and 1e+09 s"],
    ),
    (
        ["drift.events=[{kind: planner_crash, duration_s: 1e10}]"],
        ["drift.events.0.duration_s=1", "1e+09 s or less"],
    ),
    (["hydra.run.dir=/proc/nowhere"], ["hydra.run.dir", "/proc/nowhere"]),
    (
        ["+planner.compare.figures._target_=planners.Greedy"],
        ["planner.compare.figures: results go into a directory of that name", "queries"],
    ),
    (
        [f"application.tiers.{tier}.weight=0" for tier in ("premium", "standard", "economy")],
        ["application.tiers: at least one needs a weight above 0"],
    ),
    (["+planner=greedy"], ["+planner=greedy", "write planner=greedy, without the plus"]),
    (
        ["drift.events=[{kind: mps_fault, at_s: 3}, {kind: content_shift, at: 3}]"],
        ["drift.events.1.at", "duration_s", "did you mean 'at_s'"],
    ),
    (["--config-dir", "nowhere"], ["--config-dir=nowhere: no such directory"]),
    (["workload.rate"], ["workload.rate: not a valid override; write key=value"]),
    (["seed:1"], ["seed:1: not a valid override; write key=value"]),
    (["seed=0-4"], ["seed=0-4: must be a whole number"]),
    (["seed=0,1"], ["seed=0,1: several values; add -m"]),
    (["seed=range(3)"], ["sim: seed=range(3): several values; add -m"]),
    (["figure=false"], ["figure=false: there is no key figure", "did you mean 'figures'"]),
    (["-m", "seed=range(1,2,0)"], ["seed=range(1,2,0): range() arg 3 must not be zero"]),
    (
        ["-m", "workload.rate=interval(1,2)"],
        ["workload.rate=interval(1,2): an interval is for", "write workload.rate=1,2"],
    ),
    (["rate=0.2"], ["rate=0.2: there is no key rate", "did you mean 'workload.rate'"]),
    (["nodes.cloud.count=2"], ["there is no key nodes", "did you mean 'cluster.nodes'"]),
    (
        ["planner=greedy", "planner.compare.me._target_=planners.Greedy"],
        ["planner.compare.me._target_=planners.Greedy: one planner is chosen", "=comparison"],
    ),
    (
        ["+planner.compare.me=planners.Greedy"],
        ["planner.compare.me=planners.Greedy: must be a mapping, such as {_target_: ...}"],
    ),
    (
        ["workload.tiers=[standard,economy]"],
        ["workload.tiers=[standard,economy]: must be a mapping", "not a list", "weight, latency_s"],
    ),
    (
        ["workload.tiers={standard: 1}"],
        ["workload.tiers.standard: must be a mapping", "that has weight, latency_s"],
    ),
    (["drift.events={kind: x}"], ["drift.events={kind: x}: must be a list", "has kind, at_s"]),
    (
        ["network.traces={train: {uplink: süd.csv}}"],
        ["a value with 'ü' in it needs quotes of its own", "'KEY=\"VALUE\"'"],
    ),
    (["tables.links=süd.csv"], ["tables.links=süd.csv: a value with 'ü' in it"]),
    (
        ["network.traces={train: {uplink: 'süd.csv'}}"],
        ["network.traces.train: downlink is missing; name the file"],
    ),
    (
        ["planner=static_plan", "planner.profile=8g.80gb"],
        ["planner.profile='8g.80gb': no node offers it; name one of ", "7g.40gb", "StaticPlan"],
    ),
    (
        ["planner=static_plan", "planner.placement=[device,device,clod,cloud]"],
        ["planner.placement: there is no 'clod'; choose from device, edge, cloud (planner Sta"],
    ),
    (
        ["planner=static_plan", "planner.configuration={model: hubert}"],
        ["planner.configuration={'model': 'hubert'}: "],
    ),
    (["workload=3"], ["workload=3", "poisson", "did you mean"]),
    (["seed=0,1"], ["seed=0,1", "-m"]),
    (["seed=${nothing}"], ["seed=${nothing}: there is no key nothing to take a value from"]),
    (["--fast"], ["--fast", "--help"]),
    (["planner._target_=nope"], ["planner._target_=nope", "my_pkg.MyPlanner"]),
    (["planner._target_=nope.Nope"], ["planner._target_=nope.Nope", "No module named 'nope'"]),
    (
        ["planner._target_=planners.CheapestFeasable"],
        ["planners.CheapestFeasable", "did you mean 'CheapestFeasible'"],
    ),
    (["planner._target_=subprocess.Popen"], ["subprocess.Popen", "sim.api.planner.Planner"]),
    (["planner._target_=sim.api.planner.Planner"], ["planner", "abstract"]),
    (
        ["data_plane._target_=sim.controlplane.world.World"],
        ["data_plane._target_=sim.controlplane.world.World"],
    ),
    (
        ["workload.arrivals._target_=scenarios.arrivals.Poison"],
        ["workload.arrivals._target_=scenarios.arrivals.Poison", "did you mean 'Poisson'"],
    ),
    (["application.window_s=1"], ["application.window_s=1", "40 s or more"]),
    (["planner=cheapest_feasible", "planner.samples=few"], ["planner.samples=few", "whole number"]),
    (
        ["planner=cheapest_feasible", "+planner.sampels=3"],
        ["planner.sampels=3", "CheapestFeasible", "did you mean 'samples'"],
    ),
    (
        ["planner=cheapest_feasible", "planner.sampels=3"],
        ["planner.sampels=3", "did you mean 'samples'", "+planner.sampels"],
    ),
    (["planner=mine.Mover"], ["planner=mine.Mover", "planner._target_=mine.Mover"]),
    (
        ["planner._target_=planners.Greedy", "planner.headroom=0.5"],
        ["planner.headroom=0.5", "write +planner.headroom=0.5"],
    ),
    (["+planner@planner.compare.mine=my.Mover"], ["+planner.compare.mine._target_=my.Mover"]),
    (
        ["planner=greedy", "+planner.compare.mine._target_=planners.Greedy"],
        ["+planner.compare.mine._target_=planners.Greedy", "planner=comparison"],
    ),
    (
        ["planner=greedy", "+planner@planner.compare.mine=vulcan"],
        ["+planner@planner.compare.mine=vulcan", "planner=comparison"],
    ),
    (["planner._target_=${oc.env:NOPE}"], ["NOPE", "not found"]),
    (["planner.samples=3"], ["planner.samples=3", "planner.compare.NAME"]),
    (["+planner.samples=3"], ["planner.samples=3", "planner.compare.NAME"]),
    (
        ["+cluster.nodes.edge.colour=red"],
        ["+cluster.nodes.edge.colour=red", "no key", "did you mean 'count'"],
    ),
    (
        ["network.technologies.5G-NSA-foo=1"],
        ["network.technologies.5G-NSA-foo", "'5G-NSA-Low-Band'"],
    ),
    (["network.technologies.4G-LTE=x"], ["network.technologies.4G-LTE=x: must be a number"]),
    (["+network.share.5G=1"], ["network.share", "no key", "technologies"]),
    (
        ["~network.technologies.4G-LTE"],
        ["~network.technologies.4G-LTE: 4G-LTE begins", "'network.technologies={NAME: 1, "],
    ),
    (["+workload.foo=1"], ["+workload.foo=1", "no key", "lifetime_mean_s"]),
    (["+application.tiers.premium.wieght=1"], ["wieght", "did you mean 'weight'"]),
    (["tables.linkz=my.csv"], ["tables.linkz=my.csv", "did you mean 'links'"]),
    (["tables.links=my.csv"], ["tables.links: my.csv: no such file"]),
    (["tables.accelerators=my.toml"], ["tables.accelerators: my.toml: cannot be read as TOML"]),
    (["tables.accelerators=3"], ["tables.accelerators=3: must be the path of a file"]),
    (
        ["cluster.nodes.cloud.region=us-west1"],
        ["cluster.nodes.cloud.region=us-west1: no such region", "us-central1, europe", "mean"],
    ),
    (
        ["cluster.nodes.cloud.purchase=spott"],
        ["cluster.nodes.cloud.purchase=spott: no such offer of a2-highgpu-1g", "mean 'spot'"],
    ),
    (["tables.links={path: my.csv, how: add}"], ["tables.links.how='add'", "merge or replace"]),
    (["application=speech"], ["application=speech", "did you mean 'speech_recognition'"]),
    (["seed=-1"], ["seed=-1", "0 or more"]),
    (["figures=maybe"], ["figures=maybe", "must be true or false"]),
    (["workload=azure_code", "workload.arrivals.path=/tmp"], ["path=/tmp", "is a directory"]),
    (["horizon_s=1e10"], ["horizon_s=1e+10", "1e+09 s or less"]),
    (["cluster.nodes.edge.count=200000"], ["cluster.nodes.edge.count=200000", "100,000"]),
]


COMMAND = [words for words, _ in WRONG if any(word.startswith(("-", "hydra")) for word in words)]
"""What only the command can refuse: its options, and keys of Hydra's."""


@pytest.mark.parametrize(("overrides", "parts"), WRONG, ids=lambda value: value[0])
def test_wrong_input_is_one_sentence(compass, tmp_path, overrides, parts):
    if overrides in COMMAND:
        status, out, err = compass(*overrides)
        assert (status, out) == (2, "")
    else:
        err = f"compass-sim: {refusal(overrides)}\n"
    assert err.startswith("compass-sim: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for part in parts:
        assert part in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overrides", [words for words, _ in WRONG if words not in COMMAND][::16])
def test_the_command_prints_the_same_sentence(compass, tmp_path, overrides):
    assert compass(*overrides) == (2, "", f"compass-sim: {refusal(overrides)}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values",
    [
        "seed=0,x",
        "planner=videostorm,vulcn",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("seed=1,1.5", "workload.rat=1,2")),
    ],
)
def test_a_sweep_with_a_job_that_cannot_be_composed_does_not_start(compass, tmp_path, values):
    sentence_of(compass("-m", values))
    assert list(tmp_path.iterdir()) == []


def test_a_constructor_that_refuses_its_arguments(compass):
    Path("refusing_pkg.py").write_text(
        "from sim import Planner\n"
        "class Picky(Planner):\n"
        "    def __init__(self, margin: float = 0.1):\n"
        "        if margin > 1: raise ValueError('margin is a share.\\nAt most 1')\n"
        "    def plan(self, context): pass\n"
    )
    err = sentence_of(compass("planner._target_=refusing_pkg.Picky", "+planner.margin=2"))
    assert err == (
        "compass-sim: planner: Picky(margin=2) was rejected: margin is a share. At most 1\n"
    )


def test_a_refusal_does_not_repeat_arguments_that_are_too_many_to_read(compass):
    Path("wordy_pkg.py").write_text(
        "from sim import Planner\n"
        "class Wordy(Planner):\n"
        "    def __init__(self, words: str = ''):\n"
        "        if words: raise ValueError('no words')\n"
        "    def plan(self, context): pass\n"
    )
    status, _, err = compass("planner._target_=wordy_pkg.Wordy", f"+planner.words={'x' * 500}")
    assert (status, err) == (2, "compass-sim: planner: Wordy(...) was rejected: no words\n")


def test_wrong_parameters_of_the_command_line_are_named_first(compass):
    Path("thrifty_pkg.py").write_text(
        "from sim import Planner\n"
        "class Thrifty(Planner):\n"
        "    def __init__(self, samples: int = 5): pass\n"
        "    def plan(self, context): pass\n"
    )
    words = ("planner=greedy", "planner._target_=thrifty_pkg.Thrifty")
    err = sentence_of(compass(*words, "+planner.sampels=5"))
    assert err.startswith("compass-sim: planner.sampels=5: Thrifty has no such parameter; ")
    assert "(from" not in err
    err = sentence_of(compass(*words))
    assert "Thrifty has no such parameter; " in err
    assert err.endswith(" (from planner=greedy)\n")


def test_the_nearest_class_is_named_where_an_old_path_has_a_slip():
    err = refusal(["planner._target_=planners.videostorm.VideoStrom"])
    assert "\n" not in err
    assert "did you mean 'planners.baselines.videostorm.VideoStorm'" in err


@pytest.mark.parametrize("wrong", ["seed=true", "workload.rate=true", "cluster.tick_s=false"])
def test_a_truth_value_is_no_number(wrong):
    assert refusal([wrong]).startswith(f"{wrong}: must be a ")


def test_a_sweep_starts_with_a_job_out_of_bounds_but_not_with_one_of_a_wrong_type(
    compass, tmp_path
):
    assert compass("-m", "planner=greedy", "cluster.tick_s=1,often")[0] == 2
    assert list(tmp_path.iterdir()) == []
    status, _, err = compass("-m", "planner=greedy", "horizon_s=1", "cluster.tick_s=1,0")
    assert status == 1
    assert "1 of 2 jobs failed" in err
