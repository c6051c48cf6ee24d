"""Detectors: how well accuracy and latency are predicted for rows that were not seen."""

import numpy as np
import pytest

from hardware_models import detection
from hardware_models.fits.surface import cross_validated


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
