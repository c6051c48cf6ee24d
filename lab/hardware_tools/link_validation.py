"""Links against recorded traces that no fit has seen, for the validation page."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from hardware_models.fits import links
from hardware_models.links.process import LEAST_MBPS, UPDOWN
from hardware_models.links.technologies import link_model
from hardware_models.surfaces import coefficients
from scenarios.numerics.link_capacity import capacity_series_bps

SHOWN = ("p5", "p50", "p95", "acf_1s", "acf_5s", "acf_30s", "bad_share", "bad_spell_mean_s")
LONGEST = "bad_spell_max_s"


def link_rows() -> Iterator[list[str]]:
    """Yield three rows for each technology and direction with traces: held out, ours, speed tests.

    Each row has the technology and direction, what its statistics are of, the number of traces, and
    the statistics of `SHOWN` and `LONGEST`, in Mbit/s and seconds.
    """
    for (technology, direction), process in links.stored().items():
        rows = links.traces("held out", technology, direction)
        fitted = links.traces("fit", technology, direction).height
        known = rows.drop_nulls("acf_1s").height
        count = f"{rows.height}" if known == rows.height else f"{rows.height}, {known} in full"
        name = f"{technology} {direction}"
        yield [name, "traces held out", count, *_cells(links.summary(rows))]
        ours = links.summary(links.simulated(process, rows))
        yield [name, "`traces`", f"fitted to {fitted}", *_cells(ours)]
        yield [name, "`speed_tests`", "", *_cells(_speed_tests(technology, direction, rows))]


def directions() -> Iterator[list[str]]:
    """Yield the correlation of both directions, in recordings held out and in simulated links."""
    processes, correlation = links.stored(), coefficients("links")[UPDOWN]
    measured = links.updown_measured("held out")
    for technology, value in measured.items():
        up, down = processes[technology, "uplink"], processes[technology, "downlink"]
        yield [
            technology,
            f"{links.updown_measured('fit')[technology]:.2f}",
            f"{value:.2f}",
            f"{links.directions_correlation(up, down, correlation):.2f}",
        ]


def _speed_tests(technology: str, direction: str, rows: pl.DataFrame) -> dict[str, float]:
    """Return the statistics of links of the model that ``network.capacity=speed_tests`` has."""
    model = link_model(technology)
    marginal = model.uplink_bps if direction == "uplink" else model.downlink_bps
    rng = np.random.default_rng(0)
    found = []
    for seconds in links.lengths(rows).tolist():
        normals = rng.standard_normal(seconds + 1)
        capacity = capacity_series_bps(marginal, normals, model.autocorrelation) / 1e6
        found.append({"seconds": seconds, **links.statistics(np.maximum(capacity, LEAST_MBPS))})
    return links.summary(pl.DataFrame(found, infer_schema_length=None))


def _cells(found: dict[str, float]) -> list[str]:
    def cell(name: str) -> str:
        value = found[name]
        if np.isnan(value):
            return "none"
        return f"{value:.3g}" if name.startswith("p") else f"{value:.2f}"

    return [*map(cell, SHOWN), f"{found[LONGEST]:.0f}"]
