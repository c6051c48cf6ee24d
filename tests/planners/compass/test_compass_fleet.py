"""What plans in force use, updated from call to call: the same as a new look-up."""

import gc

import pytest
from compass_worlds import ONE_CLOUD
from worlds import queries_at, run, scenario

from planners import Compass
from planners.common.weak_cache import KEPT
from planners.compass.runtime.fleet import fleet_of
from planners.compass.runtime.watch import serving
from scenarios.drift import Drift, DriftEvent

FIELDS = "query", "station", "operator_key", "filled", "backhaul"


class Watched(Compass):
    """Compass; every call compares what is carried on with what each query's record says."""

    seen = 0
    wrong = ()

    def plan(self, context):
        super().plan(context)
        fleet = fleet_of(context)
        order = (*context.running, *context.bulk.searching)
        uses = {
            query.id: known.uses
            for query in order
            if (known := serving(context, query)) is not None
        }
        if fleet.query.tolist() != list(uses) or any(
            getattr(fleet, name).tolist() != [list_of(getattr(one, name)) for one in uses.values()]
            for name in FIELDS[1:]
        ):
            Watched.wrong = (*Watched.wrong, context.now_s)
        Watched.seen += len(fleet)


def list_of(value):
    return value.tolist() if hasattr(value, "tolist") else value


@pytest.mark.slow
def test_it_is_what_each_querys_record_says():
    Watched.seen, Watched.wrong = 0, ()
    failure = DriftEvent("machine_failure", 60.0, node="cloud", machine=0, duration_s=20.0)
    crash = DriftEvent("planner_crash", 95.0, duration_s=10.0)
    run(
        scenario(
            150.0,
            workload=queries_at(*range(0, 80, 2)),
            nodes=ONE_CLOUD,
            drift=Drift((failure, crash)),
        ),
        Watched(),
    )
    assert Watched.seen > 500, "queries were served"
    assert not Watched.wrong


def test_what_is_kept_of_a_cluster_ends_with_its_world():
    """A thousand worlds in one process take no more memory than one."""

    def kept_after_a_world():
        run(scenario(60.0, workload=queries_at(*range(0, 40, 2)), nodes=ONE_CLOUD), Compass())
        gc.collect()
        return len(KEPT)

    assert kept_after_a_world() == kept_after_a_world()
