"""Rows of tables that are written by hand, for tests that read runs."""


def window(index, **values):
    """Return the row of a window of a minute that was met, but for some values."""
    row = {
        "query": 0,
        "tier": "standard",
        "window": index,
        "start_s": 60.0 * index,
        "end_s": 60.0 * (index + 1),
        "active_s": 60.0,
        "deployed_s": 60.0,
        "met": True,
        "latency_met": True,
        "accuracy_met": True,
        "cost_met": True,
        "repeated": False,
        "final": True,
        "requests": 10,
        "good": 10,
        "completed": 10,
        "unserved": 0,
        "lost": 0,
        "dropped": 0,
        "shed": 0,
        "latency_mean_s": 0.5,
        "latency_p50_s": 0.5,
        "latency_p95_s": 1.0,
        "latency_p99_s": 1.0,
        "slo_latency_s": 2.0,
        "accuracy": 0.9,
        "cost_usd": 0.01,
    }
    return row | values


def of_seeds(**planners):
    """Return summaries of runs with one metric, ``x``, from values by planner, seed by seed."""
    return [
        {"seed": seed, "planner": planner, "x": value}
        for planner, values in planners.items()
        for seed, value in enumerate(values)
    ]


def summary(planner):
    """Return the values that every run's summary has, for a finished run of ten minutes."""
    return {
        "planner": planner,
        "planner_class": f"planners.{planner}",
        "planner_parameters": {},
        "planner_sees_truth": False,
        "status": "finished",
        "seed": 0,
        "horizon_s": 600.0,
        "simulated_s": 600.0,
    }
