"""Fits: the committed coefficients are what fitting gives, and files keep to their schemas."""

import polars as pl
import pytest

from hardware_models.errors import UnknownNameError
from hardware_models.fits import registry as fitting
from hardware_models.fits.registry import error_rows, write_fits
from hardware_models.gpu import gpu_latency
from hardware_models.schemas import SCHEMAS
from hardware_models.tables import load_table, read_file, validate


def test_refitting_gives_the_committed_coefficients(tmp_path):
    paths = write_fits(tmp_path / "new", ["mps"])
    assert [path.name for path in paths] == ["fit_mps.csv", "fit_mps_errors.csv"]
    for path in paths:
        written = validate(read_file(path), SCHEMAS[path.stem], path.name)
        committed = load_table(path.stem)
        assert written.select(pl.col(pl.String)).equals(committed.select(pl.col(pl.String)))
        numbers = pl.selectors.numeric()
        assert written.select(numbers).to_numpy() == pytest.approx(
            committed.select(numbers).to_numpy(), rel=0.02
        )


def test_refitting_a_model_gives_its_committed_form():
    rows = load_table("gpu_latency").filter(pl.col("model") == "resnet101")
    rows = rows.sort("mig_gpcs", "mps_procs", "batch")
    form = list(gpu_latency.fit_form(rows).values())
    committed = load_table("fit_gpu_latency").filter(pl.col("group") == "resnet101")
    assert committed["coefficient"].to_list() == list(gpu_latency.FORM)
    assert form == pytest.approx(committed["value"].to_numpy(), rel=0.01, abs=0.01)


@pytest.mark.parametrize("name", ["gpu_latency", "mps"])
def test_what_is_fitted_can_be_read(name):
    assert name in fitting.FITS
    coefficients, errors = load_table(f"fit_{name}"), load_table(f"fit_{name}_errors")
    assert {one.removesuffix(" all") for one in errors["group"]} - {"all", "threads"} <= set(
        coefficients["group"]
    )
    assert (errors["median_pct"] <= errors["p90_pct"]).all()
    assert (errors["p90_pct"] <= errors["worst_pct"]).all()


def test_errors_are_summed_up_by_group():
    frame = pl.DataFrame(
        {
            "model": ["a", "a", "a", "b"],
            "ms": [10.0, 10.0, 10.0, 4.0],
            "predicted": [11.0, 8.0, 10.0, 2.0],
            "cell": ["a1", "a2", "a3", "b1"],
        }
    )
    rows = error_rows(frame, "by hand", "model", "ms")
    assert rows["group"].to_list() == ["all", "a", "b"]
    assert rows["n"].to_list() == [4, 3, 1]
    assert rows["median_pct"].to_list() == pytest.approx([15, 10, 50])
    assert rows["worst_pct"].to_list() == pytest.approx([50, 20, 50])
    assert rows["worst_cell"].to_list() == ["b1", "a2", "b1"]


def test_an_unknown_fit_is_named():
    with pytest.raises(UnknownNameError, match=r"unknown fit 'mpss'.*did you mean 'mps'"):
        write_fits(None, ["mpss"])
