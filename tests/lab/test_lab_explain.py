"""The tool ``explain``: its text agrees with the tables, for any query."""

import re
import shlex
from functools import cache
from io import StringIO
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console

import lab
from lab.cli.tools import main
from lab.reporting.explain import text
from lab.reporting.explain.figure import explanation
from lab.reporting.explain.findings import answer, merged_offers
from lab.reporting.explain.record import find_run, read_query
from lab.runs.run_directory import scan
from sim import Planner

OVERRIDES = ["experiment=speech_small", "switching=free", "horizon_s=150"]


class Tells(Planner):
    """Profiles the richest configurations, and puts on record what it thinks of each."""

    def __init__(self, samples: int = 16, budget_s: float = 5.0) -> None:
        self.samples = samples
        self.budget_s = budget_s

    def plan(self, context):
        for query in context.waiting:
            for plan in self.plans(context, query):
                estimate = context.profile(query, plan, self.samples)
                if not estimate.count:
                    break
                latency_s = context.predict(query, plan).latency_quantile_s
                believed = (latency_s, estimate.accuracy_mean)
                price = 2 * plan.list_price_usd_per_hour(context.world.cluster)
                if not estimate.accurate_enough(query.slo) or latency_s > query.slo.latency_s:
                    context.bulk.log_candidate(
                        query, plan, "infeasible", *believed, price, "it errs too much"
                    )
                elif not context.fits(query, plan):
                    context.bulk.log_candidate(
                        query, plan, "refused", *believed, price, "nothing is free"
                    )
                else:
                    context.bulk.log_candidate(query, plan, "feasible", *believed, price)
                    context.bulk.log_candidate(
                        query, plan, "chosen", *believed, price, "the first that will do"
                    )
                    context.deploy(query, plan)
                    break

    def plans(self, context, query):
        seen = set()
        for plan in context.candidates(query):
            if "device" not in plan.placement and plan.configuration not in seen:
                seen.add(plan.configuration)
                yield plan
            if len(seen) == 8:
                return


@pytest.fixture(scope="module")
def stormy(tmp_path_factory):
    directory = tmp_path_factory.mktemp("videostorm")
    lab.run([*OVERRIDES, "planner=videostorm"], directory=directory)
    return directory


@pytest.fixture(scope="module")
def telling(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tells")
    drift = "drift.events=[{kind: device_slowdown, at_s: 60, factor: 0.5}]"
    lab.run([*OVERRIDES, drift], Tells(), directory)
    return directory


def table(run, name):
    return scan(run, name).collect()


read = cache(read_query)  # The runs of this module do not change.


# What is said of real runs


@pytest.mark.parametrize("fixture", ["stormy", "telling"])
def test_the_answer_is_what_the_tables_hold(fixture, request):
    run = request.getfixturevalue(fixture)
    deployed = table(run, "decisions").filter(pl.col("outcome") == "deployed")
    windows = table(run, "windows")
    for asked in table(run, "queries").iter_rows(named=True):
        query = asked["query"]
        sentence = answer(read(run, query))
        assert sentence.startswith(f"Query {query}: ")
        assert "\n" not in sentence
        if asked["first_deployed_s"] is None:
            assert "no plan became active" in sentence
            continue
        first = deployed.filter(pl.col("query") == query).sort("in_force_s").row(0, named=True)
        assert first["plan"] in sentence
        mine = windows.filter(pl.col("query") == query)
        met_s = mine.filter("met")["deployed_s"].sum()
        share = met_s / mine["active_s"].sum()
        assert f"met its SLO {100 * share:.0f} % of the time" in sentence
        for part in ("latency", "accuracy"):
            missed = mine.filter(~pl.col(f"{part}_met") & ~pl.col("repeated"))
            missed = missed.filter(pl.col("completed") > 0)
            assert (f"{part} in window" in sentence) == bool(missed.height)


def test_intervals_are_those_of_deployments_that_became_active(telling, stormy):
    for run in (telling, stormy):
        releases = table(run, "decisions").filter(outcome="released")
        for asked in table(run, "queries").iter_rows(named=True):
            released_s = set(releases.filter(query=asked["query"])["decided_s"])
            deployment_intervals = read(run, asked["query"]).deployment_intervals
            assert len(deployment_intervals) == asked["deployments"]
            if deployment_intervals:
                assert deployment_intervals[0].start_s == asked["first_deployed_s"]
            for before, after in pairwise(deployment_intervals):
                assert before.start_s < before.end_s <= after.start_s
                assert before.end_s in {after.start_s, *released_s}


def test_intervals_end_with_the_machine_that_served_them(tmp_path):
    """So windows have a plan in force for as long as the intervals say, planner or not."""
    lab.run([*OVERRIDES, "planner=videostorm", "drift=machine_failure"], directory=tmp_path)
    assert table(tmp_path, "decisions").filter(outcome="ended").height
    windows = table(tmp_path, "windows").group_by("query").agg(pl.col("deployed_s").sum())
    for query, deployed_s in windows.iter_rows():
        deployment_intervals = read_query(tmp_path, query).deployment_intervals
        assert sum(each.end_s - each.start_s for each in deployment_intervals) == pytest.approx(
            deployed_s
        )


def test_a_run_without_offers_is_explained_from_the_other_tables(stormy, told):
    query = table(stormy, "decisions")["query"][0]
    out = told(stormy, query)
    row = table(stormy, "queries").filter(pl.col("query") == query).row(0, named=True)
    assert f"data set {row['dataset']}; {row['device']} on {row['technology']}" in out
    assert f"Profiled in advance, on all of {row['dataset']}" in out
    assert "items of " + row["dataset"] in out
    assert "Considered: the planner logged no plans" in out
    for operator in table(stormy, "operators")["operator"].unique():
        assert f"│ {operator} " in out
    count = row["false_acceptances"]
    assert f"false acceptances: {count} of {row['deployments']} active deployments" in out


def test_offers_say_what_was_believed_and_what_it_faced(telling, told):
    offers = table(telling, "offers")
    chosen = offers.filter(pl.col("role") == "chosen").row(0, named=True)
    out = told(telling, chosen["query"])
    assert "because it was believed to take" in out
    assert '("the first that will do")' in out
    assert "feasible, chosen" in out
    [line] = [line for line in out.splitlines() if "feasible, chosen" in line]
    for value in (chosen["latency_s"], chosen["accuracy"], chosen["true_accuracy"]):
        assert f" {value:.3g} " in line
    assert f" {2 * chosen['list_price_usd_per_hour']:.3g} " in line
    assert "device_slowdown" in told(telling, living_at(telling, 100.0))


def living_at(run, at_s):
    queries = table(run, "queries")
    return queries.filter((pl.col("arrival_s") <= at_s) & (pl.col("departure_s") > at_s))["query"][
        0
    ]


def test_verdicts_of_profiling_are_counted_against_the_truth(telling, told):
    profiling = table(telling, "profiling")
    profiled = table(telling, "queries").join(profiling, on="query", how="semi")
    assert profiled.height >= 5
    for asked in profiled.head(5).iter_rows(named=True):
        mine = profiling.filter(pl.col("query") == asked["query"])
        last = mine.group_by("configuration").agg(pl.all().sort_by("at_s").last())
        reached = last["accuracy_mean"] >= asked["slo_accuracy"]
        truly = last["true_accuracy"] >= asked["slo_accuracy"]
        out = told(telling, asked["query"])
        assert f"  {reached.sum()} of {last.height} reached the floor" in out
        assert f"{(reached & ~truly).sum()} of them wrongly; " in out
        assert f"missed it, {(~reached & truly).sum()} of them wrongly" in out


def test_long_tables_are_cut_and_say_so(telling, told):
    query = table(telling, "profiling").group_by("query").len().sort("len")["query"][-1]
    runs = table(telling, "profiling").filter(pl.col("query") == query).height
    assert runs > 2
    out = told(telling, query, "--rows", 2)
    assert f"  {runs - 2} more lines; --rows 0 shows all" in out
    assert "more lines" not in told(telling, query, "--rows", 0)


def test_no_word_is_cut_in_a_narrow_terminal(telling):
    query = table(telling, "offers")["query"][0]
    record = read_query(telling, query)
    console = Console(width=80, file=StringIO())
    for part in (*text.profiled(record, 3), *text.offered(record, 3)):
        console.print(part, markup=False)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    words = " ".join(" ".join(lines).split())
    for row in table(telling, "offers").filter(pl.col("query") == query).head(3).rows(named=True):
        assert f": {row['plan']}" in words
    for row in record.profiling.head(3).rows(named=True):
        assert f": {row['configuration']} " in words


@pytest.mark.slow
def test_the_page_explains_each_part(compass_sim, capsys):
    page = (Path(__file__).parents[2] / "docs" / "how_to" / "explaining.md").read_text(
        encoding="utf-8"
    )
    [simulate, explain] = re.findall(r"^!(compass-.*) 2>", page, re.M)
    assert compass_sim(*shlex.split(simulate)[1:], "figures=false")[0] == 0
    assert main(shlex.split(explain)[1:]) == 0
    out = capsys.readouterr().out
    titles = re.findall(r"^\| (\w[^|]*?) \| [^|]* \| `", page, re.M)
    assert len(titles) == 7
    for title in titles:
        assert f"\n{title}" in out


def test_it_fits_80_columns_and_cuts_no_cell(telling, stormy, capsys):
    for run in (telling, stormy):
        for query in table(run, "queries")["query"].head(4):
            assert main(["explain", str(run), str(query)]) == 0
            lines = capsys.readouterr().out.splitlines()
            assert max(len(line.rstrip()) for line in lines if str(run) not in line) <= 80
            words = " ".join(" ".join(lines).split())
            for row in table(run, "profiling").filter(query=query).iter_rows(named=True):
                assert f"{row['accuracy_mean']:.3f} ± " in words
            assert "A plan is written as sample_rate_hz/freq_mask_hz/model @ places of" in words


# The figure


@pytest.mark.parametrize("fixture", [pytest.param("stormy", marks=pytest.mark.slow), "telling"])
def test_the_figure_is_written_and_cuts_no_label(fixture, request, tmp_path, told):
    run = request.getfixturevalue(fixture)
    query = table(run, "decisions")["query"][0]
    path = tmp_path / "new" / "why.png"
    assert f"figure: {path}" in told(run, query, "--figure", path)
    first = path.read_bytes()
    assert first.startswith(b"\x89PNG")
    told(run, query, "--figure", path)
    assert path.read_bytes() == first
    figure = explanation(read_query(run, query))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox(canvas.get_renderer())
    assert box.x0 >= -0.02
    assert box.y0 >= -0.02
    assert box.x1 <= width + 0.02
    assert box.y1 <= height + 0.02


@pytest.mark.slow
def test_what_a_planner_considered_is_counted_as_its_table_has_it(telling, told):
    for query in table(telling, "offers")["query"].unique().sort().head(5):
        out = told(telling, query, "--rows", 0)
        [counts] = re.findall(r"^Considered: .* \((.*)\)$", out, re.M)
        rows = merged_offers(read_query(telling, query).offers)
        assert sum(map(int, re.findall(r"\d+", counts))) == len(rows)
        chosen = sum("chosen" in row["roles"] for row in rows)
        assert not chosen or f"{chosen} chosen" in counts


# Bad input


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "0"], "RUN=nowhere: no such directory"),
        ([".", "0"], "RUN=.: has no results"),
        (["RUN", "x"], "QUERY=x: must be a whole number of 0 or more"),
        (["RUN", "-1"], "QUERY=-1: must be a whole number of 0 or more"),
        (["RUN", "999"], "QUERY=999: no such query; the run has queries 0 to "),
        (["RUN", "0", "--rows", "-1"], "--rows=-1: must be 0 or more"),
        (["RUN", "0", "--figure", "x.foo"], "--figure=x.foo: must end in .png"),
        (["RUN", "0", "--figure", "x"], "--figure=x: must end in .png"),
        (["RUN", "0", "--figure", "file/x.png"], "--figure=file/x.png: cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(stormy, current, capsys, words, said):
    (current / "file").touch()
    words = [str(stormy) if word == "RUN" else word for word in words]
    assert main(["explain", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"compass-lab: {said}")
    assert err.count("\n") == 1


def test_one_of_several_runs_must_be_named(stormy, tmp_path, refused):
    for name in ("0", "1", "10", "2"):
        (tmp_path / "sweep" / name / "queries").mkdir(parents=True)
        (tmp_path / "sweep" / name / "summary.json").touch()
    named = ", ".join(str(tmp_path / "sweep" / name) for name in ("0", "1", "2", "10"))
    assert f"has 4 runs; name one: {named}" in refused("explain", tmp_path / "sweep", "0")
    assert find_run(stormy.parent / stormy.name) == stormy
