"""Speech recognition: sampler, noise reduction, wave to text, decoder; 125 configurations.

Every figure comes from ``data/asr_pipeline_profile.csv`` (accuracy, service times and message
sizes, measured on three data sets) and ``data/asr_wer_strata.csv`` (word error rate by stratum of
VOiCES); both files name their sources row by row.

Three things that the tables do not give are derived, each by a stated rule:

* *Message sizes.* The LibriSpeech and TED-LIUM rows hold the size of one clip, another clip for
  each configuration; the raw audio of a query cannot depend on how it is processed. So the size of
  the raw audio is the mean over all rows of a data set, and a later message is that mean times the
  row's own ratio of that message to its raw audio.
* *Request sizes.* A request's size relative to the mean is log-normal with the coefficient of
  variation of those raw clip sizes over the rows: 0.63 for LibriSpeech and 0.52 for TED-LIUM. The
  VOiCES rows are means over clips, so its spread is borrowed from the mean of the other two.
* *Spread of accuracy.* Strata were measured for VOiCES only. LibriSpeech and TED-LIUM are one
  stratum each, with their own measured mean and the shape of VOiCES' distribution over clips in
  the same configuration, scaled to that mean.

Accuracy is 1 - WER, which is negative where the word error rate is above 1.
"""

from importlib.resources import files

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hardware_models.compute import model_weight_bytes
from scenarios.application import Application, Dataset, Knob, Operator, Pipeline
from scenarios.distributions import LogNormal

Floats = NDArray[np.float64]

OPERATORS = ("audio_sampler", "noise_reduction", "wave_to_text", "decoder")
SAMPLE_RATE = Knob("sample_rate_hz", (16000, 14000, 12000, 10000, 8000))
FREQUENCY_MASK = Knob("freq_mask_hz", (500, 1000, 2000, 3000, 4000))
MODEL = Knob(
    "model",
    ("hubert-xlarge", "hubert-large", "wav2vec2-large-960h", "wav2vec2-large-10m", "wav2vec2-base"),
)
KNOBS = (SAMPLE_RATE, FREQUENCY_MASK, MODEL)
STRATIFIED = "VOiCES"
PROBABILITIES = (0.25, 0.5, 0.75, 0.95)


class SpeechRecognition(Application):
    """The speech recognition pipeline.

    Args:
        requests_per_s: utterances per second of one query. The mean LibriSpeech clip lasts 7.4 s
            (473 kB at 4 bytes x 16 kHz), so the default stands for one microphone among about
            four people.
        window_s: length of an evaluation window in seconds.
        answer_bytes: size of a transcript (an assumption: the tables do not give it).
    """

    def __init__(
        self,
        requests_per_s: float = 0.5,
        window_s: float = 60.0,
        answer_bytes: float = 1000.0,
    ) -> None:
        profile = _read("asr_pipeline_profile.csv")
        strata = _read("asr_wer_strata.csv")
        spread = {name: _clip_size_cv(profile, name) for name in ("LibriSpeech", "TED-LIUM")}
        spread[STRATIFIED] = float(np.mean(list(spread.values())))
        super().__init__(
            Pipeline(
                "speech_recognition",
                (
                    Operator("audio_sampler", "cpu", (SAMPLE_RATE,)),
                    Operator("noise_reduction", "cpu", (FREQUENCY_MASK,)),
                    Operator("wave_to_text", "gpu", (MODEL,)),
                    Operator("decoder", "cpu"),
                ),
            ),
            datasets={name: _dataset(name, cv, profile, strata) for name, cv in spread.items()},
            model_bytes={str(model): model_weight_bytes(str(model)) for model in MODEL.choices},
            requests_per_s=requests_per_s,
            answer_bytes=answer_bytes,
            window_s=window_s,
        )


def _read(name: str) -> pl.DataFrame:
    return pl.read_csv(files("scenarios").joinpath("data", name).read_bytes())


def _in_configuration_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Sort rows as ``Pipeline.configurations`` lists them: every knob's richest value first."""
    ranks = [
        pl.col(knob.name).replace_strict(list(knob.choices), list(range(len(knob.choices))))
        for knob in KNOBS
    ]
    return frame.sort(ranks, maintain_order=True)


def _clip_size_cv(profile: pl.DataFrame, dataset: str) -> float:
    sizes = profile.filter(pl.col("dataset") == dataset)["audio_sampler_input_bytes"].to_numpy()
    return float(sizes.std() / sizes.mean())


def _dataset(name: str, cv: float, profile: pl.DataFrame, strata: pl.DataFrame) -> Dataset:
    rows = _in_configuration_order(profile.filter(pl.col("dataset") == name))
    raw = rows["audio_sampler_input_bytes"].to_numpy()
    measured = rows.select(f"{operator}_input_bytes" for operator in OPERATORS).to_numpy()
    seconds = rows.select(f"{operator}_ms" for operator in OPERATORS).to_numpy() / 1e3
    mean_accuracy = 1 - rows["wer"].to_numpy()

    parts = ["hidden_kmeans_8"] if name == STRATIFIED else ["all"]
    table = strata.filter(pl.col("strata").is_in(parts))
    labels = sorted(table["stratum"].unique())
    groups = [_in_configuration_order(table.filter(pl.col("stratum") == label)) for label in labels]
    counts = np.array([group["n"][0] for group in groups], dtype=float)
    means = np.column_stack([1 - group["wer_mean"].to_numpy() for group in groups])
    if name != STRATIFIED:
        means = mean_accuracy[:, None]
    curves = [_inverse_cdf(group, 1 - means[:, i]) for i, group in enumerate(groups)]
    return Dataset(
        name=name,
        service_time_s=seconds,
        message_bytes=raw.mean() * measured / raw[:, None],
        stratum_weights=counts / counts.sum(),
        accuracy=means,
        accuracy_quantiles=np.stack([1 - wer[:, ::-1] for _, wer in curves], axis=1),
        quantile_grid=np.stack([1 - grid[:, ::-1] for grid, _ in curves], axis=1),
        request_size=LogNormal(cv),
    )


def _inverse_cdf(rows: pl.DataFrame, mean_wer: Floats) -> tuple[Floats, Floats]:
    """Fit the inverse CDF of the per-clip word error rate, one row per configuration.

    Piecewise linear through the share of clips without an error and the measured quantiles; the
    upper end is set so that the mean is the measured one, but no lower than the 95th percentile.
    Where that bound binds, or a mean of another data set is to be met, the whole curve is scaled.

    Returns:
        Probabilities and word error rates, both of shape (configurations, 7).
    """
    quantiles = rows.select(f"p{round(100 * p)}" for p in PROBABILITIES).to_numpy()
    flawless = rows["frac_zero"].to_numpy()
    grid = np.column_stack([np.tile((0.0, *PROBABILITIES, 1.0), (len(flawless), 1)), flawless])
    none = np.zeros_like(flawless)
    wer = np.column_stack([none, quantiles, quantiles[:, -1], none])
    order = np.argsort(grid, axis=1, kind="stable")
    grid = np.take_along_axis(grid, order, axis=1)
    wer = np.take_along_axis(wer, order, axis=1)
    # Quantiles below the flawless share are zero by definition, whatever rounding left in them.
    wer = np.where(grid <= flawless[:, None], 0.0, wer)
    below = np.trapezoid(wer[:, :-1], grid[:, :-1], axis=1)
    tail = 1 - grid[:, -2]
    own_mean = rows["wer_mean"].to_numpy()
    wer[:, -1] = np.maximum(2 * (own_mean - below) / tail - wer[:, -2], wer[:, -2])
    scale = mean_wer / np.trapezoid(wer, grid, axis=1)
    return grid, wer * scale[:, None]
