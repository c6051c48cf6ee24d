"""Pools, existing stations, what plans take of them, and what that costs."""

from dataclasses import replace

import numpy as np
import pytest
from compass_worlds import ONE_CLOUD, market, with_context
from hypothesis import given
from hypothesis import strategies as st
from worlds import queries_at

from planners.compass.scheduling.least_cost import LeastCost
from planners.compass.scheduling.scheduler import FirstComeFirstServed, PriceMatching
from planners.compass.search.query_plans import QueryPlans
from planners.compass.state.pools import (
    BACKHAUL,
    Fleet,
    Pools,
    ResourceUse,
    Standing,
    Uses,
    room_in,
    share_taken,
)
from planners.compass.state.records import Slowness
from sim import Choices

POOLS = Pools(
    (("cloud", "cores"), ("cloud", "GPUs"), BACKHAUL),
    np.array([12.0, 2.0, 0.8]),
    np.array([0.05, 3.0, 0.0]),
    np.array([12.0, 1.0, 0.8]),
    np.array([0.0, 0.0, 1.0]),
    0.8,
)
# A core, two cores, a half of a GPU; and the device.
TAKES = ResourceUse(
    np.array([0, 0, 1, 0]), np.array([1.0, 2.0, 0.5, 0.0]), np.array([1.0, 2.0, 1.0, 1.0])
)


def uses(*operators, backhaul=0.0):
    """Return what a plan uses: station, operator key and share filled of each operator."""
    station, key, filled = zip(*operators, strict=True)
    return Uses(np.array(station), np.array(key), np.array(filled, dtype=float), backhaul)


def standing(*each):
    return Standing(Fleet.of(dict(enumerate(each))), TAKES, POOLS)


@pytest.mark.parametrize(
    ("taken", "rented"),
    [
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.8)),
        ((0.5, 0.0, 0.0), (12.0, 1.0, 0.8)),
        ((12.0, 1.0, 0.0), (12.0, 1.0, 0.8)),
        ((12.5, 0.5, 0.0), (24.0, 2.0, 0.8)),
        ((1.0, 1.5, 0.0), (24.0, 2.0, 0.8)),
    ],
)
def test_machines_are_rented_whole(taken, rented):
    """A machine has 12 cores and a GPU; what is short of cores or GPUs rents both."""
    assert POOLS.rented(np.array(taken)).tolist() == list(rented)


class TestStanding:
    """Stations that queries share."""

    def test_queries_that_agree_share_a_station(self):
        alone = standing(uses((0, 5, 0.3)))
        both = standing(uses((0, 5, 0.3)), uses((0, 5, 0.4)))
        assert alone.taken.tolist() == both.taken.tolist() == [1.0, 0.0, 0.0]
        assert both.queries.tolist() == [2.0, 0.0, 0.0]

    @pytest.mark.parametrize("other", [(0, 6, 0.4), (0, 5, 0.8)])
    def test_uses_of_another_configuration_or_too_large_do_not_share_a_unit(self, other):
        assert standing(uses((0, 5, 0.3)), uses(other)).taken.tolist() == [2.0, 0.0, 0.0]

    def test_kinds_of_several_units_and_shares_of_a_gpu_by_hand(self):
        made = standing(
            uses((-1, 0, 0.0), (1, 3, 0.5), (2, 7, 0.6), backhaul=0.1),
            uses((0, 1, 0.2), (1, 4, 0.9), (2, 7, 0.3)),
        )
        assert made.taken.tolist() == [1.0 + 2.0 + 2.0, 0.5, 0.1]
        assert made.queries.tolist() == [2.0, 2.0, 1.0]

    def test_a_query_pays_for_its_part_of_what_it_shares(self):
        made = standing(uses((0, 5, 0.1)), uses((0, 5, 0.3)), uses((0, 6, 0.2)))
        assert [made.share(query)[0] for query in range(3)] == pytest.approx([0.25, 0.75, 1.0])

    @given(
        st.lists(
            st.tuples(
                st.lists(
                    st.tuples(st.integers(-1, 2), st.integers(0, 2), st.floats(0.01, 1.0)),
                    min_size=3,
                    max_size=3,
                ),
                st.floats(0, 0.5),
            ),
            min_size=1,
            max_size=6,
        )
    )
    def test_shares_sum_to_what_is_taken(self, queries):
        made = standing(*(uses(*operators, backhaul=sent) for operators, sent in queries))
        shares = [made.share(query) for query in range(len(queries))]
        np.testing.assert_allclose(np.sum(shares, axis=0), made.taken, atol=1e-9)

    def test_a_query_does_not_spread_over_stations(self):
        """Two of three that fill 0.6 do not fit in one, though all would fit in two."""
        made = standing(*(uses((0, 5, 0.6)) for _ in range(3)))
        assert made.taken.tolist() == [3.0, 0.0, 0.0]
        assert room_in(made.left, 0, 5) == pytest.approx(0.4), "in any one of them, not in all"
        assert [made.share(query)[0] for query in range(3)] == pytest.approx([1.0, 1.0, 1.0])

    @pytest.mark.parametrize("parts", [(0.5, 0.7, 0.3, 0.5), (0.7, 0.5, 0.3, 0.5)])
    def test_it_joins_the_fullest_that_has_room(self, parts):
        """The first, or the latest, would take three for one of them; the emptiest for both."""
        made = standing(*(uses((0, 5, part)) for part in parts))
        assert made.taken.tolist() == [2.0, 0.0, 0.0]
        assert room_in(made.left, 0, 5) == pytest.approx(0.0, abs=1e-9)

    @given(st.permutations([0, 1, 2, 3]))
    def test_queries_under_search_change_nothing(self, order):
        """Queries that are come last in a fleet."""
        fleet = Fleet.of({at: uses((0, 5, part)) for at, part in enumerate((0.5, 0.7, 0.3, 0.5))})
        made = Standing(fleet.rows(order), TAKES, POOLS)
        assert made.taken.tolist() == [2.0, 0.0, 0.0]

    @given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=12))
    def test_stations_are_no_fewer_than_their_load_and_at_least_half_full(self, parts):
        """Of any two, one would have joined the other if both had been half empty."""
        made = standing(*(uses((0, 5, part)) for part in parts))
        count, load = made.taken[0], sum(parts)
        assert np.ceil(load - 1e-6) <= count <= max(1.0, np.ceil(2 * load + 1e-6))
        assert count - load - 1e-6 <= count * room_in(made.left, 0, 5)

    def test_it_contains_the_queries_with_a_plan_in_force(self):
        made = standing(uses((0, 5, 0.1)))
        assert 0 in made
        assert 1 not in made
        assert standing().taken.tolist() == [0.0, 0.0, 0.0]


class TestDearer:
    """Queries that pay more than a price."""

    def test_by_hand(self):
        made = standing(uses((0, 0, 0.25)), uses((0, 0, 0.75)), uses((1, 1, 1.0)))
        assert made.dearer(0.5, np.array([1.0, 0.0, 0.0])) == [(1, 0.75), (2, 2.0)]

    def test_without_queries_none_is_dearer(self):
        assert standing().dearer(0.0, np.ones(3)) == []


class TestFleet:
    """Queries that come, go and move."""

    def test_a_change_gives_the_same_as_a_new_fleet(self):
        first, second, third = (uses((0, at, 0.25), backhaul=at) for at in range(3))
        before = Fleet.of({4: first, 6: second})
        after = before.changed([6, 8, 4], {8: third, 4: second})
        assert after.query.tolist() == [6, 8, 4]
        assert after.operator_key.tolist() == [[1], [2], [1]]
        assert after.backhaul.tolist() == [1.0, 2.0, 1.0]

    def test_it_may_become_empty(self):
        assert len(Fleet.of({4: uses((0, 0, 0.5))}).changed([], {})) == 0


class TestTaken:
    """A plan takes a share of a station with room, or a new one."""

    @pytest.mark.parametrize(
        ("filled", "room", "waste", "expected"),
        [
            (0.3, 0.4, 0.5, 0.3),  # joins
            (0.3, 0.2, 0.5, 0.65),  # new: half of what it leaves idle counts
            (0.3, 0.0, 0.0, 0.3),
            (0.3, 0.0, 1.0, 1.0),
            (0.0, 0.0, 1.0, 0.0),  # on the device
            (1.0, 0.0, 1.0, 1.0),
        ],
    )
    def test_by_hand(self, filled, room, waste, expected):
        assert share_taken(filled, room, waste) == pytest.approx(expected)

    @given(st.floats(0.01, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
    def test_joining_never_takes_more_than_a_new_station(self, filled, room, waste):
        joined, new = share_taken(filled, room, waste), share_taken(filled, 0.0, waste)
        assert filled - 1e-12 <= joined <= new <= 1.0 + 1e-12


def at_market(act):
    """Let a test act on a context with a query, its view, and what it would fill."""

    def sit(context):
        [query] = context.waiting
        view = context.bulk.view(query, Choices())
        pools = Pools.of(context)
        takes = ResourceUse.of(context, pools, view)
        estimate = context.profile(query, context.world.pipeline.configurations[0], 32)
        plans = np.flatnonzero(view.configuration == 0)
        times_s = np.broadcast_to(
            estimate.measurement.operator_mean_s, (len(plans), view.station.shape[1])
        )
        filled = takes.filled(pools, view, plans, query.requests_per_s, times_s)
        act(context, query, view, pools, takes, plans, filled)

    with_context(sit, queries_at(1.0), nodes=ONE_CLOUD)


class TestAtADesk:
    """Pools and demands of a real cluster."""

    def test_pools_are_the_cores_and_gpus_that_are_up_and_the_backhaul(self):
        def act(context):
            pools = Pools.of(context)
            node = context.world.cluster.nodes["cloud"]
            assert pools.names == POOLS.names
            assert pools.capacity.tolist() == [
                node.cores,
                1.0,
                context.world.cluster.max_utilisation,
            ]
            assert (pools.scarcity * pools.capacity).tolist() == pytest.approx([1.0, 1.0, 1.0])

        with_context(act, nodes=ONE_CLOUD)

    def test_a_station_is_filled_by_load_over_what_it_accepts(self):
        def act(context, query, view, pools, takes, plans, filled):
            on_device = view.station[plans] < 0
            assert (filled[on_device] == 0).all()
            assert (filled[~on_device] > 0).all()
            row, operator = np.argwhere(~on_device)[0]
            kind = view.stations[view.station[plans[row], operator]]
            mean_s = context.profile(
                query, context.world.pipeline.configurations[0], 32
            ).measurement.operator_mean_s[operator]
            factor = context.world.capacity_factors(query, view.plan(int(plans[row])))[operator]
            accepts = context.world.cluster.max_utilisation * kind.servers
            expected = query.requests_per_s * mean_s * factor / accepts
            assert filled[row, operator] == pytest.approx(expected)

        at_market(act)

    def test_a_plan_joins_stations_that_have_room(self):
        """The very plan that stands has room; of another configuration there is none."""

        def act(context, query, view, pools, takes, plans, filled):
            row = int(np.argmax((view.station[plans] >= 0).sum(axis=1)))
            stands = Uses(view.station[plans[row]], view.operator_key[plans[row]], filled[row])
            empty, made = market(context), market(context, {7: stands})
            off = stands.station >= 0
            room = [
                room_in(made.standing.left, *each)
                for each in zip(stands.station[off], stands.operator_key[off], strict=True)
            ]
            np.testing.assert_allclose(room, (np.ceil(filled[row]) - filled[row])[off])
            joins, builds = (taken(context, query, each, 0) for each in (made, empty))
            assert joins.keys() == builds.keys()
            for plan, demand in joins.items():
                assert (demand <= builds[plan] + 1e-12).all()
            mine = int(plans[row])
            assert joins[mine][:-1].sum() < 0.8 * builds[mine][:-1].sum()
            np.testing.assert_allclose(builds[mine][:-1], made.standing.taken[:-1])
            np.testing.assert_equal(
                taken(context, query, made, 124), taken(context, query, empty, 124)
            )

        at_market(act)

    def test_what_plans_cost_is_what_they_take_at_the_prices(self):
        def act(context, query, view, pools, takes, plans, filled):
            dear = replace(market(context), prices=np.array([0.3, 2.0, 5.0]))
            time_s = np.tile(
                operator_time_s(context, query), (len(context.world.pipeline.configurations), 1)
            )
            cost, _ = QueryPlans(context, query, dear, view, 1.0, Slowness()).costs(time_s)
            demands = taken(context, query, dear, 0)
            assert set(np.flatnonzero(np.isfinite(cost)).tolist()) & set(plans.tolist()) == set(
                demands
            )
            for plan, demand in demands.items():
                assert cost[plan] == pytest.approx(float(demand @ dear.prices))
                on_device = (view.station[plan] < 0).all()
                assert (demand == 0).all() if on_device else demand.sum() > 0

        at_market(act)

    def test_there_is_room_for_plans_whose_new_stations_are_free(self):
        """A query that needs no station, or joins an open one, finds room in full pools."""

        def act(context, query, view, pools, takes, plans, filled):
            row = int(np.argmax((view.station[plans] >= 0).sum(axis=1)))
            mine = Uses(view.station[plans[row]], view.operator_key[plans[row]], filled[row])
            kinds = [each.replicas if each.profile == "core" else 0 for each in view.stations]
            core, gpu = kinds.index(1), int(np.argmax(takes.units[:-1] * (takes.pool[:-1] == 1)))
            nowhere = [-1] * (len(mine.station) - 1)
            other = np.full(len(mine.station), int(view.operator_key.max()) + 1)
            crowd = {
                number: Uses(np.array([kind, *nowhere]), other + number, 0.9 * (other > 0))
                for number, kind in enumerate([gpu, *([core] * int(pools.capacity[0]))])
            }
            time_s = np.tile(
                operator_time_s(context, query), (len(context.world.pipeline.configurations), 1)
            )

            def room(uses):
                here = market(context, uses)
                return QueryPlans(context, query, here, view, 1.0, Slowness()).costs(time_s)[1]

            assert room({})[plans[row]]
            on_device = (view.station < 0).all(axis=1)
            np.testing.assert_array_equal(room(crowd), on_device)
            assert room(crowd | {99: mine})[plans[row]], "there is room for one more like it"
            some = {number: uses for number, uses in crowd.items() if number < 3}
            needs_gpu = (takes.pool[view.station] == 1) & (view.station >= 0)
            assert not room(some)[needs_gpu.any(axis=1)].any(), "the only GPU is taken"
            assert room(some)[on_device].all()
            assert room(some).sum() > on_device.sum(), "cores are left"

        at_market(act)

    def test_a_plan_whose_station_would_be_too_full_cannot_be_had(self):
        def act(context, query, view, pools, takes, plans, filled):
            slow = operator_time_s(context, query) * 1.01 / filled.max()
            found = taken(context, query, market(context), 0, slow)
            too_full = (filled * 1.01 / filled.max() > 1).any(axis=1)
            assert set(found) == set(plans[~too_full].tolist())
            assert too_full.any()

        at_market(act)


def operator_time_s(context, query):
    """Return what profiling the first configuration shows."""
    return context.profile(
        query, context.world.pipeline.configurations[0], 32
    ).measurement.operator_mean_s


def taken(context, query, at, configuration, time_s=None):
    """Return what each plan of a configuration takes of the pools; new stations count whole."""
    plans = QueryPlans(context, query, at, context.bulk.view(query, Choices()), 1.0, Slowness())
    time_s = operator_time_s(context, query) if time_s is None else time_s
    held = plans.held(np.array([configuration]), time_s[None])
    np.testing.assert_allclose(held.price, held.demand @ at.prices)
    return dict(zip(held.number.tolist(), held.demand, strict=True))


class TestPrices:
    """They rise with load."""

    def crowd(self, many):
        return standing(*(uses((0, number, 0.9), backhaul=0.01) for number in range(many)))

    def test_prices_rise_with_load(self):
        prices = [PriceMatching().prices(POOLS, self.crowd(many)) for many in range(13)]
        cores = [each[0] for each in prices]
        assert cores == sorted(cores)
        assert cores[12] > 10 * cores[4] > 0
        assert len({each[1] for each in prices}) == 1, "nobody uses the GPUs"

    def test_a_full_pool_costs_what_a_unit_serves(self):
        """Twelve queries on twelve cores: a core is worth one of them."""
        price = PriceMatching().prices(POOLS, self.crowd(12))[0]
        assert price == pytest.approx(1.0, abs=0.01)
        shared = standing(*(uses((0, number // 3, 0.3)) for number in range(36)))
        assert PriceMatching().prices(POOLS, shared)[0] == pytest.approx(3.0, abs=0.01)

    def test_a_backhaul_that_carries_more_than_it_can_costs_more_than_it_serves(self):
        """No machine refuses it, so only its price does."""
        scheduler = PriceMatching()
        for share, dearer in ((0.05, 1.0), (0.1, 2.0**scheduler.steepness)):
            crowd = standing(*(uses((-1, 0, 0.0), backhaul=share) for _ in range(16)))
            price = scheduler.prices(POOLS, crowd)[-1]
            assert price * share == pytest.approx(dearer, rel=0.01)
        assert price * share > scheduler.value, "so nobody else gets as much"

    def test_an_idle_pool_costs_little_but_something(self):
        prices = PriceMatching().prices(POOLS, standing())
        assert (prices[:2] > 0).all(), "of machines; links are paid for anyway"
        assert (prices >= 0).all()
        assert (prices * POOLS.capacity < 0.1).all()

    def test_first_come_first_served_has_one_price_whatever_the_load(self):
        for many in (0, 12):
            prices = FirstComeFirstServed().prices(POOLS, self.crowd(many))
            np.testing.assert_allclose(prices * POOLS.capacity, 1.0)


def test_least_cost_is_dear_where_a_machine_must_be_rented_and_cheap_where_one_is_idle():
    """Of a rented machine, six of 12 cores and half of the GPU are in use."""
    scheduler = LeastCost(steepness=4.0, idle=0.1, opening=2.0)
    nothing = scheduler.prices(POOLS, standing(uses((-1, 0, 0.0))))
    assert nothing.tolist() == [0.05 * 2, 3.0 * 2, 0.0]
    six = (uses((0, key, 0.9)) for key in range(6))
    half = scheduler.prices(POOLS, standing(*six, uses((2, 0, 0.9))))
    share = 0.1 + 0.9 * 0.5**4
    assert half.tolist() == pytest.approx([0.05 * share, 3.0 * share, 0.0])
