"""Fit the capacity of links over time (`hardware_models.links.process`) to statistics of traces.

Only statistics of each trace are at hand, not its samples (table ``link_trace_statistics``). Traces
were split before the fit: of each technology, recordings of both directions first, then longer
ones, they belong by turns to the part that is fitted and to the part that is held out.

The distribution over links and times is the mean of the traces' distributions. Each trace is one
link and counts once, whatever its length. The other parameters are found by the method of simulated
moments (McFadden 1989): links as long as the traces are simulated from fixed random numbers, and
Nelder-Mead minimises the squared differences between their statistics and those of the traces. The
statistics are those of `MOMENTS`, each divided by the difference that counts as 1 there. Statistics
of simulated and real traces have the same bias, because they are computed alike from equal lengths.

The correlation of both directions is found in the same way: the simulated directions of a link
correlate as much as those of the recordings of both.
"""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit, ndtri

from hardware_models.fits.registry import Fit, error_rows
from hardware_models.links.process import (
    FITTED,
    LEAST_MBPS,
    LEVELS,
    NORMALS,
    PERCENTILES,
    UPDOWN,
    LinkProcess,
    correlate,
)
from hardware_models.links.technologies import Floats, Marginal
from hardware_models.surfaces import coefficients
from hardware_models.tables import load_table

SCHEME = "traces held out"
"""The scheme that predicts statistics of held-out traces."""

Ints = npt.NDArray[np.int64]

LAGS = (1, 2, 5, 10, 30, 60)
"""The lags of autocorrelations, in seconds."""

BAD = 0.25
"""A second is bad if its capacity is below this fraction of the link's median."""

SECONDS = 100_000
"""Number of simulated seconds, over all links."""

MOMENTS: Mapping[str, float] = {
    **{f"acf_{lag}s": 0.05 for lag in LAGS},
    "spread": 0.1,
    "bad_share": 0.03,
    "bad_spell_mean_s": 0.15,
    "bad_spell_max_s": 0.3,
}
"""The statistics that are fitted, and the difference that counts as 1 in each. ``spread`` is the
standard deviation, over links, of a median's normal score in the distribution over all links. Those
of lengths are relative.
"""

_PAIRED_S = 900  # about the length of the recordings of both directions
_SEED = 41
_START = (0.3, 0.5, 2.0, 30.0, 0.03, 4.0)
_LOW = (0.001, 0.001, 0.3, 3.0, 1e-4, 2.0)
_HIGH = (0.98, 0.999, 10.0, 1000.0, 0.4, 60.0)
_STEPS = 250


def traces(part: str, technology: str, direction: str) -> pl.DataFrame:
    """Return the traces of a part (``fit`` or ``held out``), technology and direction."""
    return load_table("link_trace_statistics").filter(
        part=part, technology=technology, direction=direction
    )


def groups() -> list[tuple[str, str]]:
    """Return the technologies and directions that have traces."""
    table = load_table("link_trace_statistics").select("technology", "direction")
    return table.unique(maintain_order=True).rows()


def pooled(rows: pl.DataFrame) -> Marginal:
    """Return the mean of traces' distributions, in Mbit/s; each trace counts once.

    Between its percentiles, the distribution of a trace is that of `Marginal`.
    """
    table = np.array(rows.select(f"p{at}" for at in PERCENTILES).rows(), dtype=np.float64)
    known = np.array(LEVELS)[1:-1]
    uniform = (np.arange(2000) + 0.5) / 2000
    samples = []
    for values in np.maximum(table, LEAST_MBPS):  # a missing percentile stays nan
        whole = not np.isnan(values).any()
        levels, own = (LEVELS, values) if whole else (tuple(known), values[1:-1])
        samples.append(Marginal(tuple(own.tolist()), levels).at(ndtri(uniform)))
    drawn = np.maximum(np.concatenate(samples), LEAST_MBPS)
    return Marginal(tuple(np.quantile(drawn, LEVELS).tolist()), LEVELS)


def _score(marginal: Marginal, values: Floats) -> Floats:
    """Return the normal variables that a distribution maps to some values (its inverse)."""
    z = np.linspace(-4, 4, 1601)
    return np.interp(np.log(values), np.log(marginal.at(z)), z)


def statistics(capacity: Floats) -> dict[str, float]:
    """Return the statistics of one trace, shape (n,), as table ``link_trace_statistics`` has them.

    Percentiles have the unit of capacity, lengths are in seconds.
    """
    about = capacity - capacity.mean()
    square = float(about @ about)
    found = {
        f"acf_{lag}s": float(about[lag:] @ about[:-lag]) / square
        for lag in LAGS
        if lag < len(capacity) and square > 0
    }
    for at, value in zip(PERCENTILES, np.quantile(capacity, LEVELS), strict=True):
        found[f"p{at}"] = float(value)
    bad = np.concatenate([[False], capacity < BAD * np.median(capacity), [False]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(bad))
    lengths = edges[1::2] - edges[::2]
    found["bad_share"] = float(lengths.sum()) / len(capacity)
    found["bad_spells"] = float(len(lengths))
    found["bad_spell_max_s"] = float(lengths.max(initial=0))
    found["bad_spell_mean_s"] = float(lengths.mean()) if len(lengths) else 0.0
    return found


def summary(rows: pl.DataFrame) -> dict[str, float]:
    """Return statistics of several traces, of which `statistics` or the table gives one row each.

    They are means over traces; the mean length of bad spells is that over all spells. The
    percentiles are those of `pooled`.
    """
    marginal = pooled(rows)
    found = {f"p{at}": each for at, each in zip(PERCENTILES, marginal.values, strict=True)}
    return {**found, **_changes(rows)}


def _changes(rows: pl.DataFrame) -> dict[str, float]:
    """Return the statistics of `summary` that are no percentiles."""
    found = {}
    for name in (*(f"acf_{lag}s" for lag in LAGS), "bad_share", "bad_spell_max_s"):
        known = rows[name].drop_nulls().to_numpy() if name in rows.columns else np.empty(0)
        found[name] = float(known.mean()) if len(known) else math.nan
    spells = float(rows["bad_spells"].sum())
    bad_s = float((rows["bad_share"] * rows["seconds"]).sum())
    found["bad_spell_mean_s"] = bad_s / spells if spells else math.nan
    return found


def lengths(rows: pl.DataFrame, total_s: int = SECONDS) -> Ints:
    """Return the lengths of links that are simulated for comparison with traces, in seconds.

    They are the lengths of the traces, over and over, up to about ``total_s`` seconds in all.
    """
    seconds = rows.drop_nulls("acf_1s")["seconds"].to_numpy()
    return np.resize(seconds, max(len(seconds), round(total_s / seconds.mean())))


def simulated(process: LinkProcess, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the statistics of simulated links, one row each, as long as the given traces.

    Capacities are in Mbit/s. The random numbers are always the same.
    """
    seconds = lengths(rows)
    rng = np.random.default_rng(_SEED)
    normals = rng.standard_normal((len(seconds), int(seconds.max()) + 1, NORMALS))
    capacity = np.maximum(process.capacity_bps(normals), LEAST_MBPS)
    found = [
        {"seconds": int(length), **statistics(each[:length])}
        for each, length in zip(capacity, seconds, strict=True)
    ]
    return pl.DataFrame(found, infer_schema_length=None)


def directions_correlation(up: LinkProcess, down: LinkProcess, correlation: float) -> float:
    """Return the mean correlation of both directions within simulated links of `_PAIRED_S`.

    Args:
        up: The process of the uplink.
        down: The process of the downlink.
        correlation: The correlation of their normal variables.
    """
    rng = np.random.default_rng(_SEED)
    own = rng.standard_normal((2, SECONDS // _PAIRED_S, _PAIRED_S + 1, NORMALS))
    shared = correlate(own[0], own[1], correlation)
    pairs = zip(up.capacity_bps(own[0]), down.capacity_bps(shared), strict=True)
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))


def updown_measured(part: str) -> dict[str, float]:
    """Return the mean correlation of both directions of a part's recordings, by technology."""
    rows = load_table("link_trace_statistics").filter(part=part, direction="uplink")
    known = rows.drop_nulls("updown_correlation")
    means = known.group_by("technology", maintain_order=True).agg(
        pl.col("updown_correlation").mean()
    )
    return dict(means.rows())


def fit_updown(processes: Mapping[tuple[str, str], LinkProcess]) -> float:
    """Return the correlation of normal variables that gives the measured one of capacities."""
    wanted = updown_measured("fit")

    def off(correlation: float) -> float:
        found = [
            directions_correlation(
                processes[name, "uplink"], processes[name, "downlink"], correlation
            )
            for name in wanted
        ]
        return float(np.mean(found)) - float(np.mean(list(wanted.values())))

    return float(brentq(off, 0.0, 0.99, xtol=1e-4))


def moments(rows: pl.DataFrame, marginal: Marginal) -> Floats:
    """Return the values of `MOMENTS` for traces; lengths as logarithms."""
    found = _changes(rows)
    medians = np.maximum(rows["p50"].to_numpy(), LEAST_MBPS)
    spread = float(np.std(_score(marginal, medians)))
    lengths = ("bad_spell_mean_s", "bad_spell_max_s")
    return np.array(
        [
            spread
            if name == "spread"
            else np.log(max(found[name], 0.1))
            if name in lengths
            else found[name]
            for name in MOMENTS
        ]
    )


def _bounded(free: Floats) -> Floats:
    """Map free parameters to allowed ones; on the scale of logarithms."""
    low, high = np.log(_LOW), np.log(_HIGH)
    return np.asarray(np.exp(low + (high - low) * expit(free)), dtype=np.float64)


def fit_process(rows: pl.DataFrame, marginal: Marginal) -> LinkProcess:
    """Return the process, in Mbit/s, that fits the statistics of some traces."""
    wanted, scale = moments(rows, marginal), np.array(list(MOMENTS.values()))

    def loss(free: Floats) -> float:
        process = LinkProcess(marginal, *_bounded(free).tolist())
        off = (moments(simulated(process, rows), marginal) - wanted) / scale
        return float(np.nansum(off**2))

    low, high = np.log(_LOW), np.log(_HIGH)
    start = logit((np.log(_START) - low) / (high - low))
    simplex = np.vstack([start, start + np.eye(len(start))])
    best = minimize(
        loss, start, method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": _STEPS, "xatol": 0.01, "fatol": 0.01},
    )  # fmt: skip
    return LinkProcess(marginal, *_bounded(best.x).tolist())


def held_out(processes: Mapping[tuple[str, str], LinkProcess]) -> pl.DataFrame:
    """Return statistics of held-out traces and of simulated links as long as they.

    Columns: technology, direction, statistic, measured, predicted; in Mbit/s and seconds.
    """
    parts = []
    for (technology, direction), process in processes.items():
        rows = traces("held out", technology, direction)
        measured, ours = summary(rows), summary(simulated(process, rows))
        parts += [
            (technology, direction, name, value, ours[name]) for name, value in measured.items()
        ]
    columns = ("technology", "direction", "statistic", "measured", "predicted")
    return pl.DataFrame(parts, schema=columns, orient="row")


def stored() -> dict[tuple[str, str], LinkProcess]:
    """Return the processes of table ``fit_links``, in Mbit/s, by technology and direction."""
    values, found = coefficients("links"), {}
    for technology, direction in groups():
        group = f"{technology} {direction}"
        marginal = Marginal(tuple(values[group, f"p{at}"] for at in PERCENTILES), LEVELS)
        found[technology, direction] = LinkProcess(
            marginal, **{name: values[group, name] for name in FITTED}
        )
    return found


def _errors(processes: Mapping[tuple[str, str], LinkProcess]) -> pl.DataFrame:
    rows = held_out(processes).with_columns(
        cell=pl.format("{} {}", "technology", "direction"),
        group=pl.format("{} all", "statistic"),
    )
    judged = rows.filter(pl.col("statistic").is_in(["p50", "p95", "bad_spell_mean_s"]))
    errors = [
        error_rows(part, SCHEME, "group", "measured").filter(pl.col("group") != "all")
        for part in judged.partition_by("group", maintain_order=True)
    ]
    return pl.concat(errors)


def fit() -> Fit:
    """Fit the capacity of every technology with traces; test the fits on held-out traces."""
    processes = {}
    for technology, direction in groups():
        rows = traces("fit", technology, direction)
        processes[technology, direction] = fit_process(rows, pooled(rows))
    found = [
        (f"{technology} {direction}", name, value)
        for (technology, direction), process in processes.items()
        for name, value in (
            *((name, getattr(process, name)) for name in FITTED),
            *(
                (f"p{at}", each)
                for at, each in zip(PERCENTILES, process.marginal.values, strict=True)
            ),
        )
    ]
    found.append((*UPDOWN, fit_updown(processes)))
    table = pl.DataFrame(found, schema=["group", "coefficient", "value"], orient="row")
    return Fit(table, _errors(processes))
