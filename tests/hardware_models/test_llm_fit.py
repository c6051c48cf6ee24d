"""Fits of language models' times: exact points, errors on unseen rows, and doing them again."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_models import surfaces
from hardware_models.fits import llm as llm_fit
from hardware_models.fits.registry import FITS
from hardware_models.fits.surface import cross_validated, fit_surface
from hardware_models.llm.iteration import TPOT, TTFT
from hardware_models.llm.layers import LAYER, LINEAR
from hardware_models.llm.speed import SPEED
from hardware_models.predictors import PREDICTORS
from hardware_models.tables import TableSet, UserTable, load_table, using_tables

GROUPS = sorted(
    load_table("llm_iteration").select("model", "gpu", "tensor_parallel").unique().iter_rows()
)

SURFACES = [each for each in PREDICTORS if each.table.startswith(("llm", "whisper", "detection"))]


def held_out(fit, group, scheme="random 5-fold"):
    table = load_table(f"fit_{fit}_errors")
    row = table.filter((pl.col("group") == group) & (pl.col("scheme") == scheme))
    return row.select("median_pct", "p90_pct").row(0)


def first_token_ms(*point):
    asked = pl.DataFrame([point], schema=list(TTFT.key), orient="row")
    return surfaces.predict(TTFT, asked)[0].item()


def test_a_measured_point_is_given_as_it_was_measured():
    rows = load_table("llm_iteration").sample(20, seed=1)
    for surface in (TTFT, TPOT):
        figures, exact = surfaces.predict(surface, rows)
        assert exact.all()
        assert figures == pytest.approx(rows[surface.target].to_numpy())


@pytest.mark.parametrize(("target", "most"), [("ttft", (5, 12)), ("tpot", (5, 12))])
@pytest.mark.parametrize("scheme", ["random 5-fold", "5-fold by cell"])
def test_iterations_are_predicted_unseen(target, most, scheme):
    median, p90 = held_out("llm_iteration", f"{target} all", scheme)
    assert median <= most[0] + 0.1
    assert p90 <= most[1]


@pytest.mark.parametrize(
    ("surface", "median", "p90"),
    [(TTFT, 5, 12), (TPOT, 5, 12), (SPEED, 3, 10), (LAYER, 3, 10), (LINEAR, 4, 10)],
)
def test_errors_on_file_are_those_of_predicting_unseen_rows(surface, median, p90):
    rows = cross_validated(surface)
    rows = rows.filter(surface.trusted(rows))
    errors = np.abs(rows["predicted"] / rows[surface.target] - 1).to_numpy() * 100
    assert np.median(errors) < median
    assert np.quantile(errors, 0.9) < p90
    on_file = held_out(surface.fit, f"{surface.name} all")
    assert np.median(errors) == pytest.approx(on_file[0], rel=0.5)


@given(
    st.sampled_from(GROUPS),
    st.sampled_from([128, 300, 512, 1000, 3000, 8192]),
    st.sampled_from([1, 3, 6, 12, 24]),
)
@settings(max_examples=40, deadline=None)
def test_more_prompt_or_batch_never_takes_much_less(group, prompt, batch):
    def first(prompt, batch):
        return first_token_ms(*group, prompt, batch, 128)

    # Measured points need not be monotone: 128 tokens took longer than 256 on 8 H100s.
    assert first(2 * prompt, batch) > 0.85 * first(prompt, batch)
    assert first(prompt, 2 * batch) > 0.85 * first(prompt, batch)
    assert first(8 * prompt, batch) > first(prompt, batch)


def test_a_users_row_is_an_exact_point_and_moves_its_neighbours(tmp_path):
    point = ("llama2-70b", "a100-80gb", 4, 512, 1, 128)
    ours = first_token_ms(*point)
    near = first_token_ms(*point[:3], 600, 1, 128)
    row = load_table("llm_iteration")[:1].with_columns(
        **{name: pl.lit(value) for name, value in zip(TTFT.key, point, strict=True)},
        ttft_ms=pl.lit(ours * 1.2),
    )
    row.write_csv(tmp_path / "mine.csv")
    with using_tables(TableSet({"llm_iteration": UserTable(str(tmp_path / "mine.csv"))})):
        assert first_token_ms(*point) == pytest.approx(ours * 1.2)
        assert first_token_ms(*point[:3], 600, 1, 128) > near
    assert first_token_ms(*point) == ours


def test_contradicted_runs_teach_nothing():
    rows = load_table("llm_iteration")
    out = rows.filter(~TTFT.trusted(rows))
    assert set(out["tensor_parallel"]) == {2}
    assert set(out["batch"]) == {64}
    asked = out.with_columns(output_tokens=pl.lit(200, dtype=pl.Int64))
    assert (surfaces.predict(TTFT, asked)[0] > 5 * out["ttft_ms"].to_numpy()).all()


@pytest.mark.slow
def test_refitting_finds_the_coefficients_on_file():
    values, kernel = fit_surface(TPOT)
    on_file = surfaces.coefficients("llm_iteration")
    assert {key: on_file[key] for key in values} == pytest.approx(values, rel=1e-3, abs=1e-3)
    stored = surfaces.stored_kernel(TPOT).values()
    assert stored == pytest.approx(kernel.values(), rel=0.05)


def test_the_ratios_on_file_follow_from_the_tables():
    fit = llm_fit.fit()
    keys = zip(fit.coefficients["group"], fit.coefficients["coefficient"], strict=True)
    fresh = dict(zip(keys, fit.coefficients["value"], strict=True))
    on_file = surfaces.coefficients("llm")
    assert on_file.keys() == fresh.keys()
    for key, value in fresh.items():
        assert on_file[key] == pytest.approx(value, rel=0.02, abs=0.01), key
    assert {"llm", "llm_iteration", "llm_layers", "whisper", "detection"} <= FITS.keys()


@pytest.mark.parametrize("predictor", SURFACES, ids=lambda each: f"{each.table}-{each.target}")
def test_predictions_are_of_the_tables_in_use_and_never_of_the_rows_asked(predictor):
    ours = load_table(predictor.table)
    spoken_of = ours.filter(predictor.rows(ours))
    figures = predictor.predict(spoken_of)
    assert figures == pytest.approx(spoken_of[predictor.target].to_numpy())
    changed = spoken_of.with_columns(pl.lit(1.0).alias(predictor.target))
    assert np.array_equal(predictor.predict(changed), figures)
    assert set(predictor.group_by) <= set(ours.columns)


def test_rows_that_no_surface_speaks_of_are_refused():
    speed = next(each for each in PREDICTORS if each.table == "llm_speed")
    rows = load_table("llm_speed")
    refused = np.isnan(speed.predict(rows))
    assert set(rows.filter(pl.Series(refused))["engine"]) & {"transformers 4.46.0"}
    assert set(rows.filter(pl.Series(~refused))["engine"]) == {"vLLM 0.6.3"}
    unknown = rows.filter(speed.rows(rows))[:1].with_columns(model=pl.lit("Qwen9"))
    assert np.isnan(speed.predict(unknown)).all()
