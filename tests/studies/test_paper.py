"""The paper's figures: the files that hold their runs, and verdicts on made-up rows."""

from collections.abc import Iterable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from omegaconf import OmegaConf

from lab.common.options import groups
from lab.config.compose import compose
from lab.run_cache.jobs import Job
from lab.run_cache.keys import IDLE, configuration
from studies.common.claims import Verdict, above, ahead, below, of_range
from studies.common.measures import DRIFT_HORIZON_S, DRIFT_STEP_S, totals
from studies.common.scenes import SIZES, scene
from studies.common.study import QUICK_SEEDS, Scale
from studies.common.sweep_files import commands, experiment, names
from studies.common.verdicts import Decision
from studies.paper.figures import ablations, cost, drift, goodput, load, settle, tiers
from studies.paper.page import Section, as_html, page
from studies.registry import FIGURES, SAME_AS

SEEDS = range(4)


def rows(
    served: dict[str, float], seeds: Iterable[int] = SEEDS, **labels: str
) -> list[dict[str, object]]:
    """Return rows of some planners whose goodput is so much, give or take a little."""
    return [
        {
            **labels,
            "planner": planner,
            "seed": seed,
            "goodput": value * (1 + 0.01 * (seed * (at + 1) % 3)),
            "response_s": 0.5,
            "response_is_bound": False,
        }
        for at, (planner, value) in enumerate(served.items())
        for seed in seeds
    ]


@cache
def quick_jobs() -> dict[str, list[Job]]:
    """Return the runs of each figure in its small form."""
    return {number: figure.jobs(Scale(quick=True)) for number, figure in FIGURES.items()}


@pytest.mark.parametrize("quick", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", names())
def test_every_experiment_says_what_it_is_to_show_and_can_be_run(name: str, quick: bool) -> None:
    one = experiment(name, Scale(quick))
    assert all((one.about.claim, one.about.series, one.about.metric))
    assert len(one.seeds) == QUICK_SEEDS if quick else len(one.seeds) > 1
    for key in groups().keys() & one.swept.keys():
        assert set(one.swept[key]) <= set(groups()[key])
    if not quick:
        jobs = one.jobs(totals)
        assert all(configuration(job.overrides) for job in (jobs[0], jobs[-1]))
    numbers = one.about.figure.split(", ")
    assert all(number in FIGURES or number in SAME_AS for number in numbers), numbers
    every = [job for jobs in quick_jobs().values() for job in jobs]
    assert f"compass-sim -m experiment=paper/{name}" in commands(every)


@pytest.mark.parametrize("number", FIGURES)
def test_every_figure_is_made_from_these_files(number: str) -> None:
    first, _, _ = str(FIGURES[number].__doc__).partition("\n")
    assert first.startswith(("Figure", "The test"))
    assert first.endswith(".")
    quick, whole = quick_jobs()[number], FIGURES[number].jobs(Scale())
    known = {f"compass-sim -m experiment=paper/{name}" for name in names()}
    assert set(commands(quick)) == set(commands(whole)) <= known
    assert 0 < len(quick) <= len(whole)
    assert len({job.seed for job in quick}) == QUICK_SEEDS


@cache
def composed(*overrides: str) -> dict[str, Any]:
    """Return a configuration without what an experiment says of itself."""
    tree: Any = OmegaConf.to_container(compose(overrides), resolve=True)
    return {key: value for key, value in tree.items() if key not in IDLE}


@pytest.mark.parametrize(
    ("name", "application", "size", "cluster", "planner"),
    [
        ("fig19", "speech", "small", "limited", "compass"),
        ("fig20", "tracking", "small", "limited", "compass"),
        ("fig19_large", "speech", "large", "limited", "compass"),
        ("fig21", "tracking", "large", "limited", "compass"),
        ("fig14a_speech", "speech", "small", "limited", "compass"),
        ("fig14a", "tracking", "small", "limited", "compass"),
        ("fig11_speech", "speech", "small", "unlimited", "compass_cost"),
        ("fig11_tracking", "tracking", "small", "unlimited", "compass_cost"),
        ("fig11_speech_large", "speech", "large", "unlimited", "compass_cost"),
        ("fig11_tracking_large", "tracking", "large", "unlimited", "compass_cost"),
    ],
)
def test_figures_10_11_and_14_are_of_the_sizes_that_are_worked_out(
    name: str, application: str, size: str, cluster: str, planner: str
) -> None:
    theirs = (*scene(application, SIZES[size], cluster), f"planner={planner}")
    ours = experiment(name).jobs(totals)[0].overrides
    assert composed(*ours) == composed(*theirs)


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        ((3.0, 2.5, 4.0), Verdict.AGREES),
        ((3.0, 2.0, 4.0), Verdict.UNDECIDED),
        ((3.0, 0.5, 9.0), Verdict.UNDECIDED),
        ((1.5, 1.2, 2.0), Verdict.DIFFERS),
        ((6.0, 5.5, 7.0), Verdict.DIFFERS),
        ((2.2, 1.8, 2.8), Verdict.UNDECIDED),
        ((3.0, None, None), Verdict.UNDECIDED),
        ((None, None, None), Verdict.UNDECIDED),
    ],
)
def test_a_ratio_agrees_with_a_range_only_if_its_interval_allows(ratio, verdict) -> None:
    assert of_range("claim", ratio, (2.4, 5.1), "why", 4).verdict == verdict


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        ((6.0, 5.9, np.inf), Verdict.DIFFERS),
        ((6.0, 2.3, np.inf), Verdict.UNDECIDED),
        ((np.inf, np.inf, np.inf), Verdict.DIFFERS),
        ((0.0, 0.0, 0.0), Verdict.DIFFERS),
    ],
)
def test_a_ratio_without_an_upper_end_is_held_to_a_range_by_its_lower_one(ratio, verdict) -> None:
    assert of_range("claim", ratio, (2.4, 5.1), "why", 4).verdict == verdict


@pytest.mark.parametrize(
    ("sign", "value", "verdict"),
    [
        ("≥", (2.0, 1.9, 2.1), Verdict.UNDECIDED),
        ("≥", (6.0, 5.9, 6.1), Verdict.DIFFERS),
        ("≥", (5.0, 4.9, 5.1), Verdict.UNDECIDED),
        ("≤", (2.0, 1.9, 2.1), Verdict.AGREES),
        ("≤", (6.0, 5.9, 6.1), Verdict.UNDECIDED),
        ("?", (2.0, 1.9, 2.1), Verdict.UNDECIDED),
        ("≥", (None, None, None), Verdict.UNDECIDED),
    ],
)
def test_a_bound_tells_only_what_it_bounds(sign, value, verdict) -> None:
    assert below("claim", value, 5.0, "why", 4, sign).verdict == verdict


def test_a_planner_that_served_nobody_on_one_of_few_seeds_is_not_surely_ahead() -> None:
    some = rows({"compass": 20, "vulcan": 10}, scene="tracking")
    some[0]["goodput"] = 0.0
    assert settle.findings(pl.DataFrame(some))[0].verdict == Verdict.UNDECIDED
    for row in some:  # More seeds tell.
        row["seed"] = int(str(row["seed"])) * 10
    more = [row | {"seed": row["seed"] + at} for row in some[1:4] + some[5:] for at in range(10)]
    assert settle.findings(pl.DataFrame([*some, *more]))[0].verdict == Verdict.AGREES


def test_serving_some_queries_is_ahead_of_serving_none() -> None:
    served = {"compass": 20, "none": 0}
    few, many = (rows(served, range(n), scene="tracking") for n in (3, 8))
    assert settle.findings(pl.DataFrame(few))[0].verdict == Verdict.UNDECIDED
    assert settle.findings(pl.DataFrame(many))[0].verdict == Verdict.AGREES
    found = settle.findings(pl.DataFrame(rows({"compass": 0, "none": 0}, scene="tracking")))
    assert found[0].verdict == Verdict.UNDECIDED


def test_a_value_is_above_a_threshold_by_its_whole_interval() -> None:
    found = [
        above("claim", (2.0, low, high), 1.0, "why", 4).verdict
        for low, high in ((1.5, 2.5), (0.5, 2.5), (0.5, 0.9), (None, None))
    ]
    assert found == [Verdict.AGREES, Verdict.UNDECIDED, Verdict.DIFFERS, Verdict.UNDECIDED]


def test_being_ahead_takes_a_row_of_ratios() -> None:
    row = {"ratio": 2.0, "low": 1.1, "high": 3.0, "n": 3, "of": 4, "scene": "one"}
    found = ahead("claim", row, "why")
    assert found.verdict == Verdict.AGREES
    assert found.ours == "2 [1.1, 3] (3 of 4 seeds)"
    assert found.scene == "one"


def test_goodput_is_held_to_the_papers_range_and_the_optimum() -> None:
    frame = pl.DataFrame(
        [
            *rows(
                {"compass": 60, "vulcan": 20, "videostorm": 55, "videostorm_60s": 58},
                scene="speech, small",
            ),
            *rows(
                {"compass": 12, "ilp": 12.5},
                scene=goodput.NEXT_TO_OPTIMUM,
                application="speech_recognition",
            ),
        ],
        infer_schema_length=None,
    )
    assert [each.verdict for each in goodput.findings(frame)] == [
        Verdict.AGREES,
        Verdict.DIFFERS,
        Verdict.AGREES,
    ]


def test_a_part_matters_if_goodput_is_less_without_it() -> None:
    served = {"compass": 60, "compass_no_profiler": 60, "compass_no_search": 20, "compass_cold": 9}
    found = ablations.findings(pl.DataFrame(rows(served, scene="tracking")))
    assert [each.verdict for each in found] == [Verdict.DIFFERS, Verdict.AGREES]


def test_a_lead_that_shrinks_with_the_load_differs() -> None:
    frame = []
    for rate, ours in (("0.0835405", 40), ("0.167081", 30), ("0.334162", 25)):
        frame += rows(
            {"compass": ours, "vulcan": 20},
            scene=load.LOAD,
            **{"workload.rate": rate, "workload.tiers": ""},
        )
    for bound in ("0.5", "2.0"):
        frame += rows(
            {"compass": 30, "vulcan": 20},
            scene=load.BOUND,
            **{"workload.rate": "", "workload.tiers": f"{{all:{{latency_s:{bound}}}}}"},
        )
    found = {each.claim: each.verdict for each in load.findings(pl.DataFrame(frame))}
    assert found["load 0.5: ahead of vulcan"] == Verdict.AGREES
    assert found["latency bound 0.5: ahead of vulcan"] == Verdict.AGREES
    assert found["the lead over vulcan grows with the load"] == Verdict.DIFFERS


def test_tiers_are_judged_one_by_one() -> None:
    frame = [
        row
        for cluster, (ours, theirs) in {"edge_only": (9, 9.5), "small": (12, 6)}.items()
        for row in rows(
            {"compass": ours, "videostorm": theirs},
            application="visual_tracking",
            cluster=cluster,
        )
    ]
    found = tiers.findings(pl.DataFrame(frame))
    assert [each.verdict for each in found] == [Verdict.DIFFERS, Verdict.AGREES]


@pytest.mark.parametrize(
    ("optimum_s", "verdict"), [(2.0, Verdict.AGREES), (75.0, Verdict.UNDECIDED)]
)
def test_violations_return_or_do_not_unless_not_even_the_optimum_recovers(
    optimum_s, verdict
) -> None:
    frame = []
    for planner, case, seed in product(
        (drift.REFERENCE, drift.WITHOUT, "ilp"), ("devices", "links", "content"), SEEDS
    ):
        cells = []
        for start_s in range(0, int(DRIFT_HORIZON_S), int(drift.WINDOW_S)):
            late = start_s >= DRIFT_STEP_S + 60 * (planner == drift.REFERENCE) * 3
            after = start_s >= DRIFT_STEP_S
            bad = after and (planner == drift.WITHOUT or not late)
            usual_s = optimum_s if planner == "ilp" else 2.0
            cells.append(
                {
                    "start_s": float(start_s),
                    "active_s": 100.0,
                    "violated_s": 30.0 + seed if bad else usual_s,
                }
            )
        frame.append({"case": case, "planner": planner, "seed": seed, "cells": cells})
    found = drift.findings(pl.DataFrame(frame))
    assert {each.verdict for each in found} == {verdict}


def test_the_claim_fails_if_a_baseline_comes_near() -> None:
    served = {"compass": 100, "videostorm": 95, "vulcan": 50}
    found = settle.findings(pl.DataFrame(rows(served, scene="tracking")))
    assert [each.verdict for each in found] == [Verdict.DIFFERS, Verdict.AGREES, Verdict.AGREES]


@pytest.mark.parametrize(
    ("response_s", "bounds", "verdict"),
    [
        (0.5, 0, Verdict.AGREES),
        (9.0, 0, Verdict.DIFFERS),
        (9.0, 1, Verdict.DIFFERS),
        (0.5, 1, Verdict.UNDECIDED),
    ],
)
def test_medians_that_were_not_reached_may_be_longer(response_s, bounds, verdict) -> None:
    frame = pl.DataFrame(rows({"compass": 100}, scene="tracking")).with_columns(
        response_s=pl.lit(response_s),
        response_is_bound=pl.col("seed") < bounds,
        served=pl.lit(0.5),
        usd_per_query_hour=pl.lit(1.0),
        active=pl.lit(120.0),
    )
    [found] = settle.findings(frame)
    assert found.verdict == verdict
    assert found.ours.startswith("≥") == bool(bounds)
    row = f"| {'≥ ' * bool(bounds)}{response_s:g} | 0.5 | 1 |"
    assert any(line.endswith(row) for line in settle.lines(frame))


def responding(**medians_s: list[float | None]) -> pl.DataFrame:
    """Return rows of planners whose median response times are these, one a seed."""
    return pl.DataFrame(
        [
            {
                "scene": "speech",
                "planner": planner,
                "seed": seed,
                "response_p25_s": 0.5,
                "response_s": 300.0 if median_s is None else median_s,
                "response_is_bound": median_s is None,
                "response_p75_s": None,
                "usd_per_query_hour": 1.0,
                "served": 0.5,
            }
            for planner, values in medians_s.items()
            for seed, median_s in enumerate(values)
        ]
    )


def test_a_planner_that_the_paper_lacks_is_compared_but_judges_no_claim() -> None:
    frame = responding(compass_cost=[1.0, 1.1], videostorm=[1.2, 1.3], videostorm_60s=[1.0, 1.1])
    assert "videostorm_60s" in cost.quartiles(frame)["planner"]
    assert {each.claim.split()[-1] for each in cost.findings(frame)} == {"videostorm"}


def test_a_median_that_one_seed_does_not_reach_is_not_averaged_over_the_others(monkeypatch) -> None:
    """Table, figure and finding agree on it."""
    frame = responding(compass_cost=[1.0, 1.1, 1.2], vulcan=[5.0, 6.0, 7.0], late=[6.0, 6.0, None])
    found = {
        each.claim.split()[-1]: each for each in cost.findings(frame) if "responds" in each.claim
    }
    assert found["vulcan"].verdict == Verdict.AGREES
    assert found["late"].verdict == Verdict.UNDECIDED
    # 1 / 6, 1 / 6 and 0 against 1, 1 / 1.1 and 1 / 1.2 responses a second
    assert found["late"].ours.startswith("8.23 [≥ ")

    rows = [*map(str, cost.quartiles(frame).rows())]
    assert "('speech', 'vulcan', 0.5, 6.0, inf, 0.5)" in rows
    assert "('speech', 'late', 0.5, inf, inf, 0.5)" in rows

    figures = []
    monkeypatch.setattr(cost, "save", lambda figure, _: figures.append(figure))
    cost.draw_quartiles(cost.quartiles(frame), Path())
    drawn = [line for line in figures[0].axes[0].lines if len(line.get_xdata()) == 1]
    dots = [line.get_ydata()[0] for line in drawn if line.get_marker() == "o"]
    assert dots == pytest.approx([1.1, 6.0])
    assert [line.get_marker() for line in drawn].count("^") == 3


def test_the_page_holds_its_pictures_and_escapes_what_it_shows(tmp_path) -> None:
    (tmp_path / "figures").mkdir()
    picture = tmp_path / "figures" / "a.png"
    picture.write_bytes(b"\x89PNG")
    finding = Decision(above("a < b & c | d", (2.0, 1.5, 2.5), 1.0, "why", 4), 4, 4)
    section = Section(
        "10", "Figure 10: x.\n\nText.", ("cmd",), "1 run.", [finding], [picture], [], []
    )
    text = page(
        "compass-lab reproduce 10", True, [section], {"11": "ValueError: no rows"}, {"15": "later"}
    )
    assert "quick form" in text
    assert "- Figure 15: later." in text
    assert "Figure 11 could not be made: ValueError: no rows" in text
    html = as_html(text, tmp_path)
    assert "data:image/png;base64,iVBORw==" in html
    assert "a &lt; b &amp; c | d" in html
    assert 'src="figures/' not in html
