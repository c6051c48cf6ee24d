"""Every wrong input ends in one sentence: the key, the value, what is allowed, the nearest name."""

from pathlib import Path

import pytest
from command_line import changed, sentence_of

from lab.common.errors import InputError
from lab.config.compose import compose, set_up
from lab.config.overrides import SEARCH_PATH, repeated_keys
from lab.config.preflight import warnings
from lab.config.targets import current_path

SHORT = ["horizon_s=60", "workload.rate=0.05", "figures=false"]

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


@pytest.fixture
def compass(compass_sim):
    """Return a function that runs the command, and briefly unless told otherwise."""
    return lambda *words: compass_sim(*changed(SHORT, words))


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


def refusal(overrides):
    """Return the sentence by which a configuration is refused, as the command composes it."""
    words = changed(SHORT, overrides)
    with pytest.raises(InputError) as refused:
        set_up(compose(words), words)
    return str(refused.value)


@pytest.mark.parametrize("overrides", [words for words, _ in WRONG if words not in COMMAND][::16])
def test_the_command_prints_the_same_sentence(compass, tmp_path, overrides):
    assert compass(*overrides) == (2, "", f"compass-sim: {refusal(overrides)}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values", ["seed=0,x", "seed=1,1.5", "planner=videostorm,vulcn", "workload.rat=1,2"]
)
def test_a_sweep_with_a_job_that_cannot_be_composed_does_not_start(compass, tmp_path, values):
    sentence_of(compass("-m", values))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_yaml_is_told_by_its_line(compass, tmp_path):
    (tmp_path / "conf" / "application").mkdir(parents=True)
    bad = tmp_path / "conf" / "application" / "mine.yaml"
    bad.write_text("name: mine\n  tables: x\n")
    err = sentence_of(compass("application=mine", "--config-dir", str(tmp_path / "conf")))
    assert "mine.yaml" in err
    assert "line 2: not valid YAML" in err


@pytest.mark.parametrize(
    ("override", "text", "parts"),
    [
        ("drift=mine", "events: {kind: mps_fault, at_s: 10}\n", ["drift/mine: ", "a list", "'- '"]),
        ("drift=mine", "events:\n- {kind: mps_fault, at: 1}\n", ["drift.events.0.at", "'at_s'"]),
        ("experiment=mine", "workload: {rate: 2}\n", ["experiment=mine: ", "# @package _global_"]),
        (
            "experiment=mine",
            "defaults: [override /planner: greedy]\n",
            ["experiment=mine: ", "# @package _global_"],
        ),
        (
            "experiment=mine",
            "# @package _global_\ndefaults: {planner: greedy}\n",
            ["sim: experiment/mine.yaml: defaults: must be a list", "'- override /planner: gree"],
        ),
        ("cluster=mine", "defaults: small\n", ["sim: cluster/mine.yaml: defaults: must be a list"]),
        (
            "experiment=mine",
            "# @package _global_\ndefaults: [3]\n",
            ["sim: experiment=mine: defaults: must be a list"],
        ),
        (
            "experiment=mine",
            "# @package _global_\ndefaults: [override /planer: greedy]\n",
            ["experiment/mine.yaml: defaults: override planer: choose one of", "mean '/planner'"],
        ),
        (
            "experiment=mine",
            "# @package _global_\ndefaults: [planner: greedy]\n",
            ["experiment=mine: defaults: planner: greedy: write '- override /planner: greedy'"],
        ),
        (
            "experiment=mine",
            "# @package _global_\ndefaults: [/planner: greedy]\n",
            ["experiment=mine: defaults: planner is chosen already; write '- override /planner:"],
        ),
        (
            "experiment=mine",
            "# @package _global_\ndefaults: [speech_smal]\n",
            ["experiment=speech_smal: ", "choose one of captioning_hours", "mean 'speech_small'"],
        ),
        (
            "experiment=mine",
            "# @package _global_\nworkload.rate: 0.2\n",
            ["workload.rate: a file nests its keys; write workload: and, indented below it, rate:"],
        ),
        (
            "experiment=mine",
            "# @package _global_\nseed: ${sead}\n",
            ["${sead}: there is no key sead to take a value from"],
        ),
    ],
)
def test_what_is_wrong_with_a_file_of_the_users_is_one_sentence(tmp_path, override, text, parts):
    file = tmp_path / "own" / override.replace("=", "/")
    file.parent.mkdir(parents=True)
    file.with_suffix(".yaml").write_text(text)
    own = f"{SEARCH_PATH}=['file://{tmp_path}/own']"  # as --config-dir does
    err = f"compass-sim: {refusal([own, override])}"
    assert "\n" not in err
    for part in parts:
        assert part in err


def test_a_planners_file_that_an_installed_module_hides_is_named(compass, tmp_path):
    (tmp_path / "scipy.py").write_text("class Mine: pass\n")
    err = sentence_of(compass("planner._target_=scipy.Mine"))
    assert "module scipy has no Mine" in err
    assert "not scipy.py of this directory" in err


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


UNMET = "application.tiers.premium.accuracy_of_best=1.5"


@pytest.mark.parametrize("more", [[], ["experiment=speech_small"]], ids=["default", "small"])
@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("application.tiers.premium.latency_s=0.0001", "the fastest configuration"),
        (UNMET, "the best configuration has 1"),
    ],
)
def test_an_slo_that_nothing_can_meet_is_a_warning(override, reason, more):
    words = [*SHORT, "planner=cheapest_feasible", override, *more]
    [said] = warnings(set_up(compose(words), words))
    assert said.startswith(f"{override}: no plan can meet this, ")
    assert reason in said
    assert "\n" not in said


def test_a_run_with_a_warning_is_a_run(compass):
    status, out, err = compass("planner=cheapest_feasible", UNMET, "hydra.run.dir=here")
    assert status == 0
    assert err.startswith(f"compass-sim: warning: {UNMET}: no plan can meet this, ")
    assert err.count("\n") == 1
    assert "results: here" in out
    assert Path("here/summary.json").is_file()


def test_drift_after_the_end_is_a_warning(compass):
    planner, event = "planner=cheapest_feasible", "drift.events.0.at_s=60"
    status, _, err = compass(planner, "drift=device_slowdown", event)
    assert status == 0
    assert err.startswith(f"compass-sim: warning: {event}: this device_slowdown has no effect; ")
    assert err.count("\n") == 1
    words = [*SHORT, planner, "drift=device_slowdown"]
    assert warnings(set_up(compose(words), words)) == []


@pytest.mark.parametrize(
    ("text", "weight", "said"),
    [
        ("0,20\n1,30\n", 1, [".uplink: is 25 bit/s on average", ".downlink: is 25 bit/s on"]),
        ("0,2e7\n1000,3e7\n2000,2e7\n", 1, [": has a rate every 1000 s; times must be in seconds"]),
        ("0,2e7\n1,3e7\n", 0, [": has no effect, because"]),
        ("0,2e7\n1,3e7\n", 1, []),
    ],
)
def test_a_recording_in_other_units_or_of_no_use_is_a_warning(tmp_path, text, weight, said):
    path = tmp_path / "link.csv"
    path.write_text(text)
    overrides = [
        *("experiment=speech_small", "planner=greedy"),
        f"network.traces={{train: {{uplink: '{path}', downlink: '{path}'}}}}",
        f"network.technologies={{train: {weight}, WiFi: 1}}",
    ]
    found = [one for one in warnings(set_up(compose(overrides), overrides)) if "traces" in one]
    assert len(found) == len(said)
    for sentence, part in zip(found, said, strict=True):
        assert sentence.startswith(f"network.traces.train{part}")


def test_a_rate_of_nothing_is_a_warning(compass, refused):
    status, out, err = compass("planner=greedy", "workload.rate=0", "hydra.run.dir=idle")
    assert out.count("no queries") == 2
    assert "not reached" not in out
    assert (status, err) == (0, "compass-sim: warning: workload.rate=0: no query will arrive\n")
    said = refused("explain", "idle", "0")
    assert said.endswith("QUERY=0: no such query; the run has no queries\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "hydra.run.dir=x"], "hydra.run.dir=x: has no effect with -m; set hydra.sweep.dir"),
        (["hydra.sweep.dir=x"], "hydra.sweep.dir=x: has no effect without -m; set hydra.run.dir"),
    ],
)
def test_a_directory_that_is_not_written_to_is_a_warning(compass, tmp_path, words, said):
    status, _, err = compass("planner=greedy", "horizon_s=1", *words)
    assert (status, err) == (0, f"compass-sim: warning: {said}\n")
    assert not (tmp_path / "x").exists()


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


RAISING = """
from planners import CheapestFeasible
class Raises(CheapestFeasible):
    def plan(self, context):
        raise RuntimeError("first line\\nsecond line")
class RaisesOnDeparture(CheapestFeasible):
    def plan(self, context):
        super().plan(context)
        if context.trigger == "departure" or len(context.running) > 0:
            raise RuntimeError("too many")
"""


def test_a_planner_that_only_raises_fails_and_its_results_are_kept(compass):
    Path("raising_a.py").write_text(RAISING)
    status, out, err = compass("planner._target_=raising_a.Raises", "hydra.run.dir=here")
    assert status == 1
    assert err.count("\n") == 1
    assert "Raises deployed nothing and raised" in err
    assert "first line second line" in err
    assert "results: here" in out
    assert Path("here/summary.json").read_text().count('"status": "failed"') == 1
    assert Path("here/error.txt").read_text().count("\n") == 1


def test_a_planner_that_raises_now_and_then_is_a_warning(compass):
    Path("raising_b.py").write_text(RAISING)
    status, _, err = compass("planner._target_=raising_b.RaisesOnDeparture", "horizon_s=120")
    assert status == 0
    assert err.count("\n") == 1
    assert "warning: planner RaisesOnDeparture raised" in err


def test_a_directory_with_results_is_not_written_over(compass):
    assert compass("planner=cheapest_feasible", "hydra.run.dir=here")[0] == 0
    before = Path("here/summary.json").read_bytes()
    err = sentence_of(compass("planner=cheapest_feasible", "hydra.run.dir=here"))
    assert "already has results" in err
    assert Path("here/summary.json").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("outputs/frist", "outputs/first"),
        ("outputs/FRIST", "outputs/first"),
        ("output/first", "outputs/first"),
        ("ouputs/lost", "outputs"),  # The nearest of what is missing first.
        ("outputs/nosuch", None),
        ("outputs/notes", None),  # No file is meant.
        ("outputs/hidden", None),
        ("nowhere/first", None),
    ],
)
@pytest.mark.parametrize("words", [["explain", "DIR", "3"], ["report", "DIR"], ["trace", "DIR"]])
def test_a_missing_directory_names_the_nearest_beside_it(given, meant, words, current, refused):
    for name in ("first", "second", ".hidden"):
        (current / "outputs" / name).mkdir(parents=True)
    (current / "outputs" / "note").touch()
    hint = "" if meant is None else f"; did you mean {meant}?"
    said = refused(*(given if word == "DIR" else word for word in words))
    assert said.endswith(f"={given}: no such directory{hint}\n")


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


def test_the_nearest_class_is_named_where_an_old_path_has_a_slip():
    err = refusal(["planner._target_=planners.videostorm.VideoStrom"])
    assert "\n" not in err
    assert "did you mean 'planners.baselines.videostorm.VideoStorm'" in err


@pytest.mark.parametrize("wrong", ["seed=true", "workload.rate=true", "cluster.tick_s=false"])
def test_a_truth_value_is_no_number(wrong):
    assert refusal([wrong]).startswith(f"{wrong}: must be a ")


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


def test_a_job_with_a_wrong_type_keeps_its_sweep_from_starting_one_out_of_bounds_does_not(
    compass, tmp_path
):
    assert compass("-m", "planner=greedy", "cluster.tick_s=1,often")[0] == 2
    assert list(tmp_path.iterdir()) == []
    status, _, err = compass("-m", "planner=greedy", "horizon_s=1", "cluster.tick_s=1,0")
    assert status == 1
    assert "1 of 2 jobs failed" in err


def test_a_run_that_is_told_not_to_resume_does_not_write_over_another(compass):
    words = ("planner=greedy", "horizon_s=1", "hydra.run.dir=here")
    assert compass(*words)[0] == 0
    assert "already has results" in sentence_of(compass(*words, "resume=no"))


def test_an_experiment_whose_defaults_lead_back_to_itself_is_refused(compass, tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults:\n  - /experiment: speech_small\n  - _self_\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    said = sentence_of(compass("--config-dir", str(tmp_path), "experiment=mine"))
    assert "refers to itself" in said
