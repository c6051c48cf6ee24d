"""A kept reproduction: its page, and runs from which another machine goes on."""

from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from lab.run_cache.jobs import Job, cached, make
from studies import reproduction
from studies.common.measures import totals
from studies.common.study import Scale

RUN = ("experiment=speech_small", "horizon_s=60", "planner=static_plan")
WHOLE_PAGE = "# The page\n\n`compass-lab reproduce all` writes it.\n\n![One](figures/one.png)\n"


def jobs(scale: Scale) -> list[Job]:
    return [Job(RUN, seed, totals, {"scene": "a minute"}) for seed in scale.seeds_or()]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the only study be `jobs`, and keep what it gives below a temporary directory."""
    monkeypatch.setattr(reproduction, "NAMES", {"1": "minute"})
    monkeypatch.setattr(reproduction, "FIGURES", {"1": SimpleNamespace(jobs=jobs)})
    monkeypatch.setattr(reproduction, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(reproduction, "PAGE", tmp_path / "page")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "old.png").write_bytes(b"of the last page")
    return tmp_path


def _made(directory: Path, *seeds: int) -> list[dict]:
    """Make runs on some seeds and a page with one picture; return the runs' rows."""
    rows = make(jobs(Scale(seeds=seeds)), 1, directory) if seeds else []
    for name, text in (("one.png", "picture"), ("stale.png", "of an earlier page")):
        (directory / "figures").mkdir(parents=True, exist_ok=True)
        (directory / "figures" / name).write_text(text)
    (directory / "index.md").write_text(WHOLE_PAGE)
    return rows


def test_kept_runs_are_used_elsewhere_as_if_they_had_been_made_there(
    places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = places / "first", places / "other"
    rows = _made(first, 2000, 2003)
    (first / "causes.json").write_text("{}")
    assert reproduction.main([str(first)]) == 0
    assert "2 runs kept" in capsys.readouterr().out
    shown = {path.name for path in (places / "page").rglob("*.*")}
    assert shown == {"index.md", "one.png"}
    kept = pl.read_parquet(places / "kept" / "runs.parquet")
    assert kept["run"].to_list() == ["a minute, seed 2000", "a minute, seed 2003"]
    some = jobs(Scale(seeds=[2000, 2003]))
    damaged = other / "runs" / some[0].key / "summary.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    assert reproduction.main([str(other), "--restore"]) == 0
    assert "this code uses 2 of them" in capsys.readouterr().out
    assert [cached(job, other) for job in some] == rows
    assert make(some, 1, other) == rows
    assert (other / "causes.json").exists()


def test_what_was_kept_stays_if_a_directory_has_no_whole_reproduction(
    places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = places / "some"
    for prepare, sentence in (
        (lambda: None, "has no whole page; make it by compass-lab reproduce all --hours H"),
        (lambda: _made(directory), "has no runs of this code"),
        (lambda: _of_one_figure(directory), "has no whole page"),
        (lambda: _without_picture(directory), "one.png: does not exist"),
    ):
        prepare()
        assert reproduction.main([str(directory)]) == 2
        assert sentence in capsys.readouterr().err
    assert {path.name for path in (places / "page").iterdir()} == {"old.png"}
    assert not (places / "kept").exists()
    assert reproduction.main([str(directory), "--restore"]) == 2
    assert "nothing is kept" in capsys.readouterr().err


def _of_one_figure(directory: Path) -> None:
    _made(directory, 2000)
    (directory / "index.md").write_text("`compass-lab reproduce 10` writes it.\n")


def _without_picture(directory: Path) -> None:
    _made(directory, 2000)
    (directory / "figures" / "one.png").unlink()


def test_restored_runs_of_other_code_are_not_used(
    places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _made(places / "first", 2000)
    reproduction.keep(places / "first")
    kept = pl.read_parquet(places / "kept" / "runs.parquet")
    kept.with_columns(key=pl.lit("0" * 32)).write_parquet(places / "kept" / "runs.parquet")
    assert reproduction.main([str(places / "other"), "--restore"]) == 0
    assert "1 runs put into" in capsys.readouterr().out
    [job] = jobs(Scale(seeds=[2000]))
    assert cached(job, places / "other") is None
