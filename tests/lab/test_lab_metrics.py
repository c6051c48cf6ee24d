"""Metrics are declared once, and documented as they are declared."""

import re
from pathlib import Path

from lab import run
from lab.common.metrics import BY_TIER, CLAIMED, METRICS
from lab.what_if.question import numbers

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "summary.md"


def documented():
    """Unit by key, from the table of the summary's keys."""
    table = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", table, flags=re.M)
    assert len(rows) == len(dict(rows))
    return {key: unit.strip() for key, unit in rows}


def test_the_documentation_has_each_metric_with_its_unit():
    found = documented()
    missing = METRICS.keys() - found.keys()
    assert not missing, f"docs/reference/summary.md lacks {sorted(missing)}"
    assert {name: found[name] for name in METRICS} == {
        name: metric.unit for name, metric in METRICS.items()
    }
    assert BY_TIER.keys() <= found.keys()


def test_the_summary_of_a_run_has_the_keys_that_the_documentation_has():
    result = run(["experiment=speech_small", "horizon_s=30", "planner=cheapest_feasible"])
    assert list(result.summary) == list(documented())
    assert {name for name in numbers(result) if "." not in name} - {"seed"} <= METRICS.keys()


def test_metrics_that_reports_make_claims_of_say_what_the_best_planner_has():
    assert all(metric.best and metric.more_is_better is not None for metric in CLAIMED)
