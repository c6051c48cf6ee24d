"""The pages of "Start here": their numbers are those of the README's table, and of the runs.

``test_readme.py`` simulates that table, so a number that agrees with it is the present one.
"""

import re
import shlex
import sys
from pathlib import Path

import pytest

from lab.runs.run_directory import planner_directories, read_summary

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
START = {
    path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "start").glob("*.md")
}
HOW_TO = {
    path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "how_to").glob("*.md")
}
PLANNERS = ("cheapest_feasible", "videostorm", "compass")
TABLE = {
    cells[0]: tuple(cells[1:])
    for cells in (
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in README.splitlines()
        if line.startswith("│")
    )
}
GOODPUT = [cell.split()[0] for cell in TABLE["service goodput, queries"]]
SIMPLE, VIDEOSTORM, COMPASS = map(float, GOODPUT)


def rows(page):
    """Return the cells of the tables of a page, by the first cell."""
    lines = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    return {cells[0].strip(): tuple(cell.strip() for cell in cells[1:]) for cells in lines}


def found(pattern, page):
    """Return the numbers in a sentence, wherever its lines end."""
    return re.search(pattern, " ".join(page.split())).groups()


def dollars(row):
    return [float(cell.strip("$")) for cell in TABLE[row]]


def test_the_first_run_has_rows_of_the_readme():
    shown = rows(START["first_run"])
    shared = shown.keys() & TABLE.keys() | {"service goodput, queries", "cost"}
    assert len(shared) == 6
    for row in shared:
        assert shown[row] == TABLE[row]
    active, simple, share = found(
        r"average, ([\d.]+) users are active.*serves ([\d.]+) of them.*more than ([\d.]+ %) of",
        START["first_run"],
    )
    assert TABLE["service goodput, queries"][0] == f"{simple} of {active} active"
    assert TABLE["best possible"] == (share,) * 3


def test_the_readme_compares_what_its_table_has():
    ratios = found(r"serve ([\d.]+) and ([\d.]+) times as many", README)
    assert ratios == (f"{COMPASS / SIMPLE:.1f}", f"{VIDEOSTORM / SIMPLE:.1f}")
    spent = [sum(both) for both in zip(dollars("cost"), dollars("profiling cost"), strict=True)]
    costs = found(r"together cost \$([\d.]+) and \$([\d.]+), against \$([\d.]+)\. ", README)
    assert costs == tuple(f"{spent[column]:.2f}" for column in (2, 1, 0))
    [simple] = found(r"it beats `cheapest_feasible`, [\d.]+ queries to ([\d.]+):", README)
    assert simple == GOODPUT[0]


def test_later_pages_compare_with_the_first_run():
    baseline = r"baseline, which has ([\d.]+); `videostorm`, with ([\d.]+),"
    assert list(found(baseline, START["own_planner"])) == GOODPUT[:2]
    assert list(rows(START["what_if"])["backhaul of 1 Gbit/s"]) == GOODPUT


def test_sentences_repeat_the_output_above_them():
    sweep = START["sweep"]
    simple, storm = found(
        r"0\.2 queries per.*_mean CheapestFeasible 5 (\S+) \[\S+ \S+ VideoStorm 5 (\S+) ", sweep
    )
    [difference] = found(r"service goodput is (-[\d.]+) queries", sweep)
    assert float(difference) == pytest.approx(float(simple) - float(storm), abs=0.0015)
    what_if = START["what_if"]
    [low] = found(r"\[([\d.]+), [\d.]+\] suffices cluster.nodes.cloud.count=1 ", what_if)
    assert f"lower bound, {low}, is above the target" in " ".join(what_if.split())
    [change] = found(r"network\.backhaul_bps \S+ 5e\+07 \d+ [\d.]+ -([\d.]+) ", what_if)
    assert f"SLOs are met falls by {change}." in " ".join(what_if.split())


def test_an_assistant_answers_what_the_shell_prints():
    number = r"(-?\d[\d.]*)"
    interval = rf"{number} \[{number}, {number}\]"
    shell = found(
        rf"_mean changed 5 {interval} as it is 5 {interval} .*_mean 5 {interval} {number} ",
        HOW_TO["what_if"],
    )
    told = found(
        rf"\(queries\): changed {interval}, as it is {interval}; "
        rf"changed minus as it is {interval}, p = {number},",
        HOW_TO["asking_by_an_assistant"],
    )
    assert list(map(float, told)) == pytest.approx(list(map(float, shell)), rel=0.006)


@pytest.fixture
def simulated(folder, monkeypatch, capsys):
    """Return a function that runs the command of a page, and returns goodputs by planner."""
    from lab.cli.simulate import main

    def start(page, directory):
        for file, code in re.findall(r"`(\w+\.py)`[^`]*\n```python\n(.*?)^```$", page, re.S | re.M):
            (folder / file).write_text(code, encoding="utf-8")
        [command] = re.findall(rf"^(compass-sim .*={directory})$", page, re.M)
        monkeypatch.setattr(sys, "argv", [*shlex.split(command), "figures=false"])
        assert main() == 0
        return {
            name: f"{read_summary(path)['service_goodput_mean']:.2f}"
            for name, path in planner_directories(folder / directory).items()
        }

    return start


@pytest.mark.slow
def test_the_planner_of_the_page_serves_as_many_as_it_says(simulated):
    goodput = simulated(START["own_planner"], "outputs/mine")
    [careful] = found(r"`careful`, with a service goodput of ([\d.]+)\. ", START["own_planner"])
    assert goodput == dict(zip(PLANNERS, GOODPUT, strict=True)) | {"careful": careful}


@pytest.mark.slow
def test_a_slow_backhaul_leaves_what_the_page_says(simulated):
    goodput = simulated(START["what_if"], "outputs/slow")
    assert tuple(map(goodput.get, PLANNERS)) == rows(START["what_if"])["backhaul of 50 Mbit/s"]
