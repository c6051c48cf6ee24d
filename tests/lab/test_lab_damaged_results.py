"""Damaged files of results end in one sentence that names the file, whichever tool reads them."""

import json
import os
import re
import shutil
from functools import partial

import polars as pl
import pytest
from command_line import sentence_of
from spoiled_sweeps import spoil

from lab.cli.tools import main
from lab.common.errors import InputError
from lab.runs.resume import Checkpoint, check_resumable
from lab.runs.run_directory import (
    claim,
    load_config,
    planner_directories,
    read_jobs,
    read_run_summary,
    read_summary,
    write_aside,
)

NO_SUMMARY = [
    b"",
    b"[]",
    b"3",
    b'"text"',
    b"null",
    b"\xff\xfe",
    b"{",
    b"[" * 100_000,
    b"{}",
    b'{"a": 1}',
    b'{"status": "finished"}',
]


@pytest.fixture(scope="module")
def run(made, tmp_path_factory):
    return shutil.copytree(made / "0", tmp_path_factory.mktemp("damaged") / "run")


@pytest.fixture
def intact(run):
    """A run whose files are restored after the test."""
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    yield run
    for path, content in kept.items():
        path.write_bytes(content)


@pytest.mark.skipif(os.name != "posix", reason="needs names of any bytes")
def test_a_directory_whose_name_is_no_text_is_refused(run, tmp_path, refused):
    place = tmp_path / os.fsdecode(b"a\xff")
    with pytest.raises(InputError, match=r"directory=.*a\\udcff: the path must be text in UTF-8"):
        claim(place, "directory")
    shutil.copytree(run, place)
    for words in (["report", place], ["explain", place, "0"]):
        assert r"a\udcff/summary.json: the path must be text" in refused(*words)


@pytest.mark.usefixtures("undrawn")
def test_a_report_escapes_the_name_of_its_directory(run, tmp_path, capsys):
    assert main(["report", str(shutil.copytree(run, tmp_path / "a\x1b"))]) == 0
    printed = capsys.readouterr().out
    assert r"a\x1b/report" in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize("content", NO_SUMMARY)
def test_a_summary_of_another_shape_is_named(content, intact, refused):
    file = intact / "summary.json"
    file.write_bytes(content)
    assert str(file) in refused("explain", intact, "0")
    assert str(file) in refused("report", intact)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("planner", None),
        ("seed", "one"),
        ("queries", True),
        ("service_goodput_mean", "many"),
        ("planner_parameters", []),
        ("queries_by_tier", {"a": "b"}),
        ("versions", [1]),
    ],
)
def test_a_value_of_another_type_is_named(key, value, intact):
    file = intact / "summary.json"
    file.write_text(json.dumps(read_summary(intact) | {key: value}))
    with pytest.raises(InputError, match=rf"summary.json: is not a run's summary .*: {key}"):
        read_run_summary(intact)


def test_a_lacking_value_is_named(intact):
    summary = read_summary(intact)
    del summary["horizon_s"]
    (intact / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(InputError, match="of this version: it has no horizon_s"):
        read_run_summary(intact)


def test_a_value_that_a_report_lacks_is_named(intact, refused):
    summary = read_summary(intact)
    del summary["unserved"]
    (intact / "summary.json").write_text(json.dumps(summary))
    assert "a summary is not of this version: it has no unserved" in refused("report", intact)


@pytest.mark.parametrize(
    "content",
    [
        b"[1, 2]",
        b"\xff",
        b"a: [",
        b"application: {operators: [1]}",
        b"application: {operators: {a: 3}}",
        b"drift: {events: {a: 1}}",
        b"drift: {events: [3]}",
        b"drift: ${nothing}",
    ],
)
def test_a_configuration_of_another_shape_is_named(content, intact, refused):
    file = intact / "config.yaml"
    file.write_bytes(content)
    assert str(file) in refused("explain", intact, "0")
    with pytest.raises(InputError):
        check_resumable(intact, {}, alone=True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda _: pl.DataFrame({"query": ["a"]}), "column 'query' must be of type Int64"),
        (lambda rows: rows.select(pl.lit("x").alias(one) for one in rows.columns), "must be of"),
        (None, "is not a valid Parquet file"),
    ],
)
def test_a_part_of_another_shape_is_named(spoil, said, intact, refused):
    file = intact / "windows" / "part-00000.parquet"
    if spoil is None:
        file.write_bytes(b"PAR1")
    else:
        spoil(pl.read_parquet(file)).write_parquet(file)
    printed = refused("explain", intact, "0")
    assert f"{file}: " in printed
    assert said in printed


def test_an_animation_names_what_it_cannot_read(run, tmp_path, refused):
    results = shutil.copytree(run, tmp_path / "results")
    file = results / "windows" / "part-00000.parquet"
    later = results / "windows" / "part-00001.parquet"
    later.write_bytes(b"PAR1")
    assert f"{later}: is not a valid Parquet file" in refused("animate", results)
    later.unlink()
    pl.read_parquet(file).drop("query").write_parquet(file)
    assert f"RUN={results}: its tables cannot be read (" in refused("animate", results)


def test_a_trace_of_an_empty_table_says_how_to_get_one(run, tmp_path, refused):
    results = shutil.copytree(run, tmp_path / "results")
    (results / "requests").mkdir(exist_ok=True)
    assert "simulate the run with requests=true" in refused("trace", results)


@pytest.mark.parametrize("content", [b"3", b"a: 1", b"- 1", b"\xff", b"[", b"a: 2001-99-99"])
def test_a_list_of_jobs_of_another_shape_is_named(content, tmp_path):
    file = tmp_path / "jobs.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"jobs\.yaml: "):
        read_jobs(file)


GOOD = {
    "owner": ["query", 1],
    "configuration": 0,
    "learned_ns": 1,
    "items": "AQAAAA==",
    "accuracy": "AAAAAAAA8D8=",
    "operator_time_s": "AAAAAAAA8D8=",
}


@pytest.mark.parametrize(
    "changed",
    [
        {"owner": 3},
        {"owner": [["query"], {}]},
        {"owner": "query"},
        {"configuration": float("inf")},
        {"configuration": 10**30},
        {"configuration": "x"},
        {"learned_ns": None},
        {"items": 3},
        {"items": "?"},
        {"accuracy": "AAAA"},
    ],
)
def test_a_record_of_another_shape_is_named(changed, tmp_path):
    Checkpoint(tmp_path, resume=False).close()
    file = tmp_path / "checkpoint.jsonl"
    head = file.read_text()
    file.write_text(f"{head}{json.dumps(GOOD)}\n")
    Checkpoint(tmp_path, resume=True).close()
    file.write_text(f"{head}{json.dumps(GOOD | changed)}\n")
    with pytest.raises(InputError, match=r"checkpoint.jsonl, line 2: cannot be resumed"):
        Checkpoint(tmp_path, resume=True)


@pytest.mark.parametrize("line", [b"\xff\n", b"[" * 100_000 + b"\n", b"3\n", b"[]\n"])
def test_a_line_that_is_no_record_is_named(line, tmp_path):
    Checkpoint(tmp_path, resume=False).close()
    file = tmp_path / "checkpoint.jsonl"
    file.write_bytes(file.read_bytes() + line)
    with pytest.raises(InputError, match=r"checkpoint.jsonl, line 2: cannot be resumed"):
        Checkpoint(tmp_path, resume=True)


def linked(run, directory, name):
    """Copy a run, one part of which becomes a link to an empty directory; return both."""
    results, victim = shutil.copytree(run, directory / "results"), directory / "victim"
    victim.mkdir()
    path = results / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(victim)
    return results, victim


LINKS = ("report", "figures", "queries", "queries/part-00009.parquet", "config.yaml", "error.txt")


@pytest.mark.parametrize("name", [*LINKS, "trace.json", "0"])
def test_a_report_refuses_a_link_that_leads_out_of_results(name, run, tmp_path, refused):
    results, victim = linked(run, tmp_path, name)
    assert str(results / name) in refused("report", results)
    assert not list(victim.iterdir())


@pytest.mark.parametrize("name", ["queries", "cheapest_feasible"])
def test_a_run_refuses_a_link_that_leads_out_of_results(name, run, tmp_path, compass_sim):
    results, victim = linked(run, tmp_path, name)
    words = ["experiment=speech_small", "planner=comparison", f"hydra.run.dir={results}"]
    said = sentence_of(compass_sim(*words, "resume=true"))
    assert f"{name}: is a symbolic link that leads out of {results}" in said
    assert not list(victim.iterdir())


@pytest.mark.parametrize("name", ["summary.json", "config.yaml", "queries/part-00000.parquet"])
def test_a_named_pipe_is_refused(name, run, tmp_path, refused):
    results = shutil.copytree(run, tmp_path / "results")
    (results / name).unlink()
    os.mkfifo(results / name)
    assert str(results / name) in refused("report", results)
    assert str(results / name) in refused("explain", results, "0")


def test_a_link_inside_results_is_followed(run, tmp_path):
    results = shutil.copytree(run, tmp_path / "results")
    (results / "queries").rename(results / "moved")
    (results / "queries").symlink_to("moved")
    assert planner_directories(results) == {".": results}


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_a_link_or_pipe_at_the_temporary_path_is_not_written_through(tmp_path):
    (tmp_path / "victim").touch()
    (tmp_path / ".a.tmp").symlink_to(tmp_path / "victim")
    os.mkfifo(tmp_path / ".b.tmp")
    for name in ("a", "b"):
        write_aside(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"
    assert (tmp_path / "victim").read_text() == ""


@pytest.mark.usefixtures("undrawn")
def test_a_report_names_jobs_that_did_not_end_or_lost_their_table_of_queries(
    sweep, capsys, refused
):
    spoil(sweep / "0", status="running")
    shutil.rmtree(sweep / "2" / "queries")
    assert main(["report", str(sweep)]) == 0
    printed = capsys.readouterr().out
    assert "Left out, because they did not finish: 0 (running at 120 of 120 s)" in printed
    lost = f"has no table queries; delete {sweep / '2'}, and resume=true repeats it"
    assert f"Missing: 2 ({lost})" in printed
    assert refused("explain", sweep / "2", "0") == f"compass-lab: {sweep / '2'}: {lost}\n"


def resumed(job):
    check_resumable(job, load_config(job / "config.yaml"), alone=True)


@pytest.mark.parametrize(
    ("name", "resume"),
    [("summary.json", resumed), ("checkpoint.jsonl", partial(Checkpoint, resume=True))],
)
def test_a_resumed_run_names_the_damaged_file_and_what_to_delete(name, resume, run, tmp_path):
    job = shutil.copytree(run, tmp_path / "0")
    (job / name).write_text('{"status":\n')
    again = f"delete {job}, and resume=true repeats it"
    with pytest.raises(InputError, match=rf"{re.escape(str(job / name))}\b.*; {re.escape(again)}"):
        resume(job)
