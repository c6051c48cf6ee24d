"""Calibration and validation of the hardware models with a user's measurements."""
