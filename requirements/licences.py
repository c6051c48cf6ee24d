"""Writes docs/reference/licences.md: the licences of all pinned packages, as they declare them.

``python3 tasks.py lock`` runs this. pip reads the metadata of the pinned files, and installs none.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "reference" / "licences.md"
NEEDS = ("run", "build", "test", "docs", "app-test", "course-test", "supply")
PIN = re.compile(r"^([\w.-]+)==([^\s;]+)(.*?)\s*\\?$", re.MULTILINE)
HEAD = """\
# Licences of the dependencies

`python3 tasks.py` installs these packages. `python3 tasks.py lock` writes this page from the
metadata of the pinned versions. It shows what each package declares; libraries that a package
bundles may have further licences. *run* means needed by the simulator, *build* by its installation,
*test* and *docs* by its tests and its site, *app-test* by the app and its tests in a browser,
*course-test* by the tests of the course under nbgrader, and *supply* by the tools that pin and list
packages.

| package | version | licence | for |
|---|---|---|---|
"""


def main() -> None:
    """Write the page."""
    pins: dict[str, dict[str, str]] = {}  # by package and version: the rest of the line, a marker
    used: dict[str, dict[str, None]] = {}  # by package: the needs, in order
    for need in NEEDS:
        for name, version, marker in PIN.findall((HERE / f"{need}.txt").read_text()):
            pins.setdefault(name, {})[version] = marker
            used.setdefault(name, {})[need] = None
    declared = licences(pins)
    rows = [
        f"| {name} | {', '.join(pins[name])} | {declared[name]} | {', '.join(used[name])} |\n"
        for name in sorted(pins)
    ]
    PAGE.write_text(HEAD + "".join(rows), encoding="utf-8")


def licences(pins: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the licence of each package, whether it is for this system or for another."""
    here: list[str] = []
    windows: list[str] = []  # an sdist of these can need tools to build that are not here
    for name, versions in pins.items():
        for version, marker in versions.items():
            alone = "== 'win32'" in marker or "== 'nt'" in marker
            line = f"{name}=={version}{marker if len(versions) > 1 else ''}\n"
            (windows if alone else here).append(line)
    found = [*metadata(here), *metadata(windows, "--platform", "win_amd64")]
    return {re.sub(r"[-_.]+", "-", one["name"]).lower(): licence(one) for one in found}


def metadata(lines: list[str], *options: str) -> list[dict[str, Any]]:
    """Return the metadata of the packages in lines of requirements."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted, report = Path(scratch, "wanted.txt"), Path(scratch, "report.json")
        wanted.write_text("".join(lines))
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", *options),
                *("--ignore-installed", "--no-deps", "--report", report, "--requirement", wanted),
            ],
            check=True,
        )
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [package["metadata"] for package in found]


def licence(metadata: dict[str, Any]) -> str:
    """Return the licence that a package's metadata declares, in a line."""
    if expression := metadata.get("license_expression"):
        return str(expression)
    classifiers = [one for one in metadata.get("classifier", []) if one.startswith("License ::")]
    if classifiers:
        return ", ".join(one.rpartition(" :: ")[2] for one in classifiers)
    return str(metadata.get("license") or "not declared").splitlines()[0]


if __name__ == "__main__":
    main()
