"""Speech recognition with a sampler, noise reduction, wave to text and a decoder.

The application has 125 configurations. Apart from the sizes of models, its values come from files
in ``raw``, which name the source of each row: ``asr_pipeline_profile.csv`` (accuracy, service times
and message sizes, measured on three data sets), ``asr_wer_strata.csv`` (word error rate by stratum
of VOiCES), ``speech_conditions.csv`` (word error rate by room and noise) and ``speech_facts.csv``.

The sources lack four quantities, which are derived by these rules:

* *Message sizes.* Each row of LibriSpeech or TED-LIUM has the sizes of one clip, and each
  configuration has a different clip. But a query's raw audio must not depend on the configuration.
  So the size of the raw audio is the mean over all rows of a data set. The size of a later message
  is this mean times the ratio, within a row, of that message's size to the size of the raw audio.
* *Request sizes.* The ratio of a request's size to the mean is log-normal, with the coefficient of
  variation of raw clip sizes over the rows: 0.63 for LibriSpeech and 0.52 for TED-LIUM. The VOiCES
  rows are means over clips, so VOiCES gets the mean of the other two values.
* *Spread of accuracy.* Strata were measured for VOiCES only. LibriSpeech and TED-LIUM have one
  stratum each, with their own measured mean. The distribution over clips is that of VOiCES in the
  same configuration, scaled to this mean. It is given twice: ``measured`` has the measured mean,
  quantiles and standard deviation, ``straight`` only the first two.
* *Similarity of users.* A user is assumed to stay in one of the 16 combinations of room and noise
  in which the clips of VOiCES were recorded. A user's mixture of the 8 strata has a Dirichlet
  distribution. Its concentration c is chosen so that users differ as these combinations do: the
  variance of expected word error rates between users, which is that between strata divided by
  c + 1, equals the measured variance between combinations, summed over configurations.

Accuracy is 1 - WER, which is negative where the word error rate is above 1.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy.stats import gmean

from hardware_models import whisper
from hardware_models.tables import load_table
from scenarios.derivation._quantile_fit import fitted_quantiles
from scenarios.derivation._shared import raw, sourced
from scenarios.numerics import Floats

OPERATORS = ("audio_sampler", "noise_reduction", "wave_to_text", "decoder")
KNOBS = ("sample_rate_hz", "freq_mask_hz", "model")
STRATIFIED = "VOiCES"
PROBABILITIES = (0.25, 0.5, 0.75, 0.95)
ACCURACY_COLUMNS = ("a000", "a005", "a025", "a050", "a075")
"""Columns of the quantiles of accuracy at probabilities 0, 0.05, 0.25, 0.5 and 0.75.

From the probability ``flawless_from`` on, accuracy is 1.
"""

FITTED = (1.0, 0.98, 0.95, 0.85, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0)
"""Probabilities of the word error rates whose spread is the measured one, the highest first."""

DECIMALS = 9  # of fitted values; the mean moves by less than the applications allow

FITTED_COLUMNS = (*(f"m{round(1000 * (1 - p)):03}" for p in FITTED[:-1]), "m_flawless")
"""Columns of the accuracies at probabilities ``1 - FITTED``, in thousandths.

The last one is the accuracy just below the probability ``flawless_from``.
"""


def derive() -> Mapping[str, pl.DataFrame]:
    """Return the application's tables: profile, clips, accuracy, strata, models and users."""
    measured = [*(f"{name}_ms" for name in OPERATORS), *_bytes_columns(), "wer"]
    profile = raw("asr_pipeline_profile", **dict.fromkeys(measured, pl.Float64))
    numbers = ("n", "wer_mean", "wer_sd", "frac_zero", "p25", "p50", "p75", "p95")
    strata = raw("asr_wer_strata", **dict.fromkeys(numbers, pl.Float64))
    strata = strata.with_columns(pl.col("stratum").str.zfill(2).alias("order"))
    datasets = profile["dataset"].unique(maintain_order=True).to_list()
    return {
        "profile": pl.concat(_profile(profile, name) for name in datasets),
        "clips": pl.concat(_clips(profile, name) for name in datasets),
        "accuracy": pl.concat(_accuracy(profile, strata, name) for name in datasets),
        "strata": pl.concat(_strata(strata, name) for name in datasets),
        "models": _models(profile),
        "users": _users(strata),
    }


def _bytes_columns() -> list[str]:
    return [f"{name}_input_bytes" for name in OPERATORS]


def _profile(profile: pl.DataFrame, dataset: str) -> pl.DataFrame:
    """Return service times and message sizes of every configuration."""
    rows = profile.filter(pl.col("dataset") == dataset)
    first = _bytes_columns()[0]
    raw_mean = float(rows[first].to_numpy().mean())
    frame = rows.select(
        "dataset",
        *KNOBS,
        *((pl.col(f"{name}_ms") / 1e3).alias(f"{name}_s") for name in OPERATORS),
        *((raw_mean * pl.col(name) / pl.col(first)).alias(name) for name in _bytes_columns()),
        "source",
        "source_url",
    )
    return sourced("speech_recognition.profile", frame, rounded=False)


def _clips(profile: pl.DataFrame, dataset: str) -> pl.DataFrame:
    """Return the coefficient of variation of clip sizes, and the rank correlation of clips."""
    cvs = {}
    for name in ("LibriSpeech", "TED-LIUM"):
        sizes = profile.filter(pl.col("dataset") == name)[_bytes_columns()[0]].to_numpy()
        cvs[name] = float(sizes.std() / sizes.mean())
    own = dataset in cvs
    rows = profile.filter(pl.col("dataset") == dataset).head(1)
    frame = rows.select(
        "dataset",
        pl.lit(cvs[dataset] if own else float(np.mean(list(cvs.values())))).alias("size_cv"),
        pl.lit(_rank_correlation(dataset)).alias("rank_correlation"),
        "source",
        "source_url",
    )
    if not own:
        note = (
            f"size_cv: rows of {dataset} are means over clips: taken as the mean of "
            f"{' and '.join(cvs)}; rank_correlation: such that simulated clips of all strata have "
            "the median over pairs of configurations that measured clips have"
        )
        frame = frame.with_columns(note=pl.lit(note), kind=pl.lit("assumption"))
    return sourced("speech_recognition.clips", frame, rounded=False)


def _rank_correlation(dataset: str) -> float:
    """Return the rank correlation of the clips of a stratum in two configurations.

    Where all clips are one stratum, it is that of all clips of VOiCES.
    """
    clips = "clips of a stratum" if dataset == STRATIFIED else "all clips"
    facts = raw("speech_facts", value=pl.Float64)
    return float(facts.row(by_predicate=pl.col("item") == clips, named=True)["value"])


def _of(strata: pl.DataFrame, dataset: str) -> pl.DataFrame:
    part = "hidden_kmeans_8" if dataset == STRATIFIED else "all"
    return strata.filter(pl.col("strata") == part)


def _label(dataset: str) -> pl.Expr:
    return pl.col("stratum") if dataset == STRATIFIED else pl.lit("all").alias("stratum")


def _strata(strata: pl.DataFrame, dataset: str) -> pl.DataFrame:
    """Return the strata of a data set, and the number of clips in each."""
    rows = _of(strata, dataset).unique("stratum", keep="first").sort("order")
    clips = pl.col("n") if dataset == STRATIFIED else pl.lit(1.0)
    frame = rows.select(
        pl.lit(dataset).alias("dataset"),
        _label(dataset),
        clips.alias("weight"),
        "source",
        "source_url",
    )
    if dataset != STRATIFIED:
        said = {"unit": "share", "kind": "assumption", "note": "not divided into strata"}
        frame = frame.with_columns(pl.lit(text).alias(key) for key, text in said.items())
    return sourced("speech_recognition.strata", frame, rounded=False)


def concentration(strata: pl.DataFrame, conditions: pl.DataFrame) -> float:
    """Return the concentration of users' content with which they differ as conditions do."""
    between = [
        sum(
            float(np.cov(rows["wer_mean"].to_numpy(), aweights=rows["n"].to_numpy(), ddof=0))
            for _, rows in table.group_by("sample_rate_hz", "model", maintain_order=True)
        )
        for table in (strata, conditions)
    ]
    return between[0] / between[1] - 1


def _users(strata: pl.DataFrame) -> pl.DataFrame:
    conditions = raw("speech_conditions", n=pl.Float64, wer_mean=pl.Float64)
    clusters = _of(strata, STRATIFIED).filter(freq_mask_hz="500")
    found = round(concentration(clusters, conditions), 3)
    return sourced("speech_recognition.users", {"dataset": [STRATIFIED], "concentration": [found]})


def _accuracy(profile: pl.DataFrame, strata: pl.DataFrame, dataset: str) -> pl.DataFrame:
    """Return mean accuracy and quantiles over clips, by configuration and stratum."""
    means = profile.filter(pl.col("dataset") == dataset).select(*KNOBS, "wer")
    rows = _of(strata, dataset).join(means, on=KNOBS, how="left", maintain_order="left")
    own = dataset == STRATIFIED
    wer = rows["wer_mean" if own else "wer"].to_numpy()
    frame = rows.select(
        pl.lit(dataset).alias("dataset"),
        *KNOBS,
        _label(dataset),
        pl.Series("accuracy", 1 - wer),
        *(
            pl.Series(name, column)
            for name, column in zip(ACCURACY_COLUMNS, 1 - _wer_quantiles(rows, wer), strict=True)
        ),
        (1 - pl.col("frac_zero")).alias("flawless_from"),
        *(
            pl.Series(name, column)
            for name, column in zip(FITTED_COLUMNS, 1 - _fitted(rows, wer), strict=True)
        ),
        "source",
        "source_url",
    )
    shape = "" if own else f", with the shape of {STRATIFIED} scaled to the mean of {dataset}"
    return sourced("speech_recognition.accuracy", frame, rounded=False, shape=shape)


def _wer_quantiles(rows: pl.DataFrame, mean_wer: Floats) -> Floats:
    """Fit an inverse CDF to the word error rates of clips, for each row of the table.

    The inverse CDF is linear between the share of clips without an error, the measured quantiles
    and an upper end. The upper end is chosen so that the curve has the measured mean, but not below
    the 95th percentile. If the mean then differs, or ``mean_wer`` is that of another data set, the
    whole curve is scaled.

    Returns:
        Word error rates at probabilities 1, 0.95, 0.75, 0.5 and 0.25, shape (5, rows).
    """
    quantiles, flawless = _measured_quantiles(rows)
    none = np.zeros_like(flawless)
    grid = np.column_stack([np.tile((0.0, *PROBABILITIES, 1.0), (len(flawless), 1)), flawless])
    wer = np.column_stack([none, quantiles, quantiles[:, -1], none])
    order = np.argsort(grid, axis=1, kind="stable")
    grid, wer = (np.take_along_axis(values, order, axis=1) for values in (grid, wer))
    below = np.trapezoid(wer[:, :-1], grid[:, :-1], axis=1)
    tail = 1 - grid[:, -2]
    own_mean = rows["wer_mean"].to_numpy()
    wer[:, -1] = np.maximum(2 * (own_mean - below) / tail - wer[:, -2], wer[:, -2])
    scale = mean_wer / np.trapezoid(wer, grid, axis=1)
    upper = np.column_stack([wer[:, -1], quantiles[:, ::-1]])
    return np.asarray((upper * scale[:, None]).T)


def _measured_quantiles(rows: pl.DataFrame) -> tuple[Floats, Floats]:
    """Return word error rates at `PROBABILITIES`, shape (rows, 4), and the shares of zeros."""
    quantiles = rows.select(f"p{round(100 * p)}" for p in PROBABILITIES).to_numpy()
    flawless = rows["frac_zero"].to_numpy()
    # Quantiles below the flawless share are zero by definition, whatever rounding left in them.
    return np.where(np.array(PROBABILITIES) <= flawless[:, None], 0.0, quantiles), flawless


def _fitted(rows: pl.DataFrame, mean_wer: Floats) -> Floats:
    """Return word error rates at the probabilities `FITTED`, shape (11, rows).

    The distribution has the measured quantiles, mean and standard deviation; then it is scaled to
    ``mean_wer``. Below the flawless share, the rate is 0, but the last value is the rate just above
    this share.
    """
    quantiles, flawless = _measured_quantiles(rows)
    mean, sd = rows["wer_mean"].to_numpy(), rows["wer_sd"].to_numpy()
    grid = np.array(FITTED[::-1])
    probabilities = np.array(PROBABILITIES)
    fitted = fitted_quantiles(probabilities, quantiles, flawless, mean, sd, grid)
    just_above = fitted[:, 0].copy()
    fitted[grid < flawless[:, None]] = 0.0
    fitted[:, 0] = just_above
    scaled = fitted[:, ::-1] * (mean_wer / mean)[:, None]
    return np.asarray(scaled.round(DECIMALS).T)


def raspberry_pi_over_gpu() -> float:
    """Return the ratio of a neural operator's times on a Raspberry Pi 5 and a V100-class GPU."""
    pi, gpu = "Raspberry Pi 5 (BCM2712)", "V100"
    small = ("whisper-tiny", "whisper-base", "whisper-small")
    ratios = [
        whisper.encode_s(one, pi).seconds / whisper.encode_s(one, gpu).seconds for one in small
    ]
    return float(gmean(ratios))


def _models(profile: pl.DataFrame) -> pl.DataFrame:
    """Return each model's size, its work on an average clip, and its time on a small CPU."""
    facts = raw("speech_facts", value=pl.Float64)
    fact = dict(zip(facts["quantity"], facts["value"], strict=True))
    clip_bytes = float(profile[_bytes_columns()[0]].to_numpy().mean())
    clip_s = clip_bytes / (fact["sample_bytes"] * fact["sample_rate"])
    work = fact["frames_per_s"] * clip_s / (fact["parameters"] * fact["tokens"])
    frame = load_table("model_sizes").select(
        "model",
        "weight_bytes",
        (pl.col("parameters") * work).alias("like_items"),
        pl.lit(raspberry_pi_over_gpu()).alias("device_ratio"),
        "source",
        "source_url",
    )
    return sourced("speech_recognition.models", frame, rounded=False, clip_s=clip_s)
