"""Rows and columns of the result tables, made from the state of the world."""

from math import fsum
from typing import Any

import numpy as np

from scenarios.applications.pipeline import ANSWER, Pipeline
from scenarios.scenario import Scenario
from sim.clock import NS_PER_S, ns, seconds
from sim.cluster.queries import Deployment, QueryState
from sim.dataplane.base.interface import IN_FLIGHT, OUTCOMES
from sim.metrics.goodput import QUANTILES, Account, DeploymentTrial, Verdicts
from sim.metrics.results import Columns
from sim.planning.call import DeploymentOrder

Row = dict[str, Any]


def decision_row(order: DeploymentOrder, trigger: str, triggered_ns: int) -> Row:
    """Return the columns that give the time and the trigger of a decision."""
    return {
        "query": order.query,
        "trigger": trigger,
        "triggered_s": seconds(triggered_ns),
        "decided_s": seconds(order.at_ns),
        "charged_s": seconds(order.search.charged_ns),
        "waited_s": seconds(order.search.waited_ns),
    }


def end_row(deployment: Deployment, at_ns: int, reason: str) -> Row:
    """Return the row of a deployment that was ended by a failure instead of by a planner."""
    return {
        "query": deployment.query,
        "deployment": deployment.number,
        "decided_s": seconds(at_ns),
        "outcome": "ended",
        "reason": reason,
    }


def standby_row(node: str, count: int, trigger: str, at_ns: int) -> Row:
    """Return the row of an order that changes how many machines of a node are on standby."""
    return {
        "trigger": trigger,
        "triggered_s": seconds(at_ns),
        "decided_s": seconds(at_ns),
        "outcome": "standby",
        "reason": f"{count} of {node}",
    }


def window_columns(verdicts: Verdicts, window_ns: int) -> Columns:
    """Return judged windows as columns of the table ``windows``."""
    queries = verdicts.queries
    return {
        "query": [query.id for query in queries],
        "tier": [query.tier for query in queries],
        "window": verdicts.index,
        "start_s": verdicts.index * window_ns / NS_PER_S,
        "end_s": (verdicts.index + 1) * window_ns / NS_PER_S,
        "active_s": verdicts.active_ns / NS_PER_S,
        "deployed_s": verdicts.deployed_ns / NS_PER_S,
        "met": verdicts.met,
        "latency_met": verdicts.latency_met,
        "accuracy_met": verdicts.accuracy_met,
        "cost_met": verdicts.cost_met,
        "repeated": verdicts.repeated,
        "final": verdicts.final,
        "requests": verdicts.born,
        "good": verdicts.good,
        **{
            outcome: verdicts.outcomes[:, at]
            for at, outcome in enumerate(OUTCOMES)
            if outcome != IN_FLIGHT
        },
        "latency_mean_s": verdicts.mean_s(verdicts.sojourn_ns),
        **{
            f"latency_p{100 * probability:.0f}_s": verdicts.latencies_s[:, 1 + at]
            for at, probability in enumerate(QUANTILES)
        },
        "slo_latency_s": [query.slo.latency_s for query in queries],
        "accuracy": verdicts.accuracy,
        "cost_usd": verdicts.cost_usd,
    }


def operator_columns(verdicts: Verdicts, pipeline: Pipeline) -> Columns:
    """Return the parts of the latency of completed requests, by window and operator."""
    some = np.flatnonzero(verdicts.completed)
    means_s = verdicts.mean_s(verdicts.parts_ns)[some]
    names = [*(operator.name for operator in pipeline.operators), ANSWER]
    answers_s = verdicts.mean_s(verdicts.answer_ns)[some, None]
    answer = np.zeros((len(some), 1))  # The answer is only transferred.
    queues, batches, computes, transfers = np.moveaxis(means_s, 2, 0)
    return {
        "query": np.repeat([verdicts.queries[at].id for at in some.tolist()], len(names)),
        "window": np.repeat(verdicts.index[some], len(names)),
        "operator": names * len(some),
        "queueing_s": np.hstack([queues, answer]).ravel(),
        "batching_s": np.hstack([batches, answer]).ravel(),
        "compute_s": np.hstack([computes, answer]).ravel(),
        "transfer_s": np.hstack([transfers, answers_s]).ravel(),
    }


def query_row(
    state: QueryState,
    account: Account,
    trials: list[tuple[DeploymentTrial | None, int]],
    accuracy: float,
    scenario: Scenario,
) -> Row:
    """Return the row of a query whose counts are final.

    ``accuracy`` is the mean expected accuracy of what served the query. The response time is the
    time from the query's arrival to the start of the first deployment whose trial met latency and
    accuracy. For a query without such a deployment, it is censored at the query's end.
    """
    query, truth = state.query, state.truth
    arrival_ns, end_ns = ns(query.arrival_s), ns(min(truth.departure_s, scenario.horizon_s))
    met = [since_ns for trial, since_ns in trials if trial is not None and trial.met]
    failed = [trial for trial, _ in trials if trial is not None and trial.met is False]
    response_s = seconds(met[0] - arrival_ns) if met else None
    dataset = scenario.application.datasets[query.dataset]
    return {
        "query": query.id,
        "tier": query.tier,
        "dataset": query.dataset,
        "device": query.device.name,
        "technology": query.technology,
        "slo_latency_s": query.slo.latency_s,
        "slo_accuracy": query.slo.accuracy,
        "slo_cost_usd_per_hour": query.slo.cost_usd_per_hour,
        "arrival_s": seconds(arrival_ns),
        "departure_s": seconds(end_ns),
        "first_deployed_s": seconds(trials[0][1]) if trials else None,
        "response_time_s": response_s,
        "censored_after_s": None if met else seconds(end_ns - arrival_ns),
        "deployments": len(trials),
        "false_acceptances": len(failed),
        "planning_s": state.planning_s,
        "profiling_s": state.profiling_s,
        "surrogates_s": state.surrogates_s,
        "profiling_device_s": state.profiling_device_s,
        "profiling_cost_usd": state.profiling_cost_usd,
        "egress_usd": fsum(
            usd * state.egress_charged.get(deployment, 0)
            for deployment, usd in state.egress_usd.items()
        ),
        "requests": account.born,
        **account.outcomes,
        "true_device_factor": truth.device_factor,
        "true_access_rtt_s": truth.access_rtt_s,
        "true_uplink_mean_bps": float(truth.uplink_bytes_per_s.mean() * 8),
        "true_best_accuracy": float(dataset.expected_accuracy(truth.content[0][1]).max()),
        "true_accuracy": accuracy,
    }
