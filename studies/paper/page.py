"""The page of the reproduction: figures, claims, our numbers, and verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path

from markdown_it import MarkdownIt

from lab.analysis.paired import UNBOUNDED
from lab.behaviour import shipped, told
from lab.common.formatting import number
from lab.reporting.render import data_uri, render
from studies.common import regime
from studies.common.cause_search import CONFIRMING, SCREENING, Cause
from studies.common.claims import NEGLIGIBLE, Verdict
from studies.common.measures import S_PER_HOUR
from studies.common.tables import AT_LEAST
from studies.common.verdicts import FIRST_SEED, LOOKS, Decision

SIGNS = {"[≥": UNBOUNDED, "≥ ": f"{AT_LEAST}."}
"""Signs in our numbers, and what they mean."""


@dataclass(frozen=True)
class Section:
    """The section of the page on one figure."""

    number: str  # the paper's number
    about: str  # the docstring of the figure's module
    commands: Sequence[str]
    runs: str  # the numbers of runs, seeds and core-minutes, as a sentence
    decisions: Sequence[Decision]
    pictures: Sequence[Path]
    lines: Sequence[str]  # further Markdown
    scenes: Sequence[regime.Scene]  # of its runs
    causes: Sequence[Cause] = ()  # what must change for claims that differ
    core_s: float = 0.0  # core seconds of its runs

    @property
    def searched(self) -> Iterator[tuple[str, str, str, str, str]]:
        """What must change for each claim that differs: figure, claim, change, how far, number."""
        found = {each.claim: each for each in self.causes}
        for decision in self.decisions:
            one = decision.finding
            if one.verdict is Verdict.DIFFERS:
                cause = found.get(one.claim)
                for row in [("not searched yet", "-", "-")] if cause is None else cause.rows:
                    yield self.number, one.claim, *row

    @property
    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """The decisions as rows of a table."""
        return [each.row for each in self.decisions]

    @property
    def regime(self) -> str:
        """The line below its figures and tables."""
        return regime.line(self.scenes)

    @property
    def all_lines(self) -> list[str]:
        """Its lines, with that line below each table."""
        return list(regime.below_tables(self.lines, self.regime))

    @property
    def signs(self) -> list[str]:
        """The explanations of the signs that our numbers have."""
        numbers = [f" {each.finding.ours}" for each in self.decisions]
        return [why for sign, why in SIGNS.items() if any(f" {sign}" in one for one in numbers)]


def page(
    command: str,
    quick: bool,
    sections: Sequence[Section],
    failures: Mapping[str, str],
    later: Mapping[str, str],
) -> str:
    """Return the page as Markdown.

    `failures` and `later` map numbers of figures to why they could not be made, and to what is not
    complete yet.
    """
    text = render(
        "reproduction.md.jinja",
        "studies",
        command=command,
        quick=quick,
        verdicts=[
            (section.number, *decision.row[:4])
            for section in sections
            for decision in section.decisions
        ],
        regime=regime.line([scene for section in sections for scene in section.scenes]),
        judged=regime.told_apart(),
        behaviour=told(shipped()),
        core_h=number(fsum(section.core_s for section in sections) / S_PER_HOUR, 2),
        looks=", ".join(map(str, LOOKS.seeds)),
        first_seed=FIRST_SEED,
        error=f"{LOOKS.error:.0%}",
        negligible=f"{NEGLIGIBLE:.0%}",
        failures=failures.items(),
        later=later.items(),
        searched=[row for section in sections for row in section.searched]
        if any(section.causes for section in sections)
        else [],
        screening=f"{SCREENING[0]} to {SCREENING[-1]}",
        confirming=f"{CONFIRMING[0]} to {CONFIRMING[-1]}",
        sections=sections,
    )
    return text.rstrip() + "\n"


def as_html(markdown: str, directory: Path) -> str:
    """Return the page as one self-contained HTML file; figures are read from the directory."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    for picture in sorted((directory / "figures").glob("*.png")):
        body = body.replace(f'src="figures/{picture.name}"', f'src="{data_uri(picture)}"')
    title = markdown.partition("\n")[0].removeprefix("# ")
    return render("reproduction.html.jinja", "studies", title=title, body=body)
