"""The guide to a search for Compass: it shows the example's file, which runs and is short."""

import inspect
import re
from pathlib import Path

import pytest

from lab import run
from planners.compass.profiling.profiler import Profiler
from planners.compass.runtime.watch import Runtime
from planners.compass.scheduling.scheduler import Scheduler
from planners.compass.search.search import Search

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLE = DOCS / "examples" / "my_search"
CODE = (EXAMPLE / "my_search.py").read_text(encoding="utf-8")
PAGE = (DOCS / "how_to" / "a_search_for_compass.md").read_text(encoding="utf-8")


def test_the_page_shows_the_file_of_the_example():
    assert re.findall(r"^```python\n(.*?)^```$", PAGE, re.S | re.M) == [CODE]
    assert len(CODE.splitlines()) <= 60


@pytest.mark.parametrize("part", [Search, Profiler, Scheduler, Runtime])
def test_each_part_has_the_one_abstract_method_that_the_page_names(part):
    [method] = [name for name, value in inspect.getmembers(part) if _is_abstract(value)]
    assert f"| `{part.__module__}.{part.__name__}` | `{method}` |" in PAGE


def _is_abstract(value):
    return getattr(value, "__isabstractmethod__", False)


def test_the_example_runs(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE)
    [command, _] = re.findall(r"^compass-sim (.*)$", PAGE, re.M)
    result = run([*command.split(), "horizon_s=120", "switching=free"])
    assert result.summary["planner_errors"] == 0
    assert result.summary["profiles_measured"] > 0
    assert result.summary["service_goodput_mean"] > 0
