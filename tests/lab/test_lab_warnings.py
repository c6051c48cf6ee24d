"""What is odd but no error is a warning of one sentence, and the run is a run."""

from pathlib import Path

import pytest
from command_line import SHORT

from lab.config.compose import compose, set_up
from lab.config.preflight import warnings

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
