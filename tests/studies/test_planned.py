"""What planners choose is served: their plans become words of the pipeline, without Ray."""

import json
from functools import cache

import polars as pl
import pytest
from served_worlds import observed, told, truth, without_ray

from lab.common.errors import InputError
from lab.runs.api import Result
from lab.serving.pipeline import load_pipeline
from scenarios.scenario import Scenario
from studies.served import planned
from studies.served.campaign import capacity_per_s
from studies.served.design import SUBJECTS

OPERATORS = ("detect", "recognise", "extract")
TIMES_S = {name: {n: 0.01 + 0.02 * n for n in range(1, 5)} for name in OPERATORS[:2]}


def row(configuration, *shares, outcome="deployed"):
    """Return a row of table ``decisions``, of a plan with these shares of the operators."""
    return {
        "outcome": outcome,
        "configuration": configuration,
        "plan": f"{configuration} @ {' > '.join(shares)}",
        "placement": " > ".join(each.partition(":")[0] for each in shares),
        "list_price_usd_per_hour": 0.02,
    }


LEAN = "recognise.recogniser=int8, recognise.line_scale=0.5"


@pytest.mark.parametrize(
    ("plan", "knobs", "served"),
    [
        (
            row("as_served", "edge:core", "edge:core", "edge:core"),
            {},
            {"detect": (1, 1, 0.0), "recognise": (1, 1, 0.0), "extract": (1, 1, 0.0)},
        ),
        (
            row(LEAN, "edge:core x2", "edge:core x3 batch 4", "edge:core batch 8"),
            {"recogniser": "int8", "line_scale": 0.5},
            {"detect": (2, 1, 0.0), "recognise": (3, 4, 0.15), "extract": (1, 8, 0.35)},
        ),
    ],
)
def test_a_plan_becomes_words_of_the_pipeline(plan, knobs, served):
    words = planned.overrides(plan, OPERATORS)
    whole = load_pipeline(SUBJECTS["document_reading"].pipeline, [])
    pipeline = load_pipeline(SUBJECTS["document_reading"].pipeline, words)
    for name, (replicas, max_batch, max_wait_s) in served.items():
        stage = pipeline.stages[name]
        assert (stage.replicas, stage.max_batch) == (replicas, max_batch)
        assert stage.max_wait_s == pytest.approx(max_wait_s)
        changed = knobs if name == "recognise" else {}
        kept = vars(whole.stages[name].operator)
        assert vars(stage.operator) == kept | changed


def test_a_plan_for_other_operators_is_not_served():
    with pytest.raises(ValueError, match="zip"):
        planned.overrides(row("as_served", "edge:core"), OPERATORS)


def result(*rows):
    """Return a run whose table ``decisions`` has these rows."""
    schema = dict.fromkeys(row("x", "edge:core"), pl.String)
    schema["list_price_usd_per_hour"] = pl.Float64
    frames = dict.fromkeys(
        ("queries", "windows", "operators", "offers", "profiling", "machines", "allocations"),
        pl.DataFrame(),
    )
    decisions = pl.DataFrame(list(rows), schema=schema)
    return Result({}, decisions=decisions, **frames, scenario=Scenario, seed=0)


def test_the_plan_is_the_last_that_was_deployed():
    rich, lean = (row(each, "edge:core", "edge:core") for each in ("rich", "lean"))
    refused = row("never", "edge:core", "edge:core", outcome="refused")
    assert planned.plan_of(result(rich, lean, refused)) == lean
    assert planned.plan_of(result(refused)) == {}
    assert planned.plan_of(result()) == {}


@pytest.fixture(scope="module")
def known():
    """The burst and the calibrations of one combination."""
    how = dict.fromkeys(TIMES_S, (1, 1, 0.0))
    pipeline = load_pipeline(SUBJECTS["stub"].pipeline)
    loads = ((1000.0, 96, 100), (15.0, 300, 200), (23.0, 300, 201))
    return [
        [told(observed(truth(TIMES_S), how, *load), pipeline) for load in loads],
    ]


@pytest.fixture
def sent(monkeypatch):
    """The loads that were sent to the simulator in place of Ray, by start."""
    monkeypatch.setattr(planned, "PLANNERS", ("cheapest_feasible", "compass"))
    monkeypatch.setattr(planned, "HORIZON_S", 120.0)
    monkeypatch.setattr(planned, "choose", cache(planned.choose))
    return without_ray(monkeypatch, TIMES_S)


def test_what_planners_choose_is_served_twice_and_kept(known, sent, tmp_path):
    said = []
    planned.run(tmp_path, SUBJECTS["stub"], known, said.append)
    # A single request of the slower operator takes 30 ms, so 33 requests/s are the capacity.
    rate_per_s = planned.LOAD * capacity_per_s(known[0][0])
    assert rate_per_s == pytest.approx(planned.LOAD / 0.03, rel=0.1)
    assert len(sent) == 2
    for loads in sent:
        assert len(loads) == 2
        assert len({load.seed for load in loads}) == 1  # the same requests
        assert all(load.rate_per_s == pytest.approx(rate_per_s) for load in loads)
    found = planned.found(tmp_path)
    assert [each["planner"] for each in found] == list(planned.PLANNERS)
    for each in found:
        assert each["plan"] == "as_served @ edge:core > edge:core"
        assert each["bound_s"] == pytest.approx(5 * 0.06, rel=0.1)
        assert each["predicted_within"] == pytest.approx(each["observed_within"][0], abs=0.02)
        assert each["met"] == [share >= each["quantile"] for share in each["observed_within"]]
        # Nothing tells how right the answers are.
        assert (each["accuracy_floor"], each["observed_accuracy"]) == (None, [None, None])
    assert [line.partition(":")[0] for line in said] == list(planned.PLANNERS)
    place = tmp_path / planned.PLACE / "compass" / "run1"
    (place / "observation.json").unlink()
    planned.run(tmp_path, SUBJECTS["stub"], known, said.append)
    assert len(sent) == 3
    description = place / "observation.json"
    tree = json.loads(description.read_text())
    tree["pipeline"]["operators"][0]["knobs"]["mean_s"] = 1.0
    description.write_text(json.dumps(tree))
    with pytest.raises(InputError, match="run1: was observed of another plan or load; remove it"):
        planned.run(tmp_path, SUBJECTS["stub"], known, said.append)
    assert len(sent[-1]) == 1
    assert planned.found(tmp_path)[0] == found[0]


@pytest.mark.parametrize(
    "plans", [(), [row("as_served", "edge:core", "device:device")]], ids=["none", "on the client"]
)
def test_a_plan_that_the_host_cannot_serve_counts_as_none(
    plans, known, sent, tmp_path, monkeypatch
):
    monkeypatch.setattr(planned, "choose", lambda *_: result(*plans))
    said = []
    planned.run(tmp_path, SUBJECTS["stub"], known, said.append)
    assert not sent
    assert planned.found(tmp_path) == [{"planner": each, "plan": None} for each in planned.PLANNERS]
    assert said == [f"{each}: no plan for the host" for each in planned.PLANNERS]


def test_accuracy_counts_where_it_was_observed(known, sent, tmp_path, monkeypatch):
    accurate = planned.observe_endpoint

    def observe(url, load, payloads, pipeline):
        found = accurate(url, load, payloads, pipeline)
        right = pl.lit(0.9 if len(sent[-1]) == 1 else 0.7).alias("accuracy")
        return type(found)(found.description, found.requests.with_columns(right), found.noise)

    chosen = planned.choose

    def choose(*words):
        made = chosen(*words)
        queries = made.queries.with_columns(slo_accuracy=pl.lit(0.8), slo_latency_s=pl.lit(60.0))
        return Result(**{**vars(made), "queries": queries})

    monkeypatch.setattr(planned, "PLANNERS", ("cheapest_feasible",))
    monkeypatch.setattr(planned, "observe_endpoint", observe)
    monkeypatch.setattr(planned, "choose", choose)
    planned.run(tmp_path, SUBJECTS["stub"], known, lambda _: None)
    [found] = planned.found(tmp_path)
    assert found["observed_accuracy"] == pytest.approx([0.9, 0.7])
    assert found["observed_within"] == [1.0, 1.0]
    assert found["met"] == [True, False]


def test_a_campaign_without_planners_has_found_nothing(tmp_path):
    assert planned.found(tmp_path) == []
