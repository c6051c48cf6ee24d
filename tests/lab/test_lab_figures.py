"""Figures: the numbers behind them, and that each renders whatever a run wrote."""

import json
from math import inf
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from rows_by_hand import summary, window

from lab.analysis import run_data as figure_data
from lab.reporting import run_figures as figures
from lab.reporting.plotting import style as figure_style
from lab.reporting.plotting.style import legend, steps
from lab.reporting.run_figures import draw_comparison, draw_run
from lab.runs.run_directory import scan
from sim.metrics.results import SCHEMAS

RUN = ["goodput.png", "latency.png", "cost.png", "latency_parts.png"]
PNG = b"\x89PNG"


def write(directory, table, rows, part=0):
    (directory / table).mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, schema=dict(SCHEMAS[table])).write_parquet(
        directory / table / f"part-{part:05}.parquet"
    )


def window_of(query, index, **values):
    return window(index, query=query, **{"requests": 20, "completed": 20, "cost_usd": 0.5} | values)


@pytest.fixture
def run(tmp_path):
    """A run of two queries, with a window without any and a last one cut by the horizon."""
    directory = tmp_path / "A"
    write(directory, "windows", [window_of(0, 0), window_of(1, 0, met=False, completed=60)])
    cut = {"final": False, "active_s": 30.0, "deployed_s": 15.0, "latency_p95_s": inf}
    write(
        directory, "windows", [window_of(0, 2, **cut), window_of(1, 2, **cut, tier="gold")], part=1
    )
    write(
        directory,
        "queries",
        [
            {"query": 0, "departure_s": 150.0, "response_time_s": 5.0},
            {"query": 1, "departure_s": 140.0, "censored_after_s": 140.0},
        ],
    )
    parts = {"window": 0, "batching_s": 0.0, "compute_s": 0.0, "transfer_s": 0.0}
    write(
        directory,
        "operators",
        [
            {"query": q, "operator": operator, "queueing_s": queueing, **parts}
            for q, operator, queueing in ((0, "z", 1.0), (0, "a", 2.0), (1, "z", 5.0))
        ],
    )
    money = {"attributed_cost_usd": 2.0, "idle_cost_usd": 1.0, "deployment_cost_usd": 3.0}
    (directory / "summary.json").write_text(json.dumps(summary("Handmade") | money))
    return directory


def test_scan_reads_all_parts_and_a_table_without_parts(run, tmp_path):
    assert scan(run, "windows").collect().height == 4
    for table, schema in SCHEMAS.items():
        empty = scan(tmp_path / "nowhere", table).collect()
        assert empty.height == 0
        assert empty.schema == schema
    with pytest.raises(ValueError, match=r"table='wndows'.*windows"):
        scan(run, "wndows")


def test_goodput_is_weighted_by_deployed_time_and_observed_length(run):
    frame = figure_data.by_window(run)
    # Of the last window the horizon at 150 s leaves 30 s, of which both were deployed for 15.
    assert frame["end_s"].to_list() == [60, 120, 150]
    assert frame["goodput"].to_list() == [1, 0, 1]
    assert frame["active"].to_list() == [2, 0, 2]
    assert frame["cost_usd"].to_list() == [1, 0, 1]


def test_latency_parts_are_weighted_by_requests_in_order_of_the_pipeline(run):
    frame = figure_data.part_means(run)
    assert frame["operator"].to_list() == ["z", "a"]
    assert frame["queueing"].to_list() == [(1.0 * 20 + 5.0 * 60) / 80, 2.0]


@pytest.mark.parametrize(
    ("mean_s", "config", "title"),
    [
        (6.0, "", "6,000 ms in total"),
        (4.0, "", "4,000 ms in total,\nsome in parallel"),
        (4.0, "application: {latency_per: output_length}", "6,000 ms in total"),
    ],
)
def test_what_operators_do_at_the_same_time_is_not_added_up(run, mean_s, config, title):
    write(run, "windows", [window_of(0, 0, completed=60, latency_mean_s=mean_s)])
    unserved = {"query": 1, "completed": 0, "latency_mean_s": float("nan")}
    write(run, "windows", [window_of(0, 3, latency_mean_s=99.0), window(4, **unserved)], part=1)
    parts = {"batching_s": 0.0, "queueing_s": 0.0, "transfer_s": 0.0, "compute_s": 3.0}
    rows = [{"query": 0, "window": 0, "operator": name, **parts} for name in ("see", "hear")]
    write(run, "operators", rows)
    if config:
        (run / "config.yaml").write_text(config)
    [axes] = figures.latency_parts({"A": run}).axes
    assert axes.get_title() == title


def test_infinite_latency_stays_and_idle_windows_do_not(run):
    write(run, "windows", [window_of(0, 1, repeated=True, latency_p95_s=inf)], part=2)
    write(run, "windows", [window_of(0, 1, slo_latency_s=None)], part=3)
    ratios = figure_data.latency_ratios({"A": run})
    assert ratios["standard"].tolist() == [0.5, 0.5, inf]
    assert ratios["gold"].tolist() == [inf]
    x, y = figure_data.distribution(ratios["standard"], 0.1, 10)
    assert x.tolist() == [0.1, 0.5, 0.5, 10]
    assert y == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3])


def test_a_long_distribution_is_thinned_and_keeps_its_ends():
    values = np.append(np.linspace(1, 2, 10_000), inf)
    x, y = figure_data.distribution(values, 0.5, 4)
    assert len(x) == figure_data.MOST_POINTS + 2
    assert (x[1], x[-2]) == (1, 2)
    assert y[-1] == y[-2] == pytest.approx(10_000 / 10_001)


def test_the_cost_of_windows_is_not_called_what_the_bill_attributes(run):
    # What drains after a departure is in the bill, and in no window.
    above, below = figures.cost({"A": run}).axes
    line, bars = (axes.get_legend_handles_labels()[1][0] for axes in (above, below))
    assert (line, bars) == ("attributed in windows", "attributed to queries")


def test_every_figure_of_a_comparison_with_a_planner_that_left_nothing(run):
    paths = draw_comparison(run.parent, ["B", "A", "a planner(with=a, long=name, of_many=words)"])
    assert [path.name for path in paths] == [*RUN, "response.png"]
    assert all(path.read_bytes().startswith(PNG) for path in paths)


def test_figures_of_no_data_say_so_without_an_error(tmp_path):
    assert len(draw_run(tmp_path, "A")) == 4
    assert len(draw_comparison(tmp_path, ["A", "B"])) == 5
    for figure in (figures.goodput, figures.latency, figures.cost, figures.latency_parts):
        texts = [t.get_text() for axes in figure({"A": tmp_path}).axes for t in axes.texts]
        assert "no data" in texts


@pytest.mark.parametrize(
    "response_s", [None, *(pytest.param(each, marks=pytest.mark.slow) for each in (0.0, 3.0))]
)
def test_a_single_query(tmp_path, response_s):
    censored_s = 9.0 if response_s is None else None
    row = {"query": 0, "response_time_s": response_s, "censored_after_s": censored_s}
    write(tmp_path / "A", "queries", [row | {"departure_s": 9.0}])
    never = {"met": False, "latency_p95_s": inf, "completed": 0, "cost_usd": 0.0}
    write(tmp_path / "A", "windows", [window_of(0, 0, **never)])
    assert len(draw_comparison(tmp_path, ["A"])) == 5


def test_response_curve_keeps_the_censored(run):
    (axes,) = figures.response({"A": run}).axes
    curve = axes.lines[0]
    assert curve.get_ydata()[-1] == 0.5
    assert "1 of 2 served" in curve.get_label()


def test_drift_within_the_run_is_marked_and_named_once(run):
    times = ("link_degradation", 30), ("machine_failure", 60)
    later = ("link_degradation", 90), ("content_shift", 150)
    events = "".join(f"{{kind: {kind}, at_s: {at_s}}}, " for kind, at_s in (*times, *later))
    (run / "config.yaml").write_text(f"drift: {{events: [{events}]}}\n")
    figure = figures.goodput({"A": run})
    lines = [
        (line.get_xdata()[0], line.get_label())
        for line in figure.axes[0].lines
        if line.get_color() == figure_style.EVENT_COLOR
    ]
    assert [at_s for at_s, _ in lines] == [30, 60, 90]
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[-2:] == ["link_degradation", "machine_failure"]


def test_batching_is_in_the_legend_only_where_there_is_some(run):
    def labels():
        (legend,) = figures.latency_parts({"A": run}).legends
        return [text.get_text() for text in legend.get_texts()]

    assert labels() == ["queueing", "compute", "transfer"]
    row = {"query": 0, "window": 0, "operator": "z", "batching_s": 1.0}
    rest = dict.fromkeys(("queueing_s", "compute_s", "transfer_s"), 0.0)
    write(run, "operators", [row | rest], part=1)
    assert labels() == ["queueing", "batching", "compute", "transfer"]


def test_every_figure_of_a_run_is_drawn_and_leaves_no_state_behind(run):
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    before = dict(mpl.rcParams)
    paths = draw_run(run, "A")
    assert [path.name for path in paths] == RUN
    assert all(path.parent == run / "figures" for path in paths)
    first = [path.read_bytes() for path in paths]
    assert all(picture.startswith(PNG) for picture in first)
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before
    assert [path.read_bytes() for path in draw_run(run, "A")] == first


def test_a_legend_of_several_panels_names_each_thing_once():
    figure = Figure()
    first, second, empty = figure.subplots(3)
    for axes in (first, second):
        steps(axes, pl.DataFrame({"start_s": [0.0], "end_s": [1.0], "n": [2]}), "n", 1.0, label="a")
    second.plot([0], [0], label="b")
    legend(figure, first, second, empty)
    [drawn] = figure.legends
    assert [text.get_text() for text in drawn.get_texts()] == ["a", "b"]
    bare = Figure()
    legend(bare, bare.subplots())
    assert bare.legends == []


def test_a_picture_that_cannot_be_written_leaves_the_earlier_one_whole(run, monkeypatch):
    before = b"a picture"
    (run / "figures").mkdir()
    for name in RUN:
        (run / "figures" / name).write_bytes(before)

    def half(figure, path, **_):
        Path(path).write_bytes(before[:4])
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError, match="No space left"):
        draw_run(run, "A")
    assert (run / "figures" / "goodput.png").read_bytes() == before
    assert sorted(path.name for path in (run / "figures").iterdir()) == sorted(RUN)
