#!/usr/bin/env python3
"""The project's commands; each makes its own environment. They need Python 3.11 to 3.13 alone.

    python3 tasks.py run [OVERRIDE ...]    set up, and simulate (compass-sim with the overrides)
    python3 tasks.py test [PYTEST ARG ...] set up, and run the tests
    python3 tasks.py slow                  set up, and run the longer checks
    python3 tasks.py lint                  set up, and run linter, type checker and layers
    python3 tasks.py docs                  set up, and build the site into docs/_build

The environment is `.venv` beside this file, or the directory named by COMPASS_ENV.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = Path(os.environ.get("COMPASS_ENV", ROOT / ".venv"))
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        found = ".".join(map(str, sys.version_info[:2]))
        print(f"Python {found} runs this; Python 3.11, 3.12 or 3.13 is needed", file=sys.stderr)
        return 2
    command, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if command == "run":
        set_up("")
        return call(BIN / "compass-sim", *rest)
    steps = {
        "test": [("pytest", *rest)],
        "slow": [("pytest", "-m", "slow", *rest)],
        "lint": [
            ("ruff", "check", "."),
            ("ruff", "format", "--check", "."),
            ("mypy",),
            ("lint-imports",),
        ],
        "docs": [
            ("sphinx-build", "-W", "--keep-going", "-n", "-q", "-b", "html", "docs", "docs/_build"),
        ],
    }
    if command not in steps:
        print(__doc__)
        return 0 if command in ("help", "-h", "--help") else 2
    set_up("[docs]" if command == "docs" else "[test]")
    for step in steps[command]:
        print("+", *step, flush=True)
        if status := call(BIN / step[0], *step[1:]):
            return status
    return 0


def set_up(extra: str) -> None:
    """Make the environment, unless it is there already for these very dependencies."""
    stamp = ENVIRONMENT / f"installed{extra or '[run]'}"
    inputs = "\n".join((ROOT / name).read_text() for name in ("pyproject.toml", "constraints.txt"))
    if stamp.is_file() and stamp.read_text() == inputs:
        return
    print(f"setting up {ENVIRONMENT} (a minute or so, once)", flush=True)
    try:
        venv.create(ENVIRONMENT, with_pip=True)
    except subprocess.CalledProcessError:
        raise SystemExit(
            "this Python lacks ensurepip, which makes environments: on Debian and Ubuntu, install "
            "the package python3-venv"
        ) from None
    status = call(
        BIN / "python",
        *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--constraint", str(ROOT / "constraints.txt"), "--editable", f"{ROOT}{extra}"),
    )
    if status:
        raise SystemExit(status)
    stamp.write_text(inputs)


def call(program: Path, *arguments: str) -> int:
    """Run a program of the environment; return its exit status."""
    return subprocess.run([program, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
