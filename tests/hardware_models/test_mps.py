"""Sharing a GPU: thread percentages, neighbours under MPS, and neighbours under MIG."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_models.errors import TableError, UnknownNameError
from hardware_models.fits import mps as mps_fit
from hardware_models.gpu import mps
from hardware_models.tables import TableSet, UserTable, using_tables

MODELS = st.sampled_from(mps.thread_models())
BATCHES = st.integers(1, 64)
PERCENTS = st.floats(5, 100)


def test_measured_percentages_are_given_as_they_were_measured():
    factor = mps.thread_latency_factor("vgg19", 32, 50)
    assert factor.basis == "measured"
    assert factor.value == pytest.approx(102.3293 / 56.3228)
    assert mps.thread_latency_factor("ssd", 1, 10).value == pytest.approx(25.2384 / 4.5456)


def test_the_basis_says_whether_a_point_is_within_the_measured():
    assert mps.thread_latency_factor("vgg19", 8, 30).basis == "interpolated"
    assert mps.thread_latency_factor("vgg19", 33, 30).basis == "extrapolated"
    assert mps.thread_latency_factor("vgg19", 8, 9).basis == "extrapolated"


@given(MODELS, BATCHES, PERCENTS, PERCENTS)
def test_fewer_threads_are_never_quicker(model, batch, one, other):
    fewer, more = sorted((one, other))
    slow = mps.thread_latency_factor(model, batch, fewer).value
    fast = mps.thread_latency_factor(model, batch, more).value
    assert slow >= fast * 0.9  # A measured point may lie a few percent off the form.
    assert fast >= 1


@given(MODELS, BATCHES)
def test_all_threads_are_the_reference(model, batch):
    assert mps.thread_latency_factor(model, batch, 100).value == 1


def test_rows_that_were_not_seen_are_predicted_within_ten_percent():
    frame = mps_fit.cross_validate_threads()
    errors = (frame["predicted"] / frame["value"] - 1).abs()
    assert frame.height == mps.thread_rows().height
    assert errors.median() < 0.05
    assert errors.quantile(0.9) < 0.1


def test_interference_agrees_with_the_measured_pairs():
    rows = mps_fit.colocation_rows()
    assert set(rows["model"]) == {"resnet50", "ssd", "vgg19"}
    for utilisation, slowdown in rows.select("utilisation", "value").iter_rows():
        assert mps.interference_factor([utilisation]) == pytest.approx(slowdown, rel=0.06)


@given(st.lists(st.floats(0, 1), max_size=5))
def test_neighbours_add_up(utilisations):
    alone = [mps.interference_factor([each]) - 1 for each in utilisations]
    assert mps.interference_factor(utilisations) - 1 == pytest.approx(sum(alone))
    assert mps.interference_factor(utilisations) >= 1


def test_memory_utilisation_follows_the_rows():
    assert mps.memory_utilisation("resnet50") == pytest.approx((0.58425 + 0.596288) / 2, rel=1e-4)
    assert mps.memory_utilisation("resnet50", 10_000) == mps.memory_utilisation("resnet50", 32)
    low, high = (mps.memory_utilisation("googlenet", batch) for batch in (4, 8))
    assert low < mps.memory_utilisation("googlenet", 6) < high


def test_mig_isolates_to_about_two_percent():
    assert mps.mig_neighbour_factor() == pytest.approx(1.02, abs=0.005)


@pytest.mark.parametrize("percent", [0, -1, 101, float("nan")])
def test_a_percentage_out_of_range_is_refused(percent):
    with pytest.raises(ValueError, match=f"percent is {percent}"):
        mps.thread_latency_factor("vgg19", 1, percent)


def test_bad_input_is_named():
    with pytest.raises(UnknownNameError, match="did you mean 'vgg19'"):
        mps.thread_latency_factor("vgg16", 1, 50)
    with pytest.raises(UnknownNameError, match="did you mean 'resnet50'"):
        mps.memory_utilisation("resnet")
    with pytest.raises(ValueError, match="batch is 0"):
        mps.thread_latency_factor("vgg19", 0, 50)
    with pytest.raises(ValueError, match="batch is 0"):
        mps.memory_utilisation("resnet50", 0)
    with pytest.raises(ValueError, match="memory utilisation is 60"):
        mps.interference_factor([60])


def test_a_users_own_model_is_fitted_when_it_is_asked_for(tmp_path):
    rows = mps.thread_rows().filter(pl.col("model") == "ssd").with_columns(model=pl.lit("mine"))
    path = tmp_path / "mine.csv"
    rows.write_csv(path)
    with using_tables(TableSet({"mps_interference": UserTable(str(path))})):
        mine, ssd = (mps.thread_latency_factor(name, 8, 30).value for name in ("mine", "ssd"))
        assert mine == pytest.approx(ssd, rel=1e-4)


@pytest.mark.parametrize(
    ("models", "section", "metric", "value", "reason"),
    [
        (
            *(mps.thread_models, "solo_latency_vs_mps_threads", "gpu_latency", -8),
            "a time above 0; it is -8 at batch 1",
        ),
        (
            *(mps.utilisation_models, "gpulet_util", "mem_util", -30),
            "between 0 and 100 %; it is -30 at batch 1",
        ),
    ],
)
def test_rows_that_cannot_be_are_refused(tmp_path, models, section, metric, value, reason):
    path = tmp_path / "mine.csv"
    path.write_text(
        "section,model,gpu,batch,mps_active_thread_pct,n_colocated,metric,value\n"
        f"{section},mine,V100,1,100,1,{metric},{value}\n",
        encoding="utf-8",
    )
    with (
        using_tables(TableSet({"mps_interference": UserTable(str(path))})),
        pytest.raises(TableError, match=reason),
    ):
        models()
