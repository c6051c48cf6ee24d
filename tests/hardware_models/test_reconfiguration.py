"""Reconfiguration: means of what was measured."""

import pytest

from hardware_models import reconfiguration


def test_means_of_the_measured_runs():
    assert reconfiguration.kubernetes_apply_s() == pytest.approx((45.88 + 40.89) / 2)
    assert reconfiguration.kubernetes_ready_s() == pytest.approx((19.98 + 23.17) / 2)
