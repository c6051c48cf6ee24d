"""Sequential verdicts: looks, Holm over claims, and where the next hours are spent."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lab.analysis.paired import ratio_interval
from lab.analysis.statistics import at_confidence, estimate
from lab.run_cache.jobs import Job
from studies.common import effort
from studies.common.claims import Finding, Verdict, above, below, of_range
from studies.common.effort import Effort
from studies.common.study import Scale
from studies.common.verdicts import FIRST_SEED, LOOKS, decisions, seeds_of


def _rows(seeds: int, spread: float = 0.1, **means: float) -> pl.DataFrame:
    """Return rows of scenes whose ratio has a mean and a spread."""
    noise = np.random.default_rng(4).normal(size=(len(means), 100))
    return pl.DataFrame(
        [
            {
                "scene": scene,
                "seed": FIRST_SEED + seed,
                "ratio": mean * np.exp(spread * noise[at, seed]),
            }
            for at, (scene, mean) in enumerate(means.items())
            for seed in range(seeds)
        ]
    )


def _findings(rows: pl.DataFrame) -> list[Finding]:
    found = []
    for (scene,), part in rows.group_by("scene", maintain_order=True):
        values = part["ratio"].to_numpy()
        ratio = ratio_interval(values, np.ones(len(values)))
        found.append(above(f"{scene} leads", ratio, 1.0, "why", len(values), scene=str(scene)))
    return found


def test_intervals_are_wider_at_a_higher_confidence_and_only_within_the_context() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    usual = estimate(values)
    with at_confidence(0.99):
        wide = estimate(values)
    assert wide.low < usual.low < usual.high < wide.high  # type: ignore[operator]
    assert estimate(values) == usual


def test_a_large_effect_is_decided_at_the_first_look_and_keeps_its_verdict() -> None:
    [found] = decisions(_findings, _rows(40, wide=3.0))
    assert found.finding.verdict is Verdict.AGREES
    assert found.seeds == LOOKS.seeds[0]
    assert found.now == 40


def test_a_row_shows_the_interval_of_the_look_that_decided() -> None:
    """Later seeds, which say the opposite, do not change a row."""
    later = _rows(40, wide=0.1).filter(pl.col("seed") >= FIRST_SEED + LOOKS.seeds[0])
    [found] = decisions(_findings, pl.concat([_rows(5, wide=3.0), later]))
    [then] = _findings(_rows(5, wide=3.0))
    assert found.row[1:4] == (then.ours, "**agrees**", "5")
    [now] = _findings(pl.concat([_rows(5, wide=3.0), later]))
    assert now.verdict is Verdict.DIFFERS


def test_an_effect_smaller_than_stated_is_decided_as_well() -> None:
    [found] = decisions(_findings, _rows(40, 0.3, none=1.0))
    assert found.seeds is None
    [found] = decisions(_findings, _rows(40, 0.02, none=1.0))
    assert found.finding.verdict is Verdict.DIFFERS
    assert "smaller than 5%" in found.finding.why


def test_scenes_are_judged_by_their_own_seeds() -> None:
    short, long = _rows(5, large=3.0), _rows(20, small=1.2)
    found = {each.finding.scene: each for each in decisions(_findings, pl.concat([short, long]))}
    assert found["large"].seeds == 5
    assert found["small"].seeds in (10, 20)


def test_few_verdicts_are_wrong_where_nothing_is_true() -> None:
    rng, wrong = np.random.default_rng(8), 0
    for _ in range(15):
        rows = pl.DataFrame(
            [
                {"scene": f"{scene}", "seed": FIRST_SEED + seed, "ratio": float(value)}
                for scene in range(4)
                for seed, value in enumerate(np.exp(0.3 * rng.normal(size=40)))
            ]
        )
        agree = [each.finding.verdict is Verdict.AGREES for each in decisions(_findings, rows)]
        wrong += any(agree)
    assert wrong <= 2  # at most 5 % are expected, so that 3 of 15 are improbable


def test_trial_seeds_are_judged_once_at_95_percent() -> None:
    rows = _rows(4, one=1.5).with_columns(pl.col("seed") - FIRST_SEED)
    [found] = decisions(_findings, rows)
    assert found.seeds == 4


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        ((2.2, 2.1, 2.5), Verdict.AGREES),  # within a quarter of the effect below the range
        ((2.1, 2.0, 2.2), Verdict.DIFFERS),  # outside of the range altogether
        ((2.2, 1.5, 3.0), Verdict.UNDECIDED),
    ],
)
def test_a_range_is_met_give_or_take_a_quarter_of_the_effect(
    ratio: tuple[float, float, float], verdict: Verdict
) -> None:
    assert of_range("claim", ratio, (2.4, 5.1), "why", 9).verdict is verdict


def test_a_value_near_its_threshold_is_not_below_it() -> None:
    assert below("claim", (5.0, 4.9, 5.1), 5.0, "why", 9).verdict is Verdict.DIFFERS
    assert below("claim", (4.0, 3.9, 4.1), 5.0, "why", 9).verdict is Verdict.AGREES


class _Study:
    """A study with two scenes, of which one is decided soon."""

    TITLE = "Made up"
    __name__ = "made_up"

    def jobs(self, scale: Scale) -> list[Job]:
        seeds = scale.seeds_or()
        return [
            Job((f"planner={scene}",), seed, len, {"scene": scene})
            for scene in ("large", "none")
            for seed in seeds
        ]

    findings = staticmethod(_findings)


def test_hours_go_to_the_scenes_that_are_not_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {(row["scene"], row["seed"]): row for row in _rows(100, large=3.0, none=1.0).to_dicts()}
    made: set[tuple[str, int]] = set()

    def make(jobs: list[Job], *_: object) -> None:
        made.update((str(job.labels["scene"]), job.seed) for job in jobs)

    def cached(job: Job, _: Path) -> dict[str, object] | None:
        key = str(job.labels["scene"]), job.seed
        return {**rows[key], "run_core_s": 1.0} if key in made else None

    monkeypatch.setattr(effort, "make", make)
    monkeypatch.setattr(effort, "cached", cached)
    spent = Effort({"made_up": _Study()}, Scale(), tmp_path)  # type: ignore[dict-item]
    assert spent.decisions("made_up") == []
    spent.spend(1e9, 1)
    assert {seed for scene, seed in made if scene == "large"} == {*seeds_of(LOOKS.seeds[0])}
    assert {seed for scene, seed in made if scene == "none"} == {*seeds_of(LOOKS.most)}
    again = Effort({"made_up": _Study()}, Scale(), tmp_path)  # type: ignore[dict-item]
    assert [each.now for each in again.decisions("made_up")] == [LOOKS.seeds[0], LOOKS.most]


def test_scenes_whose_runs_take_less_time_get_their_seeds_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {(row["scene"], row["seed"]): row for row in _rows(100, large=3.0, none=1.0).to_dicts()}
    made: list[tuple[str, int]] = []

    def make(jobs: list[Job], *_: object) -> None:
        made.extend((str(job.labels["scene"]), job.seed) for job in jobs)

    def cached(job: Job, _: Path) -> dict[str, object] | None:
        key = str(job.labels["scene"]), job.seed
        took_s = {"large": 1000.0, "none": 1.0}[key[0]]
        return {**rows[key], "run_core_s": took_s} if key in made else None

    monkeypatch.setattr(effort, "make", make)
    monkeypatch.setattr(effort, "cached", cached)
    Effort({"made_up": _Study()}, Scale(), tmp_path).spend(1e9, 1)  # type: ignore[dict-item]
    assert [scene for scene, _ in made] == [
        "large",  # the first, since nothing is known of its runs
        *["none"] * LOOKS.most,
        *["large"] * (LOOKS.seeds[0] - 1),
    ]


def test_claims_on_scenes_without_their_first_seeds_have_no_verdict_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def findings(rows: pl.DataFrame) -> list[Finding]:
        every = above("all scenes", (3.0, 2.9, 3.1), 1.0, "why", 5)
        return [*_findings(rows), every]

    rows = {(row["scene"], row["seed"]): row for row in _rows(5, large=3.0, none=1.0).to_dicts()}
    found = {"large": 5, "none": 4}  # the seeds whose runs are made

    def cached(job: Job, _: Path) -> dict[str, object] | None:
        key = str(job.labels["scene"]), job.seed
        made = job.seed < FIRST_SEED + found[key[0]]
        return {**rows[key], "run_core_s": 1.0} if made else None

    monkeypatch.setattr(effort, "cached", cached)
    monkeypatch.setattr(_Study, "findings", staticmethod(findings))
    part = Effort({"made_up": _Study()}, Scale(), tmp_path)  # type: ignore[dict-item]
    assert part.waiting("made_up") == ["none"]
    assert [each.finding.claim for each in part.decisions("made_up")] == ["large leads"]
    found["none"] = 5
    whole = Effort({"made_up": _Study()}, Scale(), tmp_path)  # type: ignore[dict-item]
    assert whole.waiting("made_up") == []
    assert len(whole.decisions("made_up")) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--hours", "0"], "--hours 0: must be above 0"),
        (["--hours", "1", "--quick"], "--quick: cannot be combined with --hours"),
        (["--hours", "1", "--seeds", "3"], "--seeds: cannot be combined with --hours"),
        (["--causes", "0"], "--causes 0: must be above 0"),
        (["--causes", "1", "--quick"], "--quick: cannot be combined with --causes"),
    ],
)
def test_bad_hours_get_one_sentence(
    words: list[str], sentence: str, tmp_path: Path, refused
) -> None:
    assert sentence in refused("reproduce", "19", "--out", tmp_path, *words)
