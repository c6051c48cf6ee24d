"""What the commands answer to bad input: run every such command, and compare with the record.

    python -m tests.golden.bad_inputs            compare with the record; exit 1 on a difference
    python -m tests.golden.bad_inputs --write    record anew

The commands are in ``bad_inputs.yaml``. Record a changed message anew in the same commit.
"""

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

import yaml
from hydra.core.global_hydra import GlobalHydra

HERE = Path(__file__).resolve().parent
INPUTS = HERE / "bad_inputs.yaml"
MESSAGES = HERE / "bad_inputs_messages.txt"
SAMPLES = HERE.parent / "lab" / "samples"
NEUTRAL = (
    (re.compile(r"(?<=, not )\d+(\.\d+)+"), "VERSION"),
    (re.compile(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-\d{6}"), "DATE/TIME"),
    (re.compile(r"/\S+/site-packages"), "SITE"),
    (re.compile(r"^Traceback .*\n(?:  .*\n)*", re.MULTILINE), "TRACEBACK "),
    (re.compile(r"(?<=instantiate abstract class )(\w+) .*"), r"\1"),
    (re.compile(r"(?<=validation-page)(, (capacity|reproduce|sensitivity)){3}"), ", FURTHER"),
    (re.compile(r"^usage: .*\n", re.MULTILINE), ""),
)
"""What differs between machines, days and versions, and what stands for it."""


@dataclass(frozen=True)
class Group:
    """Commands that probe one thing.

    Args:
        name: what begins the title of each.
        base: words that every command of ``compass-sim`` has, but for keys that it sets itself.
        files: texts of files in the working directory, by path.
        setup: good commands that are run there once, before the others.
        spoil: texts of files that are written after these; None takes a file or a directory away.
        commands: the bad commands.
    """

    name: str
    base: list[str]
    files: Mapping[str, str]
    setup: list[str]
    spoil: Mapping[str, str | None]
    commands: list[str]


WARM_UP = Group("warm-up", [], {}, ["compass-sim planner=greedy horizon_s=1 figures=false"], {}, [])
"""A good command comes first: what is said of compiling once belongs to no other."""


def run(words: list[str], directory: Path) -> tuple[int, str]:
    """Run a command in this process; return its exit status and what it said.

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
        err.write(f"TRACEBACK {type(error).__name__}: {error}\n")
    finally:
        os.chdir(before[0])
        sys.argv, sys.path[:] = before[1], before[2]
        os.environ.clear()
        os.environ.update(before[3])
        GlobalHydra.instance().clear()
        for name in set(sys.modules) - before[4]:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(directory)):
                del sys.modules[name]
    also = "(it prints on standard output, too)\n" if status == 2 and out.getvalue() else ""
    return status, err.getvalue() + also


def groups() -> list[Group]:
    """Return all groups of ``bad_inputs.yaml``."""
    tree = yaml.safe_load(INPUTS.read_text(encoding="utf-8"))
    return [
        Group(
            name,
            shlex.split(given.get("base", "")),
            given.get("files", {}),
            given.get("setup", "").splitlines(),
            given.get("spoil", {}),
            given["commands"].splitlines(),
        )
        for name, given in tree["groups"].items()
    ]


def messages() -> dict[str, str]:
    """Run every command; return exit status and message by title, which is group and command."""
    found: dict[str, str] = {}
    with TemporaryDirectory() as temporary:
        root = Path(temporary).resolve()
        for group in [WARM_UP, *groups()]:
            template, directory = root / group.name, root / "case"
            template.mkdir()
            _write(template, group.files)
            for command in group.setup:
                status, said = run(_words(command, group.base), template)
                if status:
                    raise SystemExit(f"[{group.name}] {command}: status {status}\n{said}")
            _write(template, group.spoil)
            for command in group.commands:
                title = f"[{group.name}] {command}"
                assert title not in found, f"{title}: is there twice"
                shutil.copytree(template, directory)
                status, said = run(_words(command, group.base), directory)
                shutil.rmtree(directory)
                found[title] = f"status {status}\n{_neutral(said, directory)}".strip()
    return found


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


def _words(command: str, base: list[str]) -> list[str]:
    """Return the words of a command, with those of the base whose keys it does not set itself."""
    program, *words = shlex.split(command.replace("SAMPLES", str(SAMPLES)))
    keys = {word.lstrip("+~").partition("=")[0] for word in words}
    added = [word for word in base if word.partition("=")[0] not in keys]
    return [program, *(added if program == "compass-sim" else []), *words]


def _neutral(said: str, directory: Path) -> str:
    """Return what was said without what differs between machines, and without empty lines."""
    said = said.replace(str(directory), "DIR").replace(str(SAMPLES), "SAMPLES")
    for pattern, name in NEUTRAL:
        said = pattern.sub(name, said)
    return "\n".join(line.rstrip() for line in said.splitlines() if line.strip())


def recorded() -> dict[str, str]:
    """Return the record: exit status and message by title."""
    blocks = MESSAGES.read_text(encoding="utf-8").strip().split("\n\n")
    return {title: said for title, _, said in (block.partition("\n") for block in blocks)}


def differences(old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    """Yield what each command that is answered otherwise was answered, and is."""
    for title in [*old, *(title for title in new if title not in old)]:
        if old.get(title) != new.get(title):
            sides = (("-", old.get(title, "(none)")), ("+", new.get(title, "(none)")))
            lines = [f"{sign} {line}" for sign, said in sides for line in said.splitlines()]
            yield "\n".join([title, *lines])


def main(words: list[str]) -> int:
    """Compare, or record anew; return the exit status."""
    new = messages()
    if words == ["--write"]:
        blocks = [f"{title}\n{said}\n" for title, said in new.items()]
        MESSAGES.write_text("\n".join(blocks), encoding="utf-8")
        print(f"recorded {len(new)} messages")
        return 0
    found = list(differences(recorded(), new))
    print("\n\n".join([*found, f"{len(found)} of {len(new)} messages differ from the record"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
