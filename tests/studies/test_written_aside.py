"""Files of an evaluation are written completely, or stay as they were."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.reporting.plotting.canvas import canvas, save
from lab.what_if.question import Files
from studies.common import store
from studies.common.store import StudyHeader


def figure(directory: Path, number: int) -> Path:
    drawn, panels = canvas(1, 1)
    panels[0][0].plot([0, number])
    return save(drawn, directory / "figure.png")


def table(directory: Path, number: int) -> Path:
    Files(directory, "capacity", ["compass-lab"]).write_table([{"number": number}])
    [path] = directory.glob("*.csv")
    return path


def results(_: Path, number: int) -> Path:
    return store.write("mine", StudyHeader("command", 1, 1.0, 1), [{"number": number}])


@pytest.mark.parametrize("write", [figure, table, results])
def test_a_file_that_cannot_be_finished_stays_as_it_was(
    write: Callable[[Path, int], Path], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    path = write(tmp_path, 1)
    before = path.read_bytes()
    assert [*tmp_path.iterdir()] == [path]

    def broken(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "replace", broken)
        with pytest.raises(OSError, match="No space"):
            write(tmp_path, 2)
    assert path.read_bytes() == before
    assert write(tmp_path, 2).read_bytes() != before
