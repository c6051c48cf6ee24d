"""The tool ``compass-lab reproduce``: reruns the paper's figures, and tests the paper's claims."""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.options import add_options

if TYPE_CHECKING:
    from lab.run_cache.jobs import Job
    from studies.common.cause_search import Cause
    from studies.common.effort import Effort
    from studies.paper.page import Section

OK, FAILED = 0, 1
OUT = Path("outputs") / "reproduction"


def add_parser(tools: Any) -> None:
    """Add the parser of this tool to the subparsers of ``compass-lab``."""
    parser = tools.add_parser(
        "reproduce",
        help="rerun the paper's figures, and test the paper's claims",
        description="Reruns some or all figures of the paper on all cores, and writes a page that "
        "shows, for each figure, our version, the paper's claims, our numbers with intervals, and "
        "whether they agree. With --hours, adds seeds where they decide most until the time is "
        "over or every claim is decided. With --causes, finds which assumptions must change for "
        "claims that differ. Finished runs are cached in the output directory, so the "
        "same command continues. RAY_ADDRESS lets a Ray cluster make the runs. Exit status: 0 if "
        "all figures were made, whatever the verdicts; 1 if a figure could not be made; 2 for bad "
        "input.",
    )
    parser.add_argument(
        "figures", nargs="+", metavar="FIGURE", help="figure number in the paper, or all"
    )
    add_options(parser)
    words = "spend this many hours on more seeds for the claims that are not decided"
    parser.add_argument("--hours", type=float, metavar="H", help=words)
    words = "spend this many hours on finding which assumptions must change for claims that differ"
    parser.add_argument("--causes", type=float, metavar="H", help=words)
    parser.add_argument("--out", type=Path, default=OUT, help=f"output directory ({OUT})")
    parser.set_defaults(tool=reproduce)


def reproduce(options: argparse.Namespace) -> int:
    """Make the runs and write the page; return the exit status."""
    from lab.common.errors import InputError, one_line
    from lab.run_cache.jobs import RunError, at_a_time, make
    from lab.runs.run_directory import write_aside
    from studies.common.cause_search import search, stored
    from studies.common.effort import Effort
    from studies.paper.page import as_html, page
    from studies.registry import FIGURES, NAMES, SAME_AS, chosen
    from studies.steps import scale_of

    _check_figures(options, [*FIGURES, *SAME_AS, "all"])
    wanted = chosen(options.figures)
    names = {number: name for number, name in NAMES.items() if name in wanted}
    scale = scale_of(options)
    _check_hours(options)
    processes = at_a_time(options.jobs)
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    studies = {name: FIGURES[number] for number, name in names.items()}
    effort = Effort(studies, scale, out) if options.hours or options.causes else None
    jobs = {name: study.jobs(scale) for name, study in studies.items()}
    try:
        if effort is not None:
            effort.spend(3600 * (options.hours or 0.0), processes)
            if options.causes:
                search(effort, studies, 3600 * options.causes, processes, out)
        else:  # All at once, so that no core waits for the last run of a figure.
            make([job for each in jobs.values() for job in each], processes, out)
    except (InputError, RunError) as error:
        print(f"compass-lab: {error}", file=sys.stderr)
    if effort is not None:
        jobs = {name: effort.jobs(name) for name in studies}
    sections, failures, later = [], {}, {}
    for number, name in names.items():
        if effort is not None and (why := effort.failures(name)):
            failures[number] = one_line(why[0])
        if effort is not None and (waiting := effort.waiting(name)):
            later[number] = _later(waiting)
        if not jobs[name]:
            continue
        try:
            causes = [each for each in stored(out) if each.study == name]
            sections.append(_section(number, jobs[name], processes, out, causes, effort))
        except Exception as error:  # The other figures are still made.
            failures[number] = f"{type(error).__name__}: {one_line(error)}"
            print(f"compass-lab: figure {number}: {failures[number]}", file=sys.stderr)
    text = page(_command(options), options.quick, sections, failures, later)
    write_aside(out / "index.md", text)
    write_aside(out / "index.html", as_html(text, out))
    _tell(sections, later)
    print(f"page: {out / 'index.html'}")
    return FAILED if failures else OK


def _check_figures(options: argparse.Namespace, known: Sequence[str]) -> None:
    from lab.common.errors import InputError, choices

    for word in options.figures:
        if word not in known:
            raise InputError(f"FIGURE={word}: there is no such figure; {choices(word, known)}")


def _check_hours(options: argparse.Namespace) -> None:
    from lab.common.errors import InputError

    for hours, own in ((options.hours, "--hours"), (options.causes, "--causes")):
        if hours is None:
            continue
        if not 0 < hours < 10_000:
            raise InputError(f"{own} {hours:g}: must be above 0 and below 10,000")
        for name, given in (("--seeds", options.seeds), ("--quick", options.quick)):
            if given:
                raise InputError(f"{name}: cannot be combined with {own}, which chooses the seeds")


def _command(options: argparse.Namespace) -> str:
    words = [*options.figures, *(["--quick"] if options.quick else [])]
    words += [] if options.seeds is None else ["--seeds", options.seeds[0]]
    return f"compass-lab reproduce {' '.join(words)}"


def _tell(sections: "Sequence[Section]", later: Mapping[str, str]) -> None:
    """Print each verdict, how many there are of each kind, and which figures have none yet."""
    for section in sections:
        for decision in section.decisions:
            print(f"figure {section.number}: {': '.join(decision.row[:4])}")
    made_of = Counter(
        str(decision.finding.verdict) for section in sections for decision in section.decisions
    )
    print(", ".join(f"{verdict}: {count}" for verdict, count in sorted(made_of.items())))
    for number, why in later.items():
        print(f"figure {number}: {why}")


def _later(scenes: Sequence[str]) -> str:
    """Return a sentence on the scenes of a figure that have no verdicts yet."""
    named = f" of {'; '.join(scenes)}" if any(scenes) else ""
    return f"the first seeds{named} are not complete; more --hours make them"


def _section(
    number: str,
    jobs: "Sequence[Job]",
    processes: int,
    out: Path,
    causes: "Sequence[Cause]",
    effort: "Effort | None",
) -> "Section":
    """Make the runs of a figure that are not cached, and return its section of the page."""
    from studies.common.regime import scenes
    from studies.common.sweep_files import commands
    from studies.common.verdicts import decisions
    from studies.paper.page import Section
    from studies.registry import FIGURES, NAMES, SAME_AS
    from studies.steps import run

    made = run(jobs, processes, out)
    figure, rows = FIGURES[number], made.frame
    return Section(
        ", ".join([number, *(other for other, same in SAME_AS.items() if same == number)]),
        str(figure.__doc__),
        commands(list(jobs)),
        f"{made.runs} runs on up to {made.seeds} seeds, {made.core_s / 60:.1f} core-minutes.",
        decisions(figure.findings, rows) if effort is None else effort.decisions(NAMES[number]),
        figure.draw(rows, out / "figures"),
        list(figure.lines(rows)),
        scenes(made.rows),
        causes,
        made.core_s,
    )
