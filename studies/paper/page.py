"""The page of the reproduction: figures, claims, our numbers, and verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from lab.analysis.paired import BOUNDS, EXPLAINED
from lab.reporting.render import data_uri, render
from studies.common.claims import Finding

SIGNS = tuple(filter(None, BOUNDS.values()))


@dataclass(frozen=True)
class Section:
    """The section of the page on one figure."""

    number: str  # the paper's number
    about: str  # the docstring of the figure's module
    commands: Sequence[str]
    runs: str  # the numbers of runs, seeds and core-minutes, as a sentence
    findings: Sequence[Finding]
    pictures: Sequence[Path]
    lines: Sequence[str]  # further Markdown

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """The findings as rows of a table."""
        return [astuple(each) for each in self.findings]

    @property
    def signs(self) -> bool:
        """Whether our number has a sign in any finding."""
        return any(each.ours.startswith(SIGNS) for each in self.findings)


def page(
    command: str, quick: bool, sections: Sequence[Section], failures: Mapping[str, str]
) -> str:
    """Return the page as Markdown; `failures` maps numbers of figures to reasons of failure."""
    text = render(
        "reproduction.md.jinja",
        "studies",
        command=command,
        quick=quick,
        verdicts=[
            (section.number, finding.claim, finding.ours, f"**{finding.verdict}**")
            for section in sections
            for finding in section.findings
        ],
        failures=failures.items(),
        sections=sections,
        explained=EXPLAINED,
    )
    return text.rstrip() + "\n"


def as_html(markdown: str, directory: Path) -> str:
    """Return the page as one self-contained HTML file; figures are read from the directory."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    for picture in sorted((directory / "figures").glob("*.png")):
        body = body.replace(f'src="figures/{picture.name}"', f'src="{data_uri(picture)}"')
    title = markdown.partition("\n")[0].removeprefix("# ")
    return render("reproduction.html.jinja", "studies", title=title, body=body)
