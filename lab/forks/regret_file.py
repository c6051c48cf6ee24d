"""The file of the regrets of a run, from which an interrupted examination goes on."""

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lab.common.errors import InputError
from lab.forks.regret import GOODPUT, Regrets
from lab.runs.run_directory import CONFIG, REGRETS, write_aside
from lab.version import version_mismatch, versions


class RegretFile:
    """``regret_goodput.json`` or ``regret_cost.json`` of a run, in its directory or another."""

    def __init__(self, run: Path, by: str, directory: Path) -> None:
        self.path, self.by = directory / REGRETS[by], by
        self._of = sha256((run / CONFIG).read_bytes()).hexdigest()

    def read(self) -> Regrets:
        """Return the regrets so far; raise InputError if they are not those of the run."""
        if not self.path.exists():
            return Regrets(self.by)
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            regrets = read_regrets(kept)
            mismatch = version_mismatch(kept["versions"])
        except (ValueError, KeyError, RecursionError) as error:
            raise InputError(
                f"{self.path}: is damaged ({type(error).__name__}); delete it to start again"
            ) from None
        if kept.get("config") != self._of:
            mismatch = "it is of a run of another configuration"
        if mismatch:
            raise InputError(
                f"{self.path}: cannot be continued: {mismatch}; delete it to start again"
            )
        return regrets

    def write(self, regrets: Regrets) -> None:
        """Write the regrets, or leave the file as it was."""
        kept = {"versions": dict(versions()), "config": self._of, **asdict(regrets)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_aside(self.path, json.dumps(kept, indent=1) + "\n")


def read_regrets(kept: Any) -> Regrets:
    """Return regrets from the values of a file; raise ValueError if these have another form."""
    return TypeAdapter(Regrets).validate_python(kept)


def regrets_of_query(run: Path, query: int) -> Regrets | None:
    """Return the regrets of a query's decisions, or None without a finished, valid file."""
    try:
        regrets = RegretFile(run, GOODPUT, run).read()
    except (OSError, InputError):
        return None
    regrets.found = [each for each in regrets.found if each.decision.query == query]
    return None if regrets.checked is None else regrets
