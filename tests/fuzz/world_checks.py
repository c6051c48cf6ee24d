"""The invariants of docs/concepts/world.md, as checks on a world that a witness has watched.

``check_now`` holds at every moment; ``check_end`` holds at the horizon; ``check_summary`` compares
the tables of a run with its summary.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from capacity import check_capacity
from money import attributed_usd, bill_usd, idle_usd
from world_script import CHECKPOINT_S, DRAIN_S, HORIZON_S, TICK_S, WINDOW_S, overlap_s
from world_witness import Witness

from sim.clock import NS_PER_S, ns
from sim.dataplane.base.interface import COMPLETED, IN_FLIGHT, LOST, OUTCOMES, SHED, UNSERVED
from sim.dataplane.base.request_rows import RequestRecord
from sim.metrics.goodput import share_of

TICK_NS = ns(TICK_S)


def check_now(world: Witness) -> None:
    """Check what holds at any time, in the order of the list of invariants."""
    _conservation(world)
    _causality(world)
    _capacity(world)
    _one_plan_each(world)
    _failures(world)
    _planner_calls(world)
    _charges(world)
    _memory(world)
    _money(world)
    _goodput(world)


# 1. Conservation


def _conservation(world: Witness) -> None:
    ledger, monitor = world.ledger, world.monitor
    assert monitor.born_total == len(ledger.born)
    counted: dict[str, int] = dict.fromkeys(OUTCOMES, 0)
    for each in ledger.ended.values():
        counted[each.outcome] += 1
    assert dict(monitor.outcomes) == counted
    for number in world.deployed:
        assert world.data.in_flight(number) == ledger.under_way(number)
    failed = any(each.kind in ("machine_failure", "mps_fault") for each in world.script.events)
    assert failed or not counted[LOST]
    assert world.scenario.cluster.shed_late or not counted[SHED]
    for each in ledger.ended.values():
        assert (each.outcome == UNSERVED) == (each.deployment is None)
    numbers = defaultdict(list)
    for query, number in ledger.born:
        numbers[query].append(number)
    for query, found in numbers.items():
        assert sorted(found) == list(range(len(found))), f"query {query} skips no request"


# 2. Causality


def _causality(world: Witness) -> None:
    now = world.env.now
    for each in world.ledger.ended.values():
        assert 0 <= each.arrival_ns <= each.ended_ns <= now
        if each.outcome == COMPLETED:
            assert min(each.compute_ns) >= 1
            for part in (each.queueing_ns, each.batching_ns, each.transfer_ns):
                assert min(part) >= 0
            if not _forks(world):
                assert sum(_parts(each)) == each.ended_ns - each.arrival_ns
    for query, spells in world.spells.items():
        times = [at_ns for at_ns, _ in spells]
        assert times == sorted(times)
        state = world.states[query]
        assert ns(state.query.arrival_s) <= times[0] <= times[-1] <= now
    for key, each in world.ledger.born.items():
        assert each.deployment == _active_at(world, key[0], each.arrival_ns), key
    decisions = world.frames["decisions"]
    decided = decisions["decided_s"].to_list()
    assert decided == sorted(decided)
    assert not decided or decided[-1] <= world.now_s
    made = decisions.filter(pl.col("charged_s").is_not_null())
    for at_s, decided_s, charged_s, waited_s in made.select(
        "triggered_s", "decided_s", "charged_s", "waited_s"
    ).iter_rows():
        assert charged_s >= 0
        assert waited_s >= 0
        assert decided_s == pytest.approx(at_s + charged_s + waited_s, abs=1e-8)
    for decided_s, from_s in (
        made.filter(outcome="deployed").select("decided_s", "in_force_s").iter_rows()
    ):
        assert from_s >= decided_s


def _forks(world: Witness) -> bool:
    return len(world.scenario.application.pipeline.paths) > 1


def _parts(each: RequestRecord) -> Iterator[int]:
    for part in (each.queueing_ns, each.batching_ns, each.compute_ns, each.transfer_ns):
        yield from part


def _active_at(world: Witness, query: int, at_ns: int) -> int | None:
    """Return the deployment that serves a query's requests that are born then."""
    serving = None
    for since_ns, deployment in world.spells.get(query, ()):
        if since_ns <= at_ns:
            serving = deployment
    return serving


# 4. Capacity, and what deployments hold


def _capacity(world: Witness) -> None:
    check_capacity(world.machines)
    now, machines = world.env.now, world.machines
    last_tick_ns = (now - 1) // TICK_NS * TICK_NS if now else 0
    holding: dict[int, int] = {}
    for group in machines.stations.values():
        for station in group:
            for number, member in station.members.items():
                assert member.query == world.deployed[number].query
                holding[number] = member.query
    for number in machines.backhaul.members:
        holding[number] = world.deployed[number].query
    for number, query in holding.items():
        deployment, state = world.deployed[number], world.states[query]
        if deployment in (state.active, state.loading):
            assert deployment.drain_until_ns is None
            continue
        until_ns = deployment.drain_until_ns
        assert until_ns is not None, f"deployment {number} holds resources and serves nobody"
        since_ns = until_ns - ns(DRAIN_S)
        assert since_ns <= now <= until_ns + 2 * TICK_NS
        # No tick follows the last requests before the horizon.
        if since_ns < last_tick_ns and world.now_s < HORIZON_S:
            assert world.data.in_flight(number) > 0, f"deployment {number} drains for nothing"
    for state in world.registry.living.values():
        for deployment in (state.active, state.loading):
            if deployment is not None:
                for station in deployment.stations:
                    assert deployment.number in station.members
                    assert all(machines.holders[slot] is station for slot in station.slots)


def _one_plan_each(world: Witness) -> None:
    registry = world.registry
    for query, state in world.states.items():
        if state.departed:
            assert state.active is None
            assert state.loading is None
            assert query not in registry.living
            continue
        assert (query in registry.plans) == (state.plan is not None)
        last = world.spells[query][-1][1] if query in world.spells else None
        assert last == (None if state.active is None else state.active.number)
        if state.active is not None:
            assert state.active.active_from_ns <= world.env.now
    lists = [
        {query.id for query in some}
        for some in (registry.waiting, registry.searching, registry.running)
    ]
    assert sum(map(len, lists)) == len(registry.living)
    assert set().union(*lists) == set(registry.living)


# Failures


def _failures(world: Witness) -> None:
    now = world.env.now
    for name, pool in world.machines.pools.items():
        for machine in pool:
            down = any(
                (each.node, each.machine) == (name, machine.number)
                and ns(each.at_s) < now <= ns(each.at_s) + ns(each.duration_s)
                for each in world.script.of_kind("machine_failure")
            )
            assert machine.up != down, f"machine {machine.number} of {name}"
        assert world.machines.up[name] == sum(machine.up for machine in pool)
    crashes = world.script.of_kind("planner_crash")
    assert world.planner_crashes == sum(ns(each.at_s) < now for each in crashes)
    for call in world.planner.calls:
        for crash in crashes:
            assert not crash.at_s < call.now_s < crash.at_s + crash.duration_s, "it was away"


# 8. Planning is charged, and calls are made when they should be


def _planner_calls(world: Witness) -> None:
    calls = world.planner.calls
    times = [call.now_s for call in calls]
    assert times == sorted(times)
    errors = [call.now_s for call in calls if call.raised]
    rows = world.frames["decisions"].filter(outcome="error")
    assert rows["triggered_s"].to_list() == errors
    assert len(world.planner_errors) == len(errors)
    ordered = {(call.now_s, call.trigger) for call in calls if not call.raised}
    made = world.frames["decisions"].filter(pl.col("charged_s").is_not_null())
    assert set(made.select("triggered_s", "trigger").iter_rows()) <= ordered


def _charges(world: Witness) -> None:
    charged = defaultdict(list)
    total_s = 0.0
    for call in world.planner.calls:
        for query, spent_s in call.charged_s:
            assert 0 <= spent_s <= world.planner.budget_s
            charged[query, call.now_s, call.trigger].append(spent_s)
            total_s += spent_s
    service = world.planning_service
    assert service.planning_charged_s == pytest.approx(total_s, abs=1e-6)
    by_query = sum(state.planning_s for state in world.states.values())
    assert by_query == pytest.approx(total_s, abs=1e-6)
    made = world.frames["decisions"].filter(pl.col("charged_s").is_not_null())
    for *key, spent_s in made.select("query", "triggered_s", "trigger", "charged_s").iter_rows():
        assert any(spent_s == pytest.approx(each, abs=1e-8) for each in charged[tuple(key)])
    profiled = world.frames["profiling"]
    assert (profiled["charged_s"] > 0).all()
    assert service.profiling_device_s == pytest.approx(profiled["device_s"].sum())
    log = service.profiling_log
    assert log.restored + log.measured == len(profiled)


def _memory(world: Witness) -> None:
    """Compare what each call recalls with a plain model of a memory that crashes set back."""
    crashes = sorted(each.at_s for each in world.script.of_kind("planner_crash"))
    kept: list[tuple[float, int]] = []
    for number, call in enumerate(world.planner.calls):
        while crashes and crashes[0] < call.now_s:
            saved_s = crashes.pop(0) // CHECKPOINT_S * CHECKPOINT_S
            kept = [each for each in kept if each[0] <= saved_s]
        assert call.recalled == (kept[-1][1] if kept else None)
        kept.append((call.now_s, number))


# 10. Money, and service goodput


def _money(world: Witness) -> None:
    billing, now = world.billing, world.env.now
    assert billing.bill_usd >= billing.idle_usd >= -1e-12
    attributed = billing.attributed_usd
    assert all(usd > 0 for usd in attributed.values())
    total = billing.idle_usd + sum(attributed.values())
    assert total == pytest.approx(billing.bill_usd, rel=1e-9, abs=1e-12)
    windows = world.frames["windows"]
    for query, usd in windows.group_by("query").agg(pl.col("cost_usd").sum()).iter_rows():
        assert 0 <= usd <= attributed.get(query, 0.0) * (1 + 1e-9) + 1e-12
    rented = sum(each.node.price_usd_per_hour for each in world.machines.all())
    assert billing.bill_usd - world.meter.egress_usd <= rented * now / 3.6e12 * (1 + 1e-9)


def _money_of_tables(world: Witness) -> None:
    """Compare with the tables, which have everything that costs, once the run has ended."""
    billing, tables = world.billing, world.frames
    assert bill_usd(tables) == pytest.approx(billing.bill_usd, rel=1e-9, abs=1e-12)
    assert idle_usd(tables) == pytest.approx(billing.idle_usd, rel=1e-9, abs=1e-9)
    attributed = attributed_usd(tables)
    for query in {*attributed, *billing.attributed_usd}:
        assert attributed.get(query, 0.0) == pytest.approx(
            billing.attributed_usd.get(query, 0.0), rel=1e-9, abs=1e-12
        )


def _goodput(world: Witness) -> None:
    monitor = world.monitor
    lived_ns = sum(
        min(world.env.now, ns(state.truth.departure_s)) - ns(state.query.arrival_s)
        for state in world.states.values()
    )
    assert 0 <= monitor.goodput_ns <= monitor.active_ns <= lived_ns
    windows = world.frames["windows"]
    for column in ("met", "deployed_s"):
        assert windows[column].null_count() == 0
    assert (windows["deployed_s"] <= windows["active_s"]).all()
    assert (windows["active_s"] <= WINDOW_S).all()
    assert (windows["good"] <= windows["completed"]).all()
    assert (
        windows.select(pl.sum_horizontal(OUTCOMES[:-1])).to_series() <= windows["requests"]
    ).all()
    whole = windows.select(pl.all_horizontal("latency_met", "accuracy_met", "cost_met")).to_series()
    judged = windows.filter(~pl.col("repeated"))
    assert judged["met"].equals(whole.filter(~windows["repeated"]))
    assert windows.select("query", "window").is_unique().all()
    met_s = windows.filter("met")["deployed_s"].sum()
    assert monitor.goodput_ns / NS_PER_S == pytest.approx(met_s, abs=1e-6)


def check_end(world: Witness) -> None:
    """Check what holds at the horizon."""
    assert world.now_s == HORIZON_S
    _money_of_tables(world)
    ledger, queries = world.ledger, world.frames["queries"]
    assert ledger.ended.keys() == ledger.born.keys()
    by_query = defaultdict(list)
    for each in ledger.ended.values():
        by_query[each.query].append(each)
    assert queries["query"].sort().to_list() == sorted(world.states)
    for row in queries.iter_rows(named=True):
        _query_row(world, row, by_query[row["query"]])
    for row in world.frames["windows"].iter_rows(named=True):
        _window_row(world, row, by_query[row["query"]])
    if not _forks(world):
        _work_conservation(world)
    world.meter.compare()


def _query_row(world: Witness, row: Mapping[str, Any], ended: list[RequestRecord]) -> None:
    state = world.states[row["query"]]
    arrival_s, end_s = state.query.arrival_s, min(HORIZON_S, state.truth.departure_s)
    assert row["requests"] == len(ended) == sum(row[outcome] for outcome in OUTCOMES)
    for outcome in OUTCOMES:
        assert row[outcome] == sum(each.outcome == outcome for each in ended)
    assert (row["arrival_s"], row["departure_s"]) == pytest.approx((arrival_s, end_s), abs=1e-8)
    since_ns = state.active_since_ns
    assert row["deployments"] == len(since_ns)
    assert 0 <= row["false_acceptances"] <= len(since_ns)
    assert list(since_ns.values()) == sorted(since_ns.values())
    if row["response_time_s"] is None:
        assert row["censored_after_s"] == pytest.approx(end_s - arrival_s, abs=1e-8)
        return
    assert row["censored_after_s"] is None
    at_ns = ns(arrival_s) + ns(row["response_time_s"])
    [number] = [each for each, since in since_ns.items() if abs(since - at_ns) <= 1]
    trial = [
        each
        for each in ended
        if each.deployment == number
        and since_ns[number] <= each.arrival_ns < since_ns[number] + ns(WINDOW_S)
    ]
    good = sum(_good(world, each) for each in trial)
    # A request that is in flight at the horizon and not late yet is neither good nor bad.
    undecided = sum(each.outcome == IN_FLIGHT and not _late(world, each) for each in trial)
    enough = share_of(state.query.slo.latency_quantile, len(trial) - undecided)
    assert good >= enough, f"deployment {number} truly met the latency"


def _late(world: Witness, each: RequestRecord) -> bool:
    bound_s = world.states[each.query].query.slo.latency_s
    bound_ns = ns(WINDOW_S) if bound_s is None else round(ns(bound_s) * each.allowance)
    return each.ended_ns - each.arrival_ns > bound_ns


def _good(world: Witness, each: RequestRecord) -> bool:
    return each.outcome == COMPLETED and not _late(world, each)


def _window_row(world: Witness, row: Mapping[str, Any], ended: list[RequestRecord]) -> None:
    start_s, end_s = row["start_s"], row["end_s"]
    assert end_s - start_s == pytest.approx(WINDOW_S)
    born = [each for each in ended if ns(start_s) <= each.arrival_ns < ns(end_s)]
    assert row["requests"] == len(born)
    assert row["good"] == sum(_good(world, each) for each in born)
    state = world.states[row["query"]]
    life = state.query.arrival_s, min(HORIZON_S, state.truth.departure_s)
    assert row["active_s"] == pytest.approx(overlap_s([life], start_s, end_s), abs=1e-6)
    spells = [*world.spells.get(row["query"], ()), (ns(life[1]), None)]
    served = [
        (since_ns / NS_PER_S, until_ns / NS_PER_S)
        for (since_ns, deployment), (until_ns, _) in pairwise(spells)
        if deployment is not None
    ]
    assert row["deployed_s"] == pytest.approx(overlap_s(served, start_s, end_s), abs=1e-6)


# 3. Work conservation


def _work_conservation(world: Witness) -> None:
    """A request waits for a server only while all servers are busy; no server serves two.

    A request that was not completed has no times at stations; it may occupy a server of each of its
    stations from its birth to its end.
    """
    operators = world.scenario.application.operators
    visits: dict[Any, list[tuple[int, int, int]]] = defaultdict(list)
    others: dict[Any, list[tuple[int, int]]] = defaultdict(list)
    for each in world.ledger.ended.values():
        if each.deployment is None:
            continue
        at_ns = each.arrival_ns
        for number, station in enumerate(world.deployed[each.deployment].stations):
            if operators[number].kind == "llm":
                return  # An engine serves many at once, as far as its memory goes.
            if each.outcome != COMPLETED:
                others[station].append((each.arrival_ns, each.ended_ns))
                continue
            at_ns += each.transfer_ns[number]
            start_ns = at_ns + each.queueing_ns[number] + each.batching_ns[number]
            end_ns = start_ns + each.compute_ns[number]
            visits[station].append((at_ns, start_ns, end_ns))
            at_ns = end_ns
    for station, each in visits.items():
        share = station.key[3]
        for _, start_ns, _ in each:
            busy = sum(start <= start_ns < end for _, start, end in each)
            assert busy <= share.servers * share.max_batch, f"station {station.id}"
        if share.max_batch > 1:
            continue
        moments = {end for _, _, end in each} | {at for at, _, _ in each}
        for at, start, _ in each:
            for moment in (one for one in moments if at <= one < start):
                busy = sum(begun <= moment < end for _, begun, end in each)
                busy += sum(born <= moment <= end for born, end in others[station])
                assert busy >= share.servers, f"station {station.id} idles while one waits"


# Tables and summary


def check_summary(frames: Mapping[str, pl.DataFrame], summary: Mapping[str, Any]) -> None:
    """Compare the tables of a finished run with its summary."""
    queries, windows, decisions = (frames[name] for name in ("queries", "windows", "decisions"))
    assert summary["status"] == "finished" or summary["planner_errors"]
    assert summary["queries"] == len(queries) == sum(summary["queries_by_tier"].values())
    assert summary["requests"] == queries["requests"].sum() == len(frames["requests"])
    assert summary["requests"] == sum(summary[outcome] for outcome in OUTCOMES)
    for outcome in OUTCOMES:
        assert summary[outcome] == queries[outcome].sum()
        assert summary[outcome] == frames["requests"].filter(outcome=outcome).height
    assert windows["requests"].sum() == summary["requests"]
    for key, outcome in (("deployments", "deployed"), ("deployments_refused", "refused")):
        assert summary[key] == decisions.filter(outcome=outcome).height
    assert summary["planner_errors"] == decisions.filter(outcome="error").height
    assert summary["false_acceptances"] == queries["false_acceptances"].sum()
    assert summary["response_censored"] == queries["censored_after_s"].count()
    met_s = windows.filter("met")["deployed_s"].sum()
    assert summary["service_goodput_mean"] == pytest.approx(met_s / HORIZON_S, abs=1e-9)
    active_s = windows["active_s"].sum()
    assert summary["active_queries_mean"] == pytest.approx(active_s / HORIZON_S, abs=1e-9)
    assert summary["service_goodput_mean"] <= summary["active_queries_mean"]
    share = summary["slo_met_fraction"] or 0.0
    assert share <= summary["goodput_bound"] + 1e-9, "no planner exceeds the bound"
    assert summary["goodput_gap"] == pytest.approx(summary["goodput_bound"] - share, abs=1e-12)
    total = summary["attributed_cost_usd"] + summary["idle_cost_usd"]
    assert summary["deployment_cost_usd"] == pytest.approx(total, rel=1e-9)
    assert windows["cost_usd"].sum() <= summary["attributed_cost_usd"] * (1 + 1e-9) + 1e-12
    assert summary["planning_charged_s"] == pytest.approx(queries["planning_s"].sum(), abs=1e-6)
    device_s = frames["profiling"]["device_s"].sum()
    assert summary["planning_device_hours"] == pytest.approx(device_s / 3600)
    in_flight = frames["requests"].filter(outcome=IN_FLIGHT)
    assert (in_flight["ended_s"] == HORIZON_S).all()
