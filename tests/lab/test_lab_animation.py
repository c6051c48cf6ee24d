"""``compass-lab animate``: the picture shows what the tables have, in one file."""

import json
import re
from html import unescape
from math import fsum
from pathlib import Path

import polars as pl
import pytest

from lab import run
from lab.cli.tools import main
from lab.reporting.animation import export
from lab.reporting.animation.scene import TABLES, scene

SCENE = ["experiment=speech_small", "planner=videostorm", "drift=machine_failure"]
SCENE += ["horizon_s=240", "switching=free"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("animation") / "</script><b>"
    run(SCENE, directory=path)
    return path


@pytest.fixture(scope="module")
def page(directory):
    assert main(["animate", str(directory)]) == 0
    return (directory / "animation.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def drawn(page):
    [data] = re.findall(r'<script type="application/json" id="scene">(.*?)</script>', page)
    return json.loads(data)


def table(directory, name):
    return pl.read_parquet(sorted((directory / name).glob("part-*.parquet")))


def test_queries_are_served_for_as_long_as_the_windows_say(directory, drawn):
    windows = table(directory, "windows").group_by("query").agg(pl.col("deployed_s").sum())
    deployed_s = dict(windows.iter_rows())
    assert len(drawn["queries"]) == table(directory, "queries").height > 10
    for query in drawn["queries"]:
        spans = query["served"]
        served_s = fsum(to - start for start, to in spans)
        assert served_s == pytest.approx(deployed_s[query["id"]], abs=0.1 * (len(spans) + 1))
    assert any(query["served"] for query in drawn["queries"])


def test_goodput_over_time_adds_up_to_that_of_the_summary(directory, drawn):
    summary = json.loads((directory / "summary.json").read_text())
    good = fsum(good * (min(end, 240.0) - start) for start, end, _, good in drawn["goodput"])
    assert good / 240 == pytest.approx(summary["service_goodput_mean"], abs=0.002)


def test_slots_lie_within_their_machines(drawn):
    assert drawn["slots"]
    for place, card, first, size, *_ in drawn["slots"]:
        machine = drawn["machines"][place]
        assert card < machine["gpus"]
        assert first + size <= machine["slices"]


def test_the_failed_machine_is_not_rented_while_it_is_down(drawn):
    assert drawn["events"] == [["machine_failure", 120.0]]
    [machine] = [one for one in drawn["machines"] if one["name"] == "cloud 0"]
    assert not [span for span in machine["rented"] if span[0] <= 121 < span[2]]


def test_the_page_needs_nothing_else_and_is_small(page):
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)\s*=|https?://|@import|url\(""", page)
    assert len(page) < 200_000


def test_names_cannot_end_the_data_or_begin_an_element(drawn):
    name = "</script><b>"
    text = export.page({**drawn, "title": name}, name)
    assert text.count("</script>") == 2
    assert "<b>" not in text


@pytest.mark.slow
def test_a_report_has_the_animation_in_a_frame_that_is_loaded_when_it_is_seen(directory, page):
    assert main(["report", str(directory)]) == 0
    text = (directory / "report" / "index.html").read_text(encoding="utf-8")
    [frame] = re.findall(r"<iframe .*?</iframe>", text, re.S)
    assert 'loading="lazy" sandbox="allow-scripts"' in frame
    [inner] = re.findall(r'srcdoc="([^"]*)"', frame)
    assert unescape(inner) == page
    assert "<summary>VideoStorm</summary>" in text


def test_a_report_leaves_out_what_is_large(directory, monkeypatch):
    [(name, frame)] = export.small([directory])
    assert name == "VideoStorm"
    size = len(frame.__html__().encode())
    for most in (size - 1, size, 2 * size):
        monkeypatch.setattr(export, "MOST_BYTES", most)
        assert len(list(export.small([directory] * 3))) == most // size
    monkeypatch.setattr(export, "MOST_QUERIES", 3)
    assert list(export.small([directory])) == []


def test_a_notebook_shows_the_same_scene_of_a_run_from_python(drawn):
    text = unescape(export.animated(run(SCENE))._repr_html_())
    [data] = re.findall(r'<script type="application/json" id="scene">(.*?)</script>', text)
    assert json.loads(data) == {**drawn, "title": "VideoStorm, seed 0"}


def test_only_the_first_queries_of_a_large_run_are_drawn(directory, monkeypatch):
    monkeypatch.setattr("lab.reporting.animation.scene.MOST_QUERIES", 3)
    made = scene({name: table(directory, name) for name in TABLES}, "few", 240.0)
    assert [one["id"] for one in made["queries"]] == [0, 1, 2]
    assert made["left_out"] == table(directory, "queries").height - 3
    assert {slot[6] for slot in made["slots"]} <= {0, 1, 2}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "RUN=nowhere: no such directory"),
        ([".", "--out", "picture.png"], "--out=picture.png: must end in .html"),
        ([".", "--out", "nowhere/a.html"], "--out=nowhere/a.html: no such directory"),
        (["."], "RUN=.: has no results; name the directory of a run"),
    ],
)
def test_bad_input_gets_one_sentence(words, said, current, refused):
    assert said in refused("animate", *words)


def test_the_page_of_the_documentation_is_drawn_by_this_code():
    docs = Path(__file__).parents[2] / "docs"
    text = (docs / "figures" / "animation.html").read_text(encoding="utf-8")
    assert export.code("animation.js") in text
    assert export.code("animation.css") in text
