"""From observations to tables and predictions, where the truth is known."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from served_worlds import observed, truth
from worlds import recorded, requests

from lab.cli.tools import main
from lab.common.errors import InputError
from lab.serving.observation import Observation
from lab.serving.predicting.calibration import calibrate
from lab.serving.predicting.comparison import Figures, cell_rows, worst_first
from lab.serving.predicting.prediction import predict
from lab.serving.predicting.ray_plane import RayPlane
from lab.serving.predicting.service_tables import CORES, ENGINE, FACTORS, HOST, TIMES, ServiceTables
from sim.dataplane.base.interface import Processor, Route, StationSpec, Visit

TIMES_S = {"one": {1: 0.02, 2: 0.03, 3: 0.04, 4: 0.05}, "two": {1: 0.015}}
SLOWDOWN = (1.0, 1.1, 1.3)
SERVED = {"one": (2, 4, 0.02), "two": (1, 1, 0.0)}
STATION = 0


# From observations to tables


@pytest.mark.parametrize("cpu", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_parameters_behind_observations_are_recovered_and_predict_another_load(cpu):
    tables = truth(TIMES_S, SLOWDOWN, spread=0.3, occupied_s=(0.002, 0.0))
    loads = ((10, 1.0), (30, 1.2), (38, 1.05))
    seen = [
        observed(tables, SERVED, rate, 1500, seed, stolen, cpu)
        for seed, (rate, stolen) in enumerate(loads)
    ]
    found = calibrate(seen)
    known = found[CORES].filter(pl.col("batches") >= 200)["slowdown"]
    assert len(known) > len(SLOWDOWN)  # The last slow-down holds for more jobs, too.
    more = (SLOWDOWN[-1],) * (len(known) - len(SLOWDOWN))
    np.testing.assert_allclose(known[: len(SLOWDOWN)], SLOWDOWN, rtol=0.01)
    np.testing.assert_allclose(known[len(SLOWDOWN) :], more, rtol=0.06)
    for name, of_sizes in TIMES_S.items():
        times_s = found.times_s(name, "", len(of_sizes))
        np.testing.assert_allclose(times_s, list(of_sizes.values()), rtol=0.02)
        factors = found[FACTORS].filter(operator=name, batch=1).sort("quantile")["factor"]
        factors = factors.to_numpy()
        np.testing.assert_allclose(factors[[25, 50, 75]], [0.85, 1.0, 1.15], atol=0.03)
    assert found[HOST].row(0)[:2] == ("model", 2)
    # Another load, in another ratio of the operators' work, observed twice.
    pair = [observed(tables, SERVED, 25, 1500, 9, stolen=1.1, run=run) for run in (1, 2)]
    guess = Figures.of(predict(pair[0], found, 3).requests, 0.1)
    rows = cell_rows("cell", [Figures.of(each.requests, 0.1) for each in pair], guess)
    errors = {row["figure"]: row["error"] for row in rows}
    assert abs(errors["p50_s"]) < 0.02
    assert abs(errors["p95_s"]) < 0.05
    assert abs(errors["throughput_per_s"]) < 0.01
    assert abs(errors["goodput"]) < 0.02


def test_core_times_that_include_stolen_time_are_recognised():
    tables = truth({"one": {1: 0.02}}, cores=1)
    seen = []
    for seed, stolen in enumerate((1.0, 1.3)):
        each = observed(tables, {"one": (2, 1, 0.0)}, 30, 800, seed, stolen)
        counted = each.requests.with_columns(pl.col("one_cpu_s") * stolen)
        seen.append(Observation(each.description, counted, each.noise))
    found = calibrate(seen)
    assert found.times_s("one", "", 1) == pytest.approx([0.02], rel=1e-3)
    assert found[CORES]["slowdown"].to_list() == pytest.approx([1, 1, 1, 1], rel=0.01)
    assert 1.1 < found[HOST]["stolen"][0] < 1.2


@pytest.mark.parametrize("cpu", [True, False])
def test_what_the_engine_does_between_batches_is_recovered(cpu):
    tables = truth({"one": {1: 0.01, 2: 0.015, 3: 0.02}}, occupied_s=(0.004, 0.001))
    found = calibrate([observed(tables, {"one": (1, 3, 0.01)}, 70, 1500, cpu=cpu)])
    row = found[ENGINE].row(0, named=True)
    assert row["occupied_per_batch_s"] == pytest.approx(0.004, rel=0.02)
    assert row["occupied_per_request_s"] == pytest.approx(0.001, rel=0.05)
    assert row["handoff_s"] == pytest.approx(0, abs=1e-6)


def test_handing_a_batch_to_a_free_replica_is_no_time_of_a_path():
    tables = truth({"one": {1: 0.02}}, handoff_s=0.005)
    found = calibrate([observed(tables, {"one": (1, 1, 0.0)}, 10, 600)])
    assert found[ENGINE]["handoff_s"].to_list() == pytest.approx([0.005], rel=0.01)
    path = found["paths"].filter(operator="one", quantile=0.5, queued=False, jobs=1)
    assert path["path_s"].to_list() == pytest.approx([0.003], rel=0.05)


def test_the_times_of_the_engine_are_recovered_by_the_number_of_jobs():
    # While a replica is occupied, its answer begins on its way.
    tables = truth({"one": {1: 0.03}}, (1.0,) * 3, path_per_job=1.0, occupied_s=(0.001, 0.0))
    found = calibrate([observed(tables, {"one": (2, 1, 0.0)}, 25, 2000)])["paths"]
    for name in ("one", "answer"):
        path = found.filter(operator=name, quantile=0.5, queued=False).sort("jobs").head(3)
        assert path["jobs"].to_list() == [1, 2, 3]
        assert path["path_s"].to_list() == pytest.approx([0.003, 0.006, 0.009], rel=0.1)


def test_a_path_passes_one_request_at_a_time_and_slows_a_batch():
    """One core: the batch of the first, 100 ns, runs at half speed while the second is passed."""
    plane, recording = recorded(RayPlane)
    host = Processor(0, 1)
    plane.add_path(0, host, [[[10, 20, 30]], [[0, 1, 2], [40, 50, 60]]])
    plane.add_station(StationSpec(STATION, 3, processor=host))
    plane.open_source(0, 0, requests([0, 5, 6]))
    visits = Visit(0, None, 0, 1.0), Visit(0, STATION, None, 100.0)
    plane.route(0, 0, Route(0, visits))
    plane.advance(10**6)
    got = sorted(recording.records, key=lambda record: record.number)
    # The first is passed until 10, alone. Then it is in service while the second takes 50 ns until
    # 60, as one of two jobs, and the third takes 60 ns until 120, as one of three.
    assert [each.transfer_ns[0] for each in got] == [10, 55, 114]
    # At 60, 25 ns of the first's work are done, and at 120, another 20 of it, as of the second's.
    # Three share the core from there: the first ends at 120 + 3 x 55.
    assert got[0].ended_ns == 285


def test_the_delays_of_a_burst_count_only_if_there_is_nothing_else():
    tables, how = truth({"one": {1: 0.03}}), {"one": (1, 1, 0.0)}
    burst = observed(tables, how, 1000, 100)
    late = burst.requests.with_columns(pl.col("one_transfer_s") + 0.1 * pl.col("number"))
    burst = Observation(burst.description, late, burst.noise)
    assert calibrate([observed(tables, how, 15, 100), burst])["paths"]["path_s"].max() < 0.005
    assert calibrate([burst])["paths"]["path_s"].max() > 0.05


def test_accuracy_is_that_of_all_answers_of_a_setting():
    seen = observed(truth({"one": {1: 0.01}}), {"one": (1, 1, 0.0)}, 20, 4)
    right = seen.requests.with_columns(accuracy=pl.Series([1.0, 0.5, None, 1.0]))
    row = calibrate([Observation(seen.description, right, seen.noise)])["accuracy"].row(0)
    assert row == ("one: -", pytest.approx(5 / 6), pytest.approx(np.std([1, 0.5, 1], ddof=1)), 3)


def test_times_of_sizes_that_were_rare_are_on_the_line():
    columns = {"operator": "one", "setting": "", "cv": 0.0}
    times = pl.DataFrame(
        {"batch": [1, 2, 4], "mean_s": [0.02, 0.9, 0.05], "batches": [10_000, 1, 10_000]}
    ).with_columns(**{key: pl.lit(value) for key, value in columns.items()})
    found = ServiceTables({TIMES: times}).times_s("one", "", 6)
    assert found == pytest.approx([0.02, 0.03, 0.04, 0.05, 0.06, 0.07], rel=0.01)
    only = ServiceTables({TIMES: times.filter(batch=1)}).times_s("one", "", 2)
    assert only == pytest.approx([0.02, 0.04])


# Ray Serve's queues


def served(spec, arrivals_ns, work_ns, after_ns=()):
    """Return the records of requests at one station, by their numbers."""
    plane, recording = recorded(RayPlane)
    plane.add_station(spec, after_ns)
    plane.open_source(0, 0, requests(arrivals_ns))
    plane.route(0, 0, Route(0, (Visit(0, STATION, None, float(work_ns)),)))
    plane.advance(10**15)
    return sorted(recording.records, key=lambda record: record.number)


def test_a_batch_closes_while_the_replica_is_busy():
    spec = StationSpec(
        STATION, 1, 2, 10, (1.0, 1.5), processor=Processor(0, 1), batch_time="average"
    )
    # The first waits until 10, alone. The second closes alone at 30, while it is served until 110.
    # The next two are a batch at 41, which is served after the second.
    got = served(spec, [0, 20, 40, 41], 100, (0, 5))
    assert [each.ended_ns for each in got] == [110, 210, 360, 360]
    assert [each.queueing_ns for each in got] == [[0], [90], [170], [169]]
    assert [each.batching_ns for each in got] == [[10], [0], [0], [0]]


def test_each_replica_has_a_queue_of_its_own():
    spec = StationSpec(STATION, 2, processor=Processor(0, 2))
    # Each replica has two requests by 30; the last one joins the first replica, which is in turn.
    assert [each.ended_ns for each in served(spec, [0, 10, 20, 30], 100)] == [100, 110, 200, 210]


def test_a_replica_is_occupied_after_a_batch():
    spec = StationSpec(STATION, processor=Processor(0, 1))
    got = served(spec, [0, 10], 100, (7,))
    assert [each.ended_ns for each in got] == [100, 207]
    assert (got[1].queueing_ns, got[1].batching_ns) == ([90], [7])


def test_one_replica_is_the_queue_of_pollaczek_and_khinchine():
    """Pollaczek (1930), Khinchine (1932): the mean wait is rate x E[S^2] / (2 (1 - load))."""
    mean_s, load, spread, count = 0.01, 0.6, 0.8, 12_000
    tables = truth({"one": {1: mean_s}}, cores=16, spread=spread)
    seen = observed(tables, {"one": (1, 1, 0.0)}, load / mean_s, count)
    wait_s = seen.requests["one_queueing_s"].to_numpy()
    second = mean_s**2 * (1 + spread**2 / 3)
    expected_s = load / mean_s * second / (2 * (1 - load))
    parts = wait_s.reshape(20, -1).mean(axis=1)
    assert abs(wait_s.mean() - expected_s) < 3 * parts.std(ddof=1) / np.sqrt(20)
    assert abs(wait_s.mean() / expected_s - 1) < 0.15
    # Lindley (1952): the very waits follow from the times of arrival and service.
    entered_s = (seen.requests["arrival_s"] + seen.requests["one_transfer_s"]).to_numpy()
    order = np.argsort(entered_s)
    free_s, waits = -np.inf, []
    for at_s, took_s in zip(
        entered_s[order], seen.requests["one_compute_s"].to_numpy()[order], strict=True
    ):
        waits.append(max(0.0, free_s - at_s))
        free_s = max(free_s, at_s) + took_s
    np.testing.assert_allclose(waits, wait_s[order], atol=1e-6)


# The commands


@pytest.fixture
def pair(tmp_path):
    """Write two observations of equal arrivals, and tables; return the directories."""
    tables = truth({"one": {1: 0.02}}, spread=0.2)
    for run in (0, 1):
        observed(tables, {"one": (1, 1, 0.0)}, 20, 200, run=run).write(tmp_path / f"o{run}")
    tables.write(tmp_path / "true")
    return tmp_path


def test_calibrate_predict_and_compare(pair, capsys):
    seen = [str(pair / "o0"), str(pair / "o1")]
    assert main(["calibrate", "--observations", *seen, "--out", str(pair / "tables")]) == 0
    assert "alone on the host" in capsys.readouterr().out
    tables = f"--tables={pair / 'tables'}"
    out = pair / "predicted"
    assert main(["predict", seen[0], tables, "--out", str(out), "--seeds=3"]) == 0
    capsys.readouterr()
    rows = pl.read_parquet(out / "requests.parquet")
    assert rows.group_by("seed").len().sort("seed").rows() == [(0, 200), (1, 200), (2, 200)]
    words = ["--bound-s=0.05", f"--csv={pair / 'cells.csv'}"]
    assert main(["compare", *seen, f"--predicted={out}", *words]) == 0
    said = capsys.readouterr().out
    assert all(one in said for one in ("p50, ms", "p99, ms", "throughput, 1/s", "goodput, %"))
    table = pl.read_csv(pair / "cells.csv")
    assert table.height == 5
    assert table["floor"].max() > 0
    assert main(["compare", *seen, tables, "--seeds=3", *words]) == 0
    assert pl.read_csv(pair / "cells.csv").equals(table)
    faster = [tables, "--out", str(pair / "faster"), "--load-factor=2", "one.replicas=2"]
    assert main(["predict", seen[0], *faster]) == 0
    half_s = pl.read_parquet(pair / "faster/requests.parquet")["arrival_s"].max()
    assert half_s == pytest.approx(rows["arrival_s"].max() / 2)


def test_cells_are_shown_the_worst_first_with_a_summary(pair, capsys):
    slower = observed(truth({"one": {1: 0.03}}), {"one": (1, 1, 0.0)}, 20, 200, seed=1)
    slower.write(pair / "slow")
    seen = [str(pair / name) for name in ("o0", "o1", "slow")]
    assert main(["compare", *seen, f"--tables={pair / 'true'}", "--bound-s=1"]) == 0
    said = capsys.readouterr().out
    assert said.index(seen[2]) < said.index(seen[0])
    assert seen[1] not in said  # It is in the cell of the first.
    assert "largest error" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["calibrate", "--observations", "o0"], "--out is missing: name a directory"),
        (
            ["calibrate", "--observations", "o0", "--out=x", "--model=m"],
            "--model: cannot be combined with --observations",
        ),
        (["calibrate", "--observations", "o2", "--out=x"], "o2: no such directory"),
        (["predict", "o0", "--tables=o0", "--out=x"], "service_times.csv: no such file; compass-"),
        (["predict", "o0", "--tables=true", "--out=x", "--seeds=0"], "--seeds=0: must be from 1"),
        (
            ["predict", "o0", "--tables=true", "--out=x", "--load-factor=-1"],
            "--load-factor=-1: must be from 0.001 to 1000",
        ),
        (
            ["predict", "o0", "one.replica=2", "--tables=true", "--out=x"],
            "one.replica=2: there is no key replica; choose one of replicas, max_batch, max_wait_s",
        ),
        (
            ["predict", "o0", "two.replicas=2", "--tables=true", "--out=x"],
            "two.replicas=2: there is no operator two; choose one of one",
        ),
        (
            ["predict", "o0", "one.replicas=many", "--tables=true", "--out=x"],
            "one.replicas=many: must be a whole number",
        ),
        (
            ["predict", "o0", "one.max_batch=1_0", "--tables=true", "--out=x"],
            "one.max_batch=1_0: must be a whole number",
        ),
        (
            ["predict", "o0", "one.replicas=0", "--tables=true", "--out=x"],
            "one.replicas=0: must be from 1 to 64",
        ),
        (["compare", "o0", "--bound-s=1"], "--tables or --predicted is missing"),
        (["compare", "o0", "--tables=true", "--bound-s=0"], "--bound-s=0: must be above 0"),
        (["compare", "o0", "--predicted=o1", "--bound-s=1"], "o1: has no prediction.json; "),
    ],
)
def test_bad_input_is_one_sentence(pair, words, message, capsys, monkeypatch):
    monkeypatch.chdir(pair)
    try:
        status = main(words)
    except SystemExit as error:
        status = error.code
    said = capsys.readouterr().err
    assert status == 2
    assert message in said
    assert said.count("\n") == 1
    assert not (pair / "x").exists()


def test_batches_that_were_not_measured_are_told(pair, capsys):
    words = [str(pair / "o0"), f"--tables={pair / 'true'}", "--out", str(pair / "p")]
    assert main(["predict", *words, "one.max_batch=2", "one.max_wait_s=0.1"]) == 0
    said = capsys.readouterr().err
    assert "one: batches above 1 were not measured; their times are on a line" in said


def test_a_table_that_is_no_table_is_refused_in_one_sentence(pair, refused):
    file = pair / "true" / "service_times.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:1], lines[1].replace(",1,", ",many,", 1)]))
    out = refused("predict", pair / "o0", f"--tables={pair / 'true'}", "--out", pair / "p")
    assert f"{file}: not readable as CSV (" in out
    assert r"\n" not in out


def test_a_prediction_of_another_load_is_refused(pair, refused):
    out, seen = str(pair / "p"), str(pair / "o0")
    words = [f"--tables={pair / 'true'}", "--out", out]
    assert main(["predict", seen, *words, "one.max_batch=2"]) == 0
    assert "is not a prediction of" in refused("compare", seen, f"--predicted={out}", "--bound-s=1")
    assert "has a prediction; name another directory" in refused("predict", seen, *words)


def changed(observation, **keys):
    return Observation({**observation.description, **keys}, observation.requests, observation.noise)


def test_observations_that_do_not_belong_together_are_refused():
    seen = observed(truth({"one": {1: 0.01}}), {"one": (1, 1, 0.0)}, 20, 30)
    other = observed(truth({"two": {1: 0.01}}), {"two": (1, 1, 0.0)}, 20, 30)
    for each, message in (
        (other, "operators: one in one observation and two in another"),
        (changed(seen, host={"cpu": "new", "cores": 2}), "host: model with 2 cores in one"),
        (changed(seen, host=None), "host: an observation does not say"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            calibrate([seen, each])
    unknown = seen.requests.with_columns(one_started_s=pl.lit(None, pl.Float64))
    with pytest.raises(InputError, match="one: no observation tells when its batches were"):
        calibrate([Observation(seen.description, unknown, seen.noise)])
    for operator in ({"name": "one"}, {"name": "one", "replicas": 1, "max_batch": 1}):
        with pytest.raises(InputError, match="does not say how it was served"):
            calibrate([changed(seen, pipeline={"name": None, "operators": [operator]})])
    with pytest.raises(InputError, match="was not measured; measured are no settings"):
        truth({"one": {1: 0.01}}).times_s("two", "", 1)


def test_the_errors_and_the_floor_of_a_cell():
    def table(*latencies_s):
        number = np.arange(len(latencies_s))
        latency_s = np.array(latencies_s)
        return pl.DataFrame(
            {"arrival_s": number, "ended_s": number + latency_s, "latency_s": latency_s}
        ).with_columns(outcome=pl.lit("completed"))

    seen = [Figures.of(table(1.0, 1.0, 1.0), 1.5), Figures.of(table(1.0, 1.2, 2.0), 1.5)]
    rows = cell_rows("a", seen, Figures.of(table(1.1, 1.1, 2.2), 1.5))
    p50, goodput = rows[0], rows[-1]
    assert [p50[key] for key in ("observed", "error", "floor")] == pytest.approx([1.1, 0.0, 2 / 11])
    assert [goodput[key] for key in ("observed", "error", "floor")] == pytest.approx(
        [5 / 6, -1 / 6, 1 / 3]
    )
    assert seen[0].values["throughput_per_s"] == pytest.approx(1.0)
    exact = cell_rows("b", seen[:1], seen[0])
    assert exact[0]["floor"] is None
    assert worst_first([*exact, *rows])["cell"].unique(maintain_order=True).to_list() == ["a", "b"]


# Recorded observations: a stub of two operators on Ray Serve, on a machine that others used, too

RECORDED = Path(__file__).parent / "samples" / "served_stub"


def test_recorded_observations_of_a_stub_are_predicted(tmp_path, capsys):
    tables, csv = tmp_path / "tables", tmp_path / "rows.csv"
    calibrating = [str(RECORDED / name) for name in ("slow", "fast")]
    assert main(["calibrate", "--observations", *calibrating, "--out", str(tables)]) == 0
    # What the stub's operators use a core for, though the cores were shared with others.
    found = ServiceTables.read(tables)
    times_s = {(row[0], row[2]): row[3] for row in found[TIMES].iter_rows()}
    assert times_s == pytest.approx(
        {("one", 1): 0.04, ("one", 2): 0.07, ("two", 1): 0.02}, rel=0.08
    )
    predicted = tmp_path / "predicted"
    seen = [str(RECORDED / name) for name in ("first", "second")]
    words = [f"--tables={tables}", f"--out={predicted}"]
    assert main(["predict", seen[0], *words]) == 0
    words = [f"--predicted={predicted}", "--bound-s=0.3", f"--csv={csv}"]
    assert main(["compare", *seen, *words]) == 0
    rows = {row["figure"]: row for row in pl.read_csv(csv).iter_rows(named=True)}
    assert rows["p50_s"]["floor"] == pytest.approx(0.06, abs=0.01)
    assert abs(rows["p50_s"]["error"]) < 0.12  # Others used the machine.
    assert abs(rows["p95_s"]["error"]) < 0.1
    assert abs(rows["throughput_per_s"]["error"]) < 0.01
