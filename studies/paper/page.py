"""The page of the reproduction: figures, claims, our numbers, and whether we agree."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt

from lab.analysis.paired import BOUNDS, EXPLAINED
from lab.reporting.markdown import table
from studies.common.claims import Finding

HEAD = """# The paper's figures, run anew

Written by `{command}`. Each claim is the paper's (arXiv 2504.16397; figures are numbered as in its
first version), in our words; no value of its testbed is published, so ratios and orders are
compared. *Agrees* and *differs* are said where a 95 % interval over seeds allows it, all else
*cannot be known* from these runs. Intervals of shares, and of differences between shares, are cut
where the truth cannot lie. Who is said to be ahead of several others is so by p-values that are
adjusted for all of them, too. Compass was made with its eyes on seeds 0 to 9, which most of these
runs have: its lead may be a little flattered by them.
{quick}"""

SIGNS = tuple(filter(None, BOUNDS.values()))

QUICK = """
**This is the quick form: small sizes and few seeds, to see that all of it runs. Judge no claim by
it.**
"""

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0;font-size:.9rem}
td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}
th,code{background:#f2f2f2}
img{max-width:100%}
"""


class Section:
    """What the page says of one figure.

    Args:
        number: its number in the paper.
        text: docstring of its module.
        commands: commands that make its runs.
        runs: how many runs, seeds, and core-minutes; in words.
        findings: what was found.
        pictures: files of our figure.
        lines: what else is shown, Markdown.
    """

    def __init__(
        self,
        number: str,
        text: str,
        commands: Sequence[str],
        runs: str,
        findings: Sequence[Finding],
        pictures: Sequence[Path],
        lines: Sequence[str],
    ) -> None:
        self.number = number
        self.title, _, self.text = (part.strip() for part in text.partition("\n"))
        self.commands = commands
        self.runs = runs
        self.findings = findings
        self.pictures = pictures
        self.lines = lines


def page(
    command: str, quick: bool, sections: Sequence[Section], failures: Mapping[str, str]
) -> str:
    """Return the page as Markdown.

    Args:
        command: the command that wrote it.
        quick: whether it is the quick form.
        sections: what was made.
        failures: why other figures could not be made, by number.
    """
    lines = [HEAD.format(command=command, quick=QUICK if quick else "")]
    lines += table(
        ["figure", "claim", "ours", "verdict"],
        (
            [section.number, finding.claim, finding.ours, f"**{finding.verdict}**"]
            for section in sections
            for finding in section.findings
        ),
    )
    for number, why in failures.items():
        lines += [f"Figure {number} could not be made: {why}", ""]
    for section in sections:
        lines += _section(section, quick)
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section, quick: bool) -> Iterator[str]:
    same = "The whole of it" if quick else "The same runs"
    yield f"## {section.title}"
    yield ""
    yield section.text
    yield ""
    yield f"{section.runs} {same}: {', '.join(f'`{each}`' for each in section.commands)}."
    yield ""
    for picture in section.pictures:
        yield f"![{section.title}](figures/{picture.name})"
        yield ""
    yield from table(
        ["claim", "ours", "verdict", "why"],
        ([each.claim, each.ours, each.verdict, each.why] for each in section.findings),
    )
    if any(each.ours.startswith(SIGNS) for each in section.findings):
        yield EXPLAINED
        yield ""
    yield from section.lines


def as_html(markdown: str, directory: Path) -> str:
    """Return the page as one HTML file that needs no other.

    Args:
        markdown: the page.
        directory: what the paths of its figures are relative to.
    """
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    for picture in sorted((directory / "figures").glob("*.png")):
        data = base64.b64encode(picture.read_bytes()).decode()
        body = body.replace(f'src="figures/{picture.name}"', f'src="data:image/png;base64,{data}"')
    title = escape(markdown.partition("\n")[0].removeprefix("# "))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n"
    )
