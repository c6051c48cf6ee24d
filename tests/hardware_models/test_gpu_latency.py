"""GPU latency: measured points, the surface between them, and a user's own rows."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_models.errors import UnknownNameError
from hardware_models.fits import gpu_latency as gpu_latency_fit
from hardware_models.gpu import gpu_latency
from hardware_models.gpu.gpu_latency import batch_latency
from hardware_models.reference import REFERENCE_SLICES
from hardware_models.surfaces import stored_kernel
from hardware_models.tables import TableSet, UserTable, load_table, using_tables

KEY = ("model", "mig_gpcs", "batch", "mps_procs")
MODELS = st.sampled_from(gpu_latency.models())


@st.composite
def points(draw, model=MODELS):
    name = draw(model)
    return (
        name,
        draw(st.integers(1, REFERENCE_SLICES)),
        draw(st.integers(1, gpu_latency.largest_batch())),
        draw(st.integers(1, gpu_latency.largest_processes())),
    )


@pytest.fixture(scope="module")
def out_of_fold():
    return gpu_latency_fit.cross_validate(
        gpu_latency_fit.RANDOM, stored_kernel(gpu_latency.LATENCY)
    )


def ape_pct(frame):
    return 100 * (frame["predicted"] / frame["batch_latency_ms"] - 1).abs()


def using(tmp_path, rows, how):
    path = tmp_path / "mine.csv"
    pl.DataFrame(rows).write_csv(path)
    return using_tables(TableSet({"gpu_latency": UserTable(str(path), how)}))


def row(model, slices, batch, processes, ms, gpu="A100-80GB"):
    return {
        "model": model,
        "gpu": gpu,
        "mig_gpcs": slices,
        "batch": batch,
        "mps_procs": processes,
        "batch_latency_ms": ms,
    }


def test_a_measured_point_is_given_as_it_was_measured():
    for model, slices, batch, processes, ms in (
        load_table("gpu_latency").select(*KEY, "batch_latency_ms").sample(200, seed=0).iter_rows()
    ):
        found = batch_latency(model, slices, batch, processes)
        assert found.basis == "measured"
        assert found.seconds == pytest.approx(ms / 1e3, rel=1e-12)


def test_rows_that_were_not_seen_are_predicted_to_three_percent(out_of_fold):
    errors = ape_pct(out_of_fold)
    assert errors.median() <= 3
    assert errors.quantile(0.9) <= 10


def test_no_model_is_predicted_badly_by_more_than_the_stated_error(out_of_fold):
    stated = load_table("fit_gpu_latency_errors").filter(pl.col("scheme") == gpu_latency_fit.RANDOM)
    medians = dict(zip(stated["group"], stated["median_pct"], strict=True))
    for (model,), rows in out_of_fold.group_by("model"):
        assert ape_pct(rows).median() == pytest.approx(medians[model], rel=0.05)
        assert medians[model] < 4


def test_between_measured_points_it_interpolates_and_beyond_their_hull_extrapolates():
    rows = load_table("gpu_latency").filter(pl.col("model") == "resnet50")
    known = set(rows.select("mig_gpcs", "batch", "mps_procs").iter_rows())
    assert {(3, 16, 2), (3, 32, 2)} <= known
    between = batch_latency("resnet50", 3, 24, 2)
    ends = [batch_latency("resnet50", 3, batch, 2).seconds for batch in (16, 32)]
    assert between.basis == "interpolated"
    assert ends[0] < between.seconds < ends[1]
    # On the smallest slice the source stops well before the largest batch and process number.
    assert (1, 256, 5) not in known
    assert batch_latency("resnet50", 1, 256, 5).basis == "extrapolated"


@given(points())
def test_every_point_in_range_has_a_positive_finite_latency(point):
    assert 0 < batch_latency(*point).seconds < 60


@given(points(st.sampled_from(["bert", "resnet101", "vgg16", "mobilenetv2", "densenet121"])))
def test_twice_the_batch_takes_longer_or_about_as_long(point):
    model, slices, batch, processes = point
    half = batch_latency(model, slices, max(1, batch // 2), processes).seconds
    # Below the floor of launching work, measurements themselves go down by a few percent.
    assert batch_latency(*point).seconds > 0.9 * half


@given(points())
def test_a_seventh_of_a_board_is_no_quicker_than_the_whole(point):
    model, _, batch, processes = point
    smallest, whole = (batch_latency(model, g, batch, processes).seconds for g in (1, 7))
    assert smallest > 0.85 * whole


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ((8, 1, 1), r"compute_slices is 8: an A100-80GB has 1 to 7$"),
        ((0, 1, 1), r"compute_slices is 0"),
        ((7, 257, 1), r"batch is 257: it was measured from 1 to 256$"),
        ((7, 0, 1), r"batch is 0"),
        ((7, 1, 6), r"processes is 6: it was measured from 1 to 5$"),
    ],
)
def test_beyond_what_was_measured_it_refuses(point, message):
    with pytest.raises(ValueError, match=message):
        batch_latency("resnet50", *point)


def test_models_must_be_known():
    with pytest.raises(UnknownNameError, match="did you mean 'resnet50'"):
        batch_latency("resnet-50", 7)


def test_a_users_row_is_a_point_and_moves_what_lies_near(tmp_path):
    before = {batch: batch_latency("vgg16", 7, batch, 1) for batch in (3, 5, 256)}
    assert before[3].basis == before[5].basis == "interpolated"
    longer = 1.2 * before[3].seconds
    with using(tmp_path, [row("vgg16", 7, 3, 1, 1e3 * longer)], "merge"):
        assert batch_latency("vgg16", 7, 3, 1).seconds == pytest.approx(longer)
        assert batch_latency("vgg16", 7, 3, 1).basis == "measured"
        assert batch_latency("vgg16", 7, 5, 1).seconds > before[5].seconds
        assert batch_latency("vgg16", 7, 256, 1).seconds == pytest.approx(
            before[256].seconds, rel=0.02
        )
    assert batch_latency("vgg16", 7, 3, 1) == before[3]


def test_a_users_own_model_is_fitted_when_it_is_asked_for(tmp_path):
    def truth(slices, batch, processes):
        return 5 + 0.5 * batch * processes * 7 / slices

    rows = [
        row("mine", g, b, p, truth(g, b, p))
        for g in (1, 3, 7)
        for b in (1, 4, 16, 64)
        for p in (1, 3)
    ]
    with using(tmp_path, rows, "merge"):
        assert "mine" in gpu_latency.models()
        found = batch_latency("mine", 2, 32, 2)
        assert found.basis == "interpolated"
        assert found.seconds == pytest.approx(truth(2, 32, 2) / 1e3, rel=0.15)
    with using(tmp_path, [*rows, row("other", 7, 1, 1, 3.0, gpu="H100")], "replace"):
        assert gpu_latency.models() == ("mine",)


@pytest.mark.parametrize("batches", [(8,), (1, 8)])
def test_few_rows_of_a_user_suffice_though_their_hull_is_flat(tmp_path, batches):
    rows = [row("mine", 7, batch, 1, 2.0 + batch) for batch in batches]
    with using(tmp_path, rows, "replace"):
        assert batch_latency("mine", 7, 8).basis == "measured"
        assert batch_latency("mine", 7, 5).seconds > 0
        within = len(batches) > 1
        assert batch_latency("mine", 7, 5).basis == ("interpolated" if within else "extrapolated")
        assert batch_latency("mine", 4, 8).basis == "extrapolated"
