#!/usr/bin/env python3
"""The project's commands; each makes its own environment. They need Python 3.11 to 3.13 alone.

    python3 tasks.py run [OVERRIDE ...]    set up, and simulate (compass-sim with the overrides)
    python3 tasks.py test [PYTEST ARG ...] set up, and run the tests
    python3 tasks.py slow                  set up with [serve], and run the longer checks
    python3 tasks.py app-test              set up with [app], and test the app in a browser
    python3 tasks.py course-test           set up with nbgrader, and grade the course's notebooks
    python3 tasks.py lint                  set up, and run linter, type checker and layers
    python3 tasks.py docs                  set up, check facts, and build the site into docs/_build
    python3 tasks.py renew [--check]       set up, and bring facts, pages and the signature up to
                                           date, or only check them
    python3 tasks.py renew evidence [--hours H]   renew evidence, or go on with it
    python3 tasks.py lock [UV OPTION ...]  pin packages for pyproject.toml (--upgrade: the newest),
                                           and list their licences
    python3 tasks.py sbom                  list the environment's packages in dist/sbom.json

The environment is `.venv` next to this file, or the directory named by COMPASS_ENV. Every package
in it has a version and a hash in `requirements/`; packages come from where pip is set up to find
them.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = Path(os.environ.get("COMPASS_ENV") or ROOT / ".venv")
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
BIN = ENVIRONMENT / SCRIPTS
SUPPLY = ENVIRONMENT / "supply"
"""An environment of its own, so that the tools of `lock` and `sbom` are not in what they list."""
REQUIREMENTS = ROOT / "requirements"
RENEW = ("python", "-m", "studies.facts.renew")
SDIST_ONLY = "antlr4-python3-runtime"
"""The one package that is built here; of all others, wheels are installed, which run no code."""
LOCKS = {
    "test": ("pyproject.toml", "--extra", "test"),
    "slow": ("pyproject.toml", "--extra", "test", "--extra", "serve"),
    "app-test": ("pyproject.toml", "--extra", "test", "--extra", "app", "--extra", "app-test"),
    "docs": ("pyproject.toml", "--extra", "docs"),
    "course-test": ("pyproject.toml", "--extra", "test", "--extra", "course-test"),
    "run": ("pyproject.toml",),
    "build": ("--group", "build"),
    "supply": ("--group", "supply"),
}
"""What each file of `requirements/` pins; each keeps to the versions of those before it."""


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        found = ".".join(map(str, sys.version_info[:2]))
        print(f"Python {found} runs this; Python 3.11, 3.12 or 3.13 is needed", file=sys.stderr)
        return 2
    command, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if command in (tasks := {"run": run, "lock": lock, "sbom": sbom}):
        return tasks[command](rest)
    steps = {
        "test": [("pytest", *rest)],
        "slow": [("pytest", "-m", "slow and not browser", *rest)],
        "app-test": [("pytest", "-m", "browser and not slow", "tests/browser", *rest)],
        "course-test": [("pytest", "-m", "nbgrader", "tests/course/test_nbgrader.py", *rest)],
        "lint": [
            ("ruff", "check", "."),
            ("ruff", "format", "--check", "."),
            ("mypy",),
            ("lint-imports",),
        ],
        "renew": [(*RENEW, *rest)],
        "docs": [
            (*RENEW, "--check"),
            ("sphinx-build", "-W", "--keep-going", "-n", "-q", "-b", "html", "docs", "docs/_build"),
        ],
    }
    if command not in steps:
        print(__doc__)
        return 0 if command in ("help", "-h", "--help") else 2
    if command == "app-test" and not any(map(shutil.which, browsers())):
        print(
            "app-test: no browser; install Debian's package chromium, or name one by "
            "COMPASS_BROWSER=PATH",
            file=sys.stderr,
        )
        return 2
    served = ["slow"] if "evidence" in rest else []
    for need in {"renew": ["docs", *served]}.get(command, [command]):
        set_up(need if need in LOCKS else "test")
    for step in steps[command]:
        print("+", *step, flush=True)
        if status := call(BIN / step[0], *step[1:]):
            return status
    return 0


def browsers() -> list[str]:
    """Return the names of browsers that can be tested with."""
    named = os.environ.get("COMPASS_BROWSER")
    return [named] if named else ["chromium", "chromium-browser", "google-chrome"]


def set_up(need: str) -> None:
    """Make the environment for a file of `requirements/`, unless it is there for these very pins.

    pip checks the hash of whatever it installs, what builds the project included. It refuses hashes
    for a checkout, so the checkout is installed last, with what is then there.
    """
    environment = SUPPLY if need == "supply" else ENVIRONMENT
    stamp = environment / f"installed[{need}]"
    build, packages = REQUIREMENTS / "build.txt", REQUIREMENTS / f"{need}.txt"
    inputs = "\n".join(path.read_text() for path in (ROOT / "pyproject.toml", build, packages))
    if stamp.is_file() and stamp.read_text() == inputs:
        return
    print(f"setting up {environment} (a minute or so, once)", flush=True)
    try:
        venv.create(environment, with_pip=True)
    except subprocess.CalledProcessError:
        raise SystemExit(
            "this Python lacks ensurepip, which makes environments: on Debian and Ubuntu, install "
            "the package python3-venv"
        ) from None
    wheels = ("--only-binary=:all:", f"--no-binary={SDIST_ONLY}")
    pinned = ("--require-hashes", *wheels, "--requirement")
    as_set_up = ("--no-build-isolation", "--use-pep517")
    steps = [
        (*pinned, str(build)),
        (*as_set_up, *pinned, str(packages)),
        (*as_set_up, "--no-deps", "--editable", str(ROOT)),
    ]
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for step in steps[1:2] if need == "supply" else steps:
        if status := call(environment / SCRIPTS / "python", *pip, *step):
            raise SystemExit(status)
    stamp.write_text(inputs)


def run(overrides: list[str]) -> int:
    """Simulate."""
    set_up("run")
    return call(BIN / "compass-sim", *overrides)


def lock(options: list[str]) -> int:
    """Pin what pyproject.toml names for every supported Python and system, and list licences."""
    set_up("supply")
    compiler = (
        *("--directory", str(ROOT), "pip", "compile", "--quiet", "--universal"),
        *("--python-version", "3.11", "--generate-hashes", "--no-annotate"),
        *("--custom-compile-command", "python3 tasks.py lock"),
        *("--build-constraints", "requirements/build.txt"),
    )
    same: tuple[str, ...] = ()
    for need, what in LOCKS.items():
        file = f"requirements/{need}.txt"
        locked = (*compiler, *same, *what, *options, "--output-file", file)
        if status := call(SUPPLY / SCRIPTS / "uv", *locked):
            return status
        same = (*same, "--constraint", file)
    set_up("supply")  # the pins of these tools may be new, too
    return call(SUPPLY / SCRIPTS / "python", str(REQUIREMENTS / "licences.py"))


def sbom(options: list[str]) -> int:
    """Write which packages are in the environment, with their licences, as CycloneDX JSON."""
    set_up("run")
    set_up("supply")
    written = ROOT / "dist" / "sbom.json"
    written.parent.mkdir(exist_ok=True)
    return call(
        SUPPLY / SCRIPTS / "cyclonedx-py",
        *("environment", str(BIN / "python"), "--pyproject", str(ROOT / "pyproject.toml")),
        *("--mc-type", "application", "--output-reproducible", "--output-file", str(written)),
        *options,
    )


def call(program: Path, *arguments: str) -> int:
    """Run a program of the environment; return its exit status."""
    return subprocess.run([program, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
