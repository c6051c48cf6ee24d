"""Tables of applications: they are what their derivations give, and say where they come from."""

import polars as pl
import pytest

from hardware_models.schemas import PROVENANCE
from hardware_models.tables import typed_columns
from scenarios.derivation import DATA, names, write

FILES = sorted(DATA.glob("*/*.csv"))


@pytest.mark.parametrize("name", names())
def test_committed_tables_are_what_is_derived(name, tmp_path):
    for path in write([name], tmp_path):
        committed, now = (
            pl.read_csv(folder / name / path.name, infer_schema_length=None)
            for folder in (DATA, tmp_path)
        )
        assert committed.columns == now.columns
        for column in now.columns:
            here, there = committed[column].to_list(), now[column].to_list()
            if now[column].dtype.is_numeric():
                # One unit of the six digits written, which another processor may round otherwise.
                assert here == pytest.approx(there, rel=1e-5, nan_ok=True)
            elif column != "note":  # Notes tell fitted figures; the last digit of one may differ.
                assert here == there


def test_a_name_without_derived_tables_is_refused():
    with pytest.raises(ValueError, match="did you mean 'visual_tracking'"):
        write(["visual_trackin"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_row_says_where_it_comes_from(path):
    frame = pl.read_csv(path, infer_schema=False)
    assert frame.height > 0
    typed_columns(frame, PROVENANCE, path.name)
    if path.parent.name != "raw":
        worked_out = frame.filter(pl.col("kind").is_in(["derived", "assumption"]))
        assert worked_out["note"].is_not_null().all(), "how was it worked out?"
