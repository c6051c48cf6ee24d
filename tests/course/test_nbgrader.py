"""nbgrader takes the course's notebooks: it validates, releases and grades them.

``python3 tasks.py course-test`` runs these tests, in an environment that has nbgrader.
"""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from lab.course import steps
from notebooks.course import build

PROGRAMS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
"""Where nbgrader is, and alembic, which it calls: in the environment of these tests first."""

ASSIGNMENT = "slo"
CONFIGURATION = """
c = get_config()
c.CourseDirectory.course_id = "course"
c.ExecutePreprocessor.timeout = 300
"""

pytestmark = pytest.mark.nbgrader


def nbgrader(folder, *words):
    done = subprocess.run(
        [shutil.which("nbgrader", path=PROGRAMS), *words],
        cwd=folder,
        env=os.environ | {"PATH": PROGRAMS},
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Return a course of nbgrader with the assignment, and submissions of two students."""
    if shutil.which("nbgrader", path=PROGRAMS) is None:
        pytest.fail(
            "nbgrader is not installed; python3 tasks.py course-test installs it", pytrace=False
        )
    folder = tmp_path_factory.mktemp("course")
    (folder / "nbgrader_config.py").write_text(CONFIGURATION)
    for place in ("source", "submitted/diligent", "submitted/idle"):
        (folder / place / ASSIGNMENT).mkdir(parents=True)
    for name in build.names():
        for place, made in (
            ("source", build.source),
            ("submitted/diligent", build.solved),
            ("submitted/idle", build.released),
        ):
            path = folder / place / ASSIGNMENT / f"{name}.ipynb"
            path.write_text(build.written(made(name)), encoding="utf-8")
    nbgrader(folder, "generate_assignment", ASSIGNMENT, "--create")
    return folder


@pytest.mark.parametrize("name", build.names())
def test_what_nbgrader_releases_is_what_the_wheel_has(course, name):
    theirs = nbformat.read(course / "release" / ASSIGNMENT / f"{name}.ipynb", 4)
    ours = nbformat.read(build.RELEASED / f"{name}.ipynb", 4)
    assert [cell.source for cell in theirs.cells] == [cell.source for cell in ours.cells]
    for one, other in zip(theirs.cells, ours.cells, strict=True):
        mine = other.metadata.get("nbgrader", {})
        assert mine.items() <= one.metadata.get("nbgrader", {}).items()


@pytest.mark.parametrize("name", build.names())
def test_validation_fails_for_the_empty_notebook_and_passes_for_the_solved(course, name):
    empty = nbgrader(course, "validate", str(build.RELEASED / f"{name}.ipynb"))
    assert "AssertionError" in empty
    solved = nbgrader(course, "validate", f"submitted/diligent/{ASSIGNMENT}/{name}.ipynb")
    assert "Success! Your notebook passes all the tests." in solved


def test_the_diligent_get_all_points_and_the_idle_none(course):
    nbgrader(course, "autograde", ASSIGNMENT)
    nbgrader(course, "export")
    with (course / "grades.csv").open(encoding="utf-8") as file:
        grades = {row["student_id"]: row for row in csv.DictReader(file)}
    everything = sum(step.points for step in steps().values())
    assert float(grades["diligent"]["score"]) == everything
    assert float(grades["diligent"]["max_score"]) == everything
    assert float(grades["idle"]["score"]) == 0
