"""A stranger's configuration file runs no code: it is refused in one sentence before any import."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lab import run
from lab.cli.simulate import main
from lab.cli.tools import main as tools_main
from lab.common.errors import InputError
from lab.config.compose import compose, set_up
from lab.config.targets import current_path, is_ours
from lab.config.trust import check_file
from lab.limits.guarded_call import from_elsewhere

EVIL = "evil_mod"
"""A module in the current directory that leaves a trace when it is imported."""
SOURCE = """
from pathlib import Path

from planners import Greedy

Path("RAN").touch()


class Mine(Greedy):
    '''A planner of another module.'''
"""
TARGET = f"{EVIL}.Mine"
GLOBAL = "# @package _global_\n"
CALL = f"{{_target_: {TARGET}}}"

TARGETS = {
    "planner": f"planner: {CALL}",
    "planner of a comparison": f"planner: {{compare: {{x: {CALL}}}}}",
    "part of a planner": f"planner: {{search: {CALL}}}",
    "argument in a list": f"planner: {{parts: [1, [{CALL}]]}}",
    "arrivals": f"workload: {{arrivals: {CALL}}}",
    "application": f"application: {CALL}",
    "part of an application": f"application: {{tables: {CALL}}}",
    "data plane": f"data_plane: {CALL}",
    "anywhere": f"about: {{quick: {CALL}}}",
    "relative": "planner: {_target_: .planners.Greedy}",
    "function": "planner: {_target_: os.system, command: touch RAN}",
    "package of an earlier version": "planner: {_target_: evaluation.x.Mine}",
    "earlier module that only another package has": "planner: {_target_: evaluation.paper.x.Mine}",
    "by reference": f"about: {{claim: {TARGET}}}\nplanner: {{_target_: '${{about.claim}}'}}",
    "key with dots": f"planner._target_: {TARGET}",
}
HYDRA = {
    "callback": f"callbacks: {{x: {CALL}}}",
    "callback that unpickles": "callbacks: {x: {_target_: joblib.load, filename: x.pkl}}",
    "callback that runs a command": "callbacks: {x: {_target_: os.system, command: touch RAN}}",
    "class of the project's callback": f"callbacks: {{outcome: {CALL}}}",
    "factory of a log handler": f"job_logging: {{handlers: {{x: {{'()': {TARGET}}}}}}}",
    "class of a log handler": f"hydra_logging: {{handlers: {{x: {{class: {TARGET}}}}}}}",
    "object of a log formatter": f"job_logging: {{formatters: {{x: {{format: 'ext://{TARGET}'}}}}}}",
    "file of a log": "job_logging: {handlers: {x: {class: logging.FileHandler, filename: RAN}}}",
    "environment": "job: {env_set: {LD_PRELOAD: evil.so}}",
    "copied environment": "job: {env_copy: [SECRET]}",
    "name of the job, which is in a path": "job: {name: ../x}",
    "directory of the job": "job: {chdir: true}",
    "sweeper": f"sweeper: {CALL}",
    "search space": f"sweeper: {{custom_search_space: {TARGET}}}",
    "sampler": f"sweeper: {{sampler: {CALL}}}",
    "launcher": f"launcher: {CALL}",
    "cluster": "launcher: {ray: {init: {address: 'evil.example:6379'}}}",
    "text of a launcher": "launcher: {backend: evil}",
    "truth value of a launcher": "launcher: {ray: {init: {include_dashboard: true}}}",
    "class in a sweep": f"sweeper: {{params: {{planner._target_: {TARGET}}}}}",
    "class in a mapping of a sweep": f"sweeper: {{params: {{planner.compare: '{{x: {CALL}}}'}}}}",
    "Hydra's key in a sweep": "sweeper: {params: {+hydra.job.env_set.LD_PRELOAD: evil.so}}",
    "group below Hydra in a sweep": "sweeper: {params: {+planner@hydra.callbacks: greedy}}",
    "environment in a sweep": "sweeper: {params: {seed: '${oc.env:HOME}'}}",
    "escaped environment in a sweep": "sweeper: {params: {seed: '$\\{oc.env:HOME\\}'}}",
    "mode": "mode: MULTIRUN",
    "help": "help: {template: $CONFIG}",
    "records of Hydra": "output_subdir: .hydra",
    "directory outside": "run: {dir: ../x}",
    "directory at the root": "run: {dir: /tmp/x}",
    "directory at home": "sweep: {dir: ~/x}",
    "directory by reference": "run: {dir: '${about.claim}'}",
    "directory by the clock": "run: {dir: '${now:/tmp}'}",
    "directory of the environment": "sweep: {dir: '${oc.env:HOME}'}",
}
RESOLVERS = [
    *("oc.env:HOME", "oc.decode:'{_target_: x.Y}'", "oc.create:'{}'", "oc.select:seed"),
    *("hydra:runtime.cwd", "now:%Y", " oc.env:HOME", "oc.dict.values:about", "half:${oc.env:HOME}"),
    *("oc.${about.claim}:HOME", "seed}${oc.env:HOME"),
]


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Return a function that writes files into a stranger's directory, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one not in ("", str(tmp_path))])
    (tmp_path / f"{EVIL}.py").write_text(SOURCE)
    for top in ("evaluation", "evaluation/paper"):
        (tmp_path / top).mkdir()
        for name in ("__init__", "x"):
            (tmp_path / top / f"{name}.py").write_text(SOURCE)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(_Touch()))

    def write(files: dict[str, str]) -> str:
        for name, text in files.items():
            path = tmp_path / "own" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return f"hydra.searchpath=['file://{tmp_path / 'own'}']"

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] in (EVIL, "evaluation")]:
        del sys.modules[name]


class _Touch:
    def __reduce__(self):
        return Path.touch, (Path("RAN"),)


def refusal(*overrides: str) -> str:
    """Compose a configuration that must be refused; return the sentence."""
    with pytest.raises(InputError) as refused:
        set_up(compose(overrides), overrides)
    said = str(refused.value)
    assert "\n" not in said
    assert len(said) < 600
    assert not Path("RAN").exists()
    assert EVIL not in sys.modules
    return said


def _texts() -> Iterator[tuple[str, str]]:
    """Yield a file that must be refused, and the key that its refusal names."""
    for text in TARGETS.values():
        yield text, "_target_="
    for text in HYDRA.values():
        yield f"hydra: {{{text}}}", f"hydra.{text.partition(':')[0]}"
    for resolver in RESOLVERS:
        yield f'about: {{claim: "${{{resolver}}}"}}', "about.claim=${"


def test_a_file_cannot_name_code():
    for text, key in _texts():
        with pytest.raises(InputError) as refused:
            check_file(OmegaConf.create(text), "x.yaml", frozenset())
        said = str(refused.value)
        assert said.startswith("x.yaml: ")
        assert key in said
        assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "key"),
    [
        one if at % 12 == 0 else pytest.param(*one, marks=pytest.mark.slow)
        for at, one in enumerate(_texts())
    ],
)
def test_a_file_is_refused_before_anything_runs(stranger, tmp_path, text, key):
    sys.path.append(str(tmp_path))  # The module can be imported.
    own = stranger({"experiment/x": f"{GLOBAL}{text}\n"})
    said = refusal(own, "planner=greedy", "experiment=x")
    assert said.startswith("own/experiment/x.yaml: ")
    assert key in said


@pytest.mark.parametrize(
    ("files", "overrides", "key"),
    [
        ({"planner/x": CALL}, ["planner=x"], "planner._target_"),
        ({"planner/x": "# @package hydra.callbacks\na: {b: c}"}, ["planner=x"], "hydra.callbacks"),
        (
            {"hydra/callbacks/x": f"a: {CALL}"},
            ["hydra/callbacks=x", "planner=greedy"],
            "hydra.callbacks.a._target_",
        ),
        ({"hydra/job_logging/x": "root: {}"}, ["hydra/job_logging=x"], "hydra.job_logging.root"),
        ({"hydra/sweeper/x": CALL}, ["hydra/sweeper=x"], "hydra.sweeper._target_"),
        ({"hydra/env/x": "# @package hydra\njob: {env_set: {A: b}}"}, ["hydra/env=x"], "env_set.A"),
        (
            {"x": f"hydra: {{searchpath: ['pkg://{EVIL}']}}"},
            ["--config-name=x"],
            "hydra.searchpath",
        ),
        (
            {"x": f"hydra: {{callbacks: {{x: {CALL}}}}}"},
            ["--config-name=x"],
            "hydra.callbacks.x._target_",
        ),
        (
            {
                "experiment/x": f"{GLOBAL}defaults: [/planner@hydra.callbacks: y]",
                "planner/y": "a: {b: c}",
            },
            ["experiment=x"],
            "hydra.callbacks",
        ),
        (
            {"experiment/x": f"{GLOBAL}defaults: [/planner@hydra.callbacks: greedy]"},
            ["experiment=x"],
            "planner/greedy@hydra.callbacks",
        ),
        (
            {"experiment/x": f"{GLOBAL}defaults: [/planner@hydra: greedy]"},
            ["experiment=x"],
            "planner/greedy@hydra: below hydra",
        ),
        (
            {"experiment/x": f"{GLOBAL}defaults: [/hydra/launcher@hydra.callbacks.x: joblib]"},
            ["experiment=x"],
            "hydra/launcher/joblib@hydra.callbacks.x: below hydra, a file must be",
        ),
        (
            {"experiment/x": f"{GLOBAL}defaults: [override /planner: '${{oc.env:HOME}}']"},
            ["experiment=x"],
            "defaults: ${oc.env:HOME}",
        ),
        (
            {"experiment/x": f"{GLOBAL}defaults: [../../secret]"},
            ["experiment=x"],
            "defaults: ../../secret",
        ),
    ],
)
def test_the_place_of_a_file_does_not_matter(stranger, capsys, files, overrides, key):
    stranger(files)
    said = _said(capsys, "--config-dir", "own", "--cfg", "job", *overrides)
    assert key in said
    assert said.count("\n") == 1
    assert not Path("RAN").exists()
    assert EVIL not in sys.modules


def test_the_command_refuses_in_one_sentence(stranger, capsys):
    stranger({"experiment/x": f"{GLOBAL}hydra: {{{HYDRA['callback that unpickles']}}}\n"})
    for words in (["--cfg", "job"], ["-m", "seed=0,1"], []):
        assert _started("--config-dir", "own", "experiment=x", *words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("compass-sim: own/experiment/x.yaml: hydra.callbacks.x._target_=job")
        assert err.count("\n") == 1
    said = _said(capsys, "--experimental-rerun", "x.pkl")
    assert "--experimental-rerun x.pkl: is refused" in said
    assert tools_main(["agree", "--config-dir", "own", "experiment=x"]) == 2
    assert sorted(path.name for path in Path.cwd().iterdir()) == [
        *("evaluation", f"{EVIL}.py", "own", "x.pkl")
    ]


SHORT = ["horizon_s=1", "figures=false"]
ALLOWED = ["--config-dir", "own", f"--allow-import={EVIL}"]


def test_an_option_allows_the_classes_of_a_module(stranger, capsys):
    own = stranger({"planner/x": f"{CALL}\n", "planner/y": "{_target_: evil_module.Mine}\n"})
    assert f"add --allow-import {EVIL}, which lets" in refusal(own, "planner=x")
    assert "must be the name of a module" in _said(capsys, "--allow-import", "a-b", "planner=x")
    assert "must be the name of a module" in _said(capsys, "planner=x", "--allow-import")
    assert "evil_module.Mine" in _said(capsys, "planner=y", *ALLOWED)
    assert not Path("RAN").exists()
    assert _started("planner=x", "--cfg", "job", *ALLOWED) == 0
    overrides = [own, f"hydra.allow_import=[other,{EVIL}]", "planner=x"]
    [planner] = set_up(compose(overrides), overrides).planners.values()
    assert type(planner).__module__ == EVIL


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_module_is_allowed_in_all_jobs_and_tools(stranger, launcher):
    own = stranger({"planner/x": f"{CALL}\n"})
    words = ["planner=x", *SHORT, *ALLOWED]
    assert _started("-m", *words, "seed=0,1", f"hydra/launcher={launcher}") == 0
    assert Path("RAN").exists()
    assert tools_main(["agree", *words]) == 0
    few = ["--seeds", "2", "--jobs", "1", "--vary", "horizon_s=10,20", "--metric", "requests"]
    assert tools_main(["sensitivity", "planner=x", "workload.rate=1", *ALLOWED, *few]) == 0
    result = run([own, f"hydra.allow_import=[{EVIL}]", "planner=x", "horizon_s=1"])
    assert result.summary["planner_class"] == TARGET


def _started(*words: str) -> int:
    sys.argv = ["compass-sim", *words]
    return main()


def _said(capsys, *words: str) -> str:
    assert _started(*words) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "overrides",
    [
        ["planner=greedy", f"planner._target_={TARGET}"],
        [f"+planner.compare={{mine: {{_target_: {TARGET}}}}}"],
        [f"+planner.compare.mine._target_={TARGET}"],
    ],
)
def test_an_override_names_any_planner(stranger, overrides):
    stranger({})
    set_up(compose(overrides), overrides)
    assert Path("RAN").exists()


def test_an_override_that_names_no_planner_calls_nothing(stranger):
    stranger({})
    said = refusal("planner=greedy", "planner._target_=os.system", "+planner.command=touch RAN")
    assert said.startswith("planner._target_=os.system: is not a Planner; ")


def test_files_keep_what_they_need(stranger):
    own = stranger(
        {
            "experiment/x": f"""{GLOBAL}
defaults:
  - override /planner: y
  - override /hydra/launcher: joblib
  - override /drift: device_slowdown
horizon_s: 60
seed: ${{cluster.nodes.edge.count}}
flush_every_s: ${{half:${{horizon_s}}}}
hydra:
  run: {{dir: 'runs/mine_${{now:%Y-%m-%d}}/${{hydra.job.override_dirname}}'}}
  sweep: {{dir: runs, subdir: '${{hydra.job.num}}'}}
  launcher: {{n_jobs: 2}}
  sweeper: {{params: {{planner: 'y,greedy', +workload.devices.jetson: '1,2'}}}}
  callbacks: {{outcome: {{objective: [service_goodput_mean]}}}}
""",
            "planner/y": "_target_: planners.greedy.Greedy  # as before\nsamples: 7\n",
        }
    )
    overrides = [own, "experiment=x"]
    setup = set_up(compose(overrides), overrides)
    assert setup.config.planner.samples == 7
    assert setup.flush_every_s == 30
    assert setup.seed == setup.config.cluster.nodes.edge.count


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.integers(),
        st.sampled_from(["planners.Greedy", TARGET, "os.system", "${seed}", "${oc.env:HOME}"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(["_target_", "hydra", "a"]), inner, max_size=2),
    ),
    max_leaves=8,
)


@given(VALUES, st.sampled_from([frozenset(), frozenset({EVIL})]))
def test_what_passes_has_only_classes_that_are_ours_or_allowed(content, allowed):
    try:
        check_file(OmegaConf.create({"x": content}), "x.yaml", allowed)
    except InputError:
        return

    def check(node):
        if isinstance(node, dict):
            target = node.get("_target_")
            if isinstance(target, str) and "." in target:
                assert is_ours(target) or (allowed and target == TARGET)
            for one in node.values():
                check(one)
        elif isinstance(node, list):
            for one in node:
                check(one)
        else:
            assert node != "${oc.env:HOME}"

    check(content)


def test_old_paths_are_looked_up_without_another_package(stranger, tmp_path):
    stranger({})
    sys.path.append(str(tmp_path))
    assert not is_ours("evaluation.paper.user_probe.Mine")
    assert current_path("evaluation.paper.user_probe.Mine")
    assert not Path("RAN").exists()
    assert is_ours("planners.videostorm.VideoStorm")


def test_our_planners_and_their_parts_are_not_taken_for_strangers():
    """The guard reads the whole simulator at each flush for a stranger's planner only."""
    overrides = ["experiment=speech_small", "planner=comparison"]
    compared = set_up(compose(overrides), overrides).planners
    assert [name for name, planner in compared.items() if from_elsewhere(planner)] == []
    assert "compass" in compared


def test_modules_of_the_current_directory_are_not_found_by_accident(stranger, tmp_path):
    """Neither a plugin of Hydra, nor an optional dependency, nor a tool comes from there."""
    stranger({})
    write = "from pathlib import Path; Path('RAN').touch()\n"
    for name in ("hydra_plugins/x", "psutil", "IPython", "attr", "cffi", "hydra_colorlog", "ray"):
        (tmp_path / f"{name}.py").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(write)
    words = ["planner=greedy", "horizon_s=1", "figures=false"]
    # A console script's path lacks the current directory, too.
    command = [sys.executable, "-P", "-m", "lab.cli.simulate", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not Path("RAN").exists()


def test_a_file_of_the_current_directory_does_not_set_up_figures(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"text.usetex: True\nbackend: module://evil\n\xff")
    code = "import lab.reporting, matplotlib; print(matplotlib.rcParams['text.usetex'])"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


@pytest.mark.slow
def test_the_checker_of_planners_imports_nothing_of_the_current_directory(stranger, tmp_path):
    stranger({})
    (tmp_path / "sim.py").write_text("from pathlib import Path; Path('RAN').touch()\n")
    assert tools_main(["check-planner", "planners.Greedy"]) == 0
    assert not Path("RAN").exists()
