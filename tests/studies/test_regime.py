"""The line below figures and tables: profiling, load, seeds, and what the best planner serves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from lab.atlas.axes import DEFAULT, Cell
from lab.reporting.markdown import table
from lab.run_cache.jobs import RUNS, Job
from scenarios.workload import Workload
from studies import page as evaluation
from studies import steps
from studies.common import regime
from studies.common.claims import above
from studies.common.measures import violations
from studies.common.regime import below_tables, line, living, recorded, scenes
from studies.common.verdicts import Decision
from studies.paper.page import Section, page

POOL = {"scene_profiling": "pool", "scene_boards": 4, "scene_load": 0.2756}
FREE = {"scene_profiling": "free", "scene_boards": 1600, "scene_load": 1.04}


def rows(shares: dict[str, float], seeds=range(2000, 2005), **more: Any) -> list[dict[str, Any]]:
    """Return rows of planners that serve these shares of 50 living queries, give or take."""
    labels = {key: more.pop(key) for key in ("scene", "mbps") if key in more}
    return [
        {
            **labels,
            "planner": planner,
            "seed": seed,
            "goodput": 50 * share + at - (len(seeds) - 1) / 2,
            "active": 50.0,
            **more,
        }
        for planner, share in shares.items()
        for at, seed in enumerate(seeds)
    ]


def test_a_scene_is_stated_in_one_line() -> None:
    made = rows({"compass": 0.41, "greedy": 0.2}, **POOL)
    assert line(scenes(made)) == (
        "*Profiling: pool of 4 boards. Load: 0.28. Seeds: 2000-2004. The best planner serves 41 % "
        "of the time.*"
    )


def test_scenes_that_differ_are_stated_by_their_ranges() -> None:
    made = [
        *rows({"compass": 0.6, "greedy": 0.7}, [0, 1, 2, 7, 9], scene="small", **POOL),
        *rows({"compass": 0.8, "greedy": 0.5}, [0, 1, 2], scene="large", **FREE),
        *rows({"compass": 0.75}, [0, 1, 2], scene="huge", **{**POOL, "scene_boards": 16}),
    ]
    assert [(each.name, each.load, len(each.seeds)) for each in scenes(made)] == [
        ("small", 0.2756, 5),
        ("large", 1.04, 3),
        ("huge", 0.2756, 3),
    ]
    assert line(scenes(made)) == (
        "*Profiling: pool of 4 to 16 boards; free, on 1,600 boards. Load: 0.28 to 1. Seeds: 0-2, "
        "7, 9 (at least 3 in each scene). The best planner serves 70 to 80 % of the time.*"
    )


def test_what_rows_lack_is_not_recorded() -> None:
    [bare] = [{"planner": "compass", "seed": 3, "cells": []}]
    assert line(scenes([bare])) == (
        "*Profiling: not recorded. Load: not recorded. Seeds: 3. The best planner serves: not "
        "recorded.*"
    )
    told = line(scenes([{"scene": "a", **bare}, {"scene": "b", **bare, **POOL, "slo_met": 0.5}]))
    assert told.startswith("*Profiling: pool of 4 boards; not recorded. Load: 0.28; not recorded.")
    assert told.endswith("serves 50 % of the time; not recorded for 1 of 2 scenes.*")
    assert line(scenes([{**bare, "slo_met": 0.0}])).endswith("Seeds: 3. No query is served.*")
    assert line([]) == "*Without runs.*"


@pytest.mark.parametrize(("share", "marked"), [(0.28, True), (0.32, False), (0.97, True)])
def test_a_scene_that_cannot_tell_planners_apart_is_marked(share: float, marked: bool) -> None:
    told = line(scenes(rows({"compass": share, "greedy": 0.1}, **POOL)))
    mark = "outside the range in which planners can be told apart (30 to 95 %)"
    assert told.endswith(f"{100 * share:.0f} % of the time{f', {mark}' * marked}.*")


def test_some_marked_scenes_are_named_and_many_are_counted() -> None:
    shares = {1: 0.1, 2: 0.5, 4: 0.96, 10: 0.99, 60: 1.0}
    made = [row for mbps, share in shares.items() for row in rows({"a": share}, mbps=mbps)]
    few = [row for row in made if row["mbps"] < 10]
    mark = "utside the range in which planners can be told apart (30 to 95 %)"
    assert line(scenes(few)).endswith(f" O{mark}: mbps=1 (10 %); mbps=4 (96 %).*")
    assert line(scenes(made)).endswith(f" 4 of 5 scenes are o{mark}.*")
    # Two studies can use the same labels.
    assert line([*scenes(few), *scenes(few)]).endswith(f" 4 of 6 scenes are o{mark}.*")


def test_options_of_a_planner_make_no_scene() -> None:
    made = [
        {"planner.histories": swept, "seed": seed, "slo_met": met}
        for swept, met in (("0", 0.4), ("10", 0.6))
        for seed in range(2)
    ]
    [only] = scenes(made)
    assert (only.name, only.best) == ("", 0.6)


def test_the_default_scene_is_configured_as_the_atlas_says() -> None:
    """The atlas chooses the number of queries for a load; the line works it out again."""
    words = (*Cell(DEFAULT).overrides(horizon_s=36_000.0), "planner=greedy")
    told = recorded(words)
    assert told == {"scene_profiling": "pool", "scene_boards": 4, "scene_load": told["scene_load"]}
    assert told["scene_load"] == pytest.approx(DEFAULT["load"], rel=1e-3)
    free = ("profiling=free", "cluster.profiling.lanes=10", "cluster.profiling.workers=8")
    assert recorded((*words, *free))["scene_boards"] == 80


@pytest.mark.parametrize(
    ("least_s", "horizon_s", "queries"),
    [(100.0, 50.0, 5.0), (100.0, 1e6, 60.0), (100.0, 600.0, 10 + 50 * (1 - 2.718281828**-1))],
)
def test_living_queries_at_the_end_follow_from_rate_and_lifetime(
    least_s: float, horizon_s: float, queries: float
) -> None:
    workload = Workload(rate=0.1, lifetime_mean_s=600.0, lifetime_min_s=least_s)
    assert living(workload, horizon_s) == pytest.approx(queries)


def test_rows_of_new_runs_say_how_they_were_configured(tmp_path: Path, monkeypatch) -> None:
    words = (*Cell(DEFAULT).overrides(horizon_s=600.0), "planner=greedy")
    job = Job(words, 2000, violations, {"case": "links", "planner": "greedy"})
    kept = {tmp_path / RUNS / job.key: {"slo_met_fraction": 0.5}}
    row = {**job.labels, "seed": 2000, "run_core_s": 1.0, "followed": 3, "cells": []}
    monkeypatch.setattr(steps, "make", lambda *_: [dict(row)])
    monkeypatch.setattr(steps, "read_summary", kept.__getitem__)
    made = steps.run([job], 1, tmp_path)
    assert made.rows == [{**row, **recorded(words), "slo_met": 0.5}]
    assert line(scenes(made.rows)).endswith(
        "Seeds: 2000. The best planner serves 50 % of the time.*"
    )


def unsaid(markdown: str) -> Iterator[str]:
    """Yield what is shown of each table and figure that no line follows, or one without runs."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    blocks: list[list[Any]] = []
    for token in tokens:
        if token.level == 0 and token.nesting >= 0:
            blocks.append([])
        blocks[-1].append(token)
    heading = ""
    for block, after in zip(blocks, [*blocks[1:], []], strict=True):
        inline = [token for token in block if token.type == "inline"]
        if block[0].type == "heading_open":
            heading = inline[0].content
        pictures = [child for token in inline for child in token.children if child.type == "image"]
        if block[0].type != "table_open" and not pictures:
            continue
        said = after[1].content if after and after[0].type == "paragraph_open" else ""
        may_lack_runs = heading in ("Studies", "Sizes")
        if not said.startswith(regime.WITHOUT_RUNS if may_lack_runs else "*Profiling: "):
            yield f"{heading}: {inline[0].content}"


def reproduction() -> str:
    """Return a page on two figures, with figures and tables of all kinds."""
    decided = Decision(above("Compass leads", (2.0, 1.5, 2.5), 1.0, "why", 4), 4, 4)
    shown = ["Means:", "", *table(["planner", "x"], [["a", 1]]), "More:", *table(["y"], [[2]])]
    sections = [
        Section(
            number,
            f"Figure {number}: x.\n\nText.",
            ("cmd",),
            "1 run.",
            [decided],
            [Path("a.png"), Path("b.png")],
            shown,
            scenes(rows({"compass": 0.5}, **POOL)),
        )
        for number in ("10", "11")
    ]
    return page("compass-lab reproduce 10 11", False, sections, {}, {})


def test_a_line_follows_every_figure_and_table_of_both_pages() -> None:
    kept = evaluation.PAGE.read_text(encoding="utf-8")
    for text, shown in ((kept, 15), (reproduction(), 11)):
        words = text.splitlines()
        said = [at for at, one in enumerate(words) if one.startswith(("*Profiling: ", "*Without "))]
        assert len(said) >= shown
        assert not list(unsaid(text))
        for at in said:
            without = "\n".join([*words[:at], "Other words.", *words[at + 1 :]])
            assert len(list(unsaid(without))) == 1


def test_a_line_goes_below_each_table_and_nowhere_else() -> None:
    shown = ["Text.", "", *table(["x"], [[1]]), "Note.", "", *table(["y"], [])]
    assert list(below_tables(shown, "LINE"))[2:] == [
        *("| x |", "|---|", "| 1 |", "", "LINE", "", "Note.", "", "| y |", "|---|", "", "LINE", "")
    ]
    assert list(below_tables(["Text.", "| x |", "|---|"], "LINE"))[3:] == ["", "LINE", ""]
    assert list(below_tables(["Text."], "LINE")) == ["Text."]
