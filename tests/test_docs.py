"""The pages on results and planning: their examples run, and they leave nothing out."""

import inspect
import re
import shlex
import subprocess
from dataclasses import fields
from pathlib import Path

import polars as pl
import pytest
from pages import blocks, call, commands

import lab
import planners
import sim
from hardware_models.links.technologies import technologies
from lab import run
from lab.analysis.comparison import DIFFERENCES_SCHEMA, MEANS_SCHEMA
from lab.common.options import groups, planner_names
from lab.runs.run_directory import planner_directories, read_summary
from scenarios.network import Network
from sim import BulkOperations, PlanningContext, WorldState
from sim.api.charges import CHARGES_S
from sim.api.window_report import WindowReport
from sim.metrics.results import SCHEMAS

DOCS = Path(__file__).parent.parent / "docs"
RESULTS = "".join(
    (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("tables", "bill", "summary", "results")
)
HARDWARE = (DOCS / "concepts" / "hardware.md").read_text(encoding="utf-8")
PLANNING = (DOCS / "concepts" / "planning.md").read_text(encoding="utf-8")
PLANNING_BULK = (DOCS / "concepts" / "planning_bulk.md").read_text(encoding="utf-8")
COMPASS = (DOCS / "concepts" / "compass.md").read_text(encoding="utf-8")
PLANNERS = "".join(
    (DOCS / "concepts" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("planners", "baselines")
)
WHAT_IF = (DOCS / "how_to" / "what_if.md").read_text(encoding="utf-8")
REPORTS = (DOCS / "how_to" / "reports.md").read_text(encoding="utf-8")
DATA_PLANES = (DOCS / "concepts" / "data_planes.md").read_text(encoding="utf-8")


def section(page, title):
    return re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", page, re.S | re.M)[1]


def first_cells(text):
    """Return what stands in backticks in the first column of the tables of a text."""
    cells = re.findall(r"^\|([^|]*)\|", text, re.M)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize("table", SCHEMAS)
def test_results_list_every_column(table):
    assert sorted(first_cells(section(RESULTS, table))) == sorted(SCHEMAS[table])


def test_every_column_of_a_comparison_is_explained():
    listed = first_cells(section(RESULTS, "Frames of a comparison"))
    assert listed == [*MEANS_SCHEMA, *DIFFERENCES_SCHEMA]


def test_every_field_of_telemetry_is_explained():
    text = PLANNING.partition("A window of telemetry")[2].partition("## ")[0]
    assert first_cells(text) == [field.name for field in fields(WindowReport)]


def test_results_list_every_column_of_requests_and_their_example_runs(folder, monkeypatch, capsys):
    command = re.search(r"`(compass-sim [^`]*requests=true[^`]*)`", RESULTS)[1]
    call(monkeypatch, f"{command} figures=false horizon_s=120 switching=free")
    code = blocks(RESULTS, "python")[0]
    names = {"pl": pl}
    exec(compile(code, "tables.md", "exec"), names)
    slowest = names["slowest"].collect()
    assert set(slowest["planner"]) == {"cheapest_feasible", "videostorm", "compass"}
    operators = {
        name.removesuffix("_compute_s") for name in slowest.columns if name.endswith("_compute_s")
    }
    assert operators
    listed = re.sub(r"\bOPERATOR_", "operator_", section(RESULTS, "requests"))
    expected = {
        re.sub(rf"^({'|'.join(operators)})_", "operator_", name)
        for name in names["requests"].collect_schema()
    }
    assert set(first_cells(listed)) == expected - {"path"}


WORDS = {"four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}


def test_pages_count_the_applications_and_notebooks_that_there_are():
    root = DOCS.parent
    readme = " ".join((root / "README.md").read_text(encoding="utf-8").split())
    page = (DOCS / "concepts" / "applications.md").read_text(encoding="utf-8")
    described = re.findall(r"^## `(\w+)`", page, re.M)
    assert sorted(described) == sorted(groups()["application"])
    for text in (readme, page):
        counts = re.findall(r"\b(\w+) (?:compound-AI )?applications\b", text)
        assert {WORDS.get(each.lower()) for each in counts} - {None} == {len(described)}
    notebooks = list((root / "notebooks").glob("[0-9]*_*.py"))
    [count] = re.findall(r"(\w+) notebooks, from first steps", readme)
    assert WORDS[count] == len(notebooks)


def test_results_list_every_key_of_a_summary():
    summary = run(["experiment=speech_small", "horizon_s=30"]).summary
    assert sorted(first_cells(section(RESULTS, "summary.json"))) == sorted(summary)


def test_rows_on_the_screen_are_named_as_in_results():
    from lab.common.console import _rows

    labels = _rows(run(["experiment=speech_small", "horizon_s=30"]).summary)
    lines = section(RESULTS, "summary.json").splitlines()
    shown = {line.split("|")[4].strip() for line in lines if line.startswith("| `")}
    for label in labels.keys() - {"service goodput, queries", "simulated"}:
        assert label in shown


@pytest.mark.slow
def test_the_sweep_of_the_results_page_can_be_read(folder, monkeypatch, capsys):
    [command] = commands(RESULTS)
    call(monkeypatch, f"{command} figures=false")
    names = {}
    code = blocks(RESULTS, "python")[-1]
    exec(compile(code, "results.md", "exec"), names)
    sweep = folder / "multirun" / "example"
    expected = sorted(
        (one["planner"], one["seed"], one["service_goodput_mean"])
        for one in map(read_summary, planner_directories(sweep).values())
    )
    assert len(expected) == 4
    for row, (planner, seed, goodput) in zip(names["by_run"].rows(), expected, strict=True):
        assert row[:2] == (planner, seed)
        assert row[2] == pytest.approx(goodput)


def test_the_links_and_devices_of_the_hardware_page_can_be_had(folder, monkeypatch, capsys):
    for name in ("up.csv", "down.csv"):
        (folder / name).write_text("time_s,rate_bps\n0,2e7\n1,1e7\n2,3e7\n", encoding="utf-8")
    links, devices = commands(HARDWARE)
    call(monkeypatch, f"{links} horizon_s=60 figures=false planner=videostorm")
    queries = pl.read_parquet(next(folder.rglob("queries")))
    assert set(queries["technology"]) == {"car"}, "a mapping set whole replaces what was there"
    call(monkeypatch, f"{devices} horizon_s=60 figures=false planner=videostorm hydra.run.dir=two")
    queries = pl.read_parquet(next((folder / "two").rglob("queries")))
    assert queries["device"].str.contains("Jetson|Raspberry").all()


def test_the_hardware_page_is_right_about_far_round_trips():
    sentence = r"difference is ([\d.]+) ms, whereas (\d+) km of fibre would add ([\d.]+) ms"
    text = re.search(sentence, HARDWARE)
    measured_ms, km, fibre_ms = map(float, text.groups())
    assert 1e3 * Network().backhaul_round_trip_s == pytest.approx(measured_ms, abs=0.05)
    far = Network(backhaul_km=km)
    assert 1e3 * far.backhaul_round_trip_s == pytest.approx(fibre_ms, abs=0.05)


def test_parts_of_latency_add_up_as_the_results_page_says():
    short = ["experiment=speech_small", "horizon_s=120", "switching=free"]
    result = run([*short, "planner=videostorm"])
    parts = pl.sum_horizontal("queueing_s", "batching_s", "compute_s", "transfer_s")
    sums = result.operators.group_by("query", "window").agg(parts.sum().alias("sum"))
    both = sums.join(result.windows, on=["query", "window"])
    assert both.height == result.windows.filter(pl.col("latency_mean_s").is_not_nan()).height > 0
    assert both["sum"].to_list() == pytest.approx(both["latency_mean_s"].to_list())


def test_the_data_planes_page_names_what_there_is_and_its_command_runs(monkeypatch, capsys):
    root = DOCS.parent
    for path in re.findall(r"`((?:sim|tests)/[\w/*.]+)`", DATA_PLANES):
        assert list(root.glob(path)), path
    [command] = commands(DATA_PLANES)
    call(monkeypatch, command)
    assert "EventsPlane and BlocksPlane agree on" in capsys.readouterr().out


def test_the_limits_of_the_data_planes_page_hold():
    from sim.dataplane.base.durations import NOMINAL, NS_PER_S
    from sim.dataplane.base.rate_profile import RateProfile
    from sim.dataplane.blocks.tables import RowPool

    text = " ".join(DATA_PLANES.split())
    gigabytes, hours = map(
        float, re.search(r"up to (\d+) GB .* up to ([\d.]+) hours", text).groups()
    )
    message, service_ns = int(1e9 * gigabytes), int(3600 * hours) * NS_PER_S
    link = RateProfile((0, 5), (10, 1_000_000_000))
    assert link.finish_ns(0, message * NS_PER_S) == 5 + message
    station = RateProfile((0, 5), (0, NOMINAL // 2))
    assert station.finish_ns(0, service_ns * NOMINAL) == 5 + 2 * service_ns
    for beyond in ((message + 10**9) * NS_PER_S, (service_ns + 360 * NS_PER_S) * NOMINAL):
        assert beyond >= 2**63
    fixed, each = map(int, re.search(r"(\d+) \+ (\d+) n bytes", text).groups())
    for operators in range(1, 6):
        pool = RowPool(operators)
        for _ in range(2):
            pool.grow()  # What room to sort takes beside is soon little for each row.
        arrays = [value for value in vars(pool).values() if hasattr(value, "nbytes")]
        per_row = sum(array.nbytes for array in arrays) / len(pool.rows)
        assert per_row == pytest.approx(fixed + each * operators, rel=0.01)


@pytest.mark.parametrize(
    ("interface", "prefix", "page"),
    [
        (PlanningContext, "context", PLANNING),
        (WorldState, "context.world", PLANNING),
        (BulkOperations, "context.bulk", PLANNING_BULK),
    ],
)
def test_planning_names_every_member_of_the_context(interface, prefix, page):
    for name in {*dir(interface), *inspect.get_annotations(interface)}:
        if not name.startswith("_"):
            assert re.search(rf"`({re.escape(prefix)}\.)?{name}\b", page), name


def test_planning_is_read_in_ten_minutes():
    picture = r"!\[.*\n\n\*.*\*\n\n"
    assert len(re.sub(picture, "", PLANNING).splitlines()) < 250
    assert len(PLANNING_BULK.splitlines()) < 200


def test_planning_names_all_that_planners_import():
    for name in sim.__all__:
        assert re.search(rf"`{name}\b", PLANNING + PLANNING_BULK), name


def test_planning_names_every_charge():
    text = section(PLANNING, "What planning costs")
    for name, charge_s in CHARGES_S.items():
        assert re.search(rf"^\| `{name}` \| {charge_s * 1e6:,.0f} µs \|", text, re.M), name


def test_planning_names_every_field_that_planners_see():
    from dataclasses import fields

    from scenarios.applications.application import Configuration
    from scenarios.queries import Query
    from scenarios.slo import SLO
    from sim import (
        Allocation,
        Choices,
        Estimate,
        Plan,
        PlanView,
        Prediction,
        StationKind,
        Truth,
        WindowReport,
    )
    from sim.api.estimate import Measurement

    for kind in (
        *(Query, SLO, Plan, Allocation, Configuration, Estimate, Measurement, Prediction),
        *(WindowReport, Choices, PlanView, StationKind, Truth),
    ):
        names = Query._fields if kind is Query else [field.name for field in fields(kind)]
        for name in names:
            if not name.startswith("_"):
                assert f"`{name}`" in PLANNING + PLANNING_BULK, f"{kind.__name__}.{name}"


def test_the_counts_of_candidates_hold():
    from sim.catalogue.catalogue import Catalogue
    from sim.planning.plan_space import PlanSpace

    scenario = run(["experiment=speech_small", "horizon_s=30"]).scenario
    space = PlanSpace(Catalogue(scenario.application, scenario.cluster, scenario.network))
    assert f"{len(space):,} candidates" in PLANNING
    assert f"{len(space.layout_option)} layouts" in PLANNING
    assert int((space.list_price_usd_per_hour == 0).sum()) == 125


@pytest.mark.slow
def test_the_planner_of_the_planning_page_runs_and_keeps_the_contract(folder, monkeypatch, capsys):
    planner, *rest = blocks(PLANNING, "python")
    (folder / "my_pkg.py").write_text(planner, encoding="utf-8")
    names = {}
    for code in rest:
        exec(compile(code, "planning.md", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 1  # a check_planner in a test of one's own
    tests[0]()
    result = names["result"]
    assert result.summary["planner_errors"] == 0
    assert result.summary["horizon_s"] == 300
    assert result.summary["service_goodput_mean"] > 0
    for command in commands(PLANNING):
        quick = " horizon_s=60 figures=false" if command.startswith("compass-sim") else ""
        call(monkeypatch, command + quick)
    assert "Foresight" in capsys.readouterr().out


# The planners


def parameters(section_text):
    """Return the last names of what stands in backticks."""
    return set(re.findall(r"`(?:\w+\.)*(\w+)`", section_text))


SECTIONS = {
    "CheapestFeasible": "Teaching planners",
    "Greedy": "Teaching planners",
    "RandomFeasible": "Teaching planners",
    "SpareMachines": "Teaching planners",
    "VideoStormOnline": "VideoStorm",
    "StaticPlan": "Teaching planners",
    "CherryPick": "CherryPick",
    "ILP": "ILP, and the LP bound",
}


@pytest.mark.parametrize("name", planners.__all__)
def test_planners_page_tells_how_to_choose_every_parameter(name):
    kind = getattr(planners, name)
    text = COMPASS if name == "Compass" else section(PLANNERS, SECTIONS.get(name, name))
    named = parameters(text)
    missing = set(inspect.signature(kind).parameters) - named
    assert not missing


def test_planners_page_tells_how_to_choose_the_parameters_of_the_parts_of_compass():
    from planners.compass.scheduling.least_cost import LeastCost

    compass = planners.Compass()
    search = compass.search
    named = parameters(COMPASS)
    for part in (
        *(search, search.profiler, search.warm_start, search.model),
        *(compass.scheduler, LeastCost(), compass.runtime),
    ):
        assert type(part).__name__ in named
        missing = set(inspect.signature(type(part)).parameters) - named
        assert not missing, type(part).__name__


def test_every_planner_file_is_named_on_the_planners_page_and_its_base_in_the_readme():
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    files = planner_names()
    for name in files:
        bases = [other for other in files if name.startswith(f"{other}_")]
        if not bases:
            assert f"`{name}`" in readme, name
        if not re.search(r"_\d+s$", name):
            assert f"`{name}`" in PLANNERS + COMPASS, name


def test_the_planners_page_names_only_what_there_is(folder, monkeypatch, capsys):
    from studies.registry import STUDIES

    here = DOCS / "concepts"
    for page in (PLANNERS, COMPASS, PLANNING, PLANNING_BULK):
        for link, anchor in re.findall(r"\]\(([./\w]+\.md)?(#[\w-]+)?\)", page):
            assert not link or (here / link).is_file(), link
            linked = (here / link).read_text(encoding="utf-8") if link else page
            headings = re.findall(r"^#+ (.*)$", linked, re.M)
            anchors = {
                "#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
                for heading in headings
            }
            assert not anchor or anchor in anchors, anchor
    for experiment in re.findall(r"python -m studies (\w+)", PLANNERS + COMPASS):
        assert experiment in STUDIES


def test_the_code_of_the_planners_page_runs(monkeypatch):
    checked = []
    monkeypatch.setattr(sim, "check_planner", checked.append)
    names = {}
    for code in blocks(PLANNERS, "python"):
        exec(compile(code, "planners.md", "exec"), names)
    [planner] = checked
    assert isinstance(planner, planners.Greedy)
    [code] = blocks(COMPASS, "python")
    exec(compile(code, "compass.md", "exec"), names)
    assert names["planner"].search.profiler.samples == 100


@pytest.mark.slow
def test_the_commands_of_the_planners_page_run(folder, monkeypatch, capsys):
    runs = [each.partition("#")[0] for each in commands(PLANNERS) if each.startswith("compass-sim")]
    assert len(runs) == 5
    code = "from planners import Greedy\n\nclass MyPlanner(Greedy):\n    pass\n"
    (folder / "my_pkg.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    for number, command in enumerate(each.replace("seed=0,1", "seed=0") for each in runs):
        where = "sweep" if " -m " in command else "run"
        quick = f"horizon_s=5 figures=false hydra.{where}.dir={number}"
        call(monkeypatch, f"{command} {quick}")


def test_prices_are_halved_as_the_page_on_what_ifs_says(folder, monkeypatch, capsys):
    written, halved = (
        next(line for line in WHAT_IF.splitlines() if line.startswith(word))
        for word in ("compass-lab tables", "awk")
    )
    call(monkeypatch, written)
    command, path = halved.split(" > ")
    (folder / path).write_bytes(subprocess.check_output(shlex.split(command)))
    before, after = map(pl.read_csv, ("prices.csv", path))
    before = before.filter(pl.col("item").str.starts_with("a2-"))
    keys = ["item", "purchase", "region"]
    assert after.select(keys).equals(before.select(keys))
    price = "price_usd_per_hour"
    assert after[price].to_list() == pytest.approx((before[price] / 2).to_list(), rel=1e-5)
    [run_it] = re.findall(r"`(compass-sim [^`]*tables\.prices=[^`]*)`", WHAT_IF)
    quick = "horizon_s=5 figures=false planner=static_plan"
    call(monkeypatch, f"{run_it} {quick}")


@pytest.mark.slow
def test_the_page_on_reports_runs_and_names_every_file(folder, monkeypatch, capsys):
    sweep, report = commands(REPORTS)
    call(monkeypatch, f"{sweep} figures=false")
    call(monkeypatch, report)
    where = folder / "multirun" / "report" / "report"
    listed = set(re.findall(r"`(\w+\.parquet)`", section(REPORTS, "Files of a report")))
    assert listed == {path.name for path in where.glob("*.parquet")}
    names = {}
    exec(compile(blocks(REPORTS, "python")[0], "reports.md", "exec"), names)
    assert names["late"].height == 4


def test_the_reference_names_all_that_the_package_gives():
    page = (DOCS / "reference" / "lab.md").read_text(encoding="utf-8")
    for name in lab.__all__:
        home = getattr(lab, name)
        assert f"{home.__module__}.{home.__qualname__}\n" in page


def test_technologies_of_the_guide_on_link_traces_are_there():
    guide = (DOCS / "how_to" / "adding_a_link_trace.md").read_text(encoding="utf-8")
    for shares in re.findall(r"\{train: 1.0, (.*?)\}", guide):
        for share in shares.split(", "):
            assert share.partition(":")[0] in technologies()
