"""The tool ``compass-lab reproduce``: reruns the paper's figures, and tests the paper's claims."""

import argparse
import sys
from pathlib import Path
from typing import Any

from studies.options import add_options

OK, FAILED = 0, 1
OUT = Path("outputs") / "reproduction"


def add_parser(tools: Any) -> None:
    """Add the parser of this tool to the subparsers of ``compass-lab``."""
    parser = tools.add_parser(
        "reproduce",
        help="rerun the paper's figures, and test the paper's claims",
        description="Reruns some or all figures of the paper on all cores, and writes a page that "
        "shows, for each figure, our version, the paper's claims, our numbers with intervals, and "
        "whether they agree. Finished runs are cached in the output directory, so an interrupted "
        "command can be repeated to continue. Exit status: 0 if all figures were made, whatever "
        "the verdicts; 1 if a figure could not be made; 2 for bad input.",
    )
    parser.add_argument(
        "figures", nargs="+", metavar="FIGURE", help="figure number in the paper, or all"
    )
    add_options(parser)
    parser.add_argument("--out", type=Path, default=OUT, help=f"output directory ({OUT})")
    parser.set_defaults(tool=reproduce)


def reproduce(options: argparse.Namespace) -> int:
    """Make the runs and write the page; return the exit status."""
    from lab.common.errors import InputError, choices, one_line
    from lab.run_cache.jobs import RunError, at_a_time, make
    from lab.runs.run_directory import write_aside
    from studies.common.sweep_files import commands
    from studies.paper.page import Section, as_html, page
    from studies.registry import FIGURES, NAMES, SAME_AS, STUDIES, chosen
    from studies.steps import run, scale_of

    known = [*FIGURES, *SAME_AS, "all"]
    for word in options.figures:
        if word not in known:
            raise InputError(f"FIGURE={word}: there is no such figure; {choices(word, known)}")
    wanted = chosen(options.figures)
    names = {number: name for number, name in NAMES.items() if name in wanted}
    scale = scale_of(options)
    jobs = {name: STUDIES[name].jobs(scale) for name in names.values()}
    processes = at_a_time(options.jobs)
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    try:  # All at once, so that no core waits for the last run of a figure.
        make([job for each in jobs.values() for job in each], processes, out)
    except (InputError, RunError) as error:
        print(f"compass-lab: {error}", file=sys.stderr)
    sections, failures = [], {}
    for number, name in names.items():
        try:
            made = run(jobs[name], processes, out)
            figure, rows = FIGURES[number], made.frame
            section = Section(
                ", ".join([number, *(other for other, same in SAME_AS.items() if same == number)]),
                str(figure.__doc__),
                commands(jobs[name]),
                f"{made.runs} runs on up to {made.seeds} seeds, {made.core_s / 60:.1f} "
                "core-minutes.",
                figure.findings(rows),
                figure.draw(rows, out / "figures"),
                list(figure.lines(rows)),
            )
            sections.append(section)
        except Exception as error:  # The other figures are still made.
            failures[number] = f"{type(error).__name__}: {one_line(error)}"
            print(f"compass-lab: figure {number}: {failures[number]}", file=sys.stderr)
    words = [*options.figures, *(["--quick"] if options.quick else [])]
    words += [] if options.seeds is None else ["--seeds", options.seeds[0]]
    text = page(f"compass-lab reproduce {' '.join(words)}", options.quick, sections, failures)
    write_aside(out / "index.md", text)
    write_aside(out / "index.html", as_html(text, out))
    for section in sections:
        for finding in section.findings:
            print(f"figure {section.number}: {finding.claim}: {finding.ours}: {finding.verdict}")
    print(f"page: {out / 'index.html'}")
    return FAILED if failures else OK
