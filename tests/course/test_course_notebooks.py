"""The course's notebooks: what students get is made from the texts, and has no solutions."""

import re
import subprocess
import sys
import tomllib

import nbformat
import pytest

from lab.course import steps
from lab.course.__main__ import main as copy
from notebooks.course import build
from notebooks.course.__main__ import main as make

DOCS = build.HERE.parents[1] / "docs" / "course"


def test_eight_notebooks_and_twenty_one_steps():
    assert [name[:2] for name in build.names()] == [f"{number}_" for number in range(1, 9)]
    assert len(steps()) == 21
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for name in build.names():
        assert re.search(rf"^{name}$", index, re.M), "not in the table of contents"


def test_the_notebooks_have_the_steps_points():
    cells = [
        cell.metadata.get("nbgrader", {})
        for name in build.names()
        for cell in nbformat.read(build.RELEASED / f"{name}.ipynb", 4).cells
    ]
    found = {each["grade_id"]: each["points"] for each in cells if each.get("grade")}
    assert found == {
        f"check-{step.name.replace('.', '-')}": step.points for step in steps().values()
    }


def test_the_guide_has_all_steps_and_their_points():
    guide = (DOCS / "guide.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| \[.*?\| (.*?) \| ([\d, ]+) \|$", guide, re.M)
    listed = [name for text, _ in rows for name in re.findall(r"\b\d\.\d\b", text)]
    points = [int(each) for _, text in rows for each in text.split(",")]
    assert listed == [*steps()]
    assert points == [step.points for step in steps().values()]
    assert f"There are {sum(points)} points." in guide
    assert re.findall(r"^\| (\d\.\d) \|", guide, re.M) == [*steps()], "common mistakes"


@pytest.mark.parametrize("name", build.names())
def test_the_released_notebook_is_that_of_its_text(name):
    """If this fails, run ``python -m notebooks.course release``."""
    written = (build.RELEASED / f"{name}.ipynb").read_text(encoding="utf-8")
    assert written == build.written(build.released(name))
    nbformat.validate(nbformat.reads(written, as_version=4))


def test_the_drift_notebook_comes_with_the_course():
    """If this fails, run ``python -m notebooks.course release``."""
    written = (build.RELEASED / f"{build.DRIFT}.ipynb").read_text(encoding="utf-8")
    assert written == build.written(build.drift())
    assert f"]({build.DRIFT}.ipynb)" in (build.RELEASED / "7_drift.ipynb").read_text()
    for path in build.RELEASED.glob("*.ipynb"):
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (build.RELEASED / link).is_file(), f"{path.name} links to {link}"


def solutions():
    """Return the model solutions, without line breaks and indentation."""
    texts = [(build.HERE / f"{name}.py").read_text(encoding="utf-8") for name in build.names()]
    regions = re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", "".join(texts), re.S)
    return ["".join(region.split()) for region in regions]


def test_no_solution_is_in_what_is_installed():
    found = solutions()
    assert len(found) == len(steps())
    project = tomllib.loads((build.HERE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    installed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert "notebooks" not in installed
    assert "lab" in installed
    for path in build.RELEASED.parent.rglob("*"):
        if path.suffix in (".py", ".ipynb"):
            text = path.read_text(encoding="utf-8")
            assert not [each for each in found if each in "".join(text.split())], path
            if path.suffix == ".ipynb":
                assert "SOLUTION" not in text
                assert "HIDDEN" not in text


def test_students_copy_the_notebooks_and_keep_their_work(tmp_path, capsys):
    assert copy([str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"to open them: jupyter lab {tmp_path}"
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted([*build.names(), build.DRIFT])
    mine = tmp_path / f"{build.names()[0]}.ipynb"
    mine.write_text("my work")
    assert copy([str(tmp_path)]) == 0
    assert mine.read_text() == "my work"
    assert "stays as it is" in capsys.readouterr().out
    assert copy([str(mine)]) == 2
    assert str(mine) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["source"], "source: it needs a directory"),
        (["release", "there"], "release: it takes no directory"),
        (["release", "--only", "1_statoin"], "did you mean '1_station'"),
        (["slides", f"{__file__}/there"], "there: Not a directory"),
    ],
)
def test_bad_words_get_one_sentence(words, said, capsys):
    assert make(words) == 2
    assert said in capsys.readouterr().err


def test_the_course_needs_no_checkout(tmp_path):
    """Graders import what is installed, and nothing of the notebooks' packages."""
    further = {"notebooks", "jupytext", "nbformat"}
    code = f"import sys, lab.course; print({further} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
