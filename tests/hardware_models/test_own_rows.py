"""Rows of a user's own reach the models that a simulation uses."""

import polars as pl
import pytest

from hardware_models import llm
from hardware_models.gpu import compute
from hardware_models.tables import TableSet, UserTable, load_table, using_tables


def merged(tmp_path, table, rows):
    path = tmp_path / f"{table}.csv"
    pl.DataFrame(rows).write_csv(path)
    return using_tables(TableSet({table: UserTable(str(path))}))


def gpu_row(gpu, slices, batch, ms, processes=1, model="resnet50"):
    return {
        "model": model,
        "gpu": gpu,
        "mig_gpcs": slices,
        "batch": batch,
        "mps_procs": processes,
        "batch_latency_ms": ms,
    }


def test_a_point_measured_on_another_board_is_used_there(tmp_path):
    def time(batch=2, board="L4", profile="full"):
        return compute.gpu_batch_times("resnet50", "resnet50", board, profile, batch).factors[-1]

    before = time()
    alone_ms = (
        load_table("gpu_latency")
        .filter(model="resnet50", mig_gpcs=7, batch=1, mps_procs=1)["batch_latency_ms"]
        .item()
    )
    with merged(tmp_path, "gpu_latency", [gpu_row("L4", 1, 2, 100 * alone_ms)]):
        assert time() == pytest.approx(100.0)
        assert time(batch=1) < 10, "other points are as before"
        assert time(board="A100-40GB", profile="7g.40gb") < 10
    assert time() == before


def test_an_operator_can_be_like_a_users_own_model(tmp_path):
    rows = [
        gpu_row("A100-80GB", slices, batch, 3.0 + batch * 7 / slices, model="my_net")
        for slices in (1, 2, 3, 7)
        for batch in (1, 2, 4, 8, 16)
    ]
    with merged(tmp_path, "gpu_latency", rows):
        times = compute.gpu_batch_times("my_net", "resnet50", "A100-80GB", "1g.10gb", 3).factors
        assert times == pytest.approx([10 / 4, 17 / 4, 24 / 4], rel=0.05)


@pytest.mark.parametrize("called", ["Qwen2.5-Coder-7B-Instruct", "Qwen2.5-7B-Instruct"])
@pytest.mark.parametrize(("suffix", "precision"), [("", "BF16"), ("-AWQ", "AWQ")])
def test_rows_of_a_language_model_scale_its_prefill_and_decoding(
    tmp_path, called, suffix, precision
):
    name = "Qwen2.5-Coder-7B-Instruct"

    def times(board="A100-80GB", profile="7g.80gb", which=precision):
        return llm.iteration_times(name, which, board, profile)

    before = times()
    rows = [
        {
            "model": called + suffix,
            "gpu": "a100-80gb",
            "tensor_parallel": 1,
            "prompt_tokens": prompt,
            "batch": batch,
            "output_tokens": 128,
            "ttft_ms": 2e3 * before.prefill_s([prompt] * batch),
            "tpot_ms": 3e3 * before.decode_s(batch, batch * (prompt + 64)),
            "e2e_ms": 1.0,
            "n_runs": 1,
        }
        for prompt, batch in ((512, 1), (1024, 4))
    ]
    with merged(tmp_path, "llm_iteration", rows):
        assert times().prefill_s([777]) == pytest.approx(2 * before.prefill_s([777]))
        assert times().decode_s(3, 99) == pytest.approx(3 * before.decode_s(3, 99))
        other = "BF16" if precision == "AWQ" else "AWQ"
        assert times(which=other) == llm.modelled_iteration_times(
            name, other, "A100-80GB", "7g.80gb"
        )
        assert times(board="H100-80GB", profile="7g.80gb") == llm.modelled_iteration_times(
            name, precision, "H100-80GB", "7g.80gb"
        )
    assert times() == before
