"""Queries whose record a crash of the planner has lost are taken up, whatever of it was lost."""

from dataclasses import replace

import pytest
from compass_worlds import ONE_CLOUD, arriving, at_desk, market

from planners.compass.runtime.orders import order, orders_of
from planners.compass.runtime.recovery import take_up
from planners.compass.runtime.watch import IN_FORCE, InForce, in_force, serving
from planners.compass.scheduling.pending_repack import REGROUPED, Regrouped, to_order
from planners.compass.search.search import FOUND, CmboSearch
from planners.compass.state.known import Found
from scenarios.queries import Query
from sim import PlanningContext

SEARCH = CmboSearch()


class Lost:
    """A query that is served, of which some records are lost.

    Args:
        lost: keys of records.
        other: whether something was profiled for it besides the plan in force, and is still known.
    """

    def __init__(self, lost: tuple[str, ...], other: bool) -> None:
        self.lost, self.other = lost, other
        self.looked_at: set[int] | None = None
        at_desk(self.act, arriving(1.0, 1.9), nodes=ONE_CLOUD)

    def act(self, context: PlanningContext) -> None:
        if context.running and self.looked_at is None:
            [query] = context.running
            self.lose(context, query)
            known: InForce | None = serving(context, query)
            uses = {} if known is None else {query.id: known.uses}
            self.looked_at = take_up(context, market(context, uses), SEARCH, ())
            self.record = serving(context, query)
            self.found: Found = context.recall((FOUND, query.id), query)
            self.orders = orders_of(context)
            self.plan = context.plan_of(query)
        elif context.waiting and not context.running:
            [query], made = context.waiting, market(context)
            number = SEARCH.run(context, query, made, 5.0, improve=False)[0].number
            view, found = (
                context.bulk.view(query, SEARCH.model.choices),
                context.recall((FOUND, 0), query),
            )
            plan = view.plan(number)
            order(
                context, query, in_force(context, query, made.pools, view, number, plan, found, 0.7)
            )

    def lose(self, context: PlanningContext, query: Query) -> None:
        if FOUND in self.lost:
            shown = {}
            if self.other:
                other = context.world.pipeline.configurations[-1]
                assert other != context.plan_of(query).configuration
                shown = {other.index: SEARCH.look(context, query, other)}
            context.remember((FOUND, query.id), Found(shown, spent_s=1.0))
        if IN_FORCE in self.lost:
            context.remember((IN_FORCE, query.id), None)


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("lost", [(FOUND,), (IN_FORCE,), (FOUND, IN_FORCE)])
def test_what_is_lost_is_put_on_record_again(lost, other):
    made = Lost(lost, other)
    assert made.looked_at == {0}
    assert made.record.plan == made.plan
    assert made.plan.configuration.index in made.found.shown
    assert len(made.found.shown) == 1 + (other and FOUND in lost)
    assert made.orders == {}, "it is in force"
    if FOUND in lost:
        assert made.found.spent_s == 1.0, "what was profiled by the last checkpoint costs nothing"


def test_where_nothing_is_lost_nobody_is_looked_at():
    assert Lost((), other=False).looked_at == set()


def test_what_a_regrouping_found_is_not_ordered_where_its_reason_is_lost():
    """Until its time is over, each call would fail on it."""
    missing = []

    def act(context):
        [query] = context.waiting
        offer = SEARCH.run(context, query, market(context), 5.0, improve=False)[0]
        found: Found = context.recall((FOUND, query.id), query)
        for shown in (found.shown, {}):
            context.remember((FOUND, query.id), replace(found, shown=shown), query)
            last = Regrouped(context.now_s, {query.id: offer}, frozenset())
            context.remember(REGROUPED, last)
            missing.append(to_order(context, last, SEARCH.model.choices))
        assert context.recall(REGROUPED).offers == {}

    at_desk(act, arriving(1.0), nodes=ONE_CLOUD)
    assert len(missing[0]) == 1
    assert missing[1] == []
