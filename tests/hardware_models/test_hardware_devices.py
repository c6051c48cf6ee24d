"""Devices: the population behind the published percentiles, the hidden spread, and predictions."""

import numpy as np
import polars as pl
import pytest

from hardware_models import devices
from hardware_models.errors import UnknownNameError
from hardware_models.gpu import boards
from hardware_models.predictors import PREDICTORS
from hardware_models.tables import TableSet, UserTable, load_table, using_tables


def test_the_phones_reproduce_the_published_percentiles():
    speeds = [phone.relative_speed for phone in devices.devices("phone")]
    assert len(speeds) == 14
    published = load_table("device_speed_percentiles").filter(
        pl.col("population").str.starts_with("phone SoCs")
    )
    assert published["percentile"].to_list() == [5, 10, 25, 50, 75, 90, 95]
    assert np.percentile(speeds, published["percentile"].to_numpy()) == pytest.approx(
        published["relative_speed"].to_numpy(), abs=0.0006
    )


def test_phones_are_listed_fastest_first_under_unique_names():
    phones = devices.devices("phone")
    speeds = [phone.relative_speed for phone in phones]
    assert speeds == sorted(speeds, reverse=True)
    assert len({phone.name for phone in phones}) == len(phones)
    for phone in phones:
        assert devices.device(phone.name).relative_speed == phone.relative_speed


def test_boards_have_speeds_relative_to_the_raspberry_pi_4():
    assert devices.device("Raspberry Pi 4").relative_speed == 1.0
    assert devices.device("Raspberry Pi 5").relative_speed == 6.069
    assert devices.device("Jetson Orin Nano").relative_speed == 7.371


def test_the_hidden_spread_is_that_of_five_boards_with_one_chip():
    logs = np.log([10.95, 8.806, 8.211, 5.355, 3.169])
    expected = np.sqrt(((logs - logs.mean()) ** 2).sum() / 4)
    assert devices.hidden_log_sd() == pytest.approx(expected)
    assert devices.hidden_log_sd() == pytest.approx(0.492, abs=5e-4)


@pytest.mark.parametrize("how", ["merge", "replace"])
def test_devices_of_a_users_own_do_not_change_the_hidden_spread(tmp_path, how):
    path, expected = tmp_path / "mine.csv", devices.hidden_log_sd()
    path.write_text(
        "name,family,chip,device,relative_speed,n_models,memory_bytes,memory_kind\n"
        "Mine,phone,RK3588,mine,50,5,8000000000,assumption\n",
        encoding="utf-8",
    )
    with using_tables(TableSet({"device_models": UserTable(str(path), how)})):
        assert devices.device("Mine").relative_speed == 50
        assert devices.hidden_log_sd() == expected


def test_an_accelerator_that_is_no_measured_board_is_refused(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        "name,family,chip,device,relative_speed,n_models,memory_bytes,memory_kind,accelerator\n"
        "Mine,phone,mine,mine,50,5,8000000000,assumption,Jetson Xavier\n",
        encoding="utf-8",
    )
    reason = "unknown accelerator of Mine in table device_models 'Jetson Xavier'.*Jetson AGX Xavier"
    mine = TableSet({"device_models": UserTable(str(path), "merge")})
    with using_tables(mine), pytest.raises(UnknownNameError, match=reason):
        devices.devices("phone")


def test_unknown_device_gives_the_nearest():
    with pytest.raises(UnknownNameError, match=r"did you mean 'Snapdragon 888'"):
        devices.device("snapdragon 88")


def test_families_have_devices_fastest_first():
    assert devices.families() == ("phone", "board", "jetson", "raspberry_pi", "laptop")
    listed = [each for family in devices.families() for each in devices.devices(family)]
    assert len({each.name for each in listed}) == len(listed) == 49
    for family in devices.families():
        speeds = [each.relative_speed for each in devices.devices(family)]
        assert speeds == sorted(speeds, reverse=True)
        assert {each.family for each in devices.devices(family)} == {family}
    with pytest.raises(UnknownNameError, match="did you mean 'raspberry_pi'"):
        devices.devices("raspberry")


def test_devices_carry_memory_and_accelerator():
    assert devices.device("Jetson Nano").memory_bytes == 4 * 2**30
    assert devices.device("Raspberry Pi Zero 2 W").memory_bytes == 2**29
    jetsons = devices.devices("jetson")
    measured = {each.name: each.accelerator for each in jetsons if each.accelerator}
    assert set(measured) == {"Jetson AGX Orin", "Jetson AGX Xavier"}
    assert set(measured.values()) <= set(boards.boards())
    assert devices.device("Snapdragon 888").accelerator is None


# Times of networks


def test_factors_are_recovered_from_times_that_factor():
    rng = np.random.default_rng(3)
    names = [devices.source_name(name) for name in ("Raspberry Pi 4", "Jetson Nano")]
    typical = dict(zip("abcdefg", np.exp(rng.normal(3, 1, 7)), strict=True))
    speeds = {(names[0], 4): 1.0, (names[1], 4): 1.7, (names[1], 2): 0.9}
    table = pl.DataFrame(
        [
            {
                "device": device,
                "threads": threads,
                "gpu_device": -1,
                "model": model,
                "avg_ms": ms / speed,
            }
            for (device, threads), speed in speeds.items()
            for model, ms in typical.items()
        ]
    )
    found, settings = devices.factors(table)
    assert dict(found.iter_rows()) == pytest.approx({m: np.log(v) for m, v in typical.items()})
    for device, threads, _, log_speed in settings.iter_rows():
        assert np.exp(log_speed) == pytest.approx(speeds[device, threads])


@pytest.mark.parametrize(
    ("part", "backend", "median", "p90"),
    [("on CPUs", "cpu", 0.09, 0.29), ("on GPUs by Vulkan", "gpu(vulkan)", 0.21, 0.92)],
)
def test_the_cross_validated_error_is_as_documented(part, backend, median, p90):
    [predictor] = [each for each in PREDICTORS if each.part == part]
    table = predictor.cross_validated()
    errors = (table["predicted"] / table["avg_ms"] - 1).abs().drop_nulls()
    assert len(errors) > 0.99 * load_table("device_latency").filter(backend=backend).height
    assert errors.median() == pytest.approx(median, abs=0.01)
    assert errors.quantile(0.9) == pytest.approx(p90, abs=0.01)


def test_times_on_gpus_are_of_phones_and_jetsons():
    families = {
        devices.device(name).family
        for name in load_table("device_models")["name"]
        if devices.source_name(name) in set(devices.gpu_times()["device"])
    }
    assert families == {"phone", "jetson"}


def test_the_predictor_speaks_of_cpu_rows_and_refuses_unknown_settings():
    [predictor] = [each for each in PREDICTORS if each.part == "on CPUs"]
    pi = devices.source_name("Raspberry Pi 4")
    rows = pl.DataFrame(
        {
            "device": [pi, pi, "abacus"],
            "model": ["resnet18", "no such network", "resnet18"],
            "threads": [4, 4, 4],
            "gpu_device": [-1, -1, 0],
            "backend": ["cpu", "cpu", "gpu(vulkan)"],
        }
    )
    assert predictor.rows(rows).to_list() == [True, True, False]
    predicted = predictor.predict(rows)
    assert predicted[0] == 123.12
    assert np.isnan(predicted[1:]).all()
