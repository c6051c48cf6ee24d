"""Detectors: accuracy and latency by size of the input, measured points and what lies between."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_models import detection
from hardware_models.errors import UnknownNameError
from hardware_models.fits.surface import cross_validated
from hardware_models.tables import load_table

PX = st.integers(288, 640)
YOLOV8 = tuple(f"YOLOv8{size}" for size in "nsmlx")


def test_sizes_beyond_the_table_are_extrapolated():
    assert detection.latency_s("YOLOv8n", "A100", 960).basis == "interpolated"
    assert detection.latency_s("YOLOv8x", "A100", 1280).basis == "extrapolated"


def test_latency_that_was_measured_is_given():
    time = detection.latency_s("YOLOv8x", "A100", 640)
    assert (time.seconds, time.basis) == (pytest.approx(3.53e-3), "measured")
    assert detection.latency_s("YOLO11s", "T4", 640).seconds == pytest.approx(2.5e-3)
    named = detection.latency_s("YOLO11n", "Raspberry Pi 5", 640, "fp32 NCNN")
    assert named.seconds == pytest.approx(88.026e-3)


@given(st.sampled_from(YOLOV8), st.integers(160, 1280), st.sampled_from(["A100", "T4"]))
def test_larger_images_take_longer_but_no_more_than_their_pixels(model, px, board):
    whole = detection.latency_s(model, board, px).seconds
    double = detection.latency_s(model, board, 2 * px).seconds
    assert whole <= double <= 4 * whole * 1.2


@pytest.mark.parametrize(
    ("surface", "median", "p90"),
    [(detection.LATENCY, 0.12, 0.4), (detection.FPS, 0.1, 0.2), (detection.MAP, 0.05, 0.12)],
)
def test_unseen_rows_are_predicted(surface, median, p90):
    rows = cross_validated(surface)
    errors = (rows["predicted"] / rows[surface.target] - 1).abs().drop_nans().to_numpy()
    assert errors.size > 15
    assert np.median(errors) < median
    assert np.quantile(errors, 0.9) < p90


def test_every_detector_of_the_table_has_a_latency_where_it_can_run():
    models = load_table("detection_map")["model"].unique().sort()
    times = [detection.latency_s(model, "A100", 640).seconds for model in models]
    assert np.isfinite(times).all()
    assert min(times) > 0


def test_bad_input_is_named():
    with pytest.raises(UnknownNameError, match="the nearest is 'YOLOv8n'"):
        detection.latency_s("YOLO8n", "A100", 640)
    with pytest.raises(UnknownNameError, match="the nearest is 'A100'"):
        detection.latency_s("YOLOv8n", "A1000", 640)
    with pytest.raises(UnknownNameError, match="the nearest is 'fp16 TensorRT'"):
        detection.latency_s("YOLOv8n", "A100", 640, "TensorRT fp16")
    with pytest.raises(ValueError, match=r"^px is 0: "):
        detection.latency_s("YOLOv8n", "A100", 0)
