"""The search for plans of one query: when it ends, what it pays, and what it offers."""

from dataclasses import replace

import numpy as np
import pytest
from compass_worlds import ONE_CLOUD, market, with_context
from worlds import declared, queries_at, run, scenario

from planners.compass.compass import Compass
from planners.compass.profiling.decisions import Certain
from planners.compass.profiling.profiler import FixedProfiler, StratifiedProfiler
from planners.compass.search.history import WarmStart
from planners.compass.search.search import ENCODINGS, CmboSearch, RandomSearch
from planners.compass.search.t_test_beliefs import LEAST_KNOWN
from planners.compass.state.pools import Uses
from planners.compass.state.records import SearchState, keep_search_state, search_state
from scenarios.random_streams import stream
from sim.api.charges import CHARGES_S

COLD = WarmStart(histories=0, ahead=0)
TIME_S = declared("speech_recognition").datasets["LibriSpeech"].service_time_s
DEMANDING = {"latency_s": 1.0, "accuracy": 0.97}
EASY = {"latency_s": 2.0}


def cold(kind=CmboSearch, **options):
    return kind(warm_start=COLD, **options)


class Searched:
    """The outcome of one search for one query.

    Args:
        search: the search.
        seconds: what it may use.
        improve: whether it goes on.
        slo: what the query is promised.
        prices: prices of kinds of pools; by default those of an idle cluster.
        more: of the world.
    """

    def __init__(
        self, search, seconds=100.0, improve=False, slo=EASY, prices=None, budget_s=100.0, **more
    ):
        more = {"nodes": ONE_CLOUD} | more

        def act(context):
            [query] = context.waiting
            self.market = market(context, prices=prices)
            self.view = context.bulk.view(query, search.model.choices)
            self.offers = search.run(context, query, self.market, seconds, improve)
            self.found: SearchState = search_state(context, query)
            self.left_s = context.remaining(query)
            assert search_state(context, query).offers is self.offers
            times_s = [self.found.profiled[each.configuration] for each in self.offers]
            self.predicted_s = [
                float(
                    context.bulk.predict_many(
                        query,
                        self.view,
                        np.array([offer.number]),
                        seen.operator_time_s,
                        seen.time_cv,
                        search.model.load,
                    )[1][0]
                )
                for offer, seen in zip(self.offers, times_s, strict=True)
            ]
            self.query = query

        made = with_context(act, queries_at(1.0, **slo), budget_s=budget_s, **more)
        self.runs = made.tables.take()["profiling"]

    @property
    def order(self):
        return list(self.found.profiled)

    @property
    def prices(self):
        return [float(each.demand @ self.market.prices) for each in self.offers]


class TestWhenItEnds:
    """The response at the first feasible plan; then patience or the budget."""

    @pytest.mark.parametrize("kind", [CmboSearch, RandomSearch])
    def test_the_first_feasible_plan_is_the_response(self, kind):
        made = Searched(cold(kind), slo=DEMANDING)
        assert len(made.order) > 5
        assert made.offers[0].feasible
        offered = {each.configuration for each in made.offers}
        assert made.order[-1] in offered
        # An undecided configuration may look better by what its neighbours have shown since.
        assert all(made.found.profiled[each].verdict is None for each in offered - {made.order[-1]})
        assert not made.found.exhausted

    def test_it_is_deployed_at_the_clock_of_the_search(self):
        planner = Compass(search=cold())
        world = scenario(6.0, workload=queries_at(1.0, **DEMANDING), nodes=ONE_CLOUD)
        decisions = run(world, planner).tables.take()["decisions"]
        made = Searched(cold(), slo=DEMANDING)
        [charged_s] = decisions["charged_s"]
        assert charged_s == pytest.approx(made.found.spent_s, abs=1e-3)
        assert charged_s > 1.0

    def test_it_goes_on_until_three_steps_found_no_better(self):
        first = Searched(cold(), slo=EASY)
        whole = Searched(cold(), improve=True, slo=EASY)
        assert len(first.order) == 1
        assert whole.found.exhausted
        assert whole.order[: len(first.order)] == first.order
        assert min(whole.prices) < min(first.prices)
        best = whole.order.index(whole.offers[0].configuration)
        assert len(whole.order) - 1 - best == 3

    @pytest.mark.parametrize("patience", [1, 2, 6])
    def test_patience_is_how_many(self, patience):
        made = Searched(cold(patience=patience, least_promise=0.0), improve=True, slo=EASY)
        best = made.order.index(made.offers[0].configuration)
        assert len(made.order) - 1 - best == patience

    def test_small_gains_do_not_keep_it_going(self):
        """It is the same search until steps that gain little count as in vain."""
        on, ended = (
            Searched(cold(patience=2, least_gain=least), improve=True, slo=EASY)
            for least in (0.0, 0.999)
        )
        assert len(ended.order) == 1 + 2 < len(on.order)
        assert ended.order == on.order[: len(ended.order)]
        assert ended.found.exhausted

    def test_it_ends_where_nothing_promises_to_keep_the_slo(self):
        """But not before it knows enough to tell."""
        in_vain = {"latency_s": 0.02, "accuracy": 0.99}
        on, ended = (
            Searched(cold(least_promise=least), improve=True, slo=in_vain) for least in (0.0, 0.01)
        )
        assert ended.found.exhausted
        assert LEAST_KNOWN <= len(ended.order) < len(on.order)
        assert ended.order == on.order[: len(ended.order)]
        assert not any(offer.feasible for offer in (*on.offers, *ended.offers))

    def test_a_search_in_pieces_goes_on_where_it_stopped(self):
        """In pieces it profiles the same, and nothing twice."""
        whole = Searched(cold(patience=8, least_promise=0.0), improve=True, slo=EASY)

        class Pieces(CmboSearch):
            def run(self, context, query, market, seconds, improve):
                for _ in range(3):
                    offers = super().run(context, query, market, 0.2, improve)
                return offers

        pieces = Searched(cold(Pieces, patience=8, least_promise=0.0), improve=True, slo=EASY)
        assert 3 <= len(pieces.order) < len(whole.order)
        assert pieces.order[0] == whole.order[0]
        assert pieces.runs["configuration"].n_unique() == len(pieces.order)
        assert pieces.found.spent_s == pytest.approx(100.0 - pieces.left_s, abs=0.01)

    def test_without_seconds_it_offers_what_was_found_before(self):
        class Twice(CmboSearch):
            def run(self, context, query, market, seconds, improve):
                before = super().run(context, query, market, seconds, improve)
                left_s = context.remaining(query)
                again = super().run(context, query, market, 0.0, True)
                assert [each.number for each in again] == [each.number for each in before]
                assert left_s - context.remaining(query) < 1e-3
                return again

        assert len(Searched(cold(Twice), slo=EASY).order) == 1

    def test_a_search_that_was_not_begun_is_not_over(self):
        """Where a plan that does is known and no better one is wanted, nothing is tried in vain."""
        ended = []

        class Again(CmboSearch):
            def run(self, context, query, market, seconds, improve):
                super().run(context, query, market, seconds, improve=False)
                for exhausted in (False, True):
                    found: SearchState = search_state(context, query)
                    keep_search_state(context, query, replace(found, exhausted=exhausted))
                    offers = super().run(context, query, market, seconds, improve=False)
                    ended.append(search_state(context, query).exhausted)
                return offers

        assert len(Searched(cold(Again), slo=EASY).order) == 1
        assert ended == [False, True]


class TestBudget:
    """Planning is charged, and never beyond the budget."""

    @pytest.mark.parametrize("kind", [CmboSearch, RandomSearch])
    @pytest.mark.parametrize("budget_s", [0.05, 0.3, 1.5])
    def test_a_search_never_goes_beyond_the_budget(self, kind, budget_s):
        slo = {"latency_s": 0.3, "accuracy": 0.99}
        made = Searched(cold(kind), budget_s, slo=slo, budget_s=budget_s)
        assert made.found.spent_s <= budget_s
        assert made.left_s >= 0
        assert not any(each.feasible for each in made.offers)
        assert made.runs["charged_s"].sum() <= budget_s

    @pytest.mark.parametrize("seconds", [0.1, 0.5, 1.0])
    def test_no_step_begins_after_the_seconds_that_it_was_given(self, seconds):
        made = Searched(cold(), seconds, improve=True, slo=DEMANDING)
        before_last = made.runs["charged_s"].sum() + CHARGES_S["search_step"] * len(made.order)
        last = made.runs.filter(configuration=made.runs["configuration"][-1])["charged_s"].sum()
        assert made.found.spent_s - last - CHARGES_S["search_step"] < seconds < before_last

    def test_a_step_costs_what_is_declared(self):
        """The first two configurations are not proposed by surrogates, all others are."""
        made = Searched(cold(), slo=DEMANDING)
        steps = len(made.order) - 2
        thinking_s = made.found.spent_s - made.runs["charged_s"].sum()
        assert thinking_s == pytest.approx(steps * CHARGES_S["search_step"], abs=0.02)

    def test_in_vain_it_offers_what_comes_nearest(self):
        made = Searched(cold(), slo={"latency_s": 0.3, "accuracy": 0.99}, budget_s=2.0)
        assert made.offers
        assert not any(each.feasible for each in made.offers)
        missed = [
            max(0.0, 1 - each.accuracy / made.query.slo.accuracy)
            + max(0.0, each.latency_s / (0.85 * 0.3) - 1)
            for each in made.offers
        ]
        assert missed == sorted(missed)


class TestRandomSearch:
    """The ablation believes in no surrogate."""

    def test_its_order_is_drawn_and_nothing_it_learns_changes_it(self):
        order = stream(0, "compass", 0, "random").permutation(125).tolist()
        made = Searched(cold(RandomSearch), 4.0, slo=DEMANDING)
        assert len(made.order) > 10
        assert made.order == order[: len(made.order)]

    def test_when_all_was_profiled_it_is_over(self):
        impossible = {"latency_s": 0.1, "accuracy": 1.0}
        made = Searched(cold(RandomSearch, profiler=FixedProfiler(16)), slo=impossible)
        assert made.order == stream(0, "compass", 0, "random").permutation(125).tolist()
        assert made.found.exhausted

    def test_it_pays_for_no_surrogate(self):
        made = Searched(cold(RandomSearch), slo=DEMANDING)
        assert made.found.spent_s - made.runs["charged_s"].sum() < 0.02

    def test_surrogates_need_fewer_configurations(self):
        counts = {CmboSearch: 0, RandomSearch: 0}
        for kind in counts:
            for seed in (1, 2):
                counts[kind] += len(Searched(cold(kind), slo=DEMANDING, seed=seed).order)
        assert counts[CmboSearch] < 0.8 * counts[RandomSearch]


class TestStatedCertainty:
    """Shipped planners accept configurations by a stated probability; more items can then pay."""

    @staticmethod
    def searched(kind, profiler=None):
        profiler = profiler or StratifiedProfiler(most=192, decision=Certain())
        shared = WarmStart(histories=0, ahead=0, sharing="pooled")
        return Searched(kind(warm_start=shared, profiler=profiler), slo=DEMANDING)

    @staticmethod
    def measured(made):
        return {index: seen.count for index, seen in made.found.profiled.items() if seen.count}

    def test_a_search_without_histories_leaves_the_richest_configuration(self):
        made = self.searched(CmboSearch)
        assert made.offers[0].feasible
        assert len(self.measured(made)) > 3

    def test_a_random_search_measures_one_configuration_after_the_other(self):
        made = self.searched(RandomSearch)
        counts = self.measured(made)
        order = stream(0, "compass", 0, "random").permutation(125).tolist()
        assert made.offers[0].feasible
        assert len(counts) > 3
        assert {*counts} == {*order[: len(counts)]}

    @pytest.mark.parametrize("kind", [CmboSearch, RandomSearch])
    def test_a_fixed_number_of_items_is_measured_once(self, kind):
        made = self.searched(kind, FixedProfiler(40, Certain()))
        counts = self.measured(made)
        assert made.offers[0].feasible
        assert len(counts) > 3
        assert {*counts.values()} == {40}


class TestEncodings:
    """Features of knobs."""

    @pytest.mark.parametrize("encoding", ENCODINGS)
    def test_each_finds_a_feasible_plan(self, encoding):
        made = Searched(cold(encoding=encoding), slo=DEMANDING, budget_s=10.0)
        assert made.offers[0].feasible

    def test_they_lead_to_different_proposals_from_the_same_start(self):
        one_hot, ordinal = (
            Searched(cold(encoding=name), 2.0, slo=DEMANDING).order
            for name in ("one_hot", "ordinal")
        )
        assert one_hot[:2] == ordinal[:2]
        assert one_hot != ordinal

    def test_another_is_refused(self):
        with pytest.raises(ValueError, match="encoding='binary': choose one_hot, ordinal, mixed"):
            CmboSearch(encoding="binary")

    @pytest.mark.parametrize("name", ["least_promise", "least_gain"])
    def test_shares_must_be_below_one(self, name):
        with pytest.raises(ValueError, match=f"{name}=1.0: must be 0 or more, and below 1"):
            CmboSearch(**{name: 1.0})

    @pytest.mark.parametrize("name", ["initial", "patience", "most_offers"])
    def test_numbers_must_be_one_or_more(self, name):
        with pytest.raises(ValueError, match=f"{name}=0: must be a whole number of 1 or more"):
            CmboSearch(**{name: 0})


class TestOffers:
    """The plans that are offered after profiling."""

    def test_one_profiled_configuration_shows_the_latency_of_every_placement(self):
        made = Searched(cold(most_offers=50), slo={"latency_s": 30.0}, nodes=None)
        assert made.order == [0]
        assert made.runs["configuration"].n_unique() == 1
        places = {made.view.plan(each.number).placement for each in made.offers}
        assert len(places) >= 2
        for offer, predicted_s in zip(made.offers, made.predicted_s, strict=True):
            assert offer.latency_s == pytest.approx(predicted_s)

    def test_it_agrees_with_what_profiling_shows_of_a_plan(self):
        """The nominal latency of items, without load, is no longer than that under load."""

        class Checked(CmboSearch):
            def run(self, context, query, market, seconds, improve):
                offers = super().run(context, query, market, seconds, improve)
                view = context.bulk.view(query, self.model.choices)
                for offer in offers:
                    items = context.profile(query, view.plan(offer.number), 0)
                    assert 0.3 * offer.latency_s < items.latency_quantile_s < offer.latency_s
                return offers

        Searched(cold(Checked, profiler=FixedProfiler()), slo={"latency_s": 30.0})

    def test_feasible_plans_keep_the_headroom_and_come_by_price(self):
        made = Searched(cold(), improve=True, slo=EASY)
        assert len(made.offers) > 1
        assert made.prices == sorted(made.prices)
        for each in made.offers:
            assert each.feasible
            assert each.latency_s <= 0.85 * 2.0

    def test_no_plan_takes_all_that_a_cheaper_one_takes_and_more(self):
        made = Searched(cold(), improve=True, slo=EASY, prices={"cores": 1.0, "GPUs": 0.1})
        demand = np.array([each.demand for each in made.offers])
        for later in range(1, len(demand)):
            assert (demand[later] < demand[:later]).any(axis=1).all()

    def test_prices_of_the_pools_decide_which_plan_is_cheapest(self):
        """In one market cores are dear, in another GPUs."""
        cheapest = {}
        for name, cores in (("cores", 1e3), ("GPUs", 1e-3)):
            prices = {"cores": cores, "GPUs": 1.0}
            made = Searched(cold(), improve=True, slo={"latency_s": 4.0}, prices=prices)
            cheapest[name] = made.offers[0].demand
        assert cheapest["cores"][0] < cheapest["GPUs"][0]
        assert cheapest["cores"][1] > cheapest["GPUs"][1]

    def test_prices_guide_what_is_profiled(self):
        orders = [
            Searched(cold(), 2.0, improve=True, slo=EASY, prices={kind: 1.0}).order
            for kind in ("cores", "GPUs")
        ]
        assert orders[0][:2] == orders[1][:2]
        assert orders[0] != orders[1]

    def test_no_more_are_offered_than_asked_for(self):
        assert len(Searched(cold(most_offers=2), improve=True, slo=EASY).offers) == 2

    def test_a_ceiling_on_cost_leaves_dearer_plans_out(self):
        prices = {"cores": 1.0}
        usd = []
        for ceiling in (None, 0.3):
            slo = {"latency_s": 30.0, "usd_per_hour": ceiling}
            made = Searched(cold(most_offers=50), slo=slo, prices=prices)
            usd.append(max(each.usd_per_hour for each in made.offers))
        assert usd[1] <= 0.3 < usd[0]

    def test_there_is_nothing_to_regroup_once_what_was_profiled_is_forgotten(self):
        """An audit that finds the floor missed forgets it, but for the history."""

        def act(context):
            [query] = context.waiting
            search, here = CmboSearch(), market(context)
            search.run(context, query, here, 5.0, improve=True)
            forgotten = SearchState(history=search_state(context, query).history)
            beliefs = search.beliefs(context, query, here, forgotten)
            assert beliefs.configurations.kept_history is not None
            assert not any(len(its.number) for its in beliefs.candidates(range(10), 0.0, now=-1))
            known = search.beliefs(context, query, here, search_state(context, query))
            assert any(len(its.number) for its in known.candidates(range(10), 0.0, now=-1))

        with_context(act, queries_at(1.0, **DEMANDING), nodes=ONE_CLOUD)


class TestRoom:
    """The first proposals where machines are full except for one station."""

    STANDS = 10
    """The configuration of that station."""

    def proposed(self, context, query, reference=None):
        """Return the first proposal for a query, on idle machines and on full ones.

        Nothing costs anything, so that prices do not tell.
        """
        search = CmboSearch()
        view = context.bulk.view(query, search.model.choices)
        plan = next(
            number
            for number in np.flatnonzero(view.configuration == self.STANDS).tolist()
            if str(view.plan(number)).endswith("device > device:device > cloud:1g.5gb > cloud:core")
        )
        station = view.station[plan]
        uses = [Uses(station, view.operator_key[plan], np.where(station < 0, 0.0, 0.1))]
        names = [(each.profile, each.servers) for each in view.stations]
        nowhere = [-1] * (len(station) - 1)
        for kind in [names.index(("7g.40gb", 1)), *[names.index(("core", 1))] * 12]:
            key = np.full(len(station), 500 + len(uses))
            uses.append(Uses(np.array([kind, *nowhere]), key, np.array([0.9, 0, 0, 0])))
        markets = market(context), market(context, dict(enumerate(uses, start=100)))
        return tuple(
            search.beliefs(
                context,
                query,
                replace(here, prices=np.zeros_like(here.prices)),
                SearchState(),
            ).propose(reference)
            for here in markets
        )

    def proposed_at_arrival(self, reference=None, **slo):
        found = []
        with_context(
            lambda context: found.append(self.proposed(context, *context.waiting, reference)),
            queries_at(1.0, **slo),
            nodes=ONE_CLOUD,
        )
        return found[0]

    def proposed_as_it_runs(self, reference, **slo):
        found = []

        def act(context):
            for query in context.running:
                found.append(self.proposed(context, query, reference))
            for query in context.waiting:
                context.deploy(query, next(context.candidates(query)))

        with_context(act, queries_at(1.0, 8.0, **slo), horizon_s=10.0, nodes=ONE_CLOUD)
        return found[0]

    @pytest.mark.parametrize("reference", [None, 100.0])
    def test_a_waiting_query_first_tries_plans_with_room(self, reference):
        """Whether a plan is known that would do, or not."""
        idle, full = self.proposed_at_arrival(reference, latency_s=2.0, accuracy=0.8)
        assert full == self.STANDS != idle

    def test_a_running_query_without_a_feasible_plan_first_tries_plans_with_room(self):
        idle, full = self.proposed_as_it_runs(None, latency_s=2.0, accuracy=0.8)
        assert full == self.STANDS != idle

    def test_a_served_query_tries_the_best_plans_whether_or_not_they_have_room(self):
        idle, full = self.proposed_as_it_runs(100.0, latency_s=2.0, accuracy=0.8)
        assert full == idle != self.STANDS

    def test_plans_with_room_that_are_unlikely_to_suffice_are_not_preferred(self):
        idle, full = self.proposed_at_arrival(latency_s=0.5)
        assert full == idle != self.STANDS


def test_a_small_budget_is_spent_as_well():
    profiled = []

    def act(context):
        [query] = context.waiting
        CmboSearch(warm_start=COLD).run(context, query, market(context), 0.9, improve=False)
        profiled.append(len(search_state(context, query).profiled))

    with_context(act, queries_at(1.0), budget_s=0.9)
    assert profiled[0] > 0
