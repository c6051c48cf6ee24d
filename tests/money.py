"""The bill of a run, recomputed from its tables alone."""

import polars as pl

HOURS = (pl.col("to_s") - pl.col("from_s")) / 3600
SLOT = ["station", "replica"]


def bill_usd(tables):
    """Return the price of all rentals, and all egress."""
    return tables["machines"].select(HOURS * pl.col("price_usd_per_hour")).sum().item() + (
        tables["queries"]["egress_usd"].sum()
    )


def idle_usd(tables):
    """Return the price of all rentals less that of the slots that stations held."""
    held = (
        tables["allocations"]
        .group_by(SLOT)
        .agg(pl.col("from_s").min(), pl.col("to_s").max(), pl.col("price_usd_per_hour").first())
        .select(HOURS * pl.col("price_usd_per_hour"))
        .sum()
        .item()
    )
    return tables["machines"].select(HOURS * pl.col("price_usd_per_hour")).sum().item() - held


def attributed_usd(tables):
    """Return what each query owes, by its number; queries that owe nothing are left out.

    The deployments that have a slot share its price in proportion to their declared loads, between
    any two changes.
    """
    allocations = tables["allocations"]
    changes = pl.concat(allocations.select(*SLOT, at_s=pl.col(end)) for end in ("from_s", "to_s"))
    spans = (
        changes.unique()
        .sort(*SLOT, "at_s")
        .select(*SLOT, start_s="at_s", end_s=pl.col("at_s").shift(-1).over(SLOT))
        .drop_nulls()
    )
    share = pl.col("declared_load") / pl.col("declared_load").sum().over(*SLOT, "start_s")
    hours = (pl.col("end_s") - pl.col("start_s")) / 3600
    slots = (
        allocations.join(spans, on=SLOT)
        .filter(pl.col("from_s") <= pl.col("start_s"), pl.col("to_s") >= pl.col("end_s"))
        .select("query", usd=pl.col("price_usd_per_hour") * hours * share)
    )
    egress = tables["queries"].select("query", usd="egress_usd")
    owed = pl.concat([slots, egress]).group_by("query").agg(pl.col("usd").sum())
    return dict(owed.filter(pl.col("usd") != 0).iter_rows())
