"""Runs the commands of ``corpus.yaml``, and judges the answers by rules."""

import io
import os
import re
import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import yaml
from hydra.core.global_hydra import GlobalHydra

CORPUS = Path(__file__).with_name("corpus.yaml")
SAMPLES = Path(__file__).resolve().parents[1] / "lab" / "samples"
SENTENCE = re.compile(r"(compass-sim|compass-lab( [a-z-]+)?): (warning: )?\S.*")
SUGGESTED = re.compile(r"did you mean ([^?]+)\?")
NUMBER = re.compile(r"(?<![\w.])-?\d+(,\d{3})*(\.\d+)?(e[-+]?\d+)?(?!\w)")
WARM_UP = "compass-sim planner=greedy horizon_s=1 figures=false"
"""A good command comes first: what is said of compiling once belongs to no other."""


class Answer(NamedTuple):
    """What a command did: its exit status, standard output and standard error."""

    status: int
    out: str
    err: str


class Kind(NamedTuple):
    """What every answer of a kind must have.

    Args:
        status: the exit statuses that are right.
        lines: the least and the greatest number of sentences on standard error.
        names: whether they name what is wrong with the command, its key and its value.
        tells: a pattern of what the rest of them says of what is allowed.
    """

    status: tuple[int, ...] = (2,)
    lines: tuple[int, int] = (1, 1)
    names: bool = True
    tells: str = ""


OFFERED = r"did you mean|choose|there are|there is none|\bhas\b|write|no parameters|name a"
KINDS = {
    "unknown_key": Kind(tells=OFFERED),
    "unknown_name": Kind(tells=OFFERED),
    "bad_number": Kind(tells=r"\bnumbers?\b|\d"),
    "bad_value": Kind(tells=r"must|choose|name|give|write|only"),
    "bad_syntax": Kind(tells=r"write|quotes|KEY=VALUE|must"),
    "missing_key": Kind(tells=r"missing|required|needs|must|name a"),
    "missing_file": Kind(tells=r"[Nn]o such (file|directory)"),
    "damaged_file": Kind(),
    "not_usable": Kind(),
    "unclear": Kind(names=False),
    "failed": Kind(status=(1, 2), lines=(1, 9)),
    "accepted": Kind(status=(0,), lines=(0, 0), names=False),
    "warned": Kind(status=(0,), lines=(1, 9), tells="warning"),
}
"""What each kind requires.

A sentence that is ``unclear`` lacks what another kind requires, such as the key; who mends it moves
the command to that kind.
"""


@dataclass(frozen=True)
class Case:
    """A command, and what its answer must have.

    Args:
        command: as it is written in a shell.
        kind: the name of the kind of its answer.
        wrong: what is wrong with it: KEY=VALUE, or one word.
        words: further words that must be said.
        nearest: the name that must be suggested, or an empty text.
    """

    command: str
    kind: str
    wrong: str
    words: tuple[str, ...] = ()
    nearest: str = ""


@dataclass(frozen=True)
class Group:
    """Commands that probe one thing.

    Args:
        name: what begins the title of each.
        base: words that every command of ``compass-sim`` has, but for keys that it sets itself.
        files: texts of files in the working directory, by path.
        setup: good commands that are run there once, before the others.
        spoil: texts of files that are written after these; None takes a file or a directory away.
        cases: the bad commands.
    """

    name: str
    base: list[str]
    files: Mapping[str, str]
    setup: list[str]
    spoil: Mapping[str, str | None]
    cases: list[Case]


def groups() -> list[Group]:
    """Return all groups of ``corpus.yaml``."""
    return [
        Group(
            name,
            shlex.split(given.get("base", "")),
            given.get("files", {}),
            given.get("setup", "").splitlines(),
            given.get("spoil", {}),
            [_case(line, kind) for kind in KINDS for line in given.get(kind, "").splitlines()],
        )
        for name, given in yaml.safe_load(CORPUS.read_text(encoding="utf-8"))["groups"].items()
    ]


def _case(line: str, kind: str) -> Case:
    command, _, expected = line.partition(" => ")
    words = shlex.split(expected)
    before, last = ["", *shlex.split(command)][-2:]
    wrong = [word[1:] for word in words if word.startswith("!")]
    if not wrong and before.startswith("--") and "=" not in before + last:
        wrong = [f"{before}={last}"]
    [nearest] = [word[1:] for word in words if word.startswith("?")] or [""]
    rest = tuple(word for word in words if word[0] not in "!?")
    return Case(command, kind, (wrong or [last.lstrip("+~")])[0], rest, nearest)


def faults(case: Case, answer: Answer) -> Iterator[str]:
    """Yield what is wrong with an answer."""
    kind, lines = KINDS[case.kind], answer.err.splitlines()
    least, most = kind.lines
    if "Traceback" in answer.err:
        yield "is a traceback"
    if answer.status not in kind.status:
        yield f"has status {answer.status}"
    if answer.out and kind.status == (2,):
        yield "prints on standard output"
    if not least <= len(lines) <= most:
        yield f"has {len(lines)} lines"
    if not all(SENTENCE.fullmatch(line) for line in lines):
        yield "has a line that is no sentence of the command"
    said = _plain(" ".join(line.partition(": ")[2] for line in lines))
    if kind.names:
        key, sign, value = _plain(case.wrong).partition("=")
        named = re.escape(key) + (f"[= ]{re.escape(value)}" if sign else "")
        before, said = said, re.sub(rf"(?<![\w.]){named}(?![\w.])", "", said, count=1)
        if before == said:
            yield f"does not name {case.wrong}"
    for word in case.words:
        if not re.search(rf"(?<!\w){re.escape(_plain(word))}(?!\w)", said):
            yield f"does not say {word}"
    if not re.search(kind.tells, said):
        yield "does not say what is allowed"
    if case.nearest and _plain(case.nearest) not in SUGGESTED.findall(said):
        yield f"does not suggest {case.nearest}"


def _plain(text: str) -> str:
    """Return a text without quotes, without spaces inside values, and with numbers in one form."""
    text = re.sub(r"(?<=[,:{\[]) +(?=\S)", "", re.sub("['\"]", "", text))
    return NUMBER.sub(lambda found: repr(float(found[0].replace(",", ""))), text)


def wrong(chosen: list[Group]) -> Iterator[str]:
    """Run the commands of some groups; yield each that is answered wrongly, how, and the answer."""
    with TemporaryDirectory() as temporary:
        root = Path(temporary).resolve()
        run(shlex.split(WARM_UP), root)
        for group in chosen:
            template, directory = root / group.name, root / "case"
            template.mkdir()
            _write(template, group.files)
            for command in group.setup:
                answer = run(_words(command, group.base), template)
                assert not answer.status, f"[{group.name}] {command}: {answer}"
            _write(template, group.spoil)
            for case in group.cases:
                shutil.copytree(template, directory)
                answer = run(_words(case.command, group.base), directory)
                said = answer.err.replace(f"{directory}/", "").replace(str(SAMPLES), "SAMPLES")
                found = list(faults(case, answer._replace(err=said)))
                if KINDS[case.kind].status == (2,) and _files(directory) != _files(template):
                    found.append("changes files")
                shutil.rmtree(directory)
                if found:
                    yield f"[{group.name}] {case.command}: {case.kind}: {', '.join(found)}\n{said}"


def run(words: list[str], directory: Path) -> Answer:
    """Run a command in this process.

    Args:
        words: the command.
        directory: the working directory.
    """
    (script,) = entry_points(group="console_scripts", name=words[0])
    main, out, err = script.load(), io.StringIO(), io.StringIO()
    before = os.getcwd(), sys.argv, sys.path.copy(), os.environ.copy(), set(sys.modules)
    os.chdir(directory)
    os.environ.update(COLUMNS="10000", NO_COLOR="1")
    sys.argv = words
    try:
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("always")
            status = main() or 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except Exception as error:  # A user would see a traceback.
        status = 1
        err.write(f"Traceback: {type(error).__name__}: {error}\n")
    finally:
        os.chdir(before[0])
        sys.argv, sys.path[:] = before[1], before[2]
        os.environ.clear()
        os.environ.update(before[3])
        GlobalHydra.instance().clear()
        for name in set(sys.modules) - before[4]:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(directory)):
                del sys.modules[name]
    return Answer(status, out.getvalue(), err.getvalue())


def _write(directory: Path, texts: Mapping[str, str | None]) -> None:
    for name, text in texts.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_text(text, encoding="utf-8")
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _files(directory: Path) -> dict[str, int]:
    """Return the sizes of files, by path."""
    return {
        str(path.relative_to(directory)): path.stat().st_size
        for path in directory.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


def _words(command: str, base: list[str]) -> list[str]:
    """Return the words of a command, with those of the base whose keys it does not set itself."""
    program, *words = shlex.split(command.replace("SAMPLES", str(SAMPLES)))
    keys = {word.lstrip("+~").partition("=")[0] for word in words}
    added = [word for word in base if word.partition("=")[0] not in keys]
    return [program, *(added if program == "compass-sim" else []), *words]
