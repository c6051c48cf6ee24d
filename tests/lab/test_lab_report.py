"""Reports on sweeps: frames, differences, trade-offs, figures and the page."""

import json
import multiprocessing
import os
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lab import read_sweep
from lab.api import run
from lab.errors import InputError
from lab.figure_data import PARTS
from lab.report.analysis import analyse, planners_of
from lab.report.claims import claims
from lab.report.drawings.where_time_goes import (
    latency_by_operator,
    latency_by_planner,
    pooled_operators,
    works_at_once,
)
from lab.report.figures import _drawings
from lab.report.page import counts, problems
from lab.report.settings import planner_names, short_texts, swept_keys
from lab.report.sums import WINDOW_S, totals, totals_meanwhile
from lab.report.tables import tables
from lab.run_directory import read_summary, write_summary
from lab.tools import main
from lab.units import unit_of
from lab.version import versions
from planners import CheapestFeasible, Greedy

SHORT = ["experiment=speech_small", "horizon_s=120"]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A sweep of two rates, two planners and two seeds."""
    directory = tmp_path_factory.mktemp("sweep")
    number = 0
    for rate in (0.1, 0.05):
        for planner in (CheapestFeasible(samples=5), Greedy()):
            for seed in (0, 1):
                settings = [*SHORT, f"workload.rate={rate}", f"seed={seed}"]
                run(settings, planner, directory / str(number))
                number += 1
    return directory


@pytest.fixture
def sweep(made, tmp_path):
    """A copy of the sweep, to be spoilt."""
    return shutil.copytree(made, tmp_path / "sweep")


def spoil(directory, **values):
    write_summary(directory, read_summary(directory) | values)


def reverse(file):
    pl.read_parquet(file).reverse().write_parquet(file)


def without_its_last(file):
    rows = pl.read_parquet(file)
    rows.head(rows.height - 1).write_parquet(file)


def exchange(file, first, second):
    rows = pl.read_parquet(file)
    order = list(range(rows.height))
    order[first], order[second] = order[second], order[first]
    rows[order].write_parquet(file)


def exchange_two_windows_in_the_middle(file):
    rows = pl.read_parquet(file)
    exchange(file, rows.height // 2, rows.height // 2 + rows["operator"].n_unique())


def in_two_parts(file):
    rows = pl.read_parquet(file)
    operators = rows["operator"].n_unique()
    first = rows.height // operators // 2 * operators
    rows.head(first).write_parquet(file)
    second = file.with_name("part-00002.parquet")
    rows.tail(rows.height - first).write_parquet(second)
    return second


def in_groups_of(file, rows):
    pl.read_parquet(file).write_parquet(file, row_group_size=rows)


# Frames


def test_frames_have_the_keys_and_agree_with_the_summaries(made):
    sweep = read_sweep(made)
    assert list(sweep.keys) == ["workload.rate"]
    assert sweep.settings["short"].to_list() == ["rate=0.05", "rate=0.1"]
    assert sweep.runs.height == 8
    found = (
        sweep.windows.join(sweep.runs.lazy().select("run", "simulated_s"), on="run")
        .group_by("run", "planner", "seed", "workload.rate")
        .agg(goodput=pl.col("deployed_s").filter("met").sum() / pl.col("simulated_s").first())
        .collect()
    )
    both = found.join(sweep.runs, on=["run", "planner", "seed", "workload.rate"])
    assert both.height == 8
    np.testing.assert_allclose(both["goodput"], both["service_goodput_mean"], atol=1e-12)
    queries = sweep.queries.group_by("run").agg(pl.len()).collect().join(sweep.runs, on="run")
    assert queries["len"].to_list() == queries["queries"].to_list()


def test_parts_of_latency_add_up_to_the_mean_of_the_windows(made):
    analysis = analyse(read_sweep(made))
    parts = ["queueing", "batching", "compute", "transfer"]
    sums = analysis.latency.group_by("setting", "planner").agg(pl.sum_horizontal(parts).sum())
    weighted = pl.col("latency_mean_s").fill_nan(0) * pl.col("completed")
    means = (
        analysis.sweep.windows.group_by("setting", "planner")
        .agg((weighted.sum() / pl.col("completed").sum()).alias("mean"))
        .collect()
    )
    both = sums.join(means, on=["setting", "planner"])
    assert both.height == 4
    np.testing.assert_allclose(both["queueing"], both["mean"], rtol=1e-6)


def test_what_operators_do_at_the_same_time_is_not_added_up(sweep, monkeypatch):
    def drawn():
        analysis = analyse(read_sweep(sweep))
        by_planner = latency_by_planner(analysis)
        by_operator = latency_by_operator(analysis, pooled_operators(analysis.latency), "")
        captions = "".join(one.caption for one in _drawings(analysis))
        labels = [axes.get_xlabel() for axes in by_planner.axes]
        titles = [axes.get_title() for axes in by_operator.axes]
        return "".join((*labels, *titles, captions)), analysis, by_planner

    said, analysis, _ = drawn()
    assert "mean time of a request (ms)" in said
    assert "same time" not in said
    assert works_at_once(analysis.latency) is False
    for windows in sweep.glob("*/windows/*.parquet"):
        rows = pl.read_parquet(windows)
        rows.with_columns(pl.col("latency_mean_s") * 0.8).write_parquet(windows)
    said, analysis, figure = drawn()
    assert said.count("sum over operators, some at the same time (ms)") == 2
    assert said.count("in all,\nsome at the same time") == 2
    assert "in brackets is the mean of a request" in said
    assert "less than they add up to" in said
    sum_ms, mean_ms = (
        float(text.replace(",", ""))
        for text in figure.axes[0].texts[0].get_text().removesuffix(")").split(" (")
    )
    assert mean_ms == pytest.approx(0.8 * sum_ms, rel=0.01)
    # Of a run whose windows have latencies over the length of the output, the mean is not known.
    for config in sweep.glob("*/config.yaml"):
        config.write_text(config.read_text() + "\napplication: {latency_per: output_length}\n")
    said, analysis, _ = drawn()
    assert "same time" not in said
    assert analysis.latency["latency_mean_s"].null_count() == analysis.latency.height


def test_operators_are_summed_as_if_each_row_looked_its_window_up(sweep):
    # A run that was killed has windows whose operators were not written any more.
    [*_, last] = sorted((sweep / "3" / "operators").iterdir())
    last.unlink()
    read = read_sweep(sweep)
    keys = ["run", "query", "window"]
    weight = pl.col("completed")
    expected = (
        read.operators.join(read.windows.select(*keys, weight, "latency_mean_s"), on=keys)
        .group_by("run", "operator")
        .agg(
            weight.sum(),
            (pl.col("latency_mean_s") * weight).sum().alias("latency_s"),
            *((pl.col(f"{one}_s") * weight).sum().alias(one) for one in PARTS),
        )
        .sort("run", "operator")
        .collect()
    )
    _, found = totals(read)
    assert found["run"].unique(maintain_order=True).to_list() == list("0124567")
    found = found.sort("run", "operator").drop("at")
    assert_frame_equal(found, expected, check_row_order=True, rel_tol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_operators_are_summed_alike_however_their_rows_lie_in_files(sweep, rows):
    _, expected = totals(read_sweep(sweep))
    for file in sweep.glob("*/operators/part-00001.parquet"):
        in_groups_of(file, rows)
    assert_frame_equal(totals(read_sweep(sweep))[1], expected)
    exchange_two_windows_in_the_middle(file)
    in_groups_of(file, rows)
    with pytest.raises(InputError, match="other rows than its windows"):
        totals(read_sweep(sweep))


def test_operators_of_each_part_have_the_order_of_the_first(sweep):
    _, expected = totals(read_sweep(sweep))
    second = in_two_parts(sweep / "0" / "operators" / "part-00001.parquet")
    assert_frame_equal(totals(read_sweep(sweep))[1], expected)
    exchange(second, 0, 1)
    with pytest.raises(InputError, match=r"part-00002\.parquet has other rows than its windows"):
        totals(read_sweep(sweep))


@pytest.mark.slow
def test_a_process_of_its_own_adds_up_alike_and_says_what_it_cannot_read(sweep, monkeypatch):
    expected = totals(read_sweep(sweep))
    monkeypatch.setattr("lab.report.sums.LEAST_APART_BYTES", 0)
    monkeypatch.setattr("lab.report.sums.totals", lambda sweep: pytest.fail("not apart"))
    for found, sums in zip(totals_meanwhile(read_sweep(sweep))(), expected, strict=True):
        assert_frame_equal(found, sums)
    without_its_last(sweep / "0" / "operators" / "part-00001.parquet")
    with pytest.raises(InputError, match="ends in the midst of a window"):
        totals_meanwhile(read_sweep(sweep))()


def test_a_process_that_was_killed_is_told_of_in_a_sentence(sweep, monkeypatch):
    monkeypatch.setattr("lab.report.sums.LEAST_APART_BYTES", 0)
    others = set(multiprocessing.active_children())
    sums = totals_meanwhile(read_sweep(sweep))
    [apart] = set(multiprocessing.active_children()) - others
    apart.kill()
    with pytest.raises(InputError, match="the process that adds up its windows was killed"):
        sums()


def test_page_says_what_all_runs_share(made, tmp_path):
    here = shutil.copytree(made, tmp_path / "sweep")
    assert main(["report", str(here)]) == 0
    page = (here / "report" / "index.html").read_text(encoding="utf-8")
    [shared] = re.findall(r"<dt>In all runs</dt>\s*<dd>(.*?)</dd>", page)
    assert "application.name=speech_recognition" in shared
    assert "horizon_s=120" in shared
    assert "cluster.discipline=fifo" in shared
    assert "drift.events=[]" in shared
    assert "workload.rate" not in shared  # It is varied.


def test_where_no_process_can_start_sums_are_made_without(sweep, monkeypatch):
    expected = totals(read_sweep(sweep))
    monkeypatch.setattr("lab.report.sums.LEAST_APART_BYTES", 0)
    monkeypatch.setattr("lab.report.sums._add_up", os._exit)  # Fails, of two arguments.
    for found, sums in zip(totals_meanwhile(read_sweep(sweep))(), expected, strict=True):
        assert_frame_equal(found, sums)


def test_time_and_goodput_over_time_agree_with_the_summaries(made):
    analysis = analyse(read_sweep(made))
    shares = analysis.time.select(
        pl.sum_horizontal(pl.exclude("^(setting|workload.rate|planner|.*_s)$"))
    )
    np.testing.assert_allclose(shares.to_series(), 1, atol=1e-9)
    over_time = analysis.goodput.group_by("setting", "planner").agg(
        goodput=(pl.col("goodput") * (pl.col("end_s") - pl.col("start_s"))).sum() / 120
    )
    means = analysis.means.filter(metric="service_goodput_mean")
    both = over_time.join(means, on=["setting", "planner"])
    np.testing.assert_allclose(both["goodput"], both["mean"], atol=1e-9)


def test_each_class_of_service_has_its_share_of_the_time(made):
    analysis = analyse(read_sweep(made))
    by = ["setting", "planner", "tier"]
    met_s = pl.col("deployed_s").filter("met").sum()
    runs = analysis.sweep.windows.group_by(*by, "seed").agg(share=met_s / pl.col("active_s").sum())
    means = runs.group_by(by).agg(pl.len().alias("seeds"), pl.col("share").mean()).collect()
    both = analysis.tiers.join(means, on=by)
    assert both.height == analysis.tiers.height == means.height > 8
    assert both["n"].to_list() == both["seeds"].to_list()
    np.testing.assert_allclose(both["mean"], both["share"], rtol=1e-9)
    assert (analysis.tiers["high"].drop_nulls() <= 1).all()
    counts = analysis.sweep.queries.group_by("setting", "planner").agg(pl.len() / 2).collect()
    summed = analysis.tiers.group_by("setting", "planner").agg(pl.col("queries").sum())
    assert_frame_equal(
        summed.rename({"queries": "len"}), counts, check_row_order=False, check_dtypes=False
    )


def test_the_page_has_classes_of_service_where_there_are_several(sweep):
    shown = {one.title: one for one in tables(analyse(read_sweep(sweep)))}["Classes of service"]
    assert shown.head == [
        *("workload.rate", "tier", "planner", "n", "queries", "SLO met, share of time")
    ]
    assert shown.rows[0][1].text == "economy"
    assert "[" in shown.rows[0][-1].text
    for number in range(8):  # one class alone, and runs of before there was that figure
        one = {"slo_met_fraction_by_tier": {"only": 0.5}, "queries_by_tier": {"only": 3}}
        spoil(sweep / str(number), **(one if number < 4 else dict.fromkeys(one)))
    assert "Classes of service" not in [one.title for one in tables(analyse(read_sweep(sweep)))]


def test_a_window_without_requests_fails_on_no_part(sweep):
    idle = {"met": False, "repeated": True, "accuracy_met": False, "cost_met": False}
    for path in (sweep / "0" / "windows").iterdir():
        windows = pl.read_parquet(path)
        windows.with_columns(pl.lit(held).alias(name) for name, held in idle.items()).write_parquet(
            path
        )
    sums_s = totals(read_sweep(sweep))[0].filter(run="0").select(WINDOW_S).sum().row(0, named=True)
    assert sums_s.pop("active_s") >= sums_s.pop("deployed_s") > 0
    assert set(sums_s.values()) == {0.0}


# Names


def test_keys_that_say_the_same_are_one():
    base = {"application.name": "a", "horizon_s": 1, "workload.rate": 1, "application.x": 1}
    other = {"application.name": "b", "horizon_s": 2, "workload.rate": 1, "application.x": 2}
    assert swept_keys([base, other]) == {"application.name": ["horizon_s"]}
    assert list(swept_keys([base, other, other | {"workload.rate": 2}])) == [
        "application.name",
        "workload.rate",
    ]
    assert swept_keys([base, base]) == {}


def test_long_values_are_called_by_their_kinds_or_numbers():
    long = [{"kind": "burst", "at_s": 15.0, "factor": 2.0}]
    later = [{"kind": "burst", "at_s": 30.0, "factor": 2.0}]
    assert short_texts([[], long]) == ["[]", "burst"]
    assert short_texts([[], long, later]) == ["[]", "#2", "#3"]


@pytest.mark.parametrize(
    ("key", "unit"),
    [
        ("workload.rate", "queries/s"),
        ("horizon_s", "s"),
        ("cluster.nodes.edge.boot_s", "s"),
        ("network.backhaul_bps", "bit/s"),
        ("network.backhaul_km", "km"),
        ("application.requests_per_s", "requests/s"),
        ("cluster.load_bytes_per_s", "bytes/s"),
        ("application.answer_bytes", "bytes"),
        ("planner.switch_usd_per_hour", "USD/h"),
        ("cluster.profiling.lanes", ""),
        ("cluster.profiling.workers", ""),
        ("planner.alpha_accuracy", ""),
    ],
)
def test_the_name_of_a_key_tells_its_unit(key, unit):
    assert unit_of(key) == unit


def test_the_axis_of_a_key_has_its_unit(sweep):
    assert main(["report", str(sweep)]) == 0
    svg = (sweep / "report" / "figures" / "by_workload_rate.svg").read_text()
    assert "<!-- rate (queries/s) -->" in svg


@pytest.mark.parametrize(
    ("kept", "below"),
    [
        (range(8), ["means over all settings and seeds"]),
        pytest.param((0, 2, 4, 6), ["means over all settings"], marks=pytest.mark.slow),
        pytest.param((4, 5, 6, 7), ["means over all seeds"], marks=pytest.mark.slow),
        ((0, 2), []),
    ],
)
def test_the_picture_of_operators_says_over_what_it_is_a_mean(sweep, kept, below):
    for number in set(range(8)) - set(kept):
        shutil.rmtree(sweep / str(number))
    assert main(["report", str(sweep)]) == 0
    svg = (sweep / "report" / "figures" / "operators.svg").read_text()
    assert re.findall("<!-- (means over .*) -->", svg) == below


@pytest.mark.slow
@pytest.mark.parametrize(("cost_usd", "dominated"), [(1.0, False), (3.0, True)])
def test_the_legend_speaks_of_hollow_marks_where_there_are_some(sweep, cost_usd, dominated):
    for number in range(8):
        first = number in (0, 1, 4, 5)  # The first planner serves less, for less or for more.
        aims = {"service_goodput_mean": 1.0, "deployment_cost_usd": cost_usd}
        others = {"service_goodput_mean": 2.0, "deployment_cost_usd": 2.0}
        spoil(sweep / str(number), response_time_p50_s=1.0, **(aims if first else others))
    assert analyse(read_sweep(sweep)).pareto["dominated"].any() == dominated
    assert main(["report", str(sweep)]) == 0
    svg = (sweep / "report" / "figures" / "pareto.svg").read_text()
    assert ("<!-- hollow: dominated -->" in svg) == dominated


def test_planners_are_named_by_the_parts_that_differ():
    def one(search, **values):
        return "Compass", "planners.Compass", {"search": search, "watch": "Watch(a=1)"} | values

    names = planner_names([one("Cmbo(budget=2)"), one("Random()"), one("Cmbo(budget=3)")])
    assert names[1] == "Compass(search=Random)"
    alike = planner_names([one("Cmbo(budget=2)"), one("Cmbo(budget=3)")])
    assert alike == ["Compass(search.budget=2)", "Compass(search.budget=3)"]


# The command


class Links(HTMLParser):
    """Collects what a page refers to, and the cells of its tables."""

    def __init__(self):
        super().__init__()
        self.links, self.sources, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        if tag == "a":
            self.links.append(given["href"])
        if "src" in given:
            self.sources.append(given["src"])


def test_report_writes_a_page_that_stands_alone(sweep, capsys):
    assert main(["report", str(sweep)]) == 0
    folder = sweep / "report"
    assert capsys.readouterr().out.endswith(f"report: {folder / 'index.html'}\n")
    text = (folder / "index.html").read_text()
    page = Links()
    page.feed(text)
    assert page.sources
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert page.links
    assert all((folder / link).is_file() for link in page.links)
    assert "link" not in page.tags
    assert "8 with results, 8 finished" in text
    frames = {path.stem: pl.read_parquet(path) for path in folder.glob("*.parquet")}
    assert frames["runs"].equals(read_sweep(sweep).runs)
    assert frames["windows"].equals(read_sweep(sweep).windows.collect())
    assert frames["queries"].height == frames["runs"]["queries"].sum()
    for path in (folder / "figures").glob("*.svg"):
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_report_gives_the_same_bytes_again(sweep):
    def written():
        assert main(["report", str(sweep)]) == 0
        files = (sweep / "report").rglob("*.*")
        return {path.name: path.read_bytes() for path in files if path.is_file()}

    assert written() == written()


def test_unfinished_failed_and_missing_runs_are_named_and_escaped(sweep, capsys):
    spoil(sweep / "7", simulated_s=20.0, status="interrupted")
    shutil.rmtree(sweep / "3")
    (sweep / "8").mkdir()
    (sweep / "8" / "error.txt").write_text("planner: <script>alert(1)</script> is refused\n")
    assert main(["report", str(sweep)]) == 0
    out = capsys.readouterr().out
    assert "Left out, since they are not finished: 7 (interrupted at 20 of 120 s)." in out
    assert "Missing: 3 (never ran)." in out
    text = (sweep / "report" / "index.html").read_text()
    assert "7 with results, 6 finished, 1 interrupted" in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_planner_that_did_nothing_but_raise_has_failed_in_a_report_too(sweep):
    first = "ValueError: no plan today (my_pkg.py, line 7)"
    spoil(sweep / "3", status="failed", service_goodput_mean=0.0, planner_error_first=first)
    analysis = analyse(read_sweep(sweep))
    assert counts(analysis) == "8 with results, 7 finished, 1 failed"
    assert list(problems(analysis)) == [
        "Failed, since the planner did nothing but raise, and counted all the same: "
        f"3 (Greedy: {first})."
    ]
    assert analysis.sweep.finished.height == 8


def test_runs_of_several_versions_are_told_apart(sweep):
    assert "versions" not in " ".join(problems(analyse(read_sweep(sweep))))
    ours = versions()
    spoil(sweep / "3", versions=ours | {"numpy": "1.0"})
    older = read_summary(sweep / "5")
    del older["versions"]
    write_summary(sweep / "5", older)
    assert list(problems(analyse(read_sweep(sweep)))) == [
        "Runs are of several versions, and may differ by that, too: "
        f"numpy {ours['numpy']} (0, 1, 2, 4, 6, 7); numpy 1.0 (3); not noted (5)."
    ]
    spoil(sweep / "3", versions=ours)
    assert list(problems(analyse(read_sweep(sweep)))) == [
        "Runs are of several versions, and may differ by that, too: "
        f"compass-sim {ours['compass-sim']} (0, 1, 2, 3, 4, 6, 7); not noted (5)."
    ]


@pytest.mark.slow
def test_failed_and_missing_jobs_beside_the_only_run_are_told_first(sweep, capsys):
    for number in (0, *range(2, 8)):
        shutil.rmtree(sweep / str(number))
    (sweep / "0").mkdir()
    (sweep / "0" / "error.txt").write_text("workload.rate=-1.0: must be above 0\n")
    assert main(["report", str(sweep / "1")]) == 0
    assert " jobs failed" not in capsys.readouterr().out
    assert main(["report", str(sweep)]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "1 of 2 jobs failed: 0 (workload.rate=-1.0: must be above 0)"
    assert any("service goodput" in line for line in rest)
    (sweep / "jobs.yaml").write_text("\n".join(f"- [seed={seed}]" for seed in range(4)))
    assert main(["report", str(sweep)]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("1 of 4 jobs failed: 0 (")
    assert second == "2 of 4 jobs are missing: 2 (never ran); 3 (never ran)"


def test_jobs_that_a_sweep_noted_and_never_came_to_are_missing(sweep):
    (sweep / "jobs.yaml").write_text("\n".join(f"- [seed={seed}]" for seed in range(10)))
    assert read_sweep(sweep).without.rows() == [
        ("8", "missing", "never ran"),
        ("9", "missing", "never ran"),
    ]


def test_jobs_are_missing_also_while_a_sweep_is_under_way_and_beside_a_stray_folder(sweep):
    shutil.rmtree(sweep / "3")
    never = ("3", "missing", "never ran")
    (sweep / ".progress").mkdir()  # as of a sweep under way, or one that was killed
    assert read_sweep(sweep).without.rows() == [never]
    (sweep / "3").mkdir()  # as it is left by a job that was killed as it began
    assert read_sweep(sweep).without.rows() == [never]
    (sweep / "stray").mkdir()
    assert read_sweep(sweep).without.rows() == []
    (sweep / "jobs.yaml").write_text("\n".join(f"- [seed={seed}]" for seed in range(9)))
    assert read_sweep(sweep).without.rows() == [never, ("8", "missing", "never ran")]


def test_one_seed_has_no_interval_and_says_so(sweep):
    for number in (1, 3, 5, 7):
        shutil.rmtree(sweep / str(number))
    analysis = analyse(read_sweep(sweep))
    assert analysis.differences["boot_low"].null_count() == analysis.differences.height
    said = " ".join(claim.text for claim in claims(analysis))
    assert "no interval" in said
    assert main(["report", str(sweep)]) == 0


class Captions(HTMLParser):
    """Collects the captions of figures, and the whole text of a page."""

    def __init__(self):
        super().__init__()
        self.found, self.text, self.inside = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.inside = tag
        if tag == "figcaption":
            self.found.append("")

    def handle_data(self, data):
        if self.inside == "figcaption":
            self.found[-1] += data
        if self.inside not in ("style", "script"):
            self.text.append(data)


def test_a_report_of_a_single_run_speaks_of_no_others(sweep, capsys):
    assert main(["report", str(sweep / "0")]) == 0
    page = Captions()
    page.feed((sweep / "0" / "report" / "index.html").read_text())
    captions = [" ".join(caption.split()) for caption in page.found]
    assert all(captions)  # The run's own figures have some, too.
    assert "Service goodput over time. One seed, hence no intervals." in " ".join(captions)
    text = " ".join(" ".join(page.text).split())
    assert "There is one finished run, hence no interval" in text
    for words in ("over seeds", "and seeds", "settings", "hollow", "bootstrap", "t-interval"):
        assert words not in text.replace("not over seeds", "")
    assert "In the run" in text


def test_a_report_on_one_seed_has_no_differences_over_seeds(sweep, capsys):
    for number in (1, 3, 5, 7):
        shutil.rmtree(sweep / str(number))
    assert main(["report", str(sweep)]) == 0
    page = Captions()
    page.feed((sweep / "report" / "index.html").read_text())
    text = " ".join(" ".join(page.text).split())
    assert "Differences on one seed: to the right of the line" in text
    assert "Means over completed requests, of all settings." in text
    for words in ("over seeds", "Means over up to", "bootstrap", "t-test"):
        assert words not in text
    said = capsys.readouterr().out
    assert "1 seed, hence no intervals" in said
    for words in ("over seeds", "paired t", "t-intervals"):
        assert words not in said


def test_who_is_best_is_counted_where_every_planner_finished(sweep):
    def counted():
        return " ".join(part for one in claims(analyse(read_sweep(sweep))) for part in one.details)

    assert re.search(r"best in \d of 2", counted())
    for number in (4, 5):  # The first planner's runs at the second rate.
        shutil.rmtree(sweep / str(number))
    assert re.search(r"best in \d of 1", counted())
    assert not re.search(r"best in \d of 2", counted())


def said_of_goodput(directory):
    """Return what is said first of goodput, and what of seeds that planners lack."""
    found = {one.text: one.details for one in claims(analyse(read_sweep(directory)))}
    [winner] = [text for text in found if "highest service goodput" in text]
    [unlike] = [text for text in found if "finished unlike seeds" in text]
    return winner, found[winner], unlike, found[unlike]


def test_a_ratio_is_left_out_where_it_points_another_way_than_the_difference(sweep):
    for number in "4567":
        shutil.rmtree(sweep / number)

    def said(*of_greedy):
        for number, cost in zip("0123", (6.0, 6.0, *of_greedy), strict=True):
            spoil(sweep / number, deployment_cost_usd=cost)
        found = {one.text: one.details for one in claims(analyse(read_sweep(sweep)))}
        [[sentence]] = [found[text] for text in found if "lowest deployment cost" in text]
        return sentence

    assert said(8.0, 8.0) == (  # Twice the same is no proof.
        "No clear difference: 2 [2, 2] USD less than Greedy (0.75 times as much, p = 0.500)."
    )
    # By arithmetic means Greedy costs a quarter dollar more, by geometric ones less.
    assert re.fullmatch(r"No clear.*: 0\.25 .* USD less than Greedy \(p = 0.*", said(2.0, 10.5))


def test_of_several_settings_one_that_lacks_a_value_is_said_to(sweep):
    for number in "01234567":
        spoil(sweep / number, response_time_p50_s=1.0)
    for number in "01":
        spoil(sweep / number, response_time_p50_s=None)

    def said():
        found = {one.text: one.details for one in claims(analyse(read_sweep(sweep)))}
        return next(found[text][0] for text in found if "shortest median response" in text)

    assert said() == (
        "CheapestFeasible lacks one in at least one setting on 2 of 2 seeds, so is behind. "
        "CheapestFeasible: no seed in which both have a value in every setting."
    )
    for number in "4567":
        shutil.rmtree(sweep / number)
    assert said() == (
        "CheapestFeasible has none on 2 of 2 seeds, so is behind. "
        "CheapestFeasible: no seed in which both have a value."
    )


def test_the_winner_is_that_of_the_seeds_that_all_finished(sweep):
    for number, goodput in zip("0124567", (2.0, 9.0, 3.0, 9.0, 9.0, 1.0, 1.0), strict=True):
        spoil(sweep / number, service_goodput_mean=goodput)
    for number in "367":  # Greedy's on the second seed, and all at the second rate.
        shutil.rmtree(sweep / number)
    winner, details, unlike, lacking = said_of_goodput(sweep)
    assert winner.startswith("Greedy has the highest service goodput: 3 queries")
    assert winner.endswith("over the 1 pair of setting and seed that all finished.")
    assert details[0].startswith("1 queries more than CheapestFeasible")
    assert details[1] == "By setting: best in 1 of 1, clearly ahead of all others in 0."
    assert "over the 1 pair of setting and seed of 4" in unlike
    assert lacking == ["Greedy has not finished rate=0.05, seeds 0 and 1; rate=0.1, seed 1."]
    for number in "45":  # One setting is left.
        shutil.rmtree(sweep / number)
    winner, details, unlike, lacking = said_of_goodput(sweep)
    assert winner.startswith("Greedy has the highest service goodput: 3 queries")
    assert winner.endswith("over the 1 seed that all finished.")
    assert details[0].startswith("1 queries more than CheapestFeasible")
    assert "over the 1 seed of 2" in unlike
    assert lacking == ["Greedy has not finished seed 1."]
    analysis = analyse(read_sweep(sweep))
    dominated = dict(analysis.pareto.select("planner", "n").rows())
    assert dominated == {"CheapestFeasible": 1, "Greedy": 1}
    assert main(["report", str(sweep)]) == 0


def test_figures_over_time_are_of_the_seeds_that_all_finished(sweep):
    spoil(sweep / "3", simulated_s=20.0, status="interrupted")  # Greedy's second seed.
    unlike = analyse(read_sweep(sweep))
    counts = unlike.goodput.select("workload.rate", "planner", "n").unique()
    assert set(counts.select("workload.rate", "n").rows()) == {(0.1, 1), (0.05, 2)}
    assert counts.height == 4
    shutil.rmtree(sweep / "1")
    alike = analyse(read_sweep(sweep))
    assert_frame_equal(unlike.goodput, alike.goodput)
    assert_frame_equal(unlike.time, alike.time)
    assert_frame_equal(unlike.latency, alike.latency)


def test_what_is_pooled_is_of_settings_that_all_planners_finished(sweep):
    whole = analyse(read_sweep(sweep))
    for number in "67":  # Greedy's at the second rate.
        spoil(sweep / number, simulated_s=20.0, status="interrupted")
    unlike = analyse(read_sweep(sweep))
    assert unlike.latency["setting"].n_unique() == 2
    at_first = whole.latency.filter(pl.col("workload.rate") == 0.1)
    assert_frame_equal(pooled_operators(unlike.latency), pooled_operators(at_first))


def test_where_no_seed_is_common_to_all_nobody_wins(sweep):
    for number in "124567":
        shutil.rmtree(sweep / number)
    assert main(["report", str(sweep)]) == 0
    text = (sweep / "report" / "index.html").read_text()
    assert "No seed has finished runs of every planner" in text
    assert "CheapestFeasible has not finished seed 1." in text
    assert "has the highest" not in text
    assert analyse(read_sweep(sweep)).time.height == 2


def test_latency_has_planners_in_the_order_of_the_sweep(sweep):
    for first, second in zip("0145", "2367", strict=True):  # Greedy's runs come first.
        (sweep / first).rename(sweep / "aside")
        (sweep / second).rename(sweep / first)
        (sweep / "aside").rename(sweep / second)
    analysis = analyse(read_sweep(sweep))
    for frame in (analysis.latency, analysis.goodput, analysis.time):
        assert frame["planner"].unique(maintain_order=True).to_list() == planners_of(analysis.sweep)
    assert planners_of(analysis.sweep) != sorted(planners_of(analysis.sweep))


def test_nothing_finished_and_no_windows(sweep):
    for number in range(8):
        spoil(sweep / str(number), simulated_s=0.0, status="running")
        shutil.rmtree(sweep / str(number) / "windows")
    assert main(["report", str(sweep)]) == 0
    assert "No run has finished" in (sweep / "report" / "index.html").read_text()


@pytest.mark.slow
def test_unlike_horizons_are_settings_of_their_own(sweep):
    config = (sweep / "7" / "config.yaml").read_text()
    (sweep / "7" / "config.yaml").write_text(config.replace("horizon_s: 120.0", "horizon_s: 60.0"))
    spoil(sweep / "7", horizon_s=60.0, simulated_s=60.0)
    read = read_sweep(sweep)
    assert list(read.keys) == ["horizon_s", "workload.rate"]
    assert read.settings.height == 3
    assert main(["report", str(sweep)]) == 0


def test_comparisons_are_read_in_their_order(made, tmp_path):
    order = {"1": "b", "0": "a"}  # as they were compared, not by the alphabet
    for seed in (0, 1):
        parent = tmp_path / str(seed)
        summaries = {}
        for place, name in order.items():
            number = 2 * int(place) + seed
            shutil.copytree(made / str(number), parent / name)
            spoil(parent / name, planner=name)
            summaries[name] = read_summary(parent / name)
        (parent / "summary.json").write_text(json.dumps(summaries))
    read = read_sweep(tmp_path)
    assert read.runs["run"].to_list() == ["0/b", "0/a", "1/b", "1/a"]
    assert analyse(read).differences.select("planner", "other").unique().rows() == [("b", "a")]


@pytest.mark.parametrize(
    ("spoiling", "said"),
    [
        (lambda it: it / "nowhere", "no such directory"),
        (lambda it: it / "0" / "summary.json", "is a file"),
        (lambda it: it / "0" / "windows", "lies within the run"),
        (lambda it: (it / "0" / "summary.json").write_text("{") and it, "cannot be read as JSON"),
        (lambda it: (it / "0" / "summary.json").write_text("{}") and it, "is no summary of a run"),
        (lambda it: (it / "0" / "config.yaml").unlink() or it, "no configuration of a run"),
        (
            lambda it: reverse(it / "0" / "operators" / "part-00001.parquet") or it,
            "0/operators/part-00001.parquet has other rows than its windows, or another order",
        ),
        (
            lambda it: (
                exchange_two_windows_in_the_middle(it / "0" / "operators" / "part-00001.parquet")
                or it
            ),
            "0/operators/part-00001.parquet has other rows than its windows, or another order",
        ),
        (
            lambda it: without_its_last(sorted((it / "0" / "operators").iterdir())[-1]) or it,
            "parquet ends in the midst of a window",
        ),
        (
            lambda it: (it / "0" / "queries" / "part-00000.parquet").write_text("x") and it,
            "0/queries/part-00000.parquet is damaged or no Parquet file; delete 0, and resume=true",
        ),
        (
            lambda it: (it / "0" / "windows" / "part-00000.parquet").write_text("x") and it,
            "0/windows/part-00000.parquet is damaged or no Parquet file; delete 0, and resume=true",
        ),
        (
            lambda it: shutil.rmtree(it / "1" / "operators") or it,
            "1/operators is missing, though the run has finished; delete 1, and resume=true",
        ),
    ],
)
def test_what_is_no_sweep_is_refused_in_one_sentence(sweep, capsys, spoiling, said):
    assert main(["report", str(spoiling(sweep))]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err


def test_a_directory_far_above_names_what_lies_below(made, tmp_path):
    deep = tmp_path / "a" / "b" / "c" / "d" / "e"
    shutil.copytree(made / "0", deep)
    with pytest.raises(InputError, match=re.escape(f"holds no results, though {deep} does")):
        read_sweep(tmp_path)


def test_an_unknown_table_is_refused(made):
    with pytest.raises(InputError, match=r"table='wndows'.*windows"):
        read_sweep(made).scan("wndows")
    with pytest.raises(InputError, match=r"table='wndows'.*windows"):
        read_sweep(made).count("wndows")


def test_a_table_of_very_many_rows_is_not_written_again(sweep, monkeypatch):
    monkeypatch.setattr("lab.report.tables.MOST_ROWS", read_sweep(sweep).count("queries"))
    assert main(["report", str(sweep)]) == 0
    assert (sweep / "report" / "queries.parquet").is_file()
    assert not (sweep / "report" / "windows.parquet").exists()
    assert "windows" in (sweep / "report" / "index.html").read_text()


def test_names_of_directories_may_look_like_patterns(made, tmp_path):
    odd = tmp_path / "exp[2] *?"
    shutil.copytree(made, odd)
    assert main(["report", str(odd)]) == 0
    assert main(["explain", str(odd / "0"), "0"]) == 0
    assert read_sweep(odd).count("windows") == read_sweep(made).count("windows") > 0
