"""The tool ``compass-lab reproduce``: run the paper's figures anew, and say whether we agree."""

import argparse
import sys
from pathlib import Path
from typing import Any

OK, FAILED = 0, 1
OUT = Path("outputs") / "reproduction"


def add_parser(tools: Any) -> None:
    """Add the parser of this tool to the subparsers of ``compass-lab``."""
    parser = tools.add_parser(
        "reproduce",
        help="run the paper's figures anew, and write a page that says whether we agree",
        description="Makes the runs of some of the paper's figures, or of all, on all cores, and "
        "writes one page: our figure, the paper's claim, our number with its interval, and whether "
        "they agree. Runs that were made are kept in the directory and not made again, so that it "
        "may be stopped and started at will. Exit status: 0, whatever the verdicts; 1 if a figure "
        "could not be made; 2 for bad input.",
    )
    parser.add_argument(
        "figures", nargs="+", metavar="FIGURE", help="numbers as in the paper, or all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and two seeds, to see that it runs"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at the same time (all cores)")
    parser.add_argument("--out", type=Path, default=OUT, help=f"directory of the page ({OUT})")
    parser.set_defaults(tool=reproduce)


def reproduce(options: argparse.Namespace) -> int:
    """Make the runs and the page; return the exit status."""
    from lab.common.errors import InputError, one_line
    from lab.run_cache.jobs import RunError, at_a_time, make
    from lab.runs.run_directory import write_aside
    from studies.common.store import frame
    from studies.paper.page import Section, as_html, page
    from studies.paper.registry import FIGURES

    numbers = _numbers(options.figures)
    jobs = {number: FIGURES[number].jobs(options.quick) for number in numbers}
    processes = at_a_time(options.jobs)
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    try:  # All at once, so that no core waits for the last run of a figure.
        make([job for each in jobs.values() for job in each], processes, out)
    except (InputError, RunError) as error:
        print(f"compass-lab: {error}", file=sys.stderr)
    sections, failures = [], {}
    for number in numbers:
        figure = FIGURES[number]
        try:
            made = make(jobs[number], processes, out)
            rows = frame(made)
            (out / "figures").mkdir(parents=True, exist_ok=True)
            core_s = {
                job.key: row["run_core_s"] for job, row in zip(jobs[number], made, strict=True)
            }
            seeds = len({job.seed for job in jobs[number]})
            sections.append(
                Section(
                    number,
                    str(figure.__doc__),
                    figure.COMMANDS,
                    f"{len(core_s)} runs on up to {seeds} seeds, "
                    f"{sum(core_s.values()) / 60:.1f} core-minutes.",
                    figure.findings(rows),
                    figure.draw(rows, out / "figures"),
                    list(figure.lines(rows)),
                )
            )
        except Exception as error:  # One figure must not take the others with it.
            failures[number] = f"{type(error).__name__}: {one_line(error)}"
            print(f"compass-lab: figure {number}: {failures[number]}", file=sys.stderr)
    words = [*options.figures, *(["--quick"] if options.quick else [])]
    command = f"compass-lab reproduce {' '.join(words)}"
    text = page(command, options.quick, sections, failures)
    write_aside(out / "index.md", text)
    write_aside(out / "index.html", as_html(text, out))
    for section in sections:
        for finding in section.findings:
            print(f"figure {section.number}: {finding.claim}: {finding.ours}: {finding.verdict}")
    print(f"page: {out / 'index.html'}")
    return FAILED if failures else OK


def _numbers(words: list[str]) -> list[str]:
    """Return the figures that are asked for, in the paper's order."""
    from lab.common.errors import InputError, choices
    from studies.paper.registry import FIGURES, SAME_AS

    if "all" in words:
        return list(FIGURES)
    for word in words:
        if word not in FIGURES and word not in SAME_AS:
            known = [*FIGURES, *SAME_AS, "all"]
            raise InputError(f"FIGURE={word}: there is no such figure; {choices(word, known)}")
    wanted = {SAME_AS.get(word, word) for word in words}
    return [number for number in FIGURES if number in wanted]
