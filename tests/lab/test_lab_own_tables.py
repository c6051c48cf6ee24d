"""A user's own tables: merged or replaced by configuration, in that run and in no other."""

import polars as pl
import pytest

from hardware_models.tables import load_table
from lab import run
from lab.errors import InputError

SHORT = ["experiment=speech_small", "horizon_s=60", "planner=videostorm"]


@pytest.fixture
def slower(tmp_path):
    """Write a table in which every GPU is ten times as slow on fewer than 7 slices."""
    table = load_table("gpu_latency")
    slow = pl.when(pl.col("mig_gpcs") < 7).then(10.0).otherwise(1.0)
    path = tmp_path / "slower.csv"
    table.with_columns(pl.col("batch_latency_ms") * slow).write_csv(path)
    return path


def bill(result):
    return result.summary["deployment_cost_usd"]


@pytest.mark.parametrize("how", ["merge", "replace"])
def test_a_run_uses_the_users_table_and_the_next_does_not(slower, how):
    before = run(SHORT)
    during = run([*SHORT, f"tables.gpu_latency={{path: {slower}, how: {how}}}"])
    after = run(SHORT)
    assert during.decisions["plan"].to_list() != before.decisions["plan"].to_list()
    assert after.decisions.equals(before.decisions)
    assert after.queries.equals(before.queries)


def test_a_path_alone_merges(slower):
    merged = run([*SHORT, f"tables.gpu_latency={{path: {slower}, how: merge}}"])
    assert run([*SHORT, f"tables.gpu_latency={slower}"]).decisions.equals(merged.decisions)


def test_own_prices_are_billed(tmp_path):
    prices = load_table("prices")
    path = tmp_path / "prices.parquet"
    prices.with_columns(pl.col("price_usd_per_hour") * 3).write_parquet(path)
    lavish = [*SHORT, "application.tiers.economy.cost_usd_per_hour=1000"]
    dear = run([*lavish, f"tables.prices={path}"])
    cheap = run(lavish)
    assert dear.decisions["plan"].to_list() == cheap.decisions["plan"].to_list()
    assert bill(dear) == pytest.approx(3 * bill(cheap), rel=0.01)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (pl.lit("A100"), "column 'batch': 'A100' is not allowed"),
        (pl.lit("0"), "column 'batch': '0' is not allowed; give a whole number at least 1"),
    ],
)
def test_a_wrong_table_is_told_by_file_row_and_column(tmp_path, change, reason):
    path = tmp_path / "wrong.csv"
    load_table("gpu_latency").with_columns(batch=change).write_csv(path)
    with pytest.raises(InputError, match=r"wrong\.csv, row 2, ") as caught:
        run([*SHORT, f"tables.gpu_latency={path}"])
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
