"""Predictions about GPUs: what they refuse, and how near they come to rows they have not seen."""

import numpy as np
import polars as pl
import pytest

from hardware_models.predictors import PREDICTORS
from hardware_models.schemas import SCHEMAS
from hardware_models.tables import load_table

BY_NAME = dict(zip(("latency", "boards", "threads", "neighbours"), PREDICTORS, strict=False))


def own_rows(predictor):
    table = load_table(predictor.table)
    return table if predictor.rows is None else table.filter(predictor.rows(table))


def errors(rows, target, predicted):
    return np.abs(np.asarray(predicted) / rows[target].to_numpy() - 1)


def test_their_columns_are_in_the_tables():
    for predictor in PREDICTORS:
        columns = SCHEMAS[predictor.table].columns
        assert {predictor.target, *predictor.group_by} <= set(columns)


@pytest.mark.parametrize("name", ["latency", "threads"])
def test_rows_that_are_in_the_tables_are_given_back(name):
    predictor = BY_NAME[name]
    rows = own_rows(predictor)
    assert errors(rows, predictor.target, predictor.predict(rows)).max() < 1e-9


@pytest.mark.parametrize(
    ("name", "median", "p90"),
    [
        pytest.param("latency", 0.03, 0.10, marks=pytest.mark.slow),
        ("boards", 0.10, 0.40),
        ("threads", 0.05, 0.10),
        ("neighbours", 0.06, 0.06),
    ],
)
def test_rows_that_were_not_seen(name, median, p90):
    predictor = BY_NAME[name]
    unseen = predictor.cross_validated()
    assert set(SCHEMAS[predictor.table].columns) <= set(unseen.columns)
    unseen = unseen.filter(pl.col("predicted").is_not_nan())
    found = errors(unseen, predictor.target, unseen["predicted"])
    assert np.median(found) < median
    assert np.quantile(found, 0.9) < p90
    assert np.median(found) > 0


def test_a_row_is_not_its_own_prediction():
    predictor = BY_NAME["latency"]
    rows = own_rows(predictor).head(5)
    changed = rows.with_columns(batch_latency_ms=pl.lit(1e6))
    assert predictor.predict(changed) == pytest.approx(predictor.predict(rows))


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("latency", "model", "alexnet"),
        ("latency", "gpu", "H100"),
        ("latency", "batch", 4000),
        ("boards", "system", "abacus"),
        ("boards", "benchmark", "chess"),
        ("threads", "model", "lenet"),
        ("neighbours", "model", "alexnet"),
    ],
)
def test_what_is_not_known_is_refused(name, column, value):
    predictor = BY_NAME[name]
    rows = own_rows(predictor).head(3)
    rows = rows.with_columns(pl.lit(value, rows.schema[column]).alias(column))
    assert np.isnan(predictor.predict(rows)).all()
