"""Devices: the population behind the published percentiles, and the hidden spread."""

import numpy as np
import pytest

from hardware_models import devices
from hardware_models.errors import UnknownNameError


def test_the_phones_reproduce_the_published_percentiles():
    speeds = [phone.relative_speed for phone in devices.phones()]
    assert len(speeds) == 14
    assert np.percentile(speeds, [5, 10, 25, 50, 75, 90, 95]) == pytest.approx(
        [0.791, 1.004, 1.579, 2.142, 9.999, 14.719, 16.98], abs=0.0006
    )


def test_phones_are_listed_fastest_first_under_unique_names():
    phones = devices.phones()
    speeds = [phone.relative_speed for phone in phones]
    assert speeds == sorted(speeds, reverse=True)
    assert len({phone.name for phone in phones}) == len(phones)
    for phone in phones:
        assert devices.relative_speed(phone.name) == phone.relative_speed


def test_boards_have_speeds_relative_to_the_raspberry_pi_4():
    assert devices.relative_speed("Raspberry Pi 4") == 1.0
    assert devices.relative_speed("Raspberry Pi 5") == 6.069
    assert devices.relative_speed("Jetson Orin Nano") == 7.371


def test_the_hidden_spread_is_that_of_five_boards_with_one_chip():
    logs = np.log([10.95, 8.806, 8.211, 5.355, 3.169])
    expected = np.sqrt(((logs - logs.mean()) ** 2).sum() / 4)
    assert devices.hidden_log_sd() == pytest.approx(expected)
    assert devices.hidden_log_sd() == pytest.approx(0.492, abs=5e-4)


def test_unknown_device_gives_the_nearest():
    with pytest.raises(UnknownNameError, match=r"the nearest is 'Snapdragon 888'"):
        devices.relative_speed("snapdragon 88")
