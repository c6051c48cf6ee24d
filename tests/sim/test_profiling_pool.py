"""The profiling pool: who gets a lane, how long searches wait, and what profiling costs."""

from dataclasses import replace
from math import fsum, inf

import polars as pl
import pytest
from worlds import At, Does, plan_in, queries_at, run, scenario

from hardware_models.gpu.compute import memory_utilisation
from hardware_models.gpu.mps import interference_factor
from hardware_models.prices import machine_price_usd_per_hour
from scenarios.applications.shipped import shipped_application
from scenarios.cluster import FREE, IDLE_INSTANCES, POOL, Cluster, Node, Profiling
from scenarios.drift import Drift, DriftEvent
from scenarios.workload import Workload
from sim.api.charges import CHARGES_S
from sim.api.plan import Allocation
from sim.catalogue.service_times import node_service
from sim.clock import NS_PER_S
from sim.dataplane.blocks.plane import BlocksPlane
from sim.planning.profiling_pool import ProfilingPool
from sim.planning.search_clock import Lanes, SearchClock

APPLICATION = shipped_application("speech_recognition")
CONFIGURATIONS = APPLICATION.pipeline.configurations
TIMES_S = APPLICATION.datasets["VOiCES"].service_time_s
USD_PER_S = machine_price_usd_per_hour("a2-ultragpu-1g") / 3600
ONE = Profiling(kind=POOL, count=1, workers=1)
ITEMS = 3
TAKES_S = CHARGES_S["profile"] + ITEMS * float(TIMES_S[0].sum())


def search(number, at_s, background=False, budget_s=100.0, least_s=100.0):
    budget_ns, least_ns = round(budget_s * NS_PER_S), round(least_s * NS_PER_S)
    return SearchClock(number, round(at_s * NS_PER_S), budget_ns, least_ns, background=background)


def charged(lanes, each, duration_s):
    """Charge a run if the search gets a lane; return when it ends, in seconds, or None."""
    if lanes.lane_of(each) is None:
        return None
    lanes.charge(each, duration_s)
    return each.clock_ns / NS_PER_S


def test_waiting_searches_wait_for_the_rest_of_one_background_search_by_hand():
    lanes = Lanes(1, scarce=True)
    background, first, second = search(0, 0.0, True), search(1, 1.0, False), search(2, 2.0, False)
    assert charged(lanes, background, 3.0) == 3.0
    assert charged(lanes, search(3, 1.0, True), 3.0) is None, "it does not wait in front"
    assert lanes.wait_s(NS_PER_S) == 2.0
    assert charged(lanes, first, 4.0) == 7.0
    assert charged(lanes, second, 1.0) == 8.0
    assert (first.waited_ns, second.waited_ns) == (2 * NS_PER_S, 5 * NS_PER_S)
    assert lanes.for_background(7 * NS_PER_S) == 0
    assert charged(lanes, search(4, 7.5, True), 1.0) is None
    assert lanes.for_background(8 * NS_PER_S) == 1
    assert charged(lanes, search(5, 8.0, True), 1.0) == 9.0


def test_a_background_search_keeps_its_lane_and_yields_to_those_that_came_in_between():
    lanes = Lanes(1, scarce=True)
    background, waiting = search(0, 0.0, True), search(1, 0.5, False)
    assert charged(lanes, background, 1.0) == 1.0
    assert charged(lanes, waiting, 2.0) == 3.0
    assert charged(lanes, background, 1.0) == 4.0
    assert background.waited_ns == 2 * NS_PER_S


def test_waits_for_a_lane_count_towards_the_budget_but_a_least_part_remains():
    def short(number, at_s, budget_s=5.0):
        return search(number, at_s, budget_s=budget_s, least_s=0.25)

    lanes = Lanes(1, scarce=True)
    first, second, third = short(0, 0.0), short(1, 1.0), short(2, 1.0, budget_s=3.0)
    assert [lanes.remaining_s(each) for each in (first, second, third)] == [5.0, 5.0, 3.0]
    assert charged(lanes, first, 4.0) == 4.0
    assert [lanes.remaining_s(each) for each in (first, second, third)] == [1.0, 2.0, 0.25]
    assert lanes.remaining_s(short(3, 1.0, budget_s=0.125)) == 0.125
    assert lanes.remaining_s(short(4, 4.0)) == 5.0
    second.charge("search_step", 0.5)  # while it waits anyway
    assert lanes.remaining_s(second) == 2.0
    assert charged(lanes, second, 0.5) == 4.5
    assert lanes.remaining_s(second) == 1.5
    third.charge("search_step", 0.5)
    assert lanes.remaining_s(third) == 0.25
    assert charged(lanes, third, 0.125) == 4.625
    assert lanes.remaining_s(third) == 0.125
    third.charge("search_step", 0.0625)  # in a lane, this counts, too
    assert lanes.remaining_s(third) == 0.0625


def test_no_wait_counts_without_lanes_or_if_profiling_is_free():
    late = search(0, 10.0, least_s=0.0)
    assert Lanes(1, scarce=True, usable=lambda _: []).remaining_s(late) == 100.0
    lanes = Lanes(1)
    assert charged(lanes, search(1, 0.0), 30.0) == 30.0
    assert lanes.remaining_s(late) == 100.0
    assert charged(lanes, late, 1.0) == 31.0
    assert lanes.remaining_s(late) == 99.0


def test_searches_that_take_turns_in_a_lane_have_no_more_time_than_in_a_queue():
    lanes = Lanes(1, scarce=True)
    turns = [search(number, 0.0, budget_s=5.0, least_s=0.0) for number in range(4)]
    for _ in range(10):
        for each in turns:
            lanes.charge(each, min(1.0, lanes.remaining_s(each)))
    assert lanes.wait_s(0) == 5.0


def test_all_searches_wait_alike_if_profiling_is_free():
    lanes = Lanes(1)
    assert charged(lanes, search(0, 0.0, False), 2.0) == 2.0
    assert charged(lanes, search(1, 1.0, True), 2.0) == 4.0
    assert lanes.for_background(0) == 1


def plays(action, *times, profiling, horizon_s=40.0, nodes=None, crashes=()):
    """Run a world in which ``action(context)`` is called every second; return it."""
    workload = queries_at(*times, dataset="VOiCES")
    planner = Does(action, 60.0, replan_every_s=1.0)
    drift = Drift(list(crashes))
    made = run(
        scenario(horizon_s, workload=workload, profiling=profiling, nodes=nodes, drift=drift),
        planner,
    )
    assert made.planner_errors == []
    made.frames = made.tables.take()
    return made


def deploy_and_improve(context):
    """Profile and deploy each waiting query on its device; at 3 s, profile running ones further."""
    for query in context.waiting:
        context.profile(query, CONFIGURATIONS[0], ITEMS)
        context.deploy(query, plan_in(context, query, "device"))
    if context.now_s == 3.0:
        for query in context.running:
            context.profile(query, CONFIGURATIONS[0], 2 * ITEMS)


def test_invariant_planning_a_pool_serves_queries_without_a_plan_first():
    made = plays(deploy_and_improve, 0.5, 0.6, 3.5, profiling=ONE)
    assert TAKES_S < 1.2, "or else the first two do not end before 3 s"
    decisions = made.frames["decisions"].sort("query")
    first, second, third = decisions["waited_s"].to_list()
    assert first == 0
    assert second == pytest.approx(TAKES_S - 0.1, abs=1e-6)
    # Of two queries with plans, one profiles from 3 s on; the other finds no free lane.
    assert third == pytest.approx(max(0.0, TAKES_S - 0.5), abs=1e-6)
    runs = made.frames["profiling"].sort("at_s")
    assert runs["query"].to_list() == [0, 1, 0, 2]
    assert runs["at_s"][2] == pytest.approx(3 + TAKES_S, abs=1e-6)


def test_invariant_money_profiling_is_billed_by_the_second_to_queries_and_data_sets():
    def act(context):
        if context.now_s == 1.0:
            context.profile("VOiCES", CONFIGURATIONS[0], 10)
        deploy_and_improve(context)

    made = plays(act, 0.5, 0.6, 3.5, profiling=ONE)
    item_usd = float(TIMES_S[0].sum()) * USD_PER_S
    queries, runs = made.frames["queries"].sort("query"), made.frames["profiling"]
    usd = queries["profiling_cost_usd"].to_list()
    assert usd == pytest.approx([2 * ITEMS * item_usd, ITEMS * item_usd, ITEMS * item_usd])
    of_datasets = runs.filter(pl.col("query").is_null()).select("dataset", "cost_usd").rows()
    assert of_datasets == [("VOiCES", pytest.approx(10 * item_usd))]
    whole = made.planning_service.profiling_cost_usd
    assert sum(usd) + 10 * item_usd == pytest.approx(whole, rel=1e-12)
    assert runs["cost_usd"].sum() == pytest.approx(whole, rel=1e-12)


def test_free_profiling_costs_nothing():
    made = plays(deploy_and_improve, 0.5, profiling=Profiling(kind=FREE))
    assert made.planning_service.profiling_device_s > 0
    assert made.planning_service.profiling_cost_usd == 0
    assert made.frames["queries"]["profiling_cost_usd"].to_list() == [0]


def test_planners_see_the_queue():
    seen = {}

    def act(context):
        world = context.world
        before = world.profiling_wait_s, world.background_lanes
        deploy_and_improve(context)
        seen[context.now_s] = before, world.profiling_wait_s, world.background_lanes

    plays(act, 0.5, profiling=replace(ONE, count=2))
    assert seen[0.5] == ((0, 2), 0, 1)
    assert seen[1.0] == ((0, 1 + (TAKES_S <= 0.5)), 0, 1 + (TAKES_S <= 0.5))


@pytest.mark.parametrize(
    ("count", "workers", "lanes", "boards"),
    [(4, 4, 1, 4), (4, 16, 1, 4), (8, 3, 2, 3), (5, 1, 5, 1)],
)
def test_a_pool_has_as_many_lanes_as_its_boards_make(count, workers, lanes, boards):
    made = Profiling(kind=POOL, count=count, workers=workers, lanes=1600)
    assert (made.searches, made.boards) == (lanes, boards)


def test_another_board_takes_the_time_that_serving_takes_on_it():
    node = Node("edge", "g2-standard-8")
    pool = ProfilingPool(APPLICATION, Cluster({"edge": node}, replace(ONE, machine=node.machine)))
    hardware = pool.hardware(None)
    assert hardware.price_usd_per_hour == machine_price_usd_per_hour(node.machine)
    factors = hardware.factors(CONFIGURATIONS[0])
    plan = next(
        plan
        for plan in scenario_plans(node)
        if plan.configuration == CONFIGURATIONS[0] and "device" not in plan.placement
    )
    for operator, allocation in enumerate(plan.allocation):
        service = node_service(APPLICATION, operator, CONFIGURATIONS[0], node, allocation)
        assert factors[operator] == service.factor
    assert factors.max() > 1
    reference = Cluster({"edge": node}, ONE)
    offline = ProfilingPool(APPLICATION, reference).hardware(None)
    assert offline.factors(CONFIGURATIONS[0]) is None


def scenario_plans(node):
    """Return all candidate plans in a cluster of one node."""
    found = []

    def act(context):
        found.extend(context.candidates(context.waiting[0], "enumeration"))

    made = scenario(2.0, nodes={"edge": node}, workload=Workload(arrivals=At((0.5,))))
    run(made, Does(act, 5.0))
    return found


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"count": 0}, r"cluster\.profiling\.count=0: must lie between 1 and 100000"),
        ({"machine": "a2-ultragpu"}, r"profiling\.machine=a2-ultragpu: .* mean 'a2-ultragpu-1g'"),
        ({"machine": "n1-standard-1"}, r"profiling\.machine=n1-standard-1: has no GPU"),
        ({"region": "mars"}, r"profiling\.region=mars: no such region"),
        ({"purchase": "gift"}, r"profiling\.purchase=gift: no such offer"),
        ({"kind": "pol"}, r"profiling\.kind=pol: .*did you mean 'pool'"),
    ],
)
def test_a_pool_that_cannot_be_is_refused_in_a_sentence(wrong, reason):
    with pytest.raises(ValueError, match=reason):
        Profiling(**({"kind": POOL} | wrong))


RICH, POOR = CONFIGURATIONS[0], CONFIGURATIONS[int(TIMES_S.sum(axis=1).argmin())]
ROUND_S = CHARGES_S["profile"] + float(TIMES_S.sum(axis=1).mean())
"""What remains of a budget after any wait: on average, the time of one item on the only board."""


def left_in_turn(context, ask_first=False):
    """Profile for all waiting queries in turn; return each one's budget left before it profiled."""
    if ask_first:
        for query in context.waiting:
            context.remaining(query)
    left_s = {}
    for query in context.waiting[:3]:
        left_s[query.id] = context.remaining(query)
        for configuration in (RICH, POOR):  # the second uses up what does not suffice for the first
            context.profile(query, configuration, 100)
        context.deploy(query, plan_in(context, query, "device"))
    return left_s


def test_a_planner_cannot_evade_that_waits_count():
    item_s, found = float(TIMES_S[0].sum()), []

    def left_s(ask_first):
        def act(context):
            if context.now_s == 1.0:
                found.append(left_in_turn(context, ask_first))

        plays(act, 0.5, 0.6, 0.7, profiling=ONE)
        return found[-1]

    in_turn = left_s(ask_first=False)
    assert in_turn[0] == 60.0
    takes_s = 100 * item_s
    assert in_turn[1] < 60.0 - takes_s
    assert in_turn[2] == pytest.approx(ROUND_S, abs=1e-6)
    assert left_s(ask_first=True) == in_turn


def test_a_search_that_waited_measures_one_item_unless_the_configuration_is_slow():
    counts = []

    def act(context):
        if context.now_s == 1.0:
            left_in_turn(context)
            late = context.waiting[-1]
            counts[:] = [context.profile(late, each, 100).count for each in (RICH, POOR)]

    def measured(rounds):
        plays(act, 0.5, 0.6, 0.7, 0.8, profiling=replace(ONE, least_search_rounds=rounds))
        return counts

    assert float(TIMES_S[0].sum()) > ROUND_S > 2 * float(TIMES_S.sum(axis=1).min())
    none, few = measured(1)
    assert none == 0
    assert 2 <= few < 5
    assert measured(0) == [0, 0]
    rich, _ = measured(1_000_000)
    assert rich == 100


def test_background_searches_keep_their_budgets_while_lanes_are_busy():
    left_s = {}

    def act(context):
        if context.now_s in (1.0, 8.0):
            left_in_turn(context)
        left_s.update(
            {(context.now_s, each.id): context.remaining(each) for each in context.running}
        )

    plays(act, 0.5, 7.5, profiling=replace(ONE, workers=1), horizon_s=60.0)
    assert set(left_s.values()) == {60.0}


# The idle parts of the GPUs that serve

A100 = Node("cloud", "a2-highgpu-1g", standby=1)
IDLE = Profiling(kind=IDLE_INSTANCES)


def on_gpu(context, query, profile):
    """Return a plan that runs all networks in the cloud, on instances of a profile."""
    for plan in context.candidates(query):
        profiles = {each.profile for each in plan.allocation}
        if "device" not in plan.placement and profiles <= {"core", profile} and len(profiles) > 1:
            return plan
    raise AssertionError("there is no such plan")


def factors_on(node, profile, configuration):
    """Return the times of operators on an instance, divided by their reference times."""
    found = []
    for operator in range(len(APPLICATION.operators)):
        on_core = APPLICATION.model(operator, configuration) is None
        allocation = Allocation("core" if on_core else profile)
        found.append(node_service(APPLICATION, operator, configuration, node, allocation).factor)
    return found


def test_idle_instances_interfere_with_serving_by_hand(monkeypatch):
    told, charged_s, plans = [], [], []
    slow_down = BlocksPlane.slow_down

    def note(plane, now_ns, station, factor):
        told.append((now_ns // NS_PER_S, factor))
        slow_down(plane, now_ns, station, factor)

    monkeypatch.setattr(BlocksPlane, "slow_down", note)

    def act(context):
        for query in context.waiting:
            before_s = context.remaining(query)
            context.profile(query, CONFIGURATIONS[0], ITEMS)
            charged_s.append(before_s - context.remaining(query))
            plans.append(on_gpu(context, query, "1g.5gb"))
            context.deploy(query, plans[-1])

    made = plays(act, 0.5, 20.5, profiling=IDLE, nodes={"cloud": A100})
    times_s = TIMES_S[0].tolist()
    whole = fsum(
        t * f for t, f in zip(times_s, factors_on(A100, "7g.40gb", CONFIGURATIONS[0]), strict=True)
    )
    assert charged_s[0] == pytest.approx(CHARGES_S["profile"] + ITEMS * whole, abs=1e-6)
    # One slice serves from now on, with its declared load; four of the others fit an instance.
    largest = fsum(
        t * f for t, f in zip(times_s, factors_on(A100, "4g.20gb", CONFIGURATIONS[0]), strict=True)
    )
    machine = made.machines.pools["cloud"][0]
    uses, plan = [], plans[0]
    for operator, allocation in enumerate(plan.allocation):
        model = APPLICATION.model(operator, plan.configuration)
        if allocation.profile == "1g.5gb":
            need = memory_utilisation(model.like, like_items=model.like_items)
            work = made.frames["allocations"].filter(
                query=0, operator=APPLICATION.operators[operator].name
            )["declared_load"]
            uses.append(min(1.0, work.item() * need))
    slower = interference_factor(uses)
    assert slower > 1
    assert machine.rented
    takes_s = CHARGES_S["profile"] + ITEMS * largest * slower
    assert charged_s[1] == pytest.approx(takes_s, rel=1e-6)
    # The station of the first query is slower in each tick after which profiling went on.
    networks = [APPLICATION.model(each, CONFIGURATIONS[0]) for each in range(len(times_s))]
    used = fsum(
        t * (memory_utilisation(each.like, like_items=each.like_items) if each else 0.0)
        for t, each in zip(times_s, networks, strict=True)
    ) / fsum(times_s)
    first_share = min(0.5, takes_s)
    told = [(at_s, factor) for at_s, factor in told if at_s > 20]
    assert told[0] == (21, pytest.approx(interference_factor([first_share * used])))
    assert told[-1][1] == 1.0
    assert made.planning_service.profiling_cost_usd == 0


def test_a_crash_of_the_planner_ends_its_profiling_on_idle_instances(monkeypatch):
    told = []
    slow_down = BlocksPlane.slow_down

    def note(plane, now_ns, station, factor):
        told.append((now_ns // NS_PER_S, factor > 1))
        slow_down(plane, now_ns, station, factor)

    monkeypatch.setattr(BlocksPlane, "slow_down", note)

    def act(context):
        for query in context.waiting:
            if query.id == 0:
                context.deploy(query, on_gpu(context, query, "1g.5gb"))
            else:
                context.profile(query, CONFIGURATIONS[0], 1000)

    def at_full_speed_s(*crashes):
        told.clear()
        plays(act, 0.5, 20.5, profiling=IDLE, nodes={"cloud": A100}, crashes=crashes)
        return [at_s for at_s, slower in told if at_s > 20 and not slower]

    assert min(at_full_speed_s(), default=40) > 30
    assert at_full_speed_s(DriftEvent("planner_crash", at_s=25.5, duration_s=300.0)) == [27]


def test_profiling_waits_while_no_instance_is_idle():
    edge = Node("edge", "g2-standard-8", standby=1)
    seen = []

    def act(context):
        for query in context.waiting:
            count = context.profile(query, CONFIGURATIONS[0], 1).count
            wait_s, lanes = context.world.profiling_wait_s, context.world.background_lanes
            seen.append((context.now_s, query.id, count, lanes, wait_s == inf))
            if query.id == 0:
                context.deploy(query, on_gpu(context, query, "full"))
        if context.now_s == 12.0:
            context.release(next(each for each in context.running if each.id == 0))

    plays(act, 0.5, 10.5, profiling=IDLE, nodes={"edge": edge}, horizon_s=60.0)
    assert seen[0] == (0.5, 0, 1, 0, False)
    assert seen[1] == (10.5, 1, 0, 0, True), "an L4 cannot be partitioned"
    later = [each for each in seen if each[1] == 1 and each[2]]
    assert later, "once the first query has left the card, the other profiles"


def test_idle_instances_need_a_card_that_is_always_rented():
    with pytest.raises(ValueError, match=r"kind=idle_instances: no node has GPUs on standby"):
        Cluster({"cloud": Node("cloud", "a2-highgpu-1g")}, IDLE)


def test_offline_profiles_are_paid_even_if_searches_use_idle_instances():
    def act(context):
        if context.now_s == 1.0:
            context.profile("VOiCES", CONFIGURATIONS[0], 10)

    made = plays(act, 0.5, profiling=IDLE, nodes={"cloud": A100})
    item_usd = float(TIMES_S[0].sum()) * USD_PER_S
    assert made.planning_service.profiling_cost_usd == pytest.approx(10 * item_usd)
