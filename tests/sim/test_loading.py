"""Loads of weights on one machine that share its bandwidth, or do not."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import Does, queries_at, run, scenario

from scenarios.cluster import Cluster, Node
from scenarios.drift import Drift, DriftEvent
from sim.api.plan import Plan
from sim.cluster.loading import share_bandwidth


def test_simultaneous_loads_end_one_after_the_other():
    busy = []
    assert [share_bandwidth(busy, 0, 10, took) for took in (5, 3, 0)] == [15, 18, 10]


def test_a_load_uses_what_earlier_ones_leave():
    """The first waits for its instance until 20; the second is ready at 10, and stands aside."""
    busy = []
    assert share_bandwidth(busy, 0, 20, 5) == 25
    assert share_bandwidth(busy, 1, 10, 12) == 27
    assert busy == [(10, 20), (20, 25), (25, 27)]
    assert share_bandwidth(busy, 26, 26, 1) == 28, "what has ended is forgotten"
    assert busy == [(25, 27), (27, 28)]


LOADS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30), st.integers(0, 20)), max_size=12)


@given(LOADS)
def test_bandwidth_is_idle_only_while_nothing_is_to_be_loaded(loads):
    """The last load ends when a single server would, which serves all in order of readiness."""
    busy, now, all_spans, ready = [], 0, set(), []
    ends = []
    for gap, wait, took in loads:
        now += gap
        ready.append((now + wait, took))
        ends.append(share_bandwidth(busy, now, now + wait, took))
        assert ends[-1] >= now + wait + took
        assert all(one[1] <= two[0] for one, two in pairwise(busy))
        all_spans.update(busy)
    assert sum(end - begin for begin, end in all_spans) == sum(took for _, took in ready)
    free = 0
    for start, took in sorted(each for each in ready if each[1]):
        free = max(free, start) + took
    assert free == max((end for end, (_, took) in zip(ends, ready, strict=True) if took), default=0)


def loaded_s(load_bandwidth, **changes):
    """Return how long each of three replicas on a machine takes until its weights are loaded."""

    def act(context):
        for query in context.waiting:
            plan = next(
                each
                for each in context.candidates(query)
                if set(each.placement) == {"cloud"} and each.allocation[2].profile == "1g.5gb"
            )
            several = [
                replace(share, replicas=3 if share.profile == "1g.5gb" else 1)
                for share in plan.allocation
            ]
            context.deploy(query, Plan(plan.configuration, plan.placement, tuple(several)))

    nodes = {"cloud": Node("cloud", "a2-highgpu-1g", standby=1)}
    queries = queries_at(1.0)
    made = run(
        scenario(
            200.0,
            nodes=nodes,
            workload=queries,
            load_bandwidth=load_bandwidth,
            load_bytes_per_s=1e8,
            **changes,
        ),
        Does(act),
    )
    held = made.tables.take()["allocations"].filter(profile="1g.5gb").sort("station", "replica")
    return (held["ready_s"] - held["from_s"]).to_list()


def test_replicas_that_load_on_one_machine_wait_for_each_other_if_they_share_its_bandwidth():
    """The creation of each instance takes 1 s, and does not wait for others."""
    alone, shared = loaded_s("per_instance"), loaded_s("per_machine")
    took_s = alone[0] - 1.0
    assert took_s > 1.0
    assert alone == pytest.approx([1.0 + took_s] * 3)
    assert shared == pytest.approx([1.0 + took_s, 1.0 + 2 * took_s, 1.0 + 3 * took_s])


def test_a_failed_machine_forgets_what_it_was_loading():
    failure = DriftEvent("machine_failure", at_s=3.0, node="cloud", duration_s=2.0)
    first, again = loaded_s("per_machine"), loaded_s("per_machine", drift=Drift([failure]))
    assert again == pytest.approx(first * 2)


def test_another_bandwidth_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="per_instance, per_machine") as refused:
        Cluster({"cloud": Node()}, load_bandwidth="machine")
    assert "\n" not in str(refused.value)
