"""The record of facts, ``docs/facts.json``: what each source gave, and of which versions."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.common.atomic_write import written_aside
from studies.facts.sources import Source

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "facts.json"


@dataclass(frozen=True)
class Kept:
    """What one source gave.

    Attributes:
        key: what the results depend on, as of `Source.key`.
        facts: numbers by name.
        printed: what commands printed, by name.
    """

    key: dict[str, object]
    facts: dict[str, float] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)


def read() -> dict[str, Kept]:
    """Return what is kept, by source."""
    return _parsed(FILE.read_text("utf-8")) if FILE.exists() else {}


def committed() -> dict[str, Kept]:
    """Return what is kept in the last commit; nothing if that cannot be read."""
    command = ["git", "show", f"HEAD:{FILE.relative_to(ROOT)}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return {} if done.returncode else _parsed(done.stdout)


def _parsed(text: str) -> dict[str, Kept]:
    return {name: Kept(**kept) for name, kept in json.loads(text).items()}


def keep(name: str, kept: Kept) -> None:
    """Keep what a source gave; what others gave stays, also if this is interrupted."""
    known = read() | {name: kept}
    made = {each: asdict(known[each]) for each in sorted(known)}
    with written_aside(FILE) as aside:
        aside.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def stale(sources: Mapping[str, Source]) -> list[str]:
    """Return the names of the sources whose kept facts are missing or of another key."""
    known = read()
    return [
        name
        for name, source in sources.items()
        if name not in known or known[name].key != source.key()
    ]
