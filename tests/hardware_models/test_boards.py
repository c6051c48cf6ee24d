"""Boards: ratios against rows of the table, and what is assumed where there is none."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_models.basis import worst
from hardware_models.errors import UnknownNameError
from hardware_models.gpu import boards, mig
from hardware_models.tables import TableSet, UserTable, load_table, using_tables

OFFLINE_BATCH = math.ceil(boards.offline_batch())
OTHERS = st.sampled_from(boards.boards()[1:])


def rows(systems, benchmark, metric):
    return load_table("accelerator_relative_speed").filter(
        pl.col("system").is_in(systems),
        pl.col("benchmark") == benchmark,
        pl.col("metric") == metric,
    )["value"]


@pytest.mark.parametrize(
    ("board", "systems", "benchmark"),
    [
        ("T4", ["T4x1_TRT", "XE2420_1xT4_edge_TRT", "XE2420_T4x1_TRT"], "resnet50"),
        ("A30", ["A30x1_TRT"], "bert-99"),
        ("L4", ["L4x1_TRT", "XR7620_L4x1_TRT", "XR5610_L4x1_TRT_MaxQ"], "rnnt"),
        ("A10", ["A10x1_TRT"], "ssd-resnet34"),
    ],
)
def test_ratios_are_those_of_the_rows(board, systems, benchmark):
    one = boards.latency_ratio(board, benchmark, 1)
    many = boards.latency_ratio(board, benchmark, OFFLINE_BATCH)
    times = rows(systems, benchmark, boards.BATCH_1).log().mean()
    rates = rows(systems, benchmark, boards.OFFLINE).log().mean()
    assert one.value == pytest.approx(math.exp(times))
    assert many.value == pytest.approx(math.exp(-rates))
    assert one.basis == many.basis == "scaled"


def test_the_reference_is_one():
    assert boards.latency_ratio(boards.REFERENCE, "resnet50", 8) == boards.Ratio(1.0, "measured")
    assert boards.boards()[0] == boards.REFERENCE


def test_boards_that_can_be_partitioned_are_named_alike():
    assert {"A100-40GB", "A100-80GB", "L4"} <= set(boards.boards()) & set(mig.boards())
    expected = {"A30", "A10", "A2", "T4", "V100", "H100-80GB"}
    assert expected <= set(boards.boards())


@given(OTHERS, st.sampled_from(["resnet50", "bert-99", "rnnt"]), st.integers(1, 512))
def test_between_the_ends_a_ratio_lies_between_theirs(board, benchmark, batch):
    ends = sorted(boards.latency_ratio(board, benchmark, end).value for end in (1, OFFLINE_BATCH))
    found = boards.latency_ratio(board, benchmark, batch)
    assert ends[0] - 1e-12 <= found.value <= ends[1] + 1e-12
    if 1 < batch < OFFLINE_BATCH:
        assert found.basis == "assumed"


@given(st.sampled_from(["A10", "A2", "A30", "L4", "T4", "V100"]))
def test_smaller_boards_fall_behind_in_large_batches(board):
    assert boards.latency_ratio(board, "resnet50", 128).value > 2
    assert (
        boards.latency_ratio(board, "resnet50", 128).value
        > boards.latency_ratio(board, "resnet50", 1).value
    )


def test_a_benchmark_that_a_board_lacks_is_the_mean_of_its_own():
    assert "retinanet" not in boards.benchmarks("T4")
    known = [
        boards.latency_ratio("T4", name).value
        for name in boards.benchmarks("T4")
        if boards.latency_ratio("T4", name).basis == "scaled"
    ]
    found = boards.latency_ratio("T4", "retinanet")
    assert found.basis == "assumed"
    assert math.log(found.value) == pytest.approx(sum(map(math.log, known)) / len(known))


def test_an_h100_was_measured_offline_alone():
    one, many = (boards.latency_ratio("H100-80GB", "bert-99", n) for n in (1, OFFLINE_BATCH))
    assert (one.basis, many.basis) == ("assumed", "scaled")
    assert one.value == many.value < 0.5


def test_a_v100_comes_from_layer_times():
    decode = boards.latency_ratio("V100", "llama2_70b", 1)
    # 2.4 ms over 1.4 ms a layer at a batch of 8.
    assert decode.value == pytest.approx(2.4 / 1.4, rel=0.05)
    assert boards.latency_ratio("V100", "llama2_70b", 64).value == pytest.approx(2.76, abs=0.01)
    assert boards.latency_ratio("V100", "resnet50").basis == "assumed"


def test_bad_input_is_named():
    with pytest.raises(UnknownNameError, match=r"unknown gpu 'V-100'.*did you mean 'V100'"):
        boards.latency_ratio("V-100", "resnet50")
    with pytest.raises(UnknownNameError, match=r"unknown benchmark 'resnet'.*did you mean"):
        boards.latency_ratio("T4", "resnet")
    with pytest.raises(ValueError, match="batch is 0"):
        boards.latency_ratio("T4", "resnet50", 0)


def test_a_users_rows_count(tmp_path):
    mine = load_table("accelerator_relative_speed").filter(
        pl.col("system") == "A10x1_TRT", pl.col("metric") == boards.BATCH_1
    )
    path = tmp_path / "mine.csv"
    mine.with_columns(value=pl.lit(3.0)).write_csv(path)
    with using_tables(TableSet({"accelerator_relative_speed": UserTable(str(path))})):
        assert boards.latency_ratio("A10", "resnet50").value == pytest.approx(3.0)
    assert boards.latency_ratio("A10", "resnet50").value < 1.1


def test_the_weakest_basis_is_that_of_the_whole():
    assert worst("measured") == "measured"
    assert worst("interpolated", "scaled", "measured") == "scaled"
    assert worst("assumed", "extrapolated", "scaled") == "extrapolated"


def test_an_offline_rate_may_hold_from_a_batch_of_one(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("quantity,value\noffline_batch,1\n")
    offline = boards.latency_ratio("T4", "resnet50", OFFLINE_BATCH)
    with using_tables(TableSet({"board_assumptions": UserTable(str(path))})):
        assert boards.latency_ratio("T4", "resnet50", 1) == offline
        assert boards.latency_ratio("T4", "resnet50", 8) == offline


def test_the_power_limited_l4_is_as_near_to_the_others_as_its_note_says():
    table = load_table("accelerator_relative_speed").pivot(
        "system", index=("round", "benchmark", "metric"), values="value"
    )
    limited = pl.col("XR5610_L4x1_TRT_MaxQ")
    [note] = load_table("accelerator_systems").filter(system="XR5610_L4x1_TRT_MaxQ")["note"]
    assert "within 3% of XR7620_L4x1_TRT, and within 4% of L4x1_TRT but for" in note
    beside = table.select(limited / pl.col("XR7620_L4x1_TRT") - 1).to_series().drop_nulls()
    assert beside.abs().max() < 0.03
    apart = {
        (row["benchmark"], row["metric"]): row["apart"]
        for row in table.with_columns(apart=limited / pl.col("L4x1_TRT") - 1)
        .filter(pl.col("apart").abs() > 0.04)
        .iter_rows(named=True)
    }
    assert apart == {
        ("bert-99", boards.OFFLINE): pytest.approx(-0.12, abs=0.005),
        ("resnet50", boards.BATCH_1): pytest.approx(-0.08, abs=0.005),
    }
