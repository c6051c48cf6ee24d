"""Distributions, and arithmetic in compiled functions."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
