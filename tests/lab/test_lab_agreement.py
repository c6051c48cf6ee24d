"""``compass-lab agree``: it finds every difference between data planes, and nothing else."""

import re

import numpy as np
import polars as pl
import pytest

from lab.cli.tools import main
from lab.runs.agreement import compare_requests, compare_tables
from lab.runs.api import run
from sim.dataplane.base.interface import COMPLETED, DROPPED, OUTCOMES
from sim.dataplane.base.request_rows import (
    ARRIVAL,
    COMPUTE,
    DEPLOYMENT,
    ENDED,
    NUMBER,
    OUTCOME,
    QUERY,
    VISIT,
    line_of,
    width,
)
from sim.metrics.results import SCHEMAS

SPEECH = ["experiment=speech_small", "switching=free", "horizon_s=60", "seed=3"]
GREEDY = [*SPEECH, "planner=greedy"]
OPERATORS = ["first", "second"]
PLANES = """
from time import sleep

import numpy as np
from scenarios import compiled
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.base.request_rows import COMPUTE, NUMBER, OUTCOME, QUERY, line_of

class Altered:
    def __init__(self, recorder):
        self.recorder = recorder

    def record(self, rows, born, ended):
        rows = rows.copy()
        here = ended[(rows[ended, QUERY] == 1) & (rows[ended, NUMBER] >= 2)]
        here = here[rows[here, OUTCOME] == 0]
        rows[here, line_of(0) + COMPUTE] += 1
        self.recorder.record(rows, born, ended)

class LongerByANanosecond(BlocksPlane):
    def __init__(self, recorder):
        super().__init__(Altered(recorder))

class Doubled:
    def __init__(self, recorder):
        self.recorder = recorder

    def record(self, rows, born, ended):
        self.recorder.record(rows, np.repeat(born, 2), ended)

class BornTwice(BlocksPlane):
    def __init__(self, recorder):
        super().__init__(Doubled(recorder))

class Compiling(BlocksPlane):
    def advance(self, until_ns):
        if until_ns == 10**9:
            sleep(1.0)
            compiled._compilation.spent_s += 1.0
        super().advance(until_ns)

class Failing(BlocksPlane):
    def advance(self, until_ns):
        if until_ns > 20 * 10**9:
            raise ZeroDivisionError("nothing left")
        super().advance(until_ns)
"""

MINE = """# @package _global_
defaults:
  - speech_small
  - override /planner: greedy
  - override /drift: device_slowdown
horizon_s: 60.0
workload:
  rate: 0.3
"""


@pytest.fixture
def planes(tmp_path, monkeypatch):
    (tmp_path / "own_planes.py").write_text(PLANES)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.slow
def test_planes_agree_under_every_planner_of_a_comparison(capsys):
    overrides = [*SPEECH, "drift=machine_failure", "workload.rate=0.2"]
    assert main(["agree", *overrides]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "cheapest_feasible",
        "videostorm",
        "compass",
    ]
    result = run([*overrides, "planner=videostorm"])
    rows = sum(getattr(result, name).height for name in SCHEMAS)
    assert result.summary["requests"] > 100
    assert (
        f"agree on {result.summary['requests']:,} requests and {rows:,} rows of tables" in lines[1]
    )


@pytest.mark.parametrize("queues", ["discipline=edf", "discipline=priority", "shed_late=true"])
def test_planes_agree_on_queues_that_are_not_fifo_or_shed(queues, capsys):
    crowd = ["workload.rate=0.3", "cluster.max_utilisation=0.95", f"cluster.{queues}"]
    assert main(["agree", *GREEDY, *crowd]) == 0
    assert "Greedy: EventsPlane and BlocksPlane agree on" in capsys.readouterr().out


def test_compiling_counts_as_no_time_and_a_short_run_gives_no_ratio(planes, capsys):
    words = [*GREEDY, "workload.rate=0", "data_plane._target_=own_planes.Compiling"]
    assert main(["agree", *words]) == 0
    said = capsys.readouterr().out
    assert "agree on 0 requests" in said
    assert re.search(r"they took 0\.\d\d s and 0\.\d\d s of wall time\n$", said)


@pytest.mark.slow
def test_planes_agree_on_a_scenario_in_a_file_of_ones_own(tmp_path, capsys):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(MINE)
    assert main(["agree", "experiment=mine", "--config-dir", str(tmp_path), "seed=3"]) == 0
    found = run([f"hydra.searchpath=['file://{tmp_path}']", "experiment=mine", "seed=3"])
    assert f"agree on {found.summary['requests']:,} requests" in capsys.readouterr().out


def test_a_directory_of_files_that_is_not_there_is_named(tmp_path, refused):
    (tmp_path / "settings").mkdir()
    missing = str(tmp_path / "setings")
    assert refused("agree", "--config-dir", missing, "experiment=mine") == (
        f"compass-lab: --config-dir={missing}: no such directory; did you mean "
        f"{tmp_path / 'settings'}?\n"
    )


def test_a_nanosecond_is_found_and_shown(planes, capsys):
    assert main(["agree", *GREEDY, "data_plane._target_=own_planes.LongerByANanosecond"]) == 1
    out, err = capsys.readouterr()
    found = re.fullmatch(
        r"compass-lab: planner Greedy: by (\d+) s, the data planes differ in request (\d+) of "
        r"query 1: (\w+)_compute_ns is (\d+) in EventsPlane and (\d+) in LongerByANanosecond\n",
        err,
    )
    by_s, number, operator, one, other = found.groups()
    assert int(other) == int(one) + 1
    table = run([*GREEDY, "requests=true"]).requests
    late = table.filter(pl.col("query") == 1, pl.col("number") >= 2, outcome=COMPLETED)
    first = late.row(0, named=True)
    assert int(number) == first["number"]
    assert first[f"{operator}_compute_s"] == int(one) / 1e9
    # An end is told at the tick that follows it, which the world takes when it goes on.
    assert int(by_s) == np.ceil(first["ended_s"]) + 1
    assert "all differences" in out
    assert other in out


def test_a_difference_that_only_tables_show_is_found(planes, capsys):
    assert main(["agree", *GREEDY, "data_plane._target_=own_planes.BornTwice"]) == 1
    assert re.search(
        r": by 60 s, the data planes differ in row 0 of table queries \(query \d+\): "
        r"response_time_s is [\d.]+ in EventsPlane and null in BornTwice\n",
        capsys.readouterr().err,
    )


def test_a_plane_that_raises_is_named(planes, capsys):
    assert main(["agree", *GREEDY, "data_plane._target_=own_planes.Failing"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1] == (
        "compass-lab: planner Greedy: Failing failed between 21 and 22 s: "
        "ZeroDivisionError: nothing left"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["data_plane=events"],
            "data_plane._target_=sim.dataplane.events.plane.EventsPlane: is the ref",
        ),
        (["experiment=speech_smal"], "experiment=speech_smal: there is no such experiment; ch"),
        (["experiment=fig02_chat"], "experiment=fig02_chat: there is no such experiment; it is"),
        (["speech_small"], "speech_small: not a valid override; write"),
        (["horizon_s=0.1"], "horizon_s=0.1: must be 1 s or more"),
        (["hydra.run.dir=here"], "hydra.run.dir=here: Hydra's own keys work in compass-sim only;"),
        (["data_plane._target_=planners.Greedy"], "data_plane._target_=planners.Greedy: is not a"),
    ],
)
def test_bad_input_gets_one_sentence(words, sentence, refused):
    assert refused("agree", *words).startswith(f"compass-lab: {sentence}")


def ends(*requests):
    """Return rows of requests (ended, query, number, outcome, compute of the first operator)."""
    rows = np.zeros((len(requests), width(len(OPERATORS))), np.int64)
    rows[:, DEPLOYMENT] = 4
    for row, (ended_ns, query, number, outcome, compute_ns) in zip(rows, requests, strict=True):
        row[[ENDED, QUERY, NUMBER, OUTCOME]] = ended_ns, query, number, OUTCOMES.index(outcome)
        row[ARRIVAL], row[line_of(0) + COMPUTE] = 5, compute_ns
    return rows


def test_fields_without_a_defined_value_are_not_compared():
    one, other = (ends((30, 1, 1, DROPPED, ns), (40, 1, 2, COMPLETED, 9)) for ns in (7, 0))
    other[:, VISIT] = 3
    assert compare_requests(one, other, OPERATORS) is None


def test_the_first_request_that_differs_is_told():
    same = (10, 0, 0, COMPLETED, 3)
    one = ends(same, (30, 1, 1, COMPLETED, 7), (50, 2, 0, COMPLETED, 7))
    other = ends(same, (40, 2, 0, COMPLETED, 7), (60, 1, 1, DROPPED, 7))
    assert compare_requests(one, other, OPERATORS) == (
        "request 1 of query 1",
        {
            "first_compute_ns": (7, 0),  # of a request that was dropped, the parts are cleared
            "outcome": (COMPLETED, DROPPED),
            "ended_ns": (30, 60),
        },
    )


@pytest.mark.parametrize("swapped", [False, True])
def test_a_request_that_ended_once_only_or_twice_is_told(swapped):
    first, second = (10, 0, 0, COMPLETED, 3), (20, 1, 1, COMPLETED, 3)

    def told(*pair):
        return compare_requests(*(pair[::-1] if swapped else pair), OPERATORS)

    order = -1 if swapped else 1
    once = f"{COMPLETED} at 20 ns"
    assert told(ends(first), ends(first, second)) == (
        "request 1 of query 1",
        {"end": ("not yet", once)[::order]},
    )
    assert told(ends(first, second), ends(first, second, second)) == (
        "request 1 of query 1",
        {"end": (once, f"{once} and {once}")[::order]},
    )


def test_the_first_row_of_a_table_that_differs_is_told():
    one = pl.DataFrame({"query": [1, 2, 3], "window": [7, 8, 9], "cost_usd": [0.5, None, 1.0]})
    nan = one.with_columns(cost_usd=pl.Series([float("nan"), None, 1.0]))
    assert compare_tables("windows", nan, nan.clone()) is None
    what = "row 100 of table windows (query 1, window 7)"
    told, values = compare_tables("windows", one, nan, before=100)
    assert told == what
    assert list(values) == ["cost_usd"]
    assert values["cost_usd"][0] == 0.5
    other = one.with_columns(window=pl.Series([7, 8, 0]), cost_usd=pl.Series([0.5, 0.0, 1.0]))
    assert compare_tables("windows", one, other) == (
        "row 1 of table windows (query 2, window 8)",
        {"cost_usd": (None, 0.0)},
    )
    assert compare_tables("windows", one.head(2), one, before=10) == (
        "row 12 of table windows (query 3, window 9)",
        {"rows": (12, 13)},
    )
