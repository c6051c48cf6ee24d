"""What `python3 tasks.py` installs is pinned, and checked by hashes."""

import re
import shutil
import tomllib
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
NEEDS = ("app-test", "build", "course-test", "docs", "run", "supply", "test")
TOGETHER = ("app-test", "build", "course-test", "docs", "run", "test")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(need: str) -> list[str]:
    """Return the requirements of a file, each with its hashes, as one line."""
    text = (ROOT / "requirements" / f"{need}.txt").read_text()
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins(need: str) -> list[Requirement]:
    return [Requirement(entry.partition(" --hash")[0]) for entry in entries(need)]


def versions(need: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for pin in pins(need):
        found.setdefault(pin.name, set()).add(str(pin.specifier).removeprefix("=="))
    return found


def load(place: Path) -> ModuleType:
    spec = spec_from_file_location("tasks_under_test", place / "tasks.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("need", NEEDS)
def test_every_requirement_has_a_version_and_hashes(need: str) -> None:
    assert entries(need)
    for entry in entries(need):
        pin, *hashes = entry.split(" --hash")
        assert re.fullmatch(r"[a-z0-9-]+==[^\s;*]+( ;.*)?", pin.strip()), entry
        assert hashes, entry
        assert all(HASH.fullmatch(f"--hash{one.strip()}") for one in hashes), entry


@pytest.mark.parametrize("need", NEEDS)
def test_no_package_index_is_named(need: str) -> None:
    text = (ROOT / "requirements" / f"{need}.txt").read_text()
    assert "://" not in text
    assert set(re.findall(r"(?:^|\s)(--?\w[\w-]*)", text)) == {"--hash"}


def test_what_pyproject_names_is_pinned_as_it_asks() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        described = tomllib.load(file)
    project, groups = described["project"], described["dependency-groups"]
    named = {
        "run": project["dependencies"],
        "test": project["dependencies"] + project["optional-dependencies"]["test"],
        "docs": project["dependencies"] + project["optional-dependencies"]["docs"],
        "app-test": [
            wanted
            for extra in ("test", "app", "app-test")
            for wanted in project["optional-dependencies"][extra]
        ],
        "course-test": [
            wanted
            for extra in ("test", "course-test")
            for wanted in project["optional-dependencies"][extra]
        ],
        "build": described["build-system"]["requires"] + groups["build"],
        "supply": groups["supply"],
    }
    assert set(named) == set(NEEDS)
    for need, texts in named.items():
        pinned = versions(need)
        for wanted in map(Requirement, texts):
            found = pinned.get(canonicalize_name(wanted.name), set())
            assert found, f"{wanted.name}: run python3 tasks.py lock"
            assert all(wanted.specifier.contains(version) for version in found), wanted


def test_needs_that_share_an_environment_agree() -> None:
    pinned: dict[tuple[str, str], str] = {}
    for need in TOGETHER:
        for pin in pins(need):
            key = (pin.name, str(pin.marker))
            assert pinned.setdefault(key, str(pin.specifier)) == str(pin.specifier), pin


def test_licences_of_all_pinned_packages_are_listed() -> None:
    pinned: dict[str, set[str]] = {}
    for need in NEEDS:
        for name, found in versions(need).items():
            pinned.setdefault(name, set()).update(found)
    page = (ROOT / "docs" / "reference" / "licences.md").read_text(encoding="utf-8")
    rows = [row.strip("|").split("|") for row in page.splitlines() if row.startswith("| ")][1:]
    listed = {name.strip(): set(version.strip().split(", ")) for name, version, *_ in rows}
    assert listed == pinned, "run python3 tasks.py lock"
    assert all(licence.strip() not in ("", "not declared") for _, _, licence, _ in rows)


SetUp = tuple[Callable[[str], None], list[list[str]], Path]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetUp:
    """Return `set_up` of a copy of the checkout, the pip commands it gives, and the copy."""
    for name in ("tasks.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    monkeypatch.setenv("COMPASS_ENV", str(tmp_path / "environment"))
    tasks = load(tmp_path)
    commands: list[list[str]] = []

    def call(_: Path, *arguments: str) -> int:
        commands.append(list(arguments))
        return 0

    def create(place: Path, with_pip: bool) -> None:
        place.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(tasks, "call", call)
    monkeypatch.setattr(tasks.venv, "create", create)
    return tasks.set_up, commands, tmp_path


@pytest.mark.parametrize("need", ["run", "test", "docs", "supply"])
def test_only_the_checkout_is_installed_without_hashes(need: str, checkout: SetUp) -> None:
    set_up, commands, _ = checkout
    set_up(need)
    installed = [Path(command[-1]).name for command in commands if "--require-hashes" in command]
    assert installed == [f"{need}.txt"] if need == "supply" else ["build.txt", f"{need}.txt"]
    for command in commands:
        assert ("--require-hashes" in command) != ("--editable" in command)
        # Nothing that an isolated build would fetch, without hashes, is fetched.
        assert "--no-build-isolation" in command or command[-1].endswith("build.txt")
        if "--editable" in command:
            assert "--no-deps" in command
            assert command is commands[-1]


def test_an_environment_is_made_anew_for_other_pins(checkout: SetUp) -> None:
    set_up, commands, place = checkout
    set_up("run")
    once = len(commands)
    set_up("run")
    assert len(commands) == once
    for name in ("requirements/run.txt", "requirements/build.txt", "pyproject.toml"):
        with (place / name).open("a") as file:
            file.write("# changed\n")
        set_up("run")
        assert len(commands) == 2 * once, name
        del commands[once:]


def test_a_refused_package_ends_the_command(
    checkout: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up, _, place = checkout
    monkeypatch.setitem(set_up.__globals__, "call", lambda *_: 1)
    for _ in range(2):  # and the environment does not count as made
        with pytest.raises(SystemExit, match="1"):
            set_up("run")
    assert not list((place / "environment").glob("installed*"))
