"""A world whose planner does one thing for each query that waits."""

from functools import partial

from worlds import Does, queries_at, run, scenario

from scenarios.applications.shipped import shipped_application

APPLICATION = shipped_application("speech_recognition")
CONFIGURATIONS = APPLICATION.pipeline.configurations
workload = partial(queries_at, dataset="VOiCES")


def plan_once(action, *times, budget_s=5.0, horizon_s=60.0, **cluster):
    """Run a world in which ``action(context, query)`` plans each waiting query; return it."""

    def act(context):
        for query in context.waiting:
            action(context, query)

    made = run(scenario(horizon_s, workload=workload(*times), **cluster), Does(act, budget_s))
    assert made.planner_errors == []
    made.frames = made.tables.take()
    return made
