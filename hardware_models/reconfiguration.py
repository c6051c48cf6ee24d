"""How long it takes to change the partitions of a card.

The figures are single runs under a Kubernetes operator, which drains and restarts its device plugin
around the change. No citable figure was found for creating and destroying instances on a bare card.
Source: table ``mig_reconfiguration``.
"""

import math

import polars as pl

from hardware_models.tables import load_table, table_cache


def _mean_s(operations: str) -> float:
    rows = load_table("mig_reconfiguration").filter(pl.col("operation").str.contains(operations))
    return math.fsum(rows["value"]) / rows.height


@table_cache
def kubernetes_apply_s() -> float:
    """Time to apply a layout to a card through a Kubernetes operator, in seconds.

    Mean of the measured applies, empty to two 3g.20gb and back (46 s and 41 s, one run each).
    """
    return _mean_s("^(apply|restore) ")


@table_cache
def kubernetes_ready_s() -> float:
    """Time from there until the instances can be used by Kubernetes pods, in seconds.

    Mean of the measured waits for the device plugin (20 s and 23 s, one run each); it adds to
    `kubernetes_apply_s`.
    """
    return _mean_s("^device-plugin ")
