"""Rows of a user's own: only provenance may be left out."""

from datetime import date, timedelta

import polars as pl
import pytest

from hardware_models.errors import TableError
from hardware_models.schemas import PROVENANCE, SCHEMAS
from hardware_models.tables import (
    TableSet,
    UserTable,
    keeping_rows,
    load_table,
    typed_columns,
    user_table,
    using_tables,
)

ROW = {
    "model": "my_net",
    "gpu": "A100-80GB",
    "mig_gpcs": "7",
    "batch": "1",
    "mps_procs": "1",
    "batch_latency_ms": "3.5",
}


def test_silent_provenance_is_filled():
    [row] = user_table(pl.DataFrame([ROW]), "gpu_latency", "some/where/rows.csv").rows(named=True)
    assert row["batch_latency_ms"] == 3.5
    assert {name: row[name] for name in PROVENANCE} == {
        "unit": "",
        "kind": "measured",
        "source": "rows.csv",
        "source_url": None,
        "note": None,
    }


def test_provenance_that_speaks_is_kept_and_checked():
    said = {"unit": "ms", "kind": "derived", "source": "me", "source_url": "https://example.org"}
    rows = pl.DataFrame([ROW | said, {**ROW, "batch": "2", **dict.fromkeys(said)}])
    first, second = user_table(rows, "gpu_latency", "rows.csv").rows(named=True)
    assert {name: first[name] for name in said} == said
    assert (second["kind"], second["source"], second["source_url"]) == (
        "measured",
        "rows.csv",
        None,
    )
    for name, value in (("kind", "guess"), ("source_url", "http://example.org")):
        with pytest.raises(TableError, match=f"column '{name}': '{value}' is not allowed"):
            user_table(pl.DataFrame([ROW | {name: value}]), "gpu_latency", "rows.csv")


@pytest.mark.parametrize("name", ROW)
def test_what_a_row_says_may_not_be_left_out(name):
    frame = pl.DataFrame([ROW]).drop(name)
    has = ", ".join(frame.columns)
    with pytest.raises(TableError, match=f"column '{name}' is missing; it has {has}$"):
        user_table(frame, "gpu_latency", "rows.csv")


def test_a_user_s_rows_join_ours_with_and_without_provenance(tmp_path):
    ours = load_table("gpu_latency")
    pl.DataFrame([ROW]).write_csv(tmp_path / "rows.csv")
    pl.DataFrame([ROW]).write_parquet(tmp_path / "rows.parquet")
    for name in ("rows.csv", "rows.parquet"):
        with using_tables(TableSet({"gpu_latency": UserTable(str(tmp_path / name))})):
            merged = load_table("gpu_latency")
        assert merged.head(ours.height).equals(ours)
        assert merged["source"][-1] == name


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("batch_latency_ms", date(2020, 1, 1), r"datetime\.date\(2020, 1, 1\)"),
        ("batch_latency_ms", timedelta(1), r"datetime\.timedelta\(days=1\)"),
        ("batch", True, "True"),
        ("batch", [1, 2], r"\[1, 2\]"),
        ("batch", {"a": 1}, r"\{'a': 1\}"),
        ("batch", b"1", "b'1'"),
        ("model", ["my_net"], r"\['my_net'\]"),
        ("model", b"my_net", "b'my_net'"),
        ("unit", ["ms"], r"\['ms'\]"),
    ],
)
def test_types_of_parquet_that_are_no_numbers_or_texts_are_refused(tmp_path, column, value, shown):
    path = tmp_path / "rows.parquet"
    pl.DataFrame([ROW]).with_columns(pl.Series(column, [value])).write_parquet(path)
    wanted = rf"rows\.parquet, row 2, column '{column}': {shown} is not allowed; give "
    with (
        pytest.raises(TableError, match=wanted) as caught,
        using_tables(TableSet({"gpu_latency": UserTable(str(path))})),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_dates_and_categories_are_texts_in_parquet_as_in_csv(tmp_path):
    frame = pl.DataFrame([ROW]).with_columns(
        pl.Series("note", [date(2020, 1, 2)]),
        pl.col("model").cast(pl.Categorical),
        pl.col("batch").cast(pl.Categorical),
    )
    [row] = user_table(frame, "gpu_latency", "rows.parquet").rows(named=True)
    assert (row["note"], row["model"], row["batch"]) == ("2020-01-02", "my_net", 1)


def test_rows_that_keep_to_their_columns_are_marked():
    columns = {name: SCHEMAS["gpu_latency"].columns[name] for name in ("mig_gpcs", "batch")}
    rows = pl.DataFrame({"mig_gpcs": ["1", "9", "7", None], "batch": ["1", "2", "x", "4"]})
    kept = keeping_rows(rows, columns)
    assert kept.to_list() == [True, False, False, False]
    assert typed_columns(rows.filter(kept), columns, "rows").rows() == [(1, 1)]
