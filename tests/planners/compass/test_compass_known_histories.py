"""Histories that searches start from: the same as a new look-up of every query's record."""

from dataclasses import replace
from itertools import islice

from compass_worlds import ONE_CLOUD
from worlds import queries_at, run, scenario

from planners.common.weak_cache import Kept
from planners.compass.compass import Compass
from planners.compass.search import history as module
from planners.compass.search.history import known_histories
from planners.compass.state.records import search_settled, seen_search_state
from scenarios.cluster import Profiling
from scenarios.drift import Drift, DriftEvent

LOOKED_AT, LEAST_MEASURED = 20, 2


class Watched(Compass):
    """Compass; every call compares the histories that are known with each query's record."""

    seen = 0
    late = 0
    wrong = ()

    def plan(self, context):
        super().plan(context)
        module.KEPT = Kept()  # Look them up once more.
        departed = list(islice(context.bulk.last_departed(), LOOKED_AT))[::-1]
        Watched.late += not all(search_settled(context, [query.id for query in departed]))
        for dataset in context.world.datasets:
            known = known_histories(context, dataset, LEAST_MEASURED)
            kept = {
                query.id: state.history
                for query in (*context.running[-LOOKED_AT:], *departed)
                if query.dataset == dataset
                and (state := seen_search_state(context, query.id)) is not None
                and state.history is not None
                and state.history.measured >= LEAST_MEASURED
            }
            if (
                known.query.tolist() != list(kept)
                or [id(history) for history in known.histories] != [*map(id, kept.values())]
                or known.content.tolist() != [each.content.tolist() for each in kept.values()]
            ):
                Watched.wrong = (*Watched.wrong, context.now_s)
            Watched.seen += len(kept)


def test_known_histories_are_those_in_the_records_of_queries(monkeypatch):
    """Also where a search outlives its query, and where a crash loses the last records."""
    monkeypatch.setattr(module, "LOOKED_AT", LOOKED_AT)
    Watched.seen, Watched.late, Watched.wrong = 0, 0, ()
    workload = replace(
        queries_at(*(0.5 * number for number in range(150))),
        lifetime_mean_s=4.0,
        lifetime_min_s=0.5,
        datasets={"LibriSpeech": 0.6, "VOiCES": 0.4},
    )
    crashes = tuple(
        DriftEvent("planner_crash", at_s, duration_s=duration_s)
        for at_s, duration_s in ((33.2, 2.0), (52.9, 15.0))
    )
    world = run(
        scenario(
            80.0,
            workload=workload,
            nodes=ONE_CLOUD,
            drift=Drift(crashes),
            profiling=Profiling(checkpoint_every_s=5.0),
        ),
        Watched(),
    )
    assert world.planner_errors == []
    assert world.planner_crashes == 2
    assert len(world.planning_service.registry.departed) > 3 * LOOKED_AT
    assert Watched.seen > 1000, "queries left histories"
    assert Watched.late > 0, "some were searched for when they left"
    assert not Watched.wrong
