"""The query registry: queries are listed by state, in order of arrival."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from sim.cluster import queries as query_board
from sim.cluster.queries import QueryRegistry, QueryState

DEPLOYMENTS = [None, SimpleNamespace(plan="one"), SimpleNamespace(plan="other")]

steps = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "depart", "active", "loading", "searching"]),
        st.integers(0, 30),
        st.integers(0, 2),
    ),
    max_size=60,
)


@given(steps)
def test_queries_stand_where_their_states_say(steps):
    board, arrived = QueryRegistry(), 0
    for what, which, value in steps:
        living = list(board.living.values())
        if what == "arrive":
            # Ids need not ascend.
            board.arrive(QueryState(SimpleNamespace(id=(7 * arrived) % 101), None))
            arrived += 1
        elif living:
            state = living[which % len(living)]
            if what == "depart":
                board.depart(state.query.id)
                state.searching = True  # Nobody looks for it any more.
            elif what == "searching":
                state.searching = value > 0
            else:
                setattr(state, what, DEPLOYMENTS[value])
        states = list(board.living.values())
        idle = [state for state in states if not state.searching]
        assert list(board.waiting) == [each.query for each in idle if each.plan is None]
        assert list(board.running) == [each.query for each in idle if each.plan is not None]
        assert list(board.searching) == [each.query for each in states if each.searching]
        assert list(board.running_by_id.items()) == [(each.id, each) for each in board.running]
        plans = {each.query.id: each.plan for each in states if each.plan is not None}
        assert board.plans == plans


def test_the_last_that_departed_are_listed(monkeypatch):
    monkeypatch.setattr(query_board, "LISTED", 3)
    board, unlisted = QueryRegistry(), []
    queries = [SimpleNamespace(id=number) for number in range(6)]
    for query in queries:
        board.arrive(QueryState(query, None))
    for query in reversed(queries):
        unlisted.append(board.depart(query.id))
    assert unlisted == [None, None, None, queries[5], queries[4], queries[3]]
    assert list(board.departed) == [queries[2], queries[1], queries[0]]
