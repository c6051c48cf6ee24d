"""Figure 8: verdicts on made-up errors, and what the probe of beliefs records."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lab.runs.api import run
from studies.common.claims import Verdict
from studies.common.store import frame
from studies.paper.figures import surrogates
from studies.probes.belief_probe import AT, COLD, COMBINED, HISTORIES, errors


def rows(better: bool) -> pl.DataFrame:
    """Return errors as claimed, or the other way round."""
    found: list[dict[str, Any]] = []
    for seed in range(3):
        label = {"application": "speech", "seed": seed}
        for surrogate, error in (("cmbo", 0.1), ("normal", 0.3 if better else 0.1)):
            cells = [{"plans": plans, "error": error + seed / 1000} for plans in (5, 10)]
            found.append(
                {
                    **label,
                    "part": "latency",
                    "dataset": "VOiCES",
                    "order": "same",
                    "planner": surrogate,
                    "cells": cells,
                }
            )
        early = {COLD: 0.3, COMBINED: 0.1, HISTORIES: 0.1}
        late = {COLD: 0.1, COMBINED: 0.1, HISTORIES: 0.2}
        if not better:
            early |= {COLD: 0.05}
            late |= {COMBINED: 0.3}
        found.append(
            {
                **label,
                "part": "warm",
                "cells": [
                    {"model": name, "profiled": at, "accuracy": error + seed / 1000, "time": 0.1}
                    for at, errors_of in ((2, early), (24, late))
                    for name, error in errors_of.items()
                ],
            }
        )
    return frame(found)


@pytest.mark.parametrize(("better", "verdict"), [(True, Verdict.AGREES), (False, Verdict.DIFFERS)])
def test_errors_decide(better: bool, verdict: Verdict) -> None:
    found = surrogates.findings(rows(better))
    assert [each.verdict for each in found] == [verdict] * 4


def test_the_picture_is_made(tmp_path: Path) -> None:
    paths = surrogates.draw(rows(True), tmp_path)
    assert [path.name for path in paths] == ["surrogates.png", "surrogates-histories.png"]
    assert all(path.stat().st_size > 10_000 for path in paths)


@pytest.mark.slow
def test_the_probe_records_what_histories_bring() -> None:
    cells = errors(run(["experiment=paper/fig08_warm_tracking", "horizon_s=85"]))["cells"]
    by = {(cell["model"], cell["profiled"]): cell for cell in cells}
    assert set(by) == {(name, at) for name in (COLD, COMBINED, HISTORIES) for at in AT}
    assert by[COMBINED, 0]["accuracy"] == pytest.approx(by[HISTORIES, 0]["accuracy"], rel=1e-3)
    assert by[COMBINED, 2]["accuracy"] < by[COLD, 2]["accuracy"]
    assert by[COLD, 24]["accuracy"] < by[COLD, 0]["accuracy"]
