"""Queries whose records a planner crash lost are taken up again, whichever were lost."""

from dataclasses import replace

import pytest
from compass_worlds import ONE_CLOUD, market, with_context
from worlds import queries_at

from planners.compass.runtime.fleet import recover_lost
from planners.compass.runtime.orders import order, orders_of
from planners.compass.runtime.watch import active_record, serving
from planners.compass.scheduling.repacking import REPACK, PendingRepack, to_order
from planners.compass.search.search import CmboSearch
from planners.compass.state.records import (
    SEARCH,
    SERVICE,
    ActivePlan,
    SearchState,
    keep_search_state,
    publish_search_state,
    search_state,
    update_service,
)
from scenarios.queries import Query
from sim import PlanningContext

CMBO = CmboSearch()


class Lost:
    """A query that is served, of which some records are lost.

    Args:
        lost: keys of records.
        other: whether something was profiled for it besides the plan in force, and is still known.
    """

    def __init__(self, lost: tuple[str, ...], other: bool) -> None:
        self.lost, self.other = lost, other
        self.looked_at: set[int] | None = None
        with_context(self.act, queries_at(1.0, 1.9), nodes=ONE_CLOUD)

    def act(self, context: PlanningContext) -> None:
        if context.running and self.looked_at is None:
            [query] = context.running
            self.lose(context, query)
            known: ActivePlan | None = serving(context, query)
            uses = {} if known is None else {query.id: known.uses}
            self.looked_at = recover_lost(context, market(context, uses), CMBO, ())
            self.record = serving(context, query)
            self.found: SearchState = search_state(context, query)
            self.orders = orders_of(context)
            self.plan = context.plan_of(query)
        elif context.waiting and not context.running:
            [query], made = context.waiting, market(context)
            number = CMBO.run(context, query, made, 5.0, improve=False)[0].number
            view, found = (
                context.bulk.view(query, CMBO.model.choices),
                search_state(context, query),
            )
            plan = view.plan(number)
            order(
                context,
                query,
                active_record(context, query, made.pools, view, number, plan, found, 0.7),
            )

    def lose(self, context: PlanningContext, query: Query) -> None:
        if SEARCH in self.lost:
            shown = {}
            if self.other:
                other = context.world.pipeline.configurations[-1]
                assert other != context.plan_of(query).configuration
                shown = {other.index: CMBO.look(context, query, other)}
            publish_search_state(context, query.id, SearchState(shown, spent_s=1.0))
        if SERVICE in self.lost:
            update_service(context, query.id, ordered=None)


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("lost", [(SEARCH,), (SERVICE,), (SEARCH, SERVICE)])
def test_lost_records_are_written_again(lost, other):
    made = Lost(lost, other)
    assert made.looked_at == {0}
    assert made.record.plan == made.plan
    assert made.plan.configuration.index in made.found.profiled
    assert len(made.found.profiled) == 1 + (other and SEARCH in lost)
    assert made.orders == {}, "it is in force"
    if SEARCH in lost:
        assert made.found.spent_s == 1.0, "what was profiled by the last checkpoint costs nothing"


def test_without_lost_records_no_query_is_examined():
    assert Lost((), other=False).looked_at == set()


def test_plans_of_a_regrouping_are_not_ordered_once_their_profiles_are_lost():
    """Until its time is over, each call would fail on it."""
    missing = []

    def act(context):
        [query] = context.waiting
        offer = CMBO.run(context, query, market(context), 5.0, improve=False)[0]
        found: SearchState = search_state(context, query)
        for shown in (found.profiled, {}):
            keep_search_state(context, query, replace(found, profiled=shown))
            last = PendingRepack(context.now_s, {query.id: offer}, frozenset())
            context.remember(REPACK, last)
            missing.append(to_order(context, last, CMBO.model.choices))
        assert context.recall(REPACK).offers == {}

    with_context(act, queries_at(1.0), nodes=ONE_CLOUD)
    assert len(missing[0]) == 1
    assert missing[1] == []
