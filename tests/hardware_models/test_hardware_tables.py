"""Tables keep to their schemas, and a broken one is reported by file, row and column."""

import polars as pl
import pytest

from hardware_models.errors import TableError, UnknownNameError, pick
from hardware_models.schemas import KINDS, SCHEMAS
from hardware_models.tables import load_table, validate


def as_text(name):
    """Give a table as it comes from its file, to be corrupted."""
    return load_table(name).cast(pl.String)


def corrupt(frame, row, column, value):
    return frame.with_columns(
        pl.when(pl.int_range(pl.len()) == row)
        .then(pl.lit(value))
        .otherwise(pl.col(column))
        .alias(column)
    )


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_table_loads_with_its_provenance(name):
    table = load_table(name)
    assert table.height > 0
    assert table.columns == list(SCHEMAS[name].columns)
    assert set(table["kind"]) <= set(KINDS)
    assert table.select(SCHEMAS[name].key).is_unique().all()


@pytest.mark.parametrize("name", SCHEMAS)
def test_validation_is_idempotent_and_independent_of_given_types(name):
    table = load_table(name)
    assert validate(table, SCHEMAS[name], "mine").equals(table)
    assert validate(as_text(name), SCHEMAS[name], "mine").equals(table)


@pytest.mark.parametrize(
    ("table", "column", "value", "allowed"),
    [
        ("links", "p50", "-3", "at least"),
        ("links", "p50", "1e15", "at most 1e+06"),
        ("links", "p50", "fast", "a finite number"),
        ("links", "p50", "nan", "a finite number"),
        ("links", "p50", "inf", "a finite number"),
        ("links", "p50", None, "a finite number"),
        ("device_models", "relative_speed", "1001", "at most 1000"),
        ("gpu_partitions", "compute_slices", "1.5", "a whole number at least 1"),
        ("gpu_partitions", "start_indexes", "0,2", "text that matches"),
        ("prices", "kind", "guess", "measured, published, derived, assumption"),
        ("prices", "region", None, "text"),
        ("prices", "source_url", "somewhere", "text that matches"),
    ],
)
def test_bad_value_names_file_row_and_column(table, column, value, allowed):
    frame = corrupt(as_text(table), 3, column, value)
    with pytest.raises(TableError) as error:
        validate(frame, SCHEMAS[table], "mine.csv")
    message = str(error.value)
    assert message.startswith(f"mine.csv, row 5, column {column!r}: {value!r}")  # Line 1: header.
    assert allowed in message


def test_a_typed_fraction_is_not_cut_to_a_whole_number():
    frame = load_table("gpu_partitions").with_columns(compute_slices=pl.lit(1.5))
    with pytest.raises(TableError, match=r"mine, row 2, column 'compute_slices': 1\.5"):
        validate(frame, SCHEMAS["gpu_partitions"], "mine")


def test_missing_column_names_file_and_column():
    with pytest.raises(TableError, match=r"mine\.csv: column 'p95' is missing"):
        validate(load_table("links").drop("p95"), SCHEMAS["links"], "mine.csv")


def test_duplicate_key_names_the_later_row():
    frame = load_table("model_sizes")
    with pytest.raises(TableError, match=r"mine\.csv, row 7, column 'model'.*hubert-large"):
        validate(pl.concat([frame, frame[3]]), SCHEMAS["model_sizes"], "mine.csv")


def test_unknown_table_gives_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown table 'link'.*did you mean 'links'"):
        load_table("link")


def test_unknown_name_lists_what_is_known_and_the_nearest():
    boards = ("A100-40GB", "A100-80GB", "L4")
    pick("gpu", "L4", boards)
    with pytest.raises(UnknownNameError) as error:
        pick("gpu", "a100-40", boards)
    assert str(error.value) == (
        "unknown gpu 'a100-40': choose one of 'A100-40GB', 'A100-80GB', 'L4'; "
        "did you mean 'A100-40GB'?"
    )
    with pytest.raises(UnknownNameError, match=r"^unknown gpu 'L4': there is none$"):
        pick("gpu", "L4", ())
    with pytest.raises(UnknownNameError, match=r"'A10'.*did you mean 'A100-40GB'"):
        pick("gpu", "A10", boards)
    with pytest.raises(UnknownNameError, match=r"'xyz'.*did you mean"):
        pick("gpu", "xyz", boards)
