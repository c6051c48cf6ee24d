"""``compass-lab trace``: the trace for Perfetto agrees with the table of requests."""

import json
import shutil
import sys

import numpy as np
import polars as pl
import pytest
from matplotlib import image
from matplotlib.figure import Figure
from worlds import BRANCHED, EXAMPLES

from lab import run
from lab.analysis.run_data import PARTS as NAMES
from lab.cli import simulate
from lab.cli.tools import main
from lab.reporting.plotting.style import part_bars
from lab.reporting.trace import after_of, picture, traced
from lab.runs.run_directory import read_summary, write_summary
from sim.metrics.request_table import PARTS

SCENE = [
    "experiment=speech_small",
    "switching=free",
    "planner=videostorm",
    "horizon_s=120",
    "requests=true",
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run"
    run(SCENE, directory=path)
    return path


@pytest.fixture(scope="module")
def rows(directory):
    found = pl.read_parquet(directory / "requests" / "part-*.parquet")
    return found.sort("query", "arrival_s", "number")


def test_slices_of_a_request_follow_each_other_and_fill_its_time(rows):
    completed = 0
    for request in traced(rows):
        if request.outcome != "completed":
            assert not request.slices
            continue
        completed += 1
        ends = [request.start_s, *(each.end_s for each in request.slices)]
        assert [each.start_s for each in request.slices] == pytest.approx(ends[:-1])
        assert ends[-1] == pytest.approx(request.end_s)
        assert {f"{each.part}_s" for each in request.slices} <= set(PARTS)
    assert completed == rows.filter(pl.col("outcome") == "completed").height > 0


def test_requests_on_one_lane_never_overlap_and_lanes_are_no_more_than_needed(rows):
    lanes: dict[tuple[int, int], float] = {}
    most: dict[int, int] = {}
    for request in traced(rows):
        lane = request.query, request.lane
        assert lanes.get(lane, 0.0) <= request.start_s
        lanes[lane] = request.end_s
        most[request.query] = max(most.get(request.query, 0), request.lane + 1)
    for query, count in most.items():
        of_query = rows.filter(pl.col("query") == query)
        starts, ends = of_query["arrival_s"].to_numpy(), of_query["ended_s"].to_numpy()
        at_once = max(int(np.sum((starts <= at) & (ends > at))) for at in starts)
        assert count == max(1, at_once)


@pytest.fixture(scope="module")
def branched(tmp_path_factory):
    """Run the example whose operators fork and join."""
    path = tmp_path_factory.mktemp("branched") / "run"
    words = (
        f"compass-sim --config-dir . application={BRANCHED} planner=videostorm_60s "
        f"horizon_s=300 requests=true figures=false hydra.run.dir={path}"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(EXAMPLES / BRANCHED)
        patch.setattr(sys, "argv", words.split())
        assert simulate.main() == 0
    return path


def test_operators_that_work_at_the_same_time_are_on_tracks_of_their_own(branched):
    found = pl.read_parquet(branched / "requests" / "part-*.parquet")
    found = found.filter(outcome="completed").sort("query", "arrival_s", "number")
    assert found.height > 20
    at_once = 0
    for request, row in zip(
        traced(found, after_of(branched)), found.iter_rows(named=True), strict=True
    ):
        assert request.tracks == 2
        by_name = {each.name: each for each in request.slices}
        begins = [each.start_s for each in request.slices]
        assert min(begins) == request.start_s
        assert max(each.end_s for each in request.slices) == pytest.approx(request.end_s)
        for track in range(2):
            ends = [request.start_s]
            for each in (each for each in request.slices if each.track == track):
                assert each.start_s >= ends[-1] - 1e-9
                ends.append(each.end_s)
        for operator in ("sample", "encode", "listen", "respond"):
            each = by_name[f"{operator} compute"]
            assert each.end_s - each.start_s == pytest.approx(row[f"{operator}_compute_s"])
        done_s = [by_name[f"{operator} compute"].end_s for operator in ("encode", "listen")]
        assert min(done_s) <= max(done_s) <= by_name["respond compute"].start_s + 1e-9
        listen, encode = by_name["listen compute"], by_name["encode compute"]
        assert {listen.track, encode.track} == {0, 1}
        at_once += listen.start_s < encode.end_s
    assert at_once


@pytest.mark.slow
def test_a_run_that_forks_is_traced_and_drawn(branched):
    assert main(["trace", str(branched)]) == 0
    events = json.loads((branched / "trace.json").read_text())["traceEvents"]
    names = {each["args"]["name"] for each in events if each["name"] == "thread_name"}
    assert {"requests 1", "requests 1, branch 2"} <= names
    assert (branched / "trace.png").is_file()


def test_the_trace_holds_all_requests_and_opens_as_json(directory, rows, capsys):
    assert main(["trace", str(directory)]) == 0
    assert f"{rows.height:,} requests" in capsys.readouterr().out
    events = json.loads((directory / "trace.json").read_text())["traceEvents"]
    outer = [each for each in events if each["ph"] == "X" and "args" in each]
    assert len(outer) == rows.height
    span_us = 1e6 * float((rows["ended_s"] - rows["arrival_s"]).sum())
    assert sum(each["dur"] for each in outer) == pytest.approx(span_us)
    named = {each["args"]["name"] for each in events if each["ph"] == "M"}
    assert any(name.startswith("query 0: ") for name in named)
    counted = [each["args"]["queries"] for each in events if each["ph"] == "C"]
    assert min(counted) >= 0
    assert max(counted) > 0
    drawn = image.imread(directory / "trace.png")
    assert drawn[..., :3].std() > 0.05


def test_parts_of_latency_look_alike_in_every_figure(rows):
    def looks(axes):
        handles, labels = axes.get_legend_handles_labels()
        bars = [bar[0] for bar in handles]
        return {
            part: (bar.get_facecolor(), bar.get_hatch())
            for part, bar in zip(labels, bars, strict=True)
        }

    traced_axes = picture([each for each in traced(rows) if each.slices]).axes[0]
    axes = Figure().subplots()
    part_bars(
        axes, pl.DataFrame({"operator": ["a"], **{name: [1.0] for name in NAMES}}), 1.0, NAMES
    )
    assert looks(traced_axes) == looks(axes)
    assert len(set(looks(axes).values())) == len(NAMES)


@pytest.mark.usefixtures("undrawn")
def test_a_stretch_and_queries_narrow_it(directory, rows):
    assert main(["trace", str(directory), "--from", "50", "--to", "70", "--query", "0"]) == 0
    events = json.loads((directory / "trace.json").read_text())["traceEvents"]
    outer = [each for each in events if each["ph"] == "X" and "args" in each]
    wanted = rows.filter(pl.col("query") == 0, pl.col("ended_s") >= 50, pl.col("arrival_s") < 70)
    assert len(outer) == wanted.height
    assert {each["pid"] for each in outer} <= {1}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "DIR=nowhere: no such directory"),
        (["RUN", "--query", "9999"], "--query 9999: there is no such query; choose 0 to"),
        (["RUN", "--from", "5000"], "there were no requests then; those of the run were from "),
        (
            ["RUN", "--from", "0", "--to", "0", "--query", "1"],
            "there were no requests then; those of query 1 were from ",
        ),
        (["RUN", "--from", "215", "--to", "200"], "--from 215 --to 200: --to is before --from"),
        (["RUN", "--from", "5000"], "compass-lab: --from 5000: there were no requests"),
        (["RUN", "--to", "0"], "compass-lab: --to 0: there were no requests"),
        (["RUN", "--planner", "compass"], "; choose one of VideoStorm"),
    ],
)
def test_bad_input_gets_one_sentence(words, sentence, directory, refused):
    assert sentence in refused("trace", *(directory if word == "RUN" else word for word in words))


@pytest.mark.usefixtures("undrawn")
def test_a_lone_run_is_that_of_its_planner(directory, tmp_path, refused):
    assert main(["trace", str(directory), "--planner", "VideoStorm", "--query", "0"]) == 0
    spoilt = tmp_path / "run"
    shutil.copytree(directory, spoilt)
    (spoilt / "summary.json").write_text("{")
    assert "summary.json: cannot be read as JSON" in refused(
        "trace", spoilt, "--planner", "VideoStorm"
    )


@pytest.mark.usefixtures("undrawn")
def test_a_sweep_is_traced_only_if_its_run_is_named_unambiguously(directory, tmp_path, refused):
    for number in range(10):
        shutil.copytree(directory, tmp_path / "sweep" / str(number))
    alone = tmp_path / "sweep" / "9"
    write_summary(alone, read_summary(alone) | {"planner": "Greedy"})
    sweep = tmp_path / "sweep"
    for words, said in (
        (["--planner", "VideoStorm"], f"has 9 runs of VideoStorm; name one: {sweep / '0'}, "),
        ([], f"has 10 runs; name one: {sweep / '0'}, {sweep / '1'}, "),
        (["--planner", "Vulcan"], "; choose one of VideoStorm, Greedy"),
    ):
        assert said in refused("trace", sweep, *words)
    assert main(["trace", str(sweep), "--planner", "Greedy", "--query", "0"]) == 0
    assert (alone / "trace.json").exists()


def test_a_trace_without_a_picture_leaves_none_of_another(directory, rows, tmp_path, capsys):
    spoilt = tmp_path / "run"
    shutil.copytree(directory, spoilt)
    (spoilt / "trace.png").touch()
    first, *others = sorted((spoilt / "requests").iterdir())
    for part in others:
        part.unlink()
    rows.filter(pl.col("outcome") != "completed").head(1).write_parquet(first)
    assert main(["trace", str(spoilt)]) == 0
    said = capsys.readouterr().out
    assert f"1 request of 1 query: {spoilt / 'trace.json'}" in said
    assert "no picture: none of these requests was completed" in said
    assert not (spoilt / "trace.png").exists()


def test_a_run_without_requests_says_how_to_get_them(tmp_path, refused):
    run([*SCENE[:-1], "horizon_s=20"], directory=tmp_path / "run")
    assert "requests=true" in refused("trace", tmp_path / "run")


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_cannot_be_read_is_told_of_in_one_sentence(directory, tmp_path, capsys, refused):
    spoilt = tmp_path / "run [1]"
    shutil.copytree(directory, spoilt)
    assert main(["trace", str(spoilt), "--query", "0"]) == 0
    capsys.readouterr()
    part = spoilt / "windows" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:50])
    assert f"{part}: is not a valid Parquet file" in refused("trace", spoilt)


@pytest.mark.parametrize("name", ["trace.json", "trace.png"])
@pytest.mark.usefixtures("undrawn")
def test_what_cannot_be_written_is_named_and_no_table_is_blamed(name, directory, tmp_path, refused):
    spoilt = tmp_path / "run"
    shutil.copytree(directory, spoilt)
    (spoilt / name).unlink(missing_ok=True)
    (spoilt / name).mkdir()
    error = refused("trace", spoilt, "--query", "0")
    assert "the trace cannot be written: " in error
    assert error.endswith(f": {spoilt / name}\n")
    assert not list(spoilt.glob(".*"))


@pytest.mark.usefixtures("undrawn")
def test_a_query_that_lives_yet_is_one_too(directory, tmp_path):
    broken = tmp_path / "run"
    shutil.copytree(directory, broken)
    part = broken / "queries" / "part-00000.parquet"
    pl.read_parquet(part).clear().write_parquet(part)
    assert main(["trace", str(broken), "--query", "1"]) == 0
