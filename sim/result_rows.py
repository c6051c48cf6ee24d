"""Rows of the result tables, made from what the world holds."""

from collections.abc import Iterator, Mapping
from typing import Any

from scenarios.application import ANSWER, Application, Pipeline
from sim.clock import seconds
from sim.data_plane import COMPLETED, DROPPED, IN_FLIGHT, LOST, UNSERVED
from sim.desk import Order
from sim.goodput import Account, Trial, Verdict
from sim.query_board import QueryState
from sim.telemetry import mean_latency_s, mean_parts_s

Row = dict[str, Any]


def decision_row(order: Order, trigger: str, triggered_ns: int) -> Row:
    """Return what a decision was, without what became of it."""
    plan = order.plan
    row: Row = {
        "query": order.query,
        "trigger": trigger,
        "triggered_s": seconds(triggered_ns),
        "decided_s": seconds(order.at_ns),
        "charged_s": seconds(order.search.charged_ns),
        "waited_s": seconds(order.search.waited_ns),
    }
    if plan is not None:
        row |= {
            "plan": str(plan),
            "configuration": str(plan.configuration),
            "placement": " > ".join(plan.placement),
        }
    return row


def window_row(verdict: Verdict, window_ns: int) -> Row:
    """Return a judged window."""
    window, query = verdict.window, verdict.query
    return {
        "query": query.id,
        "tier": query.tier,
        "window": verdict.index,
        "start_s": seconds(verdict.index * window_ns),
        "end_s": seconds((verdict.index + 1) * window_ns),
        "active_s": seconds(window.active_ns),
        "deployed_s": seconds(window.deployed_ns),
        "met": verdict.met,
        "latency_met": verdict.latency_met,
        "accuracy_met": verdict.accuracy_met,
        "cost_met": verdict.cost_met,
        "repeated": verdict.repeated,
        "final": verdict.final,
        "requests": window.born,
        "good": window.good,
        "completed": window.outcomes[COMPLETED],
        "unserved": window.outcomes[UNSERVED],
        "lost": window.outcomes[LOST],
        "dropped": window.outcomes[DROPPED],
        "latency_mean_s": mean_latency_s(window.completed),
        "latency_p50_s": window.latency_quantile_s(0.5),
        "latency_p95_s": window.latency_quantile_s(0.95),
        "latency_p99_s": window.latency_quantile_s(0.99),
        "slo_latency_s": query.slo.latency_s,
        "accuracy": verdict.accuracy,
        "cost_usd": window.cost_usd,
    }


def operator_rows(verdict: Verdict, pipeline: Pipeline) -> Iterator[Row]:
    """Yield where the latency of a window's completed requests went, operator by operator."""
    queueing, batching, compute, transfer = mean_parts_s(verdict.window.completed)
    if not transfer:
        return
    names = [*(operator.name for operator in pipeline.operators), ANSWER]
    for i, name in enumerate(names):
        last = i == len(names) - 1
        yield {
            "query": verdict.query.id,
            "window": verdict.index,
            "operator": name,
            "queueing_s": 0.0 if last else queueing[i],
            "batching_s": 0.0 if last else batching[i],
            "compute_s": 0.0 if last else compute[i],
            "transfer_s": transfer[i],
        }


def query_row(
    state: QueryState,
    account: Account,
    trials: list[tuple[Trial | None, int]],
    horizon_s: float,
    application: Application,
) -> Row:
    """Return a query's whole life.

    The response time runs from the query's arrival to the start of the first deployment whose
    trial truly met latency and accuracy. A query without one is censored at its end.
    """
    query, truth = state.query, state.truth
    end_s = min(truth.departure_s, horizon_s)
    met = [since_ns for trial, since_ns in trials if trial is not None and trial.met]
    failed = [trial for trial, _ in trials if trial is not None and trial.met is False]
    response_s = seconds(met[0]) - query.arrival_s if met else None
    outcomes: Mapping[str, int] = account.outcomes
    dataset = application.datasets[query.dataset]
    return {
        "query": query.id,
        "tier": query.tier,
        "dataset": query.dataset,
        "device": query.device.name,
        "technology": query.technology,
        "slo_latency_s": query.slo.latency_s,
        "slo_accuracy": query.slo.accuracy,
        "slo_cost_usd_per_hour": query.slo.cost_usd_per_hour,
        "arrival_s": query.arrival_s,
        "departure_s": end_s,
        "first_deployed_s": seconds(trials[0][1]) if trials else None,
        "response_time_s": response_s,
        "censored_after_s": None if met else end_s - query.arrival_s,
        "deployments": len(trials),
        "false_acceptances": len(failed),
        "planning_s": state.planning_s,
        "profiling_device_s": state.profiling_device_s,
        "requests": account.born,
        "completed": outcomes[COMPLETED],
        "unserved": outcomes[UNSERVED],
        "lost": outcomes[LOST],
        "dropped": outcomes[DROPPED],
        "in_flight": outcomes[IN_FLIGHT],
        "true_device_factor": truth.device_factor,
        "true_access_rtt_s": truth.access_rtt_s,
        "true_uplink_mean_bps": float(truth.uplink_bytes_per_s.mean() * 8),
        "true_best_accuracy": float(dataset.expected_accuracy(truth.content[0][1]).max()),
    }
