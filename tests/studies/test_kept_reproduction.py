"""A kept reproduction: its page, and runs from which another machine goes on."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.run_cache.jobs import Job, cached, make
from studies import reproduction
from studies.common.measures import totals
from studies.common.study import Scale

RUN = ("experiment=speech_small", "horizon_s=60", "planner=static_plan")


def jobs(scale: Scale) -> list[Job]:
    return [Job(RUN, seed, totals, {"scene": "a minute"}) for seed in scale.seeds_or()]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the only study be `jobs`, and keep what it gives below a temporary directory."""
    monkeypatch.setattr(reproduction, "NAMES", {"1": "minute"})
    monkeypatch.setattr(reproduction, "FIGURES", {"1": SimpleNamespace(jobs=jobs)})
    monkeypatch.setattr(reproduction, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(reproduction, "PAGE", tmp_path / "page")
    return tmp_path


def test_kept_runs_are_used_elsewhere_as_if_they_had_been_made_there(
    places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = places / "first", places / "other"
    some = jobs(Scale(seeds=[2000, 2003]))
    rows = make(some, 1, first)
    (first / "figures").mkdir()
    (first / "figures" / "one.png").write_bytes(b"picture")
    (first / "index.md").write_text("# The page\n")
    (places / "page").mkdir()
    (places / "page" / "old.png").write_bytes(b"of the last page")
    assert reproduction.main([str(first)]) == 0
    assert "2 runs" in capsys.readouterr().out
    shown = {path.name for path in (places / "page").rglob("*.*")}
    assert shown == {"index.md", "one.png"}
    assert reproduction.main([str(other), "--restore"]) == 0
    assert [cached(job, other) for job in some] == rows
    assert make(some, 1, other) == rows


def test_a_directory_without_a_page_is_refused(places: Path, capsys) -> None:
    assert reproduction.main([str(places / "none")]) == 2
    assert (
        "none/index.md: does not exist; make it by compass-lab reproduce" in capsys.readouterr().err
    )
    assert reproduction.main([str(places / "none"), "--restore"]) == 2
    assert "runs.parquet: does not exist" in capsys.readouterr().err
