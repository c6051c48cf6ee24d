"""What the paper's figures take from runs.

In a module of its own, so that runs that are kept stay valid when a verdict or a picture is edited.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from lab.runs.api import Result
from lab.runs.summary import response_quantile_s
from studies.common.measures import totals

STEP_S = 30.0
"""Length of the stretches of a curve of goodput."""


def curve(result: Result) -> Mapping[str, Any]:
    """Return what `totals` does, and goodput in stretches of `STEP_S` as ``cells``."""
    windows = result.windows.filter(pl.col("met"))
    horizon_s = float(result.summary["horizon_s"])
    cells = []
    for step in range(int(horizon_s // STEP_S)):
        start_s, end_s = step * STEP_S, (step + 1) * STEP_S
        overlap = (
            pl.min_horizontal(pl.col("end_s"), pl.lit(end_s))
            - pl.max_horizontal(pl.col("start_s"), pl.lit(start_s))
        ).clip(0.0)
        share = pl.col("deployed_s") / (pl.col("end_s") - pl.col("start_s"))
        served_s = windows.select((overlap * share).sum()).item()
        cells.append({"time_s": end_s, "goodput": served_s / STEP_S})
    return {**totals(result), "cells": cells}


def bill(result: Result) -> Mapping[str, Any]:
    """Return what `totals` does, and quartiles of response times as ``response_p25_s`` and so on.

    Kaplan-Meier quartiles over all queries; None where so many were never served.
    """
    served = result.queries["response_time_s"].drop_nulls().to_list()
    in_vain = result.queries["censored_after_s"].drop_nulls().to_list()
    quartiles = {
        f"response_p{percent}_s": response_quantile_s(served, in_vain, percent / 100)
        for percent in (25, 50, 75)
    }
    return {**totals(result), **quartiles}
