"""The tool ``explain`` on tables that are written by hand."""

from math import inf, isnan, nan

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows_by_hand import summary, window

from lab.reporting.explain.figure import explanation
from lab.reporting.explain.findings import (
    answer,
    failed_parts,
    half_width,
    measurements,
    merged_offers,
    parts_of,
    verdict,
    window_ranges,
    windows_of,
)
from lab.reporting.explain.record import read_query
from lab.runs.run_directory import write_summary
from sim.metrics.results import SCHEMAS


def operators(index, **queueing_s):
    rest = {"batching_s": 0.0, "compute_s": 0.2, "transfer_s": 0.0}
    return [
        {"query": 0, "window": index, "operator": name, "queueing_s": time_s} | rest
        for name, time_s in queueing_s.items()
    ]


ASKED = {
    "query": 0,
    "tier": "standard",
    "dataset": "VOiCES",
    "device": "a phone",
    "technology": "4G",
    "slo_latency_s": 2.0,
    "slo_accuracy": 0.8,
    "arrival_s": 0.0,
    "departure_s": 600.0,
    "deployments": 1,
    "false_acceptances": 0,
    "true_device_factor": 1.0,
    "true_access_rtt_s": 0.02,
    "true_uplink_mean_bps": 1e7,
}


def order(decided_s, **values):
    row = {
        "query": 0,
        "trigger": "arrival",
        "triggered_s": decided_s - 1.0,
        "decided_s": decided_s,
        "in_force_s": decided_s + 1.0,
        "outcome": "deployed",
        "plan": f"c @ {decided_s:g}",
        "configuration": "c",
        "placement": "cloud",
        "list_price_usd_per_hour": 1.0,
        "charged_s": 1.0,
        "waited_s": 0.0,
    }
    return row | values


@pytest.fixture
def made(tmp_path):
    """Return a function that writes tables by hand."""

    def make(**tables):
        for name, rows in {"queries": [ASKED], **tables}.items():
            (tmp_path / name).mkdir()
            frame = pl.DataFrame(rows, schema=dict(SCHEMAS[name]))
            frame.write_parquet(tmp_path / name / "part-00000.parquet")
        write_summary(tmp_path, summary("Handmade"))
        return tmp_path

    return make


LATE = {"met": False, "latency_met": False, "good": 2}


def test_late_windows_are_put_down_to_what_grew(made):
    usual = operators(0, recognise=0.3, decode=0.0)
    slow = [row for at in (3, 4, 5) for row in operators(at, recognise=0.35, decode=0.25)]
    run = made(
        decisions=[order(1.0)],
        windows=[*map(window, range(3)), *(window(at, **LATE) for at in (3, 4, 5)), window(6)],
        operators=[*usual, *slow],
    )
    sentence = answer(read_query(run, 0))
    assert sentence.startswith("Query 0: deployed c @ 1 2 s after its arrival; met its SLO 57 %")
    assert "failed on latency in windows 3-5 (queueing at decode, 0.25 s on average" in sentence


def test_late_windows_alone_are_put_down_to_what_took_most(made):
    run = made(
        decisions=[order(1.0)],
        windows=[window(0, **LATE)],
        operators=operators(0, recognise=0.35, decode=0.3),
    )
    assert "latency in window 0 (queueing at recognise, 0.35 s of 1.05 s" in answer(
        read_query(run, 0)
    )


def test_each_reason_for_failing_is_told_apart(made):
    unserved = {"met": False, "latency_met": False, "good": 4, "completed": 5, "unserved": 5}
    poor = {"met": False, "accuracy_met": False, "accuracy": 0.7}
    run = made(
        decisions=[order(1.0)],
        windows=[window(0, **unserved), window(1, **LATE), window(2, **poor), window(3, **poor)],
        operators=operators(1, decode=3.0),
    )
    sentence = answer(read_query(run, 0))
    assert "latency in window 0 (5 of 10 requests unserved, because no plan" in sentence
    assert "latency in window 1 (queueing at decode" in sentence
    assert "and accuracy in windows 2-3 (true 0.700, floor 0.800)" in sentence


def test_verdicts_of_windows():
    assert verdict(window(0)) == "met"
    assert verdict(window(0, repeated=True)) == "no requests; as before, met"
    assert verdict(window(0, met=False, repeated=True)) == "no requests; as before, not met"
    nothing = {"met": False, "latency_met": False, "accuracy_met": False, "completed": 0}
    assert failed_parts(window(0, **nothing)) == ("latency",)
    assert verdict(window(0, **nothing)) == "nothing served"
    assert verdict(window(0, **nothing, deployed_s=0.0)) == "no active plan"
    both = {"met": False, "latency_met": False, "cost_met": False}
    assert verdict(window(0, **both)) == "failed on latency and cost"


def test_a_line_of_several_windows_says_what_its_figures_are(made, told):
    slower = {"latency_p95_s": 1.4, "accuracy": 0.85}
    windows = [window(0), window(1, **slower), window(2, **slower), window(3, **LATE)]
    run = made(decisions=[order(1.0)], windows=windows)
    out = told(run, 0)
    [line] = [line for line in out.splitlines() if "│ 0-2 " in line]
    assert "│ 30 of 30 │    1.4 │     0.85 │" in line
    note = "for windows that share a line: sums of requests, medians of p95 and accuracy"
    assert note in out
    assert note not in told(run, 0, "--rows", 1)  # One window late is shown.


def test_a_plan_that_was_overtaken_or_released_in_time_never_served(made):
    run = made(
        decisions=[
            order(1.0),
            order(100.0, in_force_s=130.0),
            order(110.0, in_force_s=120.0),
            order(300.0, outcome="released", in_force_s=None, plan=None),
            order(400.0, outcome="refused", in_force_s=None, reason="no room"),
            order(500.0, in_force_s=700.0),
        ]
    )
    deployment_intervals = read_query(run, 0).deployment_intervals
    assert [(each.order["plan"], each.start_s, each.end_s) for each in deployment_intervals] == [
        ("c @ 1", 2.0, 120.0),
        ("c @ 110", 120.0, 300.0),
    ]


def test_a_failure_ends_the_deployment_that_it_names_alone(made):
    ended = {"trigger": None, "triggered_s": None, "in_force_s": None, "plan": None}
    ended |= {"outcome": "ended", "reason": "machine 0 of cloud failed"}
    run = made(
        decisions=[
            order(1.0, deployment=0),
            order(100.0, deployment=1, in_force_s=130.0),
            order(110.0, deployment=0, **ended),
            order(140.0, deployment=2, in_force_s=160.0),
            order(150.0, deployment=2, **ended),
            order(200.0, deployment=1, **ended),
        ]
    )
    deployment_intervals = read_query(run, 0).deployment_intervals
    assert [(each.order["plan"], each.start_s, each.end_s) for each in deployment_intervals] == [
        ("c @ 1", 2.0, 110.0),
        ("c @ 100", 130.0, 200.0),
    ]


def test_a_failure_while_the_plan_loaded_explains_that_no_plan_served(made):
    ended = {"outcome": "ended", "in_force_s": None, "reason": "machine 0 of cloud failed"}
    run = made(decisions=[order(1.0, in_force_s=9.0), order(5.0, **ended)])
    assert "had not loaded its models when machine 0 of cloud failed." in answer(read_query(run, 0))


def test_a_plan_is_judged_by_the_windows_that_it_served_whole(made):
    run = made(
        decisions=[order(20.0)],
        windows=[window(0, deployed_s=39.0, latency_p95_s=inf), window(1), window(2)],
    )
    [windows] = windows_of(read_query(run, 0))
    assert [row["window"] for row in windows] == [1, 2]


def test_windows_that_no_plan_is_judged_by_are_named(made, told):
    run = made(
        decisions=[order(20.0), order(130.0)],
        windows=[window(0, deployed_s=39.0), window(1), window(2, deployed_s=50.0), window(3)],
    )
    out = told(run, 0)
    assert (
        "\n  a window counts for the plan that served most of it; not counted, because no plan was "
        "active for some time: windows 0 and 2\n"
    ) in out
    assert out.count(" 1 of 1 │") == 2
    assert "Windows: 4 of 4 with requests" in out


def test_where_every_window_counts_none_is_named(made, told):
    run = made(decisions=[order(-2.0)], windows=[window(0), window(1)])
    assert "counts for the plan" not in (out := told(run, 0))
    assert "left out" not in out


def test_what_the_cluster_refused_is_given_as_the_reason(made):
    again = {"outcome": "refused", "in_force_s": None, "reason": "no 1g.5gb is free"}
    run = made(decisions=[order(at, **again, plan="c @ cloud") for at in (1.0, 2.0, 3.0)])
    sentence = answer(read_query(run, 0))
    assert "no plan became active in the 600 s until it left" in sentence
    assert "refused all 3 orders, last c @ cloud (no 1g.5gb is free)" in sentence


def test_orders_that_are_refused_alike_are_one_line(made, told):
    again = {"outcome": "refused", "in_force_s": None, "reason": "no room", "plan": "c @ cloud"}
    run = made(decisions=[order(float(at), **again) for at in range(1, 51)])
    out = told(run, 0)
    [line] = [line for line in out.splitlines() if "refused, 50 times" in line]
    assert "1.00 to 50.00" in line
    assert "no room" in line


def test_trials_of_a_query_without_a_plan_are_one_plain_sentence(made, told):
    refused = order(1.0, outcome="refused", in_force_s=None, reason="no room")
    out = told(made(queries=[ASKED | {"deployments": 0}], decisions=[refused]), 0)
    assert "\n  no plan became active, so none could meet latency and accuracy\n" in out
    assert "false acceptances" not in out


def profiled(configuration, mean, true, at_s=1.0):
    return {
        "query": 0,
        "dataset": "VOiCES",
        "at_s": at_s,
        "configuration": configuration,
        "samples": 25,
        "prefix_reused": 0,
        "charged_s": 0.5,
        "device_s": 5.0,
        "accuracy_mean": mean,
        "accuracy_variance": 0.01,
        "true_accuracy": true,
    }


def test_runs_that_add_items_to_a_configuration_are_one_measurement():
    runs = [
        profiled("a", 0.5, 0.6, 1.0) | {"samples": 16},
        profiled("a", 0.55, 0.6, 1.5) | {"samples": 32, "prefix_reused": 2},
        profiled("b", 0.7, 0.7, 2.0),
        profiled("a", 0.6, 0.6, 9.0) | {"samples": 48},
        profiled("a", 0.4, 0.4, 99.0) | {"samples": 16},  # of new data
    ]
    rows = measurements(pl.DataFrame(runs, schema=dict(SCHEMAS["profiling"])))
    assert [(row["configuration"], row["samples"], row["runs"]) for row in rows] == [
        ("a", 32, 2),
        ("b", 25, 1),
        ("a", 48, 1),
        ("a", 16, 1),
    ]
    first = rows[0]
    assert (first["at_s"], first["accuracy_mean"], first["prefix_reused"]) == (1.5, 0.55, 0)
    assert (first["charged_s"], first["device_s"]) == (1.0, 10.0)


def test_a_planner_that_orders_nothing_is_explained_by_what_it_saw(made):
    run = made(profiling=[profiled("a", 0.7, 0.85), profiled("b", 0.6, 0.65)])
    assert (
        "of 2 configurations profiled, 0 reached the floor of 0.800 by the measurement and 1 in"
        in (answer(read_query(run, 0)))
    )


def test_the_interval_is_students():
    # 2.064 is the quantile for 24 degrees of freedom in any table.
    assert half_width(profiled("a", 0.7, 0.8)) == pytest.approx(2.064 * 0.1 / 5, abs=1e-5)
    assert isnan(half_width(profiled("a", 0.7, 0.8) | {"samples": 1, "accuracy_variance": nan}))


def test_the_figure_draws_intervals_of_accuracy_where_it_can_lie(made):
    runs = [profiled("a", 0.99, 0.98, 1.0), profiled("b", -0.2, -0.1, 2.0)]
    axes = explanation(read_query(made(profiling=runs), 0)).axes[0]
    drawn = [end for lines in axes.collections for line in lines.get_segments() for end in line]
    few, many = (half_width(run) for run in runs)
    assert sorted(x for x, _ in drawn) == pytest.approx([-0.2 - many, -0.2 + many, 0.99 - few, 1])


def test_a_query_that_is_not_closed_yet_is_explained_as_far_as_it_goes(made, told):
    first = window(2, active_s=20.0, deployed_s=10.0)
    run = made(queries=[], windows=[first, window(3)], decisions=[order(169.0)])
    record = read_query(run, 0)
    assert record.arrival_s == 160.0
    assert record.deployment_intervals[0].end_s == 600.0
    out = told(run, 0)
    assert "incomplete, because the query is still open" in out
    assert "at most 2 s" in out


def test_roles_of_a_plan_are_gathered_call_by_call():
    rows = [
        {"triggered_s": 1.0, "at_s": 1.5, "role": "feasible", "plan": "a", "latency_s": 1.0},
        {"triggered_s": 1.0, "at_s": 1.6, "role": "feasible", "plan": "b", "latency_s": 1.0},
        {"triggered_s": 1.0, "at_s": 1.7, "role": "chosen", "plan": "a", "latency_s": 2.0},
        {"triggered_s": 9.0, "at_s": 9.0, "role": "offered", "plan": "a", "latency_s": 3.0},
    ]
    short = merged_offers(pl.DataFrame(rows, schema=dict(SCHEMAS["offers"])))
    assert [(row["plan"], row["roles"], row["latency_s"]) for row in short] == [
        ("b", ("feasible",), 1.0),
        ("a", ("feasible", "chosen"), 2.0),
        ("a", ("offered",), 3.0),
    ]


def offered(plan, role, triggered_s=1.0):
    believed = {"latency_s": 1.0, "accuracy": 0.9, "true_accuracy": 0.9}
    times = {"triggered_s": triggered_s, "at_s": triggered_s}
    price = {"list_price_usd_per_hour": 1.0}
    return {"query": 0, "role": role, "plan": plan} | times | believed | price


def test_counts_of_what_was_considered_add_up(made, told):
    once = [offered("a", "feasible"), offered("b", "feasible"), offered("b", "chosen")]
    again = [offered(plan, "feasible", 9.0) for plan in ("a", "c")]
    twice = [offered("c", "chosen", 9.0), offered("c", "chosen", 9.0)]
    out = told(made(offers=[*once, *again, *twice]), 0)
    line = "Considered: 3 different plans considered 4 times in 2 planning calls"
    assert f"\n{line} (2 feasible, 2 chosen)\n" in out


def test_plans_that_were_considered_once_are_just_counted(made, told):
    out = told(made(offers=[offered("a", "chosen"), offered("a", "chosen")]), 0)
    assert "\nConsidered: 1 plan in 1 planning call (1 chosen)\n" in out


def test_shares_of_latency_are_weighted_by_requests(made):
    run = made(
        windows=[window(0, completed=10), window(1, completed=30)],
        operators=[*operators(0, decode=1.0), *operators(1, decode=2.0)],
    )
    record = read_query(run, 0)
    times = {part: time_s for (_, part), time_s in parts_of(record, record.windows).items()}
    assert times["queueing"] == pytest.approx(1.75)


@given(st.sets(st.integers(0, 40), min_size=1))
def test_ranges_of_windows_can_be_read_back(numbers):
    read = set()
    for piece in window_ranges(numbers).replace(" and ", ", ").split(", "):
        first, _, last = piece.partition("-")
        read |= set(range(int(first), int(last or first) + 1))
    assert read == numbers


def test_the_figure_of_a_query_of_which_little_is_known(made):
    run = made(windows=[window(0, completed=0, good=0, met=False, latency_met=False)])
    axes = explanation(read_query(run, 0)).axes
    texts = [text.get_text() for each in axes for text in each.texts]
    assert texts == ["nothing was profiled", "no plan was logged"]


def test_the_figure_tells_windows_without_a_plan_from_late_ones(made):
    nothing = {"met": False, "latency_met": False, "completed": 0, "good": 0}
    missed = [window(0, **nothing, deployed_s=0.0), window(1, **nothing), window(2, **LATE)]
    run = made(decisions=[order(61.0)], windows=[*missed, window(3, **LATE), window(4)])
    axes = explanation(read_query(run, 0)).axes[-1]
    looks = {each.get_label(): (each.get_facecolor(), each.get_hatch()) for each in axes.patches}
    assert list(looks) == ["no active plan", "nothing served", "failed on latency"]
    assert len({color for color, _ in looks.values()}) == 3
    assert [bool(hatch) for _, hatch in looks.values()] == [True, False, False]
    legend = explanation(read_query(run, 0)).subfigs[-1].legends[0]
    assert set(looks) <= {text.get_text() for text in legend.get_texts()}


def test_tables_that_cannot_be_read_are_one_sentence(made, refused):
    run = made(windows=[window(0)])
    (run / "windows" / "part-00001.parquet").write_bytes(b"half")
    err = refused("explain", run, "0")
    part = run / "windows" / "part-00001.parquet"
    assert err.startswith(f"compass-lab: {part}: is not a valid Parquet file (")
    assert err.endswith(f"; delete {run}, and repeat the run\n")
