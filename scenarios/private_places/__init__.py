"""Directories that nobody but the user can change, for files that are read as code.

Stored machine code is unpickled, and unpickling runs code. So a place counts as private only if the
user or the administrator owns it, others cannot write it, and others cannot replace it through a
directory above it. Windows has no such permission bits, so every place counts as private there.
"""

import atexit
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from shutil import rmtree

from hardware_models.errors import escaped

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NotPrivateError(OSError):
    """Others can change a directory or a file; the message is a clause for the user."""


def private_directory(path: Path) -> Path:
    """Return a directory without symbolic links in its path; create what is missing of it.

    Raises NotPrivateError if others can change it, and OSError if it cannot be created.
    """
    path = Path(os.path.realpath(path))
    missing = list(_missing(path))
    if os.name == "posix":
        for number, each in enumerate(path.parents if missing else (path, *path.parents)):
            if each not in missing:
                check_private(each, above=bool(missing) or number > 0)
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        each.chmod(0o700)  # The user's mask can forbid even the owner's access.
    return path


def _missing(path: Path) -> Iterator[Path]:
    while not path.exists():
        yield path
        path = path.parent


def check_private(path: Path, above: bool = False) -> None:
    """Raise NotPrivateError if others can change a file or a directory, and OSError if missing.

    With `above`, the path is a directory above the private place; others may then write it if its
    sticky bit prevents them from replacing what they do not own.
    """
    if os.name != "posix":
        return
    status = path.lstat()
    if above and not stat.S_ISDIR(status.st_mode):
        raise NotPrivateError(f"{path} is not a directory")
    # In a container that maps user numbers, the administrator can have another number than 0.
    if status.st_uid not in (0, os.geteuid(), _administrator()):
        raise NotPrivateError(f"{path} belongs to another user")
    if status.st_mode & OTHERS_WRITE and not (above and status.st_mode & stat.S_ISVTX):
        raise NotPrivateError(f"others can write {path}")


@cache
def _administrator() -> int:
    return Path("/").stat().st_uid


@cache
def temporary_directory() -> Path:
    """Return a private directory that is deleted at the end of this process.

    Raises OSError if no directory for temporary files is usable.
    """
    path = Path(tempfile.mkdtemp(prefix="compass-sim-"))
    path.chmod(0o700)
    maker = os.getpid()

    def delete() -> None:
        if os.getpid() == maker:  # A forked process also runs this.
            rmtree(path, ignore_errors=True)

    atexit.register(delete)
    return private_directory(path)


def note(sentence: str) -> None:
    """Print a sentence for the user to standard error, if that is open."""
    if sys.stderr is not None:
        print(f"compass-sim: {escaped(sentence)}", file=sys.stderr, flush=True)
