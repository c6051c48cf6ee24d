"""The submissions of a class: one module, package or configuration file for each planner."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import packages_distributions
from pathlib import Path
from shutil import copy

from lab.common.errors import InputError, no_directory
from lab.config.targets import PACKAGES
from lab.leaderboard.loading import CONFIGURED, MODULE, PACKAGE

FOLDER = "submissions"
MOST_BYTES, MOST_FILES = 20_000_000, 1000
"""Largest size of a submission."""
HIDDEN = (".", "__pycache__")
"""How names of files begin that do not belong to a submission."""
KINDS = f"NAME{MODULE}, NAME{CONFIGURED}, or a directory NAME with {PACKAGE}"


@dataclass(frozen=True)
class Submission:
    """A submission; its name is that of its file or directory."""

    name: str
    path: Path

    @cached_property
    def files(self) -> list[Path]:
        """Its files, and whatever else is no directory, in order; hidden ones are left out."""
        if not self.path.is_dir():
            return [self.path]
        return [
            each
            for each in sorted(self.path.rglob("*"))
            if (each.is_symlink() or not each.is_dir())
            and not any(part.startswith(HIDDEN) for part in each.relative_to(self.path).parts)
        ]

    @cached_property
    def problem(self) -> str | None:
        """Why it is not run, as a clause, or None."""
        if any(each.is_symlink() for each in (self.path, *self.files)):
            return "it has a link, which could lead to files of others"
        if not all(each.is_file() for each in self.files):
            return "it has something that is no file"
        if len(self.files) > MOST_FILES:
            return f"it has more than {MOST_FILES:,} files"
        if sum(each.stat().st_size for each in self.files) > MOST_BYTES:
            return f"it is larger than {MOST_BYTES:,} bytes"
        return None

    @cached_property
    def digest(self) -> str:
        """Hash of its files; it has no problem."""
        found = sha256()
        for each in self.files:
            found.update(f"{each.relative_to(self.path.parent)}\0".encode())
            found.update(sha256(each.read_bytes()).digest())
        return found.hexdigest()

    def copy_to(self, place: Path) -> None:
        """Copy its files to a directory."""
        for each in self.files:
            copied = place / each.relative_to(self.path.parent)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copy(each, copied)


def find_submissions(directory: Path, taken: Sequence[str]) -> list[Submission]:
    """Return the submissions of a class, by name.

    Args:
        directory: directory of the leaderboard.
        taken: names that no submission may have, those of the baselines.

    Raises:
        InputError: there is none, or one has a wrong name.
    """
    folder = directory / FOLDER
    if not folder.is_dir():
        raise InputError(f"{folder}: {no_directory(folder)}; it has the submissions: {KINDS}")
    found = sorted(_listed(folder), key=lambda each: each.path)
    if not found:
        raise InputError(f"{folder}: has no submission; a submission is {KINDS}")
    modules = {*sys.stdlib_module_names, *packages_distributions(), *PACKAGES}
    names: dict[str, Path] = {}
    for each in found:
        if not (each.name.isidentifier() and each.name.isascii()):
            raise InputError(
                f"{each.path}: must have a name of letters, digits and _, such as alice"
            )
        if each.name in modules:
            raise InputError(
                f"{each.path}: has the name of an installed module or package; choose another"
            )
        if each.name in taken:
            raise InputError(f"{each.path}: has the name of a baseline; choose another name")
        if each.name in names:
            raise InputError(
                f"{each.path}: has the same name as {names[each.name].name}; choose another name"
            )
        names[each.name] = each.path
    return found


def _listed(folder: Path) -> Iterator[Submission]:
    for path in folder.iterdir():
        if path.name.startswith(HIDDEN):
            continue
        package = path.is_dir() and (path / PACKAGE).exists()
        if not (package or path.suffix in (MODULE, CONFIGURED)):
            raise InputError(f"{path}: is no submission; a submission is {KINDS}")
        yield Submission(path.stem, path)
