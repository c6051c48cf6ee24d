"""Names of planners, settings and keys in a report, in its axes and legends."""

import re
import shutil
from dataclasses import replace

import pytest
from spoiled_sweeps import spoil

from lab import read_sweep
from lab.analysis.settings import planner_names, short_texts, swept_keys
from lab.analysis.sweep_analysis import analyse
from lab.cli.tools import main
from lab.config.allowed import unit_of
from lab.reporting.drawings.planners import (
    by_key,
    forest,
    planners_compared,
    trade_offs,
    trade_offs_text,
)
from lab.runs.run_directory import read_summary


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


def test_the_axis_of_a_key_has_its_unit(reported):
    svg = (reported / "report" / "figures" / "by_workload_rate.svg").read_text()
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
def test_the_picture_of_operators_says_over_what_it_is_a_mean(sweep, drawn, kept, below):
    drawn.append("operators.svg")
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


def test_numbers_that_differ_after_six_digits_are_told_apart():
    assert short_texts([0.1, 0.1234561, 0.1234562]) == ["0.1", "0.1234561", "0.1234562"]
    assert short_texts([1234567, 1234568]) == ["1234567", "1234568"]
    assert short_texts([0.1 + 0.2, 1234567]) == ["0.3", "1.23457e+06"]


def test_settings_that_differ_after_six_digits_have_panels_of_their_own(sweep):
    for number in range(8):
        config = sweep / str(number) / "config.yaml"
        text = config.read_text()
        config.write_text(text.replace("rate: 0.05", "rate: 0.1000001"))
    analysis = analyse(read_sweep(sweep))
    drawn = trade_offs(analysis)
    titles = [axes.get_title() for axes in drawn.axes if axes.get_title()]
    assert titles == ["rate=0.1", "rate=0.1", "rate=0.1000001", "rate=0.1000001"]


@pytest.mark.usefixtures("undrawn")
def test_a_setting_without_a_common_seed_is_named_and_the_others_are_drawn(sweep):
    for number in (4, 7):  # one seed of each planner at a rate of 0.05
        shutil.rmtree(sweep / str(number))
    analysis = analyse(read_sweep(sweep))
    drawn = trade_offs(analysis)
    assert [axes.get_title() for axes in drawn.axes] == ["rate=0.1", "rate=0.1"]
    assert trade_offs_text(analysis).endswith("the planners have no common seed there: rate=0.05.")
    assert main(["report", str(sweep)]) == 0
    assert trade_offs_text(analysis) in (sweep / "report" / "index.html").read_text()


def test_the_text_on_trade_offs_says_what_is_drawn(sweep, monkeypatch):
    monkeypatch.setattr("lab.reporting.drawings.planners.MOST_TRADE_OFFS", 1)
    analysis = analyse(read_sweep(sweep))
    assert trade_offs_text(analysis) == "Over all 2 settings."
    apart = replace(analysis, pareto_pooled=analysis.pareto_pooled.clear())
    assert trade_offs_text(apart) == "Shown: 1 of 2 settings."
    assert len(trade_offs(apart).axes) == 2


def test_a_planner_that_the_first_setting_lacks_is_in_legends(sweep):
    for number in (0, 1):  # the seeds at a rate of 0.1, which is the second setting
        other = shutil.copytree(sweep / str(number), sweep / str(number + 8))
        spoil(other, planner="Third")
    analysis = analyse(read_sweep(sweep))
    for name, figure in {
        "minus Third": forest(analysis, "Greedy"),
        "Third": trade_offs(analysis),
    }.items():
        [legend] = figure.legends
        assert name in [text.get_text() for text in legend.get_texts()]


def test_a_panel_says_how_many_points_it_lacks(sweep):
    reached = {0: 5.0, 1: 6.0, 2: 7.0}  # by number of the run; the second seed of Greedy is 3
    for number in range(8):
        spoil(sweep / str(number), response_time_p50_s=reached.get(number))
    figure = by_key(analyse(read_sweep(sweep)), "workload.rate")
    titles = [re.sub(r"\s+", " ", axes.get_title()) for axes in figure.axes[:5]]
    [said] = [each for each in titles if "of 4 points" in each]
    assert said == (
        "median response time (s) of 4 points, 2 not reached, 1 not reached on some seeds"
    )
    for number in range(4, 8):  # the runs of the lower rate
        shutil.rmtree(sweep / str(number))
    figure = planners_compared(analyse(read_sweep(sweep)))
    titles = [re.sub(r"\s+", " ", axes.get_title()) for axes in figure.axes[:5]]
    assert "median response time (s) of 2 points, 1 not reached on some seeds" in titles


def test_planners_are_named_by_the_parts_that_differ():
    def one(search, **values):
        return "Compass", "planners.Compass", {"search": search, "watch": "Watch(a=1)"} | values

    names = planner_names([one("Cmbo(budget=2)"), one("Random()"), one("Cmbo(budget=3)")])
    assert names[1] == "Compass(search=Random)"
    alike = planner_names([one("Cmbo(budget=2)"), one("Cmbo(budget=3)")])
    assert alike == ["Compass(search.budget=2)", "Compass(search.budget=3)"]


def test_runs_that_name_classes_by_earlier_paths_are_of_the_same_planner_and_setting(sweep):
    whole = read_sweep(sweep)
    config = sweep / "0" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    earlier = text.replace("sim.dataplane.blocks.", "sim.blocks.")
    assert earlier != text
    config.write_text(earlier, encoding="utf-8")
    kind = read_summary(sweep / "0")["planner_class"]
    spoil(sweep / "0", planner_class=re.sub(r"\.(teaching|baselines|reference)\.", ".", kind))
    assert read_summary(sweep / "0")["planner_class"] != kind
    again = read_sweep(sweep)
    assert again.keys == whole.keys
    assert again.runs.drop("planner_class").equals(whole.runs.drop("planner_class"))
