"""Language models: sizes counted from architecture, and times of iterations by where they run."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_models import llm
from hardware_models.errors import UnknownNameError
from hardware_models.llm import architecture as llm_models
from hardware_models.llm.speed import SPEED
from hardware_models.surfaces import predict
from hardware_models.tables import TableSet, UserTable, load_table, using_tables

MODEL = "Qwen2.5-Coder-7B-Instruct"
COUNTS = st.lists(st.integers(1, 8192), min_size=1, max_size=8)
SPANS = [field.name for field in dataclasses.fields(llm.IterationTimes) if field.name != "basis"]


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("Qwen2.5-Coder-0.5B-Instruct", 494_032_768),
        (MODEL, 7_615_616_512),
        ("Qwen2.5-Coder-32B-Instruct", 32_763_876_352),
        ("DeepSeek-Coder-1.3B-Instruct", 1_346_471_936),
        ("Gemma-3-27B", 27_432_406_640),
        ("Llama-2-70B", 68_976_648_192),
        ("BLOOM-176B", 176_247_271_424),
    ],
)
def test_architectures_add_up_to_the_published_parameters(model, parameters):
    assert llm_models.language_model(model).parameters == pytest.approx(parameters, rel=1e-3)


def test_weights_agree_with_the_memory_measured_for_qwen():
    rows = load_table("llm_speed").filter(
        (pl.col("input_tokens") == 1)
        & (pl.col("gpu_memory_gb") > 1)
        & pl.col("model").str.starts_with("Qwen2.5")
    )
    assert rows.height > 15
    for model, precision, memory in rows.select("model", "precision", "gpu_memory_gb").iter_rows():
        ratio = memory * 2**30 / llm.weight_bytes(model, precision)
        assert 0.99 < ratio < 1.13, (model, precision)


@pytest.mark.parametrize("model", llm.models())
def test_fewer_bits_take_fewer_bytes(model):
    sizes = {name: llm.weight_bytes(model, name) for name in llm.precisions(model)}
    assert sizes["BF16"] == max(sizes.values())
    assert sizes["BF16"] == 2 * llm_models.language_model(model).parameters
    assert sizes["LLM.int8"] > sizes["BF16"] / 2
    assert all(sizes[name] < sizes["LLM.int8"] for name in sizes if name in {"GPTQ-Int4"})


def test_cache_of_a_token_counts_keys_and_values_of_all_layers():
    assert llm.language_model(MODEL).kv_bytes_per_token == 2 * 28 * 4 * 128 * 2
    assert llm.language_model("Llama-2-70B").kv_bytes_per_token == 2 * 80 * 8 * 128 * 2


def test_a_measured_rate_is_given_as_it_was_measured():
    row = SPEED.measured()[:3]
    figures, exact = predict(SPEED, row)
    assert exact.all()
    assert figures == pytest.approx(row["decode_tokens_per_s"].to_numpy())


@pytest.mark.parametrize("precision", ["BF16", "GPTQ-Int4", "AWQ"])
def test_one_request_decodes_at_the_measured_rate(precision):
    times = llm.iteration_times(MODEL, precision, "A100-80GB", "full")
    rows = SPEED.measured().filter(
        (pl.col("model") == "Qwen2.5-7B-Instruct")
        & (pl.col("precision") == precision)
        & (pl.col("input_tokens") < 20_000)
    )
    for prompt, output, rate in rows.select(
        "input_tokens", "output_tokens", "decode_tokens_per_s"
    ).iter_rows():
        tokens = times.decode_s(1, prompt + output // 2) * output
        whole = times.prefill_s([prompt]) + tokens
        assert output / whole == pytest.approx(rate, rel=0.08)
    assert times.basis == "interpolated"


def test_quantised_weights_gain_and_int8_loses():
    times = {
        name: llm.iteration_times(MODEL, name, "A100-80GB", "full").decode_s(1)
        for name in llm.precisions(MODEL)
    }
    assert times["AWQ"] < times["GPTQ-Int8"] < times["BF16"] < times["LLM.int8"]
    assert times["LLM.int8"] / times["BF16"] == pytest.approx(37.5 / 32, rel=1e-3)


@given(COUNTS, st.integers(1, 64), st.integers(0, 100_000))
def test_more_work_never_takes_less(prompts, active, context):
    times = llm.iteration_times(MODEL, "BF16", "A100-80GB", "full")
    assert times.prefill_s([*prompts, 100]) > times.prefill_s(prompts) > 0
    assert times.decode_s(active + 1, context) > times.decode_s(active, context) > 0
    assert times.decode_s(active, context + 1) > times.decode_s(active, context)
    # A prompt in one piece attends to more than the same tokens in two.
    assert times.prefill_s([sum(prompts)]) >= times.prefill_s(prompts)


def test_nothing_to_do_takes_no_time():
    times = llm.iteration_times(MODEL, "BF16", "A100-80GB", "full")
    assert times.prefill_s([]) == 0
    assert times.decode_s(0) == 0


def test_a_whole_card_is_the_board_itself():
    whole = llm.iteration_times(MODEL, "BF16", "A100-80GB", "full")
    assert llm.iteration_times(MODEL, "BF16", "A100-80GB", "7g.80gb") == whole


def test_slices_are_slower_and_an_assumption():
    profiles = ("7g.80gb", "3g.40gb", "2g.20gb", "1g.10gb")
    times = [llm.iteration_times(MODEL, "AWQ", "A100-80GB", profile) for profile in profiles]
    assert [each.basis for each in times] == ["interpolated", "assumed", "assumed", "assumed"]
    for name in SPANS:
        spans = [getattr(each, name) for each in times]
        assert spans == sorted(spans)
    # Arithmetic goes with compute slices, reading the cache with memory slices of 8.
    assert times[1].prefill_s_per_token == pytest.approx(times[0].prefill_s_per_token * 7 / 3)
    context = [each.decode_s_per_context_token for each in times]
    assert context[1] == pytest.approx(context[0] * 2)


def test_a_user_sweeps_the_exponents_of_slices(tmp_path):
    table = load_table("llm_slice_scaling").with_columns(exponent=pl.lit(0.0))
    table.write_csv(tmp_path / "mine.csv")
    whole = llm.iteration_times(MODEL, "BF16", "A100-80GB", "full")
    mine = UserTable(str(tmp_path / "mine.csv"))
    with using_tables(TableSet({"llm_slice_scaling": mine})):
        flat = llm.iteration_times(MODEL, "BF16", "A100-80GB", "1g.10gb")
    assert flat == dataclasses.replace(whole, basis="assumed")
    assert llm.iteration_times(MODEL, "BF16", "A100-80GB", "1g.10gb").decode_s(1) > whole.decode_s(
        1
    )


def test_boards_order_as_their_memory_and_their_arithmetic():
    names = ("H100-80GB", "A100-80GB", "A100-40GB", "V100", "L4")
    times = [llm.iteration_times(MODEL, "BF16", name, "full") for name in names]
    decode = [each.decode_s(1) for each in times]
    assert decode == sorted(decode)
    prefill = [each.prefill_s([2048]) for each in times]
    assert prefill == sorted(prefill)
    assert [each.basis for each in times[:3]] == ["scaled", "interpolated", "assumed"]


def test_more_boards_take_less_time_but_more_of_it_together():
    spans = [
        llm.iteration_times("Qwen2.5-Coder-32B-Instruct", "BF16", "A100-80GB", "full", count)
        for count in (1, 2, 4)
    ]
    for function in (lambda times: times.decode_s(1), lambda times: times.prefill_s([4096])):
        alone, two, four = map(function, spans)
        assert alone > two > four
        assert alone < 2 * two
        assert two < 2 * four


@pytest.mark.parametrize("model", llm.models())
@pytest.mark.parametrize("board", llm.boards())
def test_every_model_has_times_on_every_board(model, board):
    for precision in llm.precisions(model):
        times = llm.iteration_times(model, precision, board, "full")
        assert all(np.isfinite(getattr(times, name)) for name in SPANS)
        assert all(getattr(times, name) > 0 for name in SPANS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Qwen2.5-Coder-7B", "BF16", "A100-80GB", "full"), f"did you mean '{MODEL}'"),
        ((MODEL, "GPTQ-4", "A100-80GB", "full"), "did you mean 'GPTQ-Int4'"),
        ((MODEL, "BF16", "A100", "full"), "did you mean 'A10"),
        ((MODEL, "BF16", "A100-80GB", "3g.80gb"), "did you mean '3g.40gb'"),
        ((MODEL, "BF16", "T4", "1g.10gb"), "did you mean 'full'"),
    ],
)
def test_unknown_names_give_the_nearest(arguments, message):
    with pytest.raises(UnknownNameError, match=message):
        llm.iteration_times(*arguments)


def test_there_is_at_least_one_board():
    with pytest.raises(ValueError, match=r"^tensor_parallel is 0: "):
        llm.iteration_times(MODEL, "BF16", "A100-80GB", "full", 0)


@pytest.mark.parametrize("gpu", ["A100-80GB", "H100-80GB"])
def test_another_stack_of_two_boards_agrees(gpu):
    """Splitwise's engines gave shares of an iteration to the model, but never its length."""
    rows = load_table("llm_iteration").filter(
        (pl.col("gpu") == gpu.lower()) & (pl.col("tensor_parallel") == 2) & (pl.col("batch") <= 16)
    )
    times = llm.iteration_times("Llama-2-70B", "BF16", gpu, "full", 2)
    prompts, batches, outputs, first, between = rows.select(
        "prompt_tokens", "batch", "output_tokens", "ttft_ms", "tpot_ms"
    )
    cells = list(zip(prompts, batches, outputs, strict=True))
    decode = [times.decode_s(size, size * (prompt + out // 2)) for prompt, size, out in cells]
    prefill = [times.prefill_s([prompt] * size) for prompt, size, _ in cells]
    assert np.median(decode / between.to_numpy()) * 1e3 == pytest.approx(1, abs=0.15)
    assert np.median(prefill / first.to_numpy()) * 1e3 == pytest.approx(1, abs=0.2)
