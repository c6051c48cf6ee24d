"""Whisper: windows, tokens, measured points and their spread over hardware."""

import numpy as np
import polars as pl
import pytest

from hardware_models import whisper
from hardware_models.errors import UnknownNameError
from hardware_models.fits.surface import cross_validated
from hardware_models.tables import load_table

SIZES = ("whisper-tiny", "whisper-base", "whisper-small", "whisper-medium", "whisper-large-v2")


def test_times_that_were_measured_are_given():
    assert whisper.encode_s("whisper-small", "V100").seconds == pytest.approx(31.83e-3)
    assert whisper.encode_s("whisper-small", "V100").basis == "measured"


@pytest.mark.parametrize("hardware", ["V100", "M2 ULTRA", "Raspberry Pi 5 (BCM2712)"])
def test_larger_models_take_longer(hardware):
    times = [whisper.encode_s(model, hardware).seconds for model in SIZES]
    assert times == sorted(times)


def test_a_model_beyond_those_measured_is_an_extrapolation():
    time = whisper.encode_s("whisper-large-v2", "Raspberry Pi 5 (BCM2712)")
    assert time.basis == "extrapolated"
    assert time.seconds > whisper.encode_s("whisper-medium", "Raspberry Pi 5 (BCM2712)").seconds


@pytest.mark.parametrize("surface", [whisper.ENCODE, whisper.DECODE])
def test_unseen_rows_are_predicted(surface):
    rows = cross_validated(surface)
    errors = (rows["predicted"] / rows["value"] - 1).abs().drop_nans().to_numpy()
    assert np.median(errors) < 0.08
    assert np.quantile(errors, 0.9) < 0.16


def test_rows_that_are_no_engine_of_ours_stay_out():
    table = load_table("whisper_latency")
    assert table["engine"].str.starts_with("whisper.cpp").all()
    assert table.filter(pl.col("note").str.contains("outlier")).is_empty()


def test_bad_input_is_named():
    with pytest.raises(UnknownNameError, match="did you mean 'whisper-small'"):
        whisper.encode_s("whisper-smal", "V100")
    with pytest.raises(UnknownNameError, match="did you mean 'V100'"):
        whisper.encode_s("whisper-small", "V1000")
