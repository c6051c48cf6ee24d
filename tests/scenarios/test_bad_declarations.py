"""Bad declarations that no command can give: the corpus of bad inputs has the others."""

import math
import re

import polars as pl
import pytest
from declared_watch import TABLES, declare


@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        ({"operators.see.message_bytes": {"sample": 1}}, "see.message_bytes=", "must be a number"),
        ({"operators.sample.service_time_s": math.nan}, "service_time_s=nan", "must be a number"),
        ({"tiers.fast.weight": None}, "tiers.fast.weight=null", "must be a number of 0 or more"),
        ({"size_scales": "wrk"}, "application.size_scales='wrk'", "all or work"),
        ({"interarrival": "periodi"}, "application.interarrival=periodi", "'periodic'"),
    ],
)
def test_a_value_of_another_type_is_told_in_one_sentence(tables, change, said, hint):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        declare(tables, change)
    message = str(caught.value)
    assert message.startswith("application.")
    assert hint in message
    assert "\n" not in message


@pytest.mark.parametrize("place", ["rates.rate", "rates.frames", "hours.stratum", "hours.dataset"])
def test_lists_in_a_table_are_told(tables, place):
    table, column = place.split(".")
    frame = pl.DataFrame(TABLES[table]).with_columns(pl.concat_list(column))
    (tables / f"{table}.csv").unlink()
    frame.write_parquet(tables / f"{table}.parquet")
    told = rf"{table}.parquet, row 2, column '{column}': \[{frame[column][0][0]!r}\] is not"
    with pytest.raises(ValueError, match=told) as caught:
        declare(tables)
    assert "\n" not in str(caught.value)
