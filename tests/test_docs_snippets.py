"""Every page: its Python runs, its commands can be composed or parsed.

What is tested in full by a test of its own page is left to that; here, no page is left out. Pages
of cells are executed when the site is built.
"""

import re
import shlex
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GENERATED = ("docs/notebooks/", *(f"docs/course/{n}_" for n in range(1, 9)))  # as notebooks
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if not path.relative_to(ROOT).as_posix().startswith(("docs/_build/", *GENERATED))
}
RUN_BY = {
    "README.md": "test_readme.py",
    "docs/how_to/calibration.md": "test_docs_calibration.py",
    "docs/concepts/planners.md": "test_docs.py",
    "docs/concepts/planning.md": "test_docs.py",
    "docs/how_to/reports.md": "test_docs.py",
    "docs/how_to/the_app.md": "browser/test_app_in_notebook.py",
    "docs/reference/results.md": "test_docs.py",
    "docs/reference/tables.md": "test_docs.py",
}
"""Which test runs the Python of a page, where it is not this one."""

FOLDERS = {"docs/how_to/a_scenario.md": "my_site"}
"""In which example the commands of a page are, where it is not ``document_reading``."""

PROGRAMS = ("compass-sim", "compass-lab", "python -m studies", "python3 tasks.py")
PLACEHOLDER = re.compile(r"\b(DIR|RUN|QUERY|NAME|OUT|KEY|VALUE|GROUP|ROWS)\b|\.\.\.")


def blocks(page):
    return re.findall(r"^```(\{?[\w-]*\}?)[^\n]*\n(.*?)^```$", page, re.S | re.M)


def commands(page):
    """Return the command lines of a page, those within sentences too; placeholders left out."""
    lines = [
        line.strip().removeprefix("!").removesuffix(" 2> /dev/null")
        for language, text in blocks(page)
        if language in ("", "text", "{code-cell}")
        for line in text.replace("\\\n", " ").splitlines()
    ]
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.S | re.M)
    lines += [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]
    shown = [line.partition("  #")[0].partition(" # ")[0].strip() for line in lines]
    return list(
        dict.fromkeys(
            line
            for line in shown
            if line.startswith(tuple(f"{program} " for program in PROGRAMS))
            and not PLACEHOLDER.search(line)
        )
    )


ALL = [(name, command) for name, page in PAGES.items() for command in commands(page)]


def without_sweepers_of_others(words):
    """Leave out what chooses and sets a sweeper that is not installed with the project."""
    return [word for word in words if not word.startswith(("hydra/sweeper=", "hydra.sweeper."))]


@cache
def composed(options):
    """Return the composition of options, Hydra's own keys included."""
    from hydra import compose, initialize_config_module

    from lab.config.settings import register

    register()
    with initialize_config_module("conf", version_base="1.3"):
        return compose("config", list(options), return_hydra_config=True)


def compose_command(words):
    """Compose what ``compass-sim`` would; of a sweep, its first job.

    Options are composed once; ``studies/test_paper.py`` composes each experiment of the paper.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import get_args_parser
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from lab.common.options import groups, in_folders
    from lab.config.overrides import readable

    parser = OverridesParser.create()
    given = get_args_parser().parse_args(without_sweepers_of_others(words))
    options, values = [], []
    for override in parser.parse_overrides(list(map(readable, given.overrides))):
        text = override.input_line
        if override.is_sweep_override():
            text = f"{override.get_key_element()}={next(override.sweep_string_iterator())}"
        group = override.package or "/" in override.key_or_group
        (options if group or override.key_or_group in groups() else values).append(text)
    if not values and len(options) == 1:
        key, _, name = options[0].partition("=")
        if key == "experiment" and name in in_folders(key):
            return name
    if given.config_dir:
        options.append(f"hydra.searchpath=[file://{Path(given.config_dir).resolve()}]")
    config = composed(tuple(options)).copy()
    ConfigLoaderImpl._apply_overrides_to_config(parser.parse_overrides(values), config)
    return config


@pytest.mark.parametrize(("page", "command"), ALL)
def test_a_command_can_be_composed_or_parsed(page, command, monkeypatch):
    import runpy

    monkeypatch.chdir(ROOT / "docs" / "examples" / FOLDERS.get(page, "document_reading"))
    words = shlex.split(command)
    if words[0] == "compass-sim":
        assert {"--help", "--version"} & {*words} or compose_command(words[1:])
    elif words[0] == "compass-lab":
        from lab.cli.tools import FURTHER, TOOLS, parser

        assert words[1] in (*TOOLS, *entry_points(group=FURTHER).names, "--help")
        if len(words) > 2:  # Prose names a tool without its arguments.
            parser().parse_args(words[1:])
    elif words[0] == "python3":
        tasks = runpy.run_path(str(ROOT / "tasks.py"))
        assert re.search(rf"tasks\.py {words[2]}\b", tasks["__doc__"]), words[2]
    else:
        from studies.registry import STUDIES, TOGETHER

        assert words[3] in (*STUDIES, *TOGETHER, "page", "--help")


@pytest.mark.parametrize("name", PAGES)
def test_python_compiles(name):
    for language, text in blocks(PAGES[name]):
        if language == "python":
            compile(text, name, "exec")


@pytest.mark.parametrize("name", RUN_BY)
def test_pages_left_to_another_test_are_named_there(name):
    assert any(language == "python" for language, _ in blocks(PAGES[name]))
    assert Path(name).name in (ROOT / "tests" / RUN_BY[name]).read_text(encoding="utf-8")


HERE = [
    name
    for name, page in PAGES.items()
    if name not in RUN_BY and any(language == "python" for language, _ in blocks(page))
]


LONG = ("docs/start/own_planner.md", "docs/how_to/sweeps.md")
assert set(LONG) <= set(HERE)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LONG else []) for name in HERE],
)
def test_python_runs(name, folder):
    """A file that a page tells to save is saved, so that later blocks can import it."""
    page = PAGES[name]
    for file, code in re.findall(r"`(\w+\.py)`[^`]*\n```python\n(.*?)^```$", page, re.S | re.M):
        (folder / file).write_text(code, encoding="utf-8")
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```$", page, re.S | re.M):
        exec(compile(code, name, "exec"), names)
