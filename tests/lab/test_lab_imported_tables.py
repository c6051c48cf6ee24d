"""Tables of served pipelines from the reports of perf_analyzer and of vLLM, as documented.

Neither tool runs here: the reports have the format of `lab.serving.importers.tables`.
"""

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lab.cli.tools import main
from lab.serving.predicting.service_tables import (
    CORES,
    ENGINE,
    FACTORS,
    PATHS,
    TIMES,
    ServiceTables,
)
from scenarios.arrivals import TraceReplay

SAMPLES = Path(__file__).parent / "samples"
TRITON, VLLM = SAMPLES / "perf_analyzer.csv", SAMPLES / "vllm_bench_detailed.json"
HEAD = TRITON.read_text(encoding="utf-8").splitlines()[0]


def run(capsys, *words):
    status = main(["import", *map(str, words)])
    told = capsys.readouterr()
    assert status == 0, told.err
    return told.out


def report(path, *values, concurrency=1):
    row = ",".join(map(str, (concurrency, 100.0, *values)))
    path.write_text(f"{HEAD}\n{row}\n", encoding="utf-8")
    return path


def linear(path, infer_us, copies_us=0, low=0.5, high=1.5):
    """A report whose execution is spread evenly from low to high, times its mean."""
    others = 100 + 200 + 50 + copies_us + 20
    ends = [others + infer_us * (low + (high - low) * at) for at in (0.5, 0.9, 0.95, 0.99)]
    return report(path, 100, 200, 50, copies_us / 2, infer_us, copies_us / 2, 20, *ends)


def test_perf_analyzer_gives_execution_and_overhead(capsys, tmp_path):
    out = tmp_path / "t"
    words = ("perf-analyzer", TRITON, "--model", "resnet50", "--batch", "4", "--served", out)
    assert "service times of resnet50" in " ".join(run(capsys, *words).split())
    tables = ServiceTables.read(out)
    [times] = tables[TIMES].rows(named=True)
    assert (times["operator"], times["batch"], times["mean_s"]) == ("resnet50", 4, 0.009184)
    [engine] = tables[ENGINE].rows(named=True)
    paths = dict(tables[PATHS].filter(quantile=1.0).select("operator", "path_s").rows())
    expected = {"resnet50": (61 + 512 / 2 + 38) / 1e6, "answer": (512 / 2 + 2) / 1e6}
    assert paths == pytest.approx(expected)
    assert engine["occupied_per_batch_s"] == pytest.approx((124 + 21) / 1e6)
    assert engine["occupied_per_request_s"] == 0
    factors = dict(tables[FACTORS].select("quantile", "factor").rows())
    others_us = 61 + 512 + 38 + 124 + 21 + 2  # everything but the execution
    assert factors[0.99] / factors[0.5] == pytest.approx((11015 - others_us) / (9871 - others_us))
    assert tables[CORES].select("jobs", "slowdown").rows() == [(1, 1.0)]
    # As a prediction does; "" is the setting of an operator without knobs.
    assert tables.times_s("resnet50", "", 4)[3] == pytest.approx(0.009184)


def test_an_even_spread_is_found_from_its_percentiles(capsys, tmp_path):
    file = linear(tmp_path / "one.csv", 8000)
    run(capsys, "perf-analyzer", file, "--model", "m", "--batch", "1", "--served", tmp_path / "t")
    tables = ServiceTables.read(tmp_path / "t")
    factors = tables[FACTORS]
    # The last percent of the distribution is not in the file, which shifts the rest a little.
    expected = 0.5 + factors["quantile"].to_numpy()
    np.testing.assert_allclose(factors["factor"], expected, rtol=1e-3)
    grid = np.linspace(0, 1, 100_001)
    drawn = np.interp(grid, factors["quantile"], factors["factor"])
    assert drawn.mean() == pytest.approx(1, abs=1e-5)
    [cv] = tables[TIMES]["cv"]
    assert cv == pytest.approx(drawn.std(), rel=1e-3)
    assert cv == pytest.approx(1 / 12**0.5, rel=1e-2)


def test_copies_are_fitted_over_batch_sizes(capsys, tmp_path):
    # 40 us for a batch and 10 us for each request.
    files = [linear(tmp_path / f"{n}.csv", 5000 + 1000 * n, 40 + 10 * n) for n in (8, 1, 4)]
    words = ("--model", "m", "--batch", "8,1,4", "--served", tmp_path / "t")
    run(capsys, "perf-analyzer", *files, *words)
    tables = ServiceTables.read(tmp_path / "t")
    assert tables[TIMES]["batch"].to_list() == [1, 4, 8]
    assert tables[TIMES]["mean_s"].to_list() == pytest.approx([0.006, 0.009, 0.013])
    [engine] = tables[ENGINE].rows(named=True)
    assert engine["occupied_per_batch_s"] == pytest.approx(40e-6)
    assert engine["occupied_per_request_s"] == pytest.approx(10e-6)


def test_several_reports_are_rows_of_a_table_too(capsys, tmp_path):
    files = [linear(tmp_path / f"{n}.csv", 1000 * n) for n in (1, 2)]
    words = ("--model", "m", "--gpu", "A30", "--batch", "1,2", "--out", tmp_path / "rows.csv")
    run(capsys, "perf-analyzer", *files, *words)
    rows = pl.read_csv(tmp_path / "rows.csv")
    assert rows.select("batch", "batch_latency_ms").rows() == [(1, 1.0), (2, 2.0)]
    assert rows["source"][0] == "Triton perf_analyzer, 1.csv, 2.csv"


def test_vllm_gives_the_spread_of_token_times_and_the_arrivals(capsys, tmp_path):
    out = tmp_path / "t"
    run(capsys, "vllm-bench", VLLM, "--model", "qwen", "--served", out)
    tables = ServiceTables.read(out)
    times = tables[TIMES].select("operator", "batch", "mean_s", "batches").rows()
    gaps = [0.02, 0.04, 0.03, 0.03, 0.03, 0.03]
    assert times == [
        ("qwen_first_token", 2, pytest.approx(0.2), 3),  # without the failed request
        ("qwen_next_token", 2, pytest.approx(np.mean(gaps)), 6),
    ]
    assert tables[TIMES]["cv"].to_list() == pytest.approx([0.5, np.std(gaps, ddof=1) / 0.03])
    factors = tables[FACTORS].filter(operator="qwen_first_token")["factor"]
    np.testing.assert_allclose(factors, np.quantile([0.5, 1, 1.5], np.linspace(0, 1, 101)))
    # The third request was due 0.25 s before the client sent it.
    arrivals = pl.read_csv(out / "arrivals.csv")
    assert arrivals["arrival_s"].to_list() == pytest.approx([0, 0.5, 1.0, 1.5])
    assert arrivals.select("prompt_tokens", "output_tokens").row(1) == (20, 4)
    assert TraceReplay(str(out / "arrivals.csv")).rate_per_s() > 0


def vllm_file(tmp_path, **changes):
    one = json.loads(VLLM.read_text(encoding="utf-8"))
    path = tmp_path / "changed.json"
    path.write_text(json.dumps({**one, **changes}), encoding="utf-8")
    return path


def test_a_closed_loop_of_vllm_arrives_when_it_was_sent(capsys, tmp_path):
    file = vllm_file(tmp_path, request_rate="inf")
    run(capsys, "vllm-bench", file, "--served", tmp_path / "t")
    arrivals = pl.read_csv(tmp_path / "t" / "arrivals.csv")
    assert arrivals["arrival_s"].to_list() == pytest.approx([0, 0.5, 1.25, 1.5])
    operators = ServiceTables.read(tmp_path / "t")[TIMES]["operator"].to_list()
    assert operators[0] == "qwen_qwen2_5_7b_first_token"


def test_results_of_several_concurrencies_are_rows_of_one_model(capsys, tmp_path):
    slower = vllm_file(tmp_path, max_concurrency=8, ttfts=[0.2, 0.4, 0.6, 0.0])
    run(capsys, "vllm-bench", VLLM, slower, "--model", "q", "--served", tmp_path / "t")
    tables = ServiceTables.read(tmp_path / "t")
    first = tables[TIMES].filter(operator="q_first_token")
    assert first.select("batch", "mean_s").rows() == [(2, 0.2), (8, pytest.approx(0.4))]
    assert not (tmp_path / "t" / "arrivals.csv").exists()


def test_models_are_added_to_tables(capsys, refused, tmp_path):
    out = tmp_path / "t"
    run(capsys, "vllm-bench", VLLM, "--model", "q", "--served", out)
    words = ("perf-analyzer", TRITON, "--batch", "4", "--served", out, "--model")
    assert "has tables already" in refused("import", *words, "r")
    run(capsys, *words, "r", "--append")
    known = ServiceTables.read(out)[ENGINE]["operator"].to_list()
    assert known == ["q_first_token", "q_next_token", "r"]
    assert "r: is in the tables already" in refused("import", *words, "r", "--append")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ttfts": None}, "has no ttfts, .*; run with --save-result --save-detailed"),
        ({"itls": [[0.1]]}, "itls must be a list for each of 4 requests"),
        ({"itls": [["x"], [], [], []]}, "itls must be a list of numbers"),
        ({"itls": [[], [], [], []]}, "no request got more than one token"),
        ({"start_times": [1.0]}, "start_times, .* must have a value for each request"),
        ({"max_concurrency": None}, "max_concurrency is null, so the batch is unknown"),
        ({"model_id": None}, "has no model_id; name the model by --model"),
    ],
)
def test_results_of_vllm_without_details_are_refused(refused, tmp_path, changes, message):
    file = vllm_file(tmp_path, **changes)
    assert re.search(message, refused("import", "vllm-bench", file, "--served", tmp_path / "t"))
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("perf-analyzer", TRITON, "--batch", "4"), "--model is required"),
        (("perf-analyzer", TRITON, "--model", "m"), "--batch is required"),
        (("perf-analyzer", TRITON, TRITON, "--model", "m", "--batch", "4,4"), "different batch"),
        (("perf-analyzer", TRITON, "--model", "m", "--batch", "4,8"), "--batch=4,8: .* the 1 file"),
        (
            ("perf-analyzer", TRITON, "--model", "m", "--batch", "4", "--processes", "3"),
            "concurrency 3, that of --processes; it has 1, 2, 4",
        ),
        (("perf-analyzer", TRITON, "--cores", "4"), "--cores: is for otel-spans only"),
        (("vllm-bench", VLLM, "--out", "rows.csv"), "--out=rows.csv: --served=.* is written inst"),
        (("mlperf-loadgen", TRITON), "only perf-analyzer and vllm-bench have what these tables"),
    ],
)
def test_bad_input_is_told_in_one_sentence(refused, tmp_path, words, message):
    assert re.search(message, refused("import", *words, "--served", tmp_path / "t"))
