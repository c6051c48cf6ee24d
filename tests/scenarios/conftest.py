"""What tests of queries and of declared applications share."""

import polars as pl
import pytest
from declared_watch import TABLES
from drawn_queries import drawn


@pytest.fixture
def tables(tmp_path):
    for name, columns in TABLES.items():
        pl.DataFrame(columns).write_csv(tmp_path / f"{name}.csv")
    return tmp_path


@pytest.fixture(scope="session")
def calm():
    """Queries of a world without drift; tests only read them."""
    return drawn()
