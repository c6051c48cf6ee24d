"""``compass-lab import`` reads what other tools wrote into rows that tables take."""

import errno
import json
import re
from pathlib import Path

import polars as pl
import pytest

from hardware_models.gpu.compute import gpu_batch_times
from hardware_models.tables import TableSet, UserTable, user_table, using_tables
from lab.cli.tools import main
from lab.hardware_tools.importers import IMPORTERS

SAMPLES = Path(__file__).parent / "samples"
TRITON = ("perf-analyzer", SAMPLES / "perf_analyzer.csv", "--model", "resnet50", "--gpu", "A30")
VLLM = ("vllm-bench", SAMPLES / "vllm_bench.json", "--gpu", "a100-80gb", "--tensor-parallel", "8")
MLPERF = ("mlperf-loadgen", SAMPLES / "mlperf_log_summary.txt", "--model", "m", "--gpu", "A30")


def imported(capsys, tmp_path, *words):
    """Import, check the rows against their table, and return them."""
    out = tmp_path / "rows.csv"
    out.unlink(missing_ok=True)
    status = main(["import", *map(str, words), "--out", str(out)])
    assert status == 0, capsys.readouterr().err
    frame = pl.read_csv(out)
    user_table(frame, IMPORTERS[words[0]].table, out)
    return frame.rows(named=True)


def test_perf_analyzer_gives_compute_time_at_the_concurrency_of_its_processes(capsys, tmp_path):
    [row] = imported(capsys, tmp_path, *TRITON, "--batch", "4")
    assert row["batch_latency_ms"] == pytest.approx(9.184)  # 9184 us of server compute
    assert (row["model"], row["gpu"], row["mig_gpcs"]) == ("resnet50", "A30", 4)
    assert (row["batch"], row["mps_procs"], row["kind"]) == (4, 1, "measured")
    assert row["source"] == "Triton perf_analyzer, perf_analyzer.csv"
    assert "9871 us from end to end" in row["note"]
    [row] = imported(capsys, tmp_path, *TRITON, "--batch", "4", "--processes", "2")
    assert row["batch_latency_ms"] == pytest.approx(9.149)
    assert row["mps_procs"] == 2


def test_vllm_gives_medians_and_mean_lengths(capsys, tmp_path):
    [row] = imported(capsys, tmp_path, *VLLM)
    assert (row["model"], row["tensor_parallel"]) == ("meta-llama/Llama-2-70b-hf", 8)
    assert (row["prompt_tokens"], row["output_tokens"], row["batch"]) == (512, 256, 8)
    assert (row["ttft_ms"], row["tpot_ms"]) == (286.1, 61.2)
    assert row["e2e_ms"] == pytest.approx(286.1 + 255 * 61.2)
    assert "e2e_ms = ttft_ms + tpot_ms" in row["note"]


def vllm_file(tmp_path, *changes):
    one = json.loads((SAMPLES / "vllm_bench.json").read_text(encoding="utf-8"))
    path = tmp_path / "changed.json"
    path.write_text("\n".join(json.dumps({**one, **change}) for change in changes))
    return path


def test_a_file_that_rows_are_appended_to_stays_whole_where_that_fails(
    tmp_path, monkeypatch, capsys
):
    file, link = tmp_path / "rows.csv", tmp_path / "link.csv"
    first = ["import", *map(str, VLLM), "--out", str(link), "--append"]
    words = [*first, "--gpu", "another"]
    link.symlink_to(file)
    assert main(first) == 0
    file.chmod(0o640)
    before = file.read_bytes()

    def full(_, path):
        Path(path).write_bytes(before[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pl.DataFrame, "write_csv", full)
        assert main(words) == 2
    assert f"{file}: No space left on device" in capsys.readouterr().err
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.csv", "rows.csv"]
    assert main(words) == 0
    assert file.read_bytes().startswith(before)
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640


def test_vllm_results_may_be_appended_and_hold_more(capsys, tmp_path):
    file = vllm_file(tmp_path, {"median_e2el_ms": 15000.5}, {"max_concurrency": 16})
    first, second = imported(capsys, tmp_path, "vllm-bench", file, "--gpu", "g", "--model", "mine")
    assert first["e2e_ms"] == 15000.5
    assert "e2e_ms =" not in first["note"]
    assert (first["batch"], second["batch"]) == (8, 16)
    assert first["model"] == second["model"] == "mine"


def test_an_open_loop_of_vllm_needs_its_batch(capsys, refused, tmp_path):
    file = vllm_file(tmp_path, {"max_concurrency": None, "request_rate": 2.0})
    assert "max_concurrency is null" in refused("import", "vllm-bench", file, "--gpu", "g")
    [row] = imported(capsys, tmp_path, "vllm-bench", file, "--gpu", "g", "--batch", "4")
    assert row["batch"] == 4


def mlperf_file(tmp_path, *changes):
    text = (SAMPLES / "mlperf_log_summary.txt").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "changed.txt"
    path.write_text(text)
    return path


OFFLINE = (
    ("Scenario : SingleStream", "Scenario : Offline"),
    ("90th percentile latency (ns) : 4821733", "Samples per second: 1600.5"),
)


def test_mlperf_streams_give_the_mean_latency_of_a_query(capsys, tmp_path):
    [row] = imported(capsys, tmp_path, *MLPERF)
    assert row["batch_latency_ms"] == pytest.approx(4.566012)
    assert (row["batch"], row["kind"]) == (1, "measured")
    old = mlperf_file(tmp_path, ("SingleStream", "Single Stream"))  # before v1.0
    [again] = imported(capsys, tmp_path, MLPERF[0], old, *MLPERF[2:])
    assert again["batch_latency_ms"] == row["batch_latency_ms"]
    several = mlperf_file(
        tmp_path,
        ("SingleStream", "MultiStream"),
        ("samples_per_query : 1", "samples_per_query : 8"),
    )
    [row] = imported(capsys, tmp_path, MLPERF[0], several, *MLPERF[2:])
    assert row["batch"] == 8


def test_mlperf_offline_gives_the_batch_over_the_rate(capsys, refused, tmp_path):
    file = mlperf_file(tmp_path, *OFFLINE)
    words = (MLPERF[0], file, *MLPERF[2:])
    [row] = imported(capsys, tmp_path, *words, "--batch", "64")
    assert row["batch_latency_ms"] == pytest.approx(64 / 1600.5 * 1000)
    assert (row["batch"], row["kind"]) == (64, "derived")
    assert "--batch is required" in refused("import", *words)
    assert "--batch=0: must be 1 or more" in refused("import", *words, "--batch", "0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Result is : VALID", "Result is : INVALID"), "Result is INVALID; only a VALID run"),
        (("PerformanceOnly", "AccuracyOnly"), "Mode is AccuracyOnly; only a PerformanceOnly"),
        (("SingleStream", "Server"), "Scenario is Server; only SingleStream, MultiStream, Offline"),
        (("Mean latency (ns)     ", "Typical latency (ns)  "), "has no line 'Mean latency"),
        (("4566012", "fast"), r"Mean latency \(ns\) must be a number above 0; it is 'fast'"),
    ],
)
def test_a_summary_of_mlperf_that_tells_no_latency_is_refused(refused, tmp_path, change, message):
    file = mlperf_file(tmp_path, change)
    error = refused("import", MLPERF[0], file, *MLPERF[2:])
    assert re.search(message, error)
    assert str(file) in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("perf-analyser", *TRITON[1:]), "perf-analyser: no such format.*did you mean 'perf-anal"),
        ((*TRITON,), "--batch is required"),
        ((*TRITON[:4], "--batch", "1"), "--gpu is required"),
        ((*TRITON, "--batch", "4", "--processes", "3"), "concurrency 3, .* it has 1, 2, 4"),
        ((*TRITON, "--batch", "5000"), "column 'batch': 5000 is not allowed"),
        ((TRITON[0], VLLM[1], "--batch", "1"), "vllm_bench.json: is no CSV or Parquet file"),
        ((*VLLM[:2],), "--gpu is required"),
        ((VLLM[0], TRITON[1], "--gpu", "g"), "perf_analyzer.csv: is not JSON"),
        ((VLLM[0], "nowhere.json", "--gpu", "g"), "nowhere.json: cannot be read"),
        ((MLPERF[0], VLLM[1], *MLPERF[2:]), "vllm_bench.json: has no line 'Scenario'"),
    ],
)
def test_bad_input_is_told_in_one_sentence(refused, words, message):
    assert re.search(message, refused("import", *words))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"completed": 0}, "completed must be a number above 0, .* it is 0"),
        ({"median_ttft_ms": None}, "median_ttft_ms must be a number above 0, .* it is null"),
        ({"max_concurrency": True}, "max_concurrency is true, so the batch is unknown"),
        ({"total_input_tokens": "many"}, 'total_input_tokens must be .* it is "many"'),
    ],
)
def test_a_result_of_vllm_without_its_figures_is_refused(refused, tmp_path, change, message):
    file = vllm_file(tmp_path, change)
    assert re.search(message, refused("import", "vllm-bench", file, "--gpu", "g"))


def test_a_report_over_request_rates_is_refused(refused, tmp_path):
    text = TRITON[1].read_text(encoding="utf-8").replace("Concurrency", "Request Rate")
    (tmp_path / "report.csv").write_text(text)
    error = refused("import", TRITON[0], tmp_path / "report.csv", *TRITON[2:], "--batch", "1")
    assert "has no column 'Concurrency'" in error
    assert "--concurrency-range" in error


def test_a_report_without_a_number_is_refused(refused, tmp_path):
    text = TRITON[1].read_text(encoding="utf-8").replace("9184", "n/a")
    (tmp_path / "report.csv").write_text(text)
    error = refused("import", TRITON[0], tmp_path / "report.csv", *TRITON[2:], "--batch", "1")
    assert "column 'Server Compute Infer' must hold a number" in error


@pytest.mark.parametrize(("gpu", "whole", "slices"), [("L4", "full", 1), ("A30", "4g.24gb", 4)])
def test_rows_of_a_whole_board_are_those_that_a_simulation_looks_up(
    capsys, tmp_path, gpu, whole, slices
):
    words = ("perf-analyzer", SAMPLES / "perf_analyzer.csv", "--model", "resnet50", "--gpu", gpu)
    [row] = imported(capsys, tmp_path, *words, "--batch", "1")
    assert row["mig_gpcs"] == slices
    ours = gpu_batch_times("resnet50", "resnet50", gpu, whole, 1)
    with using_tables(TableSet({"gpu_latency": UserTable(str(tmp_path / "rows.csv"))})):
        theirs = gpu_batch_times("resnet50", "resnet50", gpu, whole, 1)
    assert theirs.factors != ours.factors
