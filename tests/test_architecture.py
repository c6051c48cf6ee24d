"""The architecture that CONTRIBUTING.md draws is the one that the code has."""

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LAYERS, QUERY, REQUEST = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)
TOP = tuple(
    tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "root_packages"
    ]
)
NAME = rf"\b(?:{'|'.join(TOP)})(?:\.\w+)*\b"


def packages(directory):
    """Return the packages right below a directory, by dotted name."""
    return {f"{directory}.{path.parent.name}" for path in (ROOT / directory).glob("*/__init__.py")}


def test_every_package_in_the_diagram_exists():
    drawn = re.findall(NAME, LAYERS)
    assert len(drawn) > 20
    assert [name for name in drawn if find_spec(name) is None] == []


def test_every_package_of_sim_and_lab_is_in_the_diagram():
    drawn = set(re.findall(NAME, LAYERS))
    assert packages("sim") | packages("lab") <= drawn
    assert set(TOP) - {"notebooks", "lab", "sim"} <= drawn


@pytest.mark.parametrize("package", ["planners", "sim.dataplane"])
def test_packages_within_are_those_in_the_diagram(package):
    [line] = [line for line in LAYERS.splitlines() if line.split()[0] == package]
    drawn = re.findall(r"\w+", re.split(r" {2,}", line.strip())[1])
    within = packages(package.replace(".", "/"))
    assert {*drawn} - {"over"} == {name.rpartition(".")[2] for name in within}


def test_every_path_of_a_query_and_of_a_request_exists():
    for path in re.findall(r"[a-z_]+(?:/[a-z_]+)+(?:\.py|/)", QUERY + REQUEST):
        assert (ROOT / path).exists(), path


def test_packages_are_small_and_files_short():
    for directory in set(TOP) - {"notebooks"}:
        for package in (ROOT / directory).rglob("__init__.py"):
            files = [path for path in package.parent.glob("*.py") if path.name != "__init__.py"]
            assert len(files) <= 15, package.parent
            for path in files:
                assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, path
