"""The tools ``explain``, ``fork``, ``regret`` and ``trace`` of ``compass-lab`` for a single run.

Arguments are checked before heavy modules are imported.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from lab.cli.arguments import WHOLE, named_values
from lab.common.errors import InputError, check_png, no_directory, short, why_not

if TYPE_CHECKING:
    from textwrap import TextWrapper

    from lab.forks.regret import Regrets

MOST_ROWS = 20
"""Largest number of rows of a table that are printed by default."""
WIDTH = 80
"""Width in characters of an explanation that does not go to a terminal."""


def explain(options: argparse.Namespace) -> int:
    """Print why a query got its plan; draw a figure if one is requested."""
    if options.rows < 0:
        raise InputError(f"--rows={options.rows}: must be 0 or more")
    if not (options.query.isdecimal() and WHOLE.fullmatch(options.query)):
        raise InputError(f"QUERY={short(options.query)}: must be a whole number of 0 or more")
    if not options.run.is_dir():
        raise InputError(f"RUN={options.run}: {no_directory(options.run)}")
    if options.figure is not None:
        check_png("--figure", options.figure)
    from lab.common.console import console, say
    from lab.reporting.explain.record import find_run, read_query
    from lab.reporting.explain.text import explanation, wrapper

    record = read_query(find_run(options.run), int(options.query))
    screen = console(WIDTH)
    for part in explanation(record, options.rows, screen.width):
        if isinstance(part, str):
            say(part)
        else:
            screen.print(part)
    _say_regrets(record.run, int(options.query), wrapper(screen.width))
    if options.figure is not None:
        from lab.reporting.explain.figure import draw_explanation

        try:
            say(f"figure: {draw_explanation(record, options.figure)}")
        except OSError as error:
            raise InputError(
                f"--figure={options.figure}: cannot be written: {error.strerror}"
            ) from None
    return 0


def _say_regrets(run: Path, query: int, lines: "TextWrapper") -> None:
    """Print the regrets of a query's decisions if they were examined."""
    from lab.common.console import say
    from lab.forks.regret_file import regrets_of_query

    regrets = regrets_of_query(run, query)
    if regrets is None:
        return
    say("\nRegret: what the best alternative to a decision would have gained in goodput.")
    for each in regrets.found:
        say(lines.fill(each.in_words()))
    if not regrets.found:
        say("No decision on this query was examined.")


def fork(options: argparse.Namespace) -> int:
    """Continue a run with something changed, and print both next to each other."""
    if not options.run.is_dir():
        raise InputError(f"RUN={options.run}: {no_directory(options.run)}")
    from lab.app import events
    from lab.common.console import say, show_table
    from lab.forks.fork import Changes, changed
    from lab.forks.fork import fork as continued
    from lab.forks.run_on_disk import planner_named, repeated, setup_of, write_fork
    from lab.reporting.explain.record import find_run

    machines = named_values("--machines", "NODE=N", options.machines)
    queries = named_values("--query", "N=wait", options.query)
    changes = Changes(
        plans={_whole("--query", number): choice for number, choice in queries.items()},
        planner=None if options.planner is None else planner_named(options.planner),
        machines={node: _whole("--machines", number) for node, number in machines.items()},
        drift=[events.read(text) for text in options.event],
    )
    if options.out is not None and options.out.exists():
        raise InputError(f"--out={options.out}: exists already; name another directory")
    run = find_run(options.run)
    changed(setup_of(run), options.at_s, changes)  # refuses bad input before the run is repeated
    before = repeated(run)
    after = continued(before, options.at_s, changes)
    named = {f"as it was: {before.summary['planner']}": before, "forked": after}
    summaries = [{**one.summary, "planner": name} for name, one in named.items()]
    show_table(summaries, f"forked at {options.at_s:g} s, seed {before.seed}", options.all)
    if options.out is not None:
        write_fork(after, options.out, {"run": str(run.resolve()), "words": sys.argv[1:]})
        say(f"results: {options.out}")
    return 0


def _whole(option: str, text: str) -> int:
    if not WHOLE.fullmatch(text):
        raise InputError(f"{option}: {text} must be a whole number")
    return int(text)


def regret(options: argparse.Namespace) -> int:
    """Examine the decisions of a run, and print them by their regret, the largest first."""
    if not options.run.is_dir():
        raise InputError(f"RUN={options.run}: {no_directory(options.run)}")
    if options.hours < 0:
        raise InputError(f"--hours {options.hours}: must be 0 or more")
    if options.rows < 0:
        raise InputError(f"--rows {options.rows}: must be 0 or more")
    from lab.forks.regret import Examination
    from lab.forks.regret_file import RegretFile
    from lab.forks.run_on_disk import setup_of
    from lab.reporting.explain.record import find_run

    until_s = monotonic() + 3600 * options.hours
    run = find_run(options.run)
    file = RegretFile(run, options.by, options.out or run)
    regrets = file.read()
    setup = setup_of(run)
    with _progress() as show:

        def keep(regrets: "Regrets") -> None:
            file.write(regrets)
            show(len(regrets.found), len(regrets.left))

        examination = Examination(setup, regrets, keep)
        keep(regrets)
        examination.examine(lambda: monotonic() < until_s)
    _say_all(regrets, options.rows)
    if regrets.checked is not None:
        regrets.check()
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how many decisions are examined, and how many are left."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("decisions", total=None)
        yield lambda done, left: bar.update(task, completed=done, total=done + left)


def _say_all(regrets: "Regrets", rows: int) -> None:
    from math import fsum

    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from lab.common.console import console, say
    from lab.forks.regret import GOODPUT

    unit = "queries" if regrets.by == GOODPUT else "USD"
    what = "service goodput" if regrets.by == GOODPUT else "cost at no loss of goodput"
    table = Table(box=SIMPLE_HEAD)
    for head in ("regret", "at s", "query"):
        table.add_column(head, justify="right")
    for head in ("on", "chosen, and best alternative"):
        table.add_column(head, overflow="fold")
    found = sorted(regrets.found, key=lambda each: -each.regret)
    bad = [each for each in found if each.regret > 0]
    for each in bad[: rows or None]:
        made = each.decision
        table.add_row(
            *(f"{each.regret:.4g}", f"{made.at_s:.1f}", str(made.query), made.trigger),
            f"{made.chosen}\n→ {each.best}",
        )
    if bad:
        say(f"Regret of decisions in {what}, in {unit}:")
        console(WIDTH).print(table)
    if len(bad) > rows > 0:
        say(f"further decisions with a regret: {len(bad) - rows}; --rows 0 prints all")
    tried = sum(each.tried for each in found)
    say(f"decisions examined: {len(found)}, with {tried} alternatives; not the best: {len(bad)}")
    total = fsum(each.regret for each in found)
    say(f"sum of regrets: {total:.6g}; from {regrets.before:.6g} to {regrets.after:.6g} {unit}")
    if regrets.left:
        first = regrets.left[0]
        say(
            f"decisions not examined: {len(regrets.left)}, the first at {first.at_s:.1f} s on "
            f"query {first.query}; the same command goes on"
        )
    elif regrets.checked is not None:
        say(f"an uninterrupted run with all best choices has {regrets.checked:.6g} {unit}")


def trace(options: argparse.Namespace) -> int:
    """Write the requests of a run as a trace for Perfetto and as a picture."""
    if not options.directory.is_dir():
        raise InputError(f"DIR={options.directory}: {no_directory(options.directory)}")
    from lab.common.console import say
    from lab.reporting.damaged import reading
    from lab.reporting.trace import read_trace, run_of, write_trace

    run = run_of(options.directory, options.planner)
    with reading("DIR", run):
        read = read_trace(run, options.from_s, options.to_s, options.query)
    try:
        lines = write_trace(run, *read)
    except OSError as error:
        raise InputError(f"DIR={run}: the trace cannot be written: {why_not(error)}") from None
    for line in lines:
        say(line)
    return 0
