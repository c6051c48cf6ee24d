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
MORE_THAN_TEST = ("app-test", "course-test")
"""These have all packages of the tests, too."""
ELSEWHERE = ("sys_platform == ", "== 'nt'")
"""What the markers of packages for one other system have; they may have no files for this one."""
OF_ELSEWHERE = ("--platform=win_amd64", "--python-version=3.13", "--only-binary=:all:")
"""Options by which pip reads their metadata."""
PIN = re.compile(r"^([\w.-]+)==([^\s;]+)(.*?)\s*\\?$", re.MULTILINE)
HEAD = """\
# Licences of the dependencies

`python3 tasks.py` installs these packages. `python3 tasks.py lock` writes this page from the
metadata of the pinned versions. It shows what each package declares; libraries that a package
bundles may have further licences. *run* means needed by the simulator, *build* by its installation,
*test* and *docs* by its tests and its site, and *supply* by the tools that pin and list packages.
In addition to *test*, the app and its tests in a browser need *app-test*, and the tests of the
course under nbgrader need *course-test*.

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
    for needs in used.values():
        for need in MORE_THAN_TEST if "test" in needs else ():
            needs.pop(need, None)
    rows = [
        f"| {name} | {', '.join(pins[name])} | {declared[name]} | {', '.join(used[name])} |\n"
        for name in sorted(pins)
    ]
    PAGE.write_text(HEAD + "".join(rows), encoding="utf-8")


def licences(pins: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the licence of each package, whether it is for this system or for another."""
    here: list[str] = []
    elsewhere: list[str] = []
    for name, versions in pins.items():
        for version, marker in versions.items():
            group = elsewhere if any(each in marker for each in ELSEWHERE) else here
            group.append(f"{name}=={version}{marker if len(versions) > 1 else ''}\n")
    found = [*metadata(here), *metadata(elsewhere, *OF_ELSEWHERE)]
    return {re.sub(r"[-_.]+", "-", one["name"]).lower(): licence(one) for one in found}


def metadata(lines: list[str], *options: str) -> list[dict[str, Any]]:
    """Return the metadata of the packages in lines of requirements."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted, report = Path(scratch, "wanted.txt"), Path(scratch, "report.json")
        wanted.write_text("".join(lines))
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"),
                *("--ignore-installed", "--no-deps", "--report", report, "--requirement", wanted),
                *(*options, f"--target={scratch}"),
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
