"""Whisper: windows, tokens, measured points and their spread over hardware."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_models import whisper
from hardware_models.errors import UnknownNameError
from hardware_models.fits.surface import cross_validated
from hardware_models.tables import load_table

SIZES = ("whisper-tiny", "whisper-base", "whisper-small", "whisper-medium", "whisper-large-v2")


def test_times_that_were_measured_are_given():
    assert whisper.encode_s("whisper-small", "V100").seconds == pytest.approx(31.83e-3)
    assert whisper.encode_s("whisper-small", "V100").basis == "measured"
    # The source gives the sum over 256 tokens.
    decode = whisper.decode_s("whisper-small", "Raspberry Pi 5 (BCM2712)")
    assert decode.seconds == pytest.approx(0.96324 / 256, rel=1e-4)


@given(st.floats(0.1, 1000), st.integers(0, 500))
def test_a_clip_takes_its_windows_and_its_tokens(duration, tokens):
    encode = whisper.encode_s("whisper-base", "V100").seconds
    decode = whisper.decode_s("whisper-base", "V100").seconds
    time = whisper.transcription_s("whisper-base", "V100", duration, tokens)
    windows = math.ceil(duration / 30)
    assert time.seconds == pytest.approx(windows * encode + tokens * decode)


@pytest.mark.parametrize("hardware", ["V100", "M2 ULTRA", "Raspberry Pi 5 (BCM2712)"])
def test_larger_models_take_longer(hardware):
    for function in (whisper.encode_s, whisper.decode_s):
        times = [function(model, hardware).seconds for model in SIZES]
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
    with pytest.raises(UnknownNameError, match="the nearest is 'whisper-small'"):
        whisper.encode_s("whisper-smal", "V100")
    with pytest.raises(UnknownNameError, match="the nearest is 'V100'"):
        whisper.encode_s("whisper-small", "V1000")
    with pytest.raises(UnknownNameError, match="measured time to decode 'Intel Celeron N4120'"):
        whisper.decode_s("whisper-tiny", "Intel Celeron N4120")
    with pytest.raises(ValueError, match=r"^duration_s is 0\.0: "):
        whisper.transcription_s("whisper-tiny", "V100", 0.0, 1)
    with pytest.raises(ValueError, match=r"^tokens is -1: "):
        whisper.transcription_s("whisper-tiny", "V100", 1.0, -1)
