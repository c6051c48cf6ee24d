"""How Sphinx builds the site: ``python3 tasks.py docs``.

MyST-NB executes pages of the kind ``file_format: mystnb``, each in an empty directory. What they
showed is kept in the user's cache, until their code or a behaviour version changes.
COMPASS_SMOKE=1 in the environment makes long pages short.
"""

import os
import re
import sys
from hashlib import sha256
from pathlib import Path

import jupytext
from platformdirs import user_cache_dir
from pygments.lexers.special import TextLexer

from lab.behaviour import shipped
from lab.version import __version__
from notebooks.course import build

project = "compass-sim"
copyright = "the authors of compass-sim, Apache-2.0"
version = release = __version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_reredirects",
]
exclude_patterns = ["_build", "jupyter_execute", "examples"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

_decides = f"{shipped()} {os.environ.get('COMPASS_SMOKE')}"
nb_execution_mode = "cache"
nb_execution_cache_path = str(
    Path(user_cache_dir("compass-sim"), "pages", sha256(_decides.encode()).hexdigest()[:12])
)
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 900  # seconds for a cell; the first simulation compiles
nb_merge_streams = True  # the kernel flushes what is printed at random times
nb_output_stderr = "remove"  # such as "compiling code at its first use"
suppress_warnings = ["mystnb.unknown_mime_type"]  # a page shows another form of such an output

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# Every name of the project that a signature shows must have its place in the reference. Those of
# other libraries are left alone: looking them up would take the network.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!(hardware_models|scenarios|sim|planners|lab)\b).*"),
    # What is behind the planning interface, the insides of Compass and of recorded runs, and a type
    # variable.
    (r"py:class", r"lab\.runs\.api\.Recorded"),
    (r"py:class", r"sim\.(planning|catalogue|cluster)\..*"),
    (r"py:class", r"planners\.(common|compass)\..*"),
    (r"py:class", r"hardware_models\.tables\.R"),
]

# Where a page of version 0.1.0 is now. A page at the old address leads there.
MOVED = {
    "first_planner": "start/own_planner",
    "tutorial_application": "how_to/adding_an_application",
    "guides/a_scenario": "how_to/a_scenario",
    "guides/a_search_for_compass": "how_to/a_search_for_compass",
    "guides/adding_a_link_trace": "how_to/adding_a_link_trace",
    "guides/adding_a_metric": "how_to/adding_a_metric",
    "guides/adding_a_table": "how_to/adding_a_table",
    "guides/adding_an_accelerator": "how_to/adding_an_accelerator",
    "calibration": "how_to/calibration",
    "sweeps": "how_to/sweeps",
    "reports": "how_to/reports",
    "explaining": "how_to/explaining",
    "what_if": "how_to/what_if",
    "world": "concepts/world",
    "data_planes": "concepts/data_planes",
    "planning": "concepts/planning",
    "planning_bulk": "concepts/planning_bulk",
    "planners": "concepts/planners",
    "applications": "concepts/applications",
    "hardware": "concepts/hardware",
    "glossary": "concepts/glossary",
    "architecture": "concepts/architecture",
    "results": "reference/results",
    "evaluation": "evidence/evaluation",
    "reproduction/index": "evidence/reproduction/index",
    "validation": "evidence/validation",
    "benchmarks": "evidence/benchmarks",
    "gallery": "evidence/gallery",
    "notebooks/08_course": "course/index",
    "notebooks/09_course_solutions": "course/index",
}
redirects = {old: f"{'../' * old.count('/')}{new}.html" for old, new in MOVED.items()}

html_theme = "furo"
html_title = "compass-sim"
html_copy_source = False
html_extra_path = ["figures/animation.html"]  # the page on the app has it in a frame


def write_notebooks() -> None:
    """Write the notebooks and the students' notebooks of the course as pages to be executed."""
    here = Path(__file__).parent
    notebooks = {path.stem: jupytext.read(path) for path in build.HERE.parent.glob("[0-9]*.py")}
    course = {name: build.page(name) for name in build.names()}
    for folder, made in ("notebooks", notebooks), ("course", course):
        for name, notebook in made.items():
            notebook.metadata = {
                "kernelspec": build.KERNEL,
                "jupytext": {"cell_metadata_filter": "tags,-all"},
            }
            text = jupytext.writes(notebook, fmt="md:myst")
            text = text.replace(f"({build.DRIFT}.ipynb)", f"(../notebooks/{build.DRIFT_TEXT}.md)")
            text = re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", text).replace("](../docs/", "](../")
            (here / folder / f"{name}.md").write_text(text, encoding="utf-8")


def setup(app: object) -> None:
    """Set what pages are executed with, and show ``csv``, which Pygments lacks, as plain text."""
    programs = Path(sys.executable).parent  # such as compass-lab, for cells that run commands
    os.environ |= {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    app.add_lexer("csv", TextLexer)
    write_notebooks()
