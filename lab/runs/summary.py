"""The summary of a run: the values of ``summary.json``."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import polars as pl

from lab.behaviour import versions_of
from lab.common.errors import one_line
from lab.version import versions
from sim.api.planner import Planner
from sim.clock import NS_PER_HOUR, NS_PER_S, ns
from sim.controlplane.planner_calls import described
from sim.controlplane.world import World
from sim.metrics.goodput_time import goodput_time
from sim.safe_text import class_name, class_path, safe_text

MOST_PERCENT = 90
"""A query counts for ``queries_met_share`` if its SLO was met for this percentage of its time."""
MOST_CHARACTERS = 2000
"""Largest number of characters of the text of an object."""
LIVED = {"query": pl.Int64, "active_ns": pl.Int64, "met_ns": pl.Int64}


class Tally:
    """Totals over the tables of a run, updated with every part.

    Totals of goodput and response time begin with the window at ``cut_s``.
    """

    def __init__(self, cut_s: float = 0.0) -> None:
        self.cut_s = cut_s
        self.response_s: list[float] = []
        self.censored_s: list[float] = []
        self.false_acceptances = 0
        self.queries = 0
        self.deployed = 0
        self.refused = 0
        self.on_basis: Counter[str] = Counter()
        self._lived = pl.DataFrame(schema=LIVED)  # active time of open queries
        # Closed queries, and those of them whose SLO was met for `MOST_PERCENT` of their time.
        self.closed = self.met = 0
        # The next three totals are by class of service.
        self.queries_of: Counter[str] = Counter()
        self._active_ns_of: Counter[str] = Counter()
        self._met_ns_of: Counter[str] = Counter()

    @property
    def active_ns(self) -> int:
        """Time for which queries were active."""
        return self._active_ns_of.total()

    @property
    def met_ns(self) -> int:
        """Time that counts as goodput."""
        return self._met_ns_of.total()

    def slo_met_fraction_of(self, tier: str) -> float | None:
        """Return the share of a class's query time in which the SLO was met, or None."""
        active_ns = self._active_ns_of[tier]
        return self._met_ns_of[tier] / active_ns if active_ns else None

    def add(self, frames: Mapping[str, pl.DataFrame]) -> None:
        """Add the new rows of the tables."""
        queries, decisions = frames["queries"], frames["decisions"]
        self.queries += queries.height
        self.queries_of.update(queries["tier"].to_list())
        counted = queries.filter(pl.col("arrival_s") >= self.cut_s)
        self.response_s += counted["response_time_s"].drop_nulls().to_list()
        self.censored_s += counted["censored_after_s"].drop_nulls().to_list()
        self.false_acceptances += int(queries["false_acceptances"].sum())
        deployed = decisions.filter(pl.col("outcome") == "deployed")
        self.deployed += deployed.height
        self.on_basis.update(deployed["latency_basis"].to_list())
        self.refused += decisions.filter(pl.col("outcome") == "refused").height
        self._add_lived(queries, frames["windows"])

    def _add_lived(self, queries: pl.DataFrame, windows: pl.DataFrame) -> None:
        """Add queries' active time; count the closed queries that mostly met their SLO."""
        new = windows.filter(pl.col("start_s") >= self.cut_s).select(
            "query",
            "tier",
            _ns("active_s").alias("active_ns"),
            goodput_time(pl.col("met"), _ns("deployed_s")).alias("met_ns"),
        )
        times_ns = pl.col("active_ns", "met_ns").sum()
        for tier, active_ns, met_ns in new.group_by("tier").agg(times_ns).iter_rows():
            self._active_ns_of[tier] += active_ns
            self._met_ns_of[tier] += met_ns
        lived = pl.concat([self._lived, new.drop("tier")]).group_by("query").sum()
        closed = lived.join(queries, on="query", how="semi").filter(pl.col("active_ns") > 0)
        self._lived = lived.join(queries, on="query", how="anti")
        self.closed += closed.height
        most = pl.col("met_ns") * 100 >= pl.col("active_ns") * MOST_PERCENT
        self.met += closed.filter(most).height


def _ns(column: str) -> pl.Expr:
    return (pl.col(column) * NS_PER_S).round().cast(pl.Int64)


def response_quantile_s(
    response_s: list[float], censored_s: list[float], share: float = 0.5
) -> float | None:
    """Return the Kaplan-Meier quantile of response times, or None if it is not reached."""
    if not response_s:
        return None
    from scipy.stats import CensoredData, ecdf

    survival = ecdf(CensoredData(uncensored=response_s, right=censored_s)).sf
    # The first time at which at most 1 - share are still waiting.
    below = survival.probabilities <= 1 - share + 1e-12
    return float(survival.quantiles[below][0]) if below.any() else None


def summarise(
    world: World, tally: Tally, planner: str, parameters: Any, status: str, wall_s: float
) -> dict[str, Any]:
    """Return the current summary of a run as JSON values.

    Args:
        world: the world of the run.
        tally: totals over its tables.
        planner: the planner's name.
        parameters: what `parameters_of` returned for it.
        status: ``running``, ``finished``, ``failed`` or ``interrupted``.
        wall_s: wall-clock time of the run in seconds.
    """
    monitor, billing, now_s = world.monitor, world.billing, world.now_s
    planning_service = world.planning_service
    elapsed_ns = max(0.0, now_s - tally.cut_s) * NS_PER_S
    total_usd = billing.bill_usd + planning_service.profiling_cost_usd
    errors = world.planner_errors
    # Rows are written when queries close, at the latest at the horizon.
    closed = world.env.now >= ns(world.scenario.horizon_s)
    living = [] if closed else [state.query.tier for state in world.registry.living.values()]
    queries_of = tally.queries_of + Counter(living)
    tiers = list(world.scenario.tiers)
    outcomes = dict(monitor.outcomes)
    if not closed:  # The monitor counts requests in flight only at the horizon.
        ended = sum(count for end, count in outcomes.items() if end != "in_flight")
        outcomes["in_flight"] = monitor.born_total - ended
    summary: dict[str, Any] = {
        "planner": planner,
        "planner_class": class_path(world.planner),
        "planner_parameters": parameters,
        "planner_sees_truth": world.settings.sees_truth,
        "seed": world.seed,
        "behaviour": versions_of(world.planner),
        "versions": versions(),
        "status": status,
        "horizon_s": world.scenario.horizon_s,
        "simulated_s": now_s,
        "warm_up_s": tally.cut_s,
        "service_goodput_mean": tally.met_ns / elapsed_ns if elapsed_ns else 0.0,
        "slo_met_fraction": tally.met_ns / tally.active_ns if tally.active_ns else None,
        "slo_met_fraction_by_tier": {tier: tally.slo_met_fraction_of(tier) for tier in tiers},
        "queries_met_share": tally.met / tally.closed if tally.closed else None,
        "queries": tally.queries + len(living),
        "queries_by_tier": {tier: queries_of[tier] for tier in tiers},
        "active_queries_mean": tally.active_ns / elapsed_ns if elapsed_ns else 0.0,
        "response_time_p50_s": response_quantile_s(tally.response_s, tally.censored_s),
        "response_censored": len(tally.censored_s),
        "false_acceptances": tally.false_acceptances,
        "deployments": tally.deployed,
        "deployments_refused": tally.refused,
        "deployments_assumed": tally.on_basis["assumed"],
        "deployments_extrapolated": tally.on_basis["extrapolated"],
        "requests": monitor.born_total,
        **outcomes,
        "planner_crashes": world.planner_crashes,
        "profiling_runs_lost": world.profiling_runs_lost,
        "profiles_restored": planning_service.profiling_log.restored,
        "profiles_measured": planning_service.profiling_log.measured,
        "planning_device_hours": planning_service.profiling_device_s / 3600,
        "planning_charged_s": planning_service.planning_charged_s,
        "planning_wall_s": world.planning_wall_s,
        "deployment_cost_usd": billing.bill_usd,
        "attributed_cost_usd": math.fsum(billing.attributed_usd.values()),
        "idle_cost_usd": billing.idle_usd,
        "profiling_cost_usd": planning_service.profiling_cost_usd,
        "total_cost_usd": total_usd,
        "goodput_per_usd": monitor.goodput_ns / NS_PER_HOUR / total_usd if total_usd else None,
        "planner_errors": len(errors),
        "planner_error_first": errors[0] if errors else None,
        "wall_s": wall_s,
    }
    return {key: plain(value) for key, value in summary.items()}


def numbers_of(summary: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the numeric values of a summary."""
    return {
        key: value
        for key, value in summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def parameters_of(planner: Planner) -> Any:
    """Return a planner's parameters as JSON values; their own methods may raise anything."""
    try:
        return plain(planner.parameters())
    except BaseException as error:
        return f"cannot be read: {described(error, planner)}"


def plain(value: Any) -> Any:
    """Return a value that JSON can hold: NaN and infinity become None, objects become texts."""
    if isinstance(value, Mapping):
        return {safe_text(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return value if value.isprintable() else safe_text(value)
    if isinstance(value, int | bool | None):
        repr(value)  # Here, and not in a file, Python refuses a number of thousands of digits.
        return value
    return one_line(safe_text(repr(value), MOST_CHARACTERS)) or class_name(value)
