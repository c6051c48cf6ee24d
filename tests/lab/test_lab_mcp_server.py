"""The server for assistants, by the SDK's own client over standard input and output."""

import json
import os
import re
import shlex
import sys
from time import monotonic, sleep

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from mcp_client import environment, served

from lab.cli.tools import main
from lab.common.formatting import interval, number, probability

SMALL = {
    "experiment": "speech_small",
    "planner": "videostorm",
    "settings": {"switching": "free", "data_plane": "events", "horizon_s": 80},
}
LONG = {"experiment": "speech_hour", "planner": "videostorm"}
TO_5G = 0.2
NOISE = """
import os, sys
if any("multiprocessing" in word for word in sys.orig_argv):
    print("a print", flush=True)
    os.system("echo a child")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("assistant")


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    """Where the server's standard streams are kept; its processes print what is here."""
    directory = tmp_path_factory.mktemp("streams")
    (directory / "sitecustomize.py").write_text(NOISE)
    return directory


@pytest.fixture(scope="module")
def assistant(place, streams):
    """Return a client of a server that keeps its results in ``place/kept``."""
    options = ("--out", "kept", "--budget-s", "50", "--jobs", "1")
    path = f"{streams}{os.pathsep}{environment()['PYTHONPATH']}"
    with served(place, streams, *options, PYTHONPATH=path) as caller:
        yield caller
    assert [path.name for path in place.iterdir()] == ["kept"]


def test_what_if_a_fifth_of_our_users_move_to_5g(assistant, tmp_path, monkeypatch, capsys):
    keys = assistant.answer("list_scenarios", experiment="speech_small")["numbers"]["keys"]
    shares = dict(keys["network.technologies"]["value"])
    assert shares["4G-LTE"] >= TO_5G
    shares["4G-LTE"] = round(shares["4G-LTE"] - TO_5G, 6)
    shares["5G-NSA-Low-Band"] = round(shares["5G-NSA-Low-Band"] + TO_5G, 6)
    change = {"settings": {"network.technologies": shares}}

    found = assistant.answer("compare", **SMALL, changes=[change], seeds=2)
    assert found["finished"]
    assert [done for done, *_ in assistant.progress] == [1, 2, 3, 4]
    goodput = found["numbers"]["service_goodput_mean"]
    assert goodput["unit"] == "queries"
    changed, before = goodput["means"]
    [difference] = goodput["differences"]
    assert (changed["of"], before["of"]) == ("changed", "as it is")
    assert difference["difference"] == pytest.approx(changed["mean"] - before["mean"])
    assert difference["difference"] != 0
    assert number(difference["difference"]) in found["answer"]

    program, *words = shlex.split(found["command"])
    assert program == "compass-lab"
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--jobs", "1"]) == 0
    check_tables(goodput, capsys.readouterr().out, "2")


def check_tables(numbers, printed, seeds):
    """Check that the tables of a comparison have the means and the difference of a metric."""
    rows = [re.split(" {2,}", line.strip()) for line in printed.splitlines()]
    for one in numbers["means"]:
        shown = [number(one["mean"], 4), interval(one["low"], one["high"], 4, "-")]
        assert [one["of"], seeds, *shown] in [cells[-4:] for cells in rows]
    [one] = numbers["differences"]
    shown = number(one["difference"], 4), interval(one["low"], one["high"], 4, "-")
    row = ["service_goodput_mean", seeds, *shown, probability(one["p"])]
    assert row in [cells[:5] for cells in rows]


def test_tools_have_schemas_of_the_configuration(assistant):
    tools = {tool.name: tool for tool in assistant.tools()}
    assert list(tools) == [
        *("list_scenarios", "run", "compare", "fork", "explain", "capacity", "sensitivity")
    ]
    for tool in tools.values():
        Draft202012Validator.check_schema(tool.input_schema)
        assert tool.description
        assert tool.input_schema["properties"]["budget_s"]["anyOf"][0]["maximum"] == 50
    schema = tools["compare"].input_schema
    checker = Draft202012Validator(schema)
    change = {"planner": "greedy", "settings": {"cluster.nodes.cloud.count": 3}}
    checker.validate({**SMALL, "changes": [change]})
    for wrong in (
        {"workload.rate": -1},
        {"workload.rate": "fast"},
        {"network": "wify"},
        {"planner._target_": "os.system"},
        {"network.traces": {}},
        {"drift.events": [{"at_s": -1}]},
    ):
        with pytest.raises(ValidationError):
            checker.validate({**SMALL, "changes": [{"settings": wrong}]})


WRONG = [
    ("run", {"planner": "vidostorm"}, "planner=vidostorm: .*did you mean 'videostorm'"),
    ("run", {"planner": "mine.Planner"}, "planner=mine.Planner: choose one of"),
    ("run", {"experiment": "../../secret"}, "experiment=../../secret: choose one of"),
    ("run", {"seeds": 0}, "seeds=0: must be 1 or more"),
    ("run", {"seed": 1}, "seed: no such argument; .*did you mean 'seeds'"),
    ("run", {"budget_s": 1e6}, "budget_s=1e.06: must be 50 s or less"),
    ("run", {"settings": {"workload.rat": 1}}, "did you mean 'workload.rate'"),
    ("run", {"settings": {"tables.machine_prices": "/etc/passwd"}}, "no such key of a scenario"),
    ("run", {"settings": {"hydra.run.dir": "/tmp/x"}}, "no such key of a scenario"),
    ("run", {"settings": {"network.capacity": "${oc.env:HOME}"}}, "must be a name of letters"),
    ("run", {"settings": {"network.capacity": "a,b"}}, "must be a name of letters"),
    ("run", {"settings": {"workload.rate": -1}}, "workload.rate=-1.0: must lie between 0"),
    ("run", {"settings": {"workload.rate": [1]}}, "workload.rate=.1.: must be a number"),
    ("run", {"settings": {"horizon_s": 1e300}}, "horizon_s: must be a number of at most"),
    ("compare", {"changes": []}, "changes=.*: must have 1 or more items"),
    ("compare", {"changes": [{}]}, "changes.0: must have settings or a planner"),
    ("compare", {"changes": [{"settings": {"horizon_s": 80}}]}, "changes nothing"),
    ("capacity", {"vary": {"cluster.nodes.cloud.count": [1]}}, "at_least or at_most: give"),
    ("sensitivity", {"vary": {"seed": [1, 2]}}, "seed: no such key of a scenario"),
]


@pytest.mark.parametrize(("tool", "change", "said"), WRONG, ids=[str(one[1]) for one in WRONG])
def test_bad_input_gets_one_sentence(tool, change, said, assistant):
    arguments = {**SMALL, **change}
    if "settings" in change:
        arguments["settings"] = {**SMALL["settings"], **change["settings"]}
    assert re.search(said, assistant.refusal(tool, **arguments))


@pytest.mark.parametrize("name", ["../../../etc", "/etc", "0" * 31, "0" * 32, ""])
def test_a_run_is_named_by_the_server_only(name, assistant):
    for tool, more in (("explain", {}), ("fork", {"at_s": 1, "planner": "greedy"})):
        sentence = assistant.refusal(tool, run=name, **more)
        assert re.match(f"run={name}: (must be of the form|no run here has this name)", sentence)


def test_an_unknown_tool_is_refused(assistant):
    assert "did you mean 'compare'" in assistant.refusal("compar")


def test_a_used_up_budget_leaves_what_is_finished_and_the_next_call_goes_on(assistant, place):
    asked = {**SMALL, "changes": [{"planner": "greedy"}]}
    kept = place / "kept" / "what_if" / "runs"

    def seeds_after(budget_s):
        assistant.refusal("explain", run="0" * 32)  # It waits until a process is ready.
        started_s = monotonic()
        found = assistant.answer("compare", **asked, seeds=50, budget_s=budget_s)
        assert budget_s <= monotonic() - started_s < budget_s + 10
        assert not found["finished"]
        assert re.match(
            rf"budget_s={budget_s} was used up with \d+ of 100 runs done\.", found["note"]
        )
        return found["numbers"]["slo_met_fraction"]["means"][0]["n"]

    assistant.answer("compare", **asked, seeds=1)
    times = {path: path.stat().st_mtime_ns for path in kept.glob("*/summary.json")}
    counts = [seeds_after(budget_s=1)]
    while counts[-1] < 2 and len(counts) < 7:  # The machine can be busy.
        counts.append(seeds_after(budget_s=2 ** len(counts)))
    assert counts == sorted(counts)
    assert 2 <= counts[-1] < 50
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_only_the_protocol_is_on_standard_output(assistant, streams):
    assistant.answer("list_scenarios")
    text = (streams / "output.txt").read_text()
    lines = text[: text.rfind("\n") + 1].splitlines()  # the end may still be on its way to the file
    assert lines
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in lines)
    errors = (streams / "errors.txt").read_text()
    assert "a print" in errors
    assert "a child" in errors


@pytest.mark.slow
def test_a_cancelled_call_ends_its_process(assistant, place):
    assert "of 3600 simulated s" in assistant.cancelled("run", **LONG)
    until_s = monotonic() + 20
    while list((place / "kept" / "runs").glob(".*")):
        assert monotonic() < until_s, "the process goes on"
        sleep(0.1)
    assert assistant.tools()  # The server goes on.


def test_without_the_extra_the_command_names_it(monkeypatch, refused):
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.delitem(sys.modules, "lab.mcp_server.server", raising=False)
    assert "needs the extra [mcp]: pip install 'compass-sim[mcp]'" in refused("mcp")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget-s", "0"], "--budget-s 0: must be above 0"),
        (["--jobs", "0"], "--jobs 0: must be 1 or more"),
        (["--out", "/dev/null/x"], "--out=/dev/null/x: cannot be written"),
    ],
)
def test_wrong_options_are_refused(words, said, refused):
    assert said in refused("mcp", *words)
