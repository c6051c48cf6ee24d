"""The app in a real browser: start, move, compare, scrub, click, keyboard only, narrow window."""

import os
import random
import re
import shlex
from pathlib import Path

import pytest
from app_page import FOCUSED, answers, final_answer, seek, slider

from lab import run
from lab.app.inquiry import explanation
from lab.cli.tools import main
from lab.common.formatting import number

pytestmark = pytest.mark.browser

QUICK = "?planner=greedy&against=cheapest_feasible&horizon_s=300"
"""The query of an address whose answers take little time."""
SHOTS = os.environ.get("COMPASS_SHOTS")
"""Directory for screenshots, to look at."""


def shot(page, name):
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def from_shell(command, seeds=(0,)):
    """Return the mean goodput of a command's run over seeds, as the page writes it."""
    program, *words = shlex.split(command)
    assert (program, words[-1]) == ("compass-sim", "seed=0")
    found = [run([*words[:-1], f"seed={seed}"]).summary for seed in seeds]
    return number(sum(one["service_goodput_mean"] for one in found) / len(seeds))


def test_the_page_starts_and_compares_two_planners(opened, address):
    page = opened(address + QUICK)
    for side in (0, 1):
        page.get_by_text("Mean over 2 seeds.").nth(side).wait_for()
    page.wait_for_timeout(500)
    shot(page, "start")
    shown = answers(page)
    assert [one["command"].split()[2] for one in shown] == [
        "planner=greedy",
        "planner=cheapest_feasible",
    ]
    for one in shown:
        assert one["goodput"].split(" [")[0] == from_shell(one["command"], seeds=(0, 1))


def test_a_move_changes_the_answer_the_command_and_the_address(opened, address):
    page = opened(address + QUICK)
    before = final_answer(page)
    slider(page, "arrivals").focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("() => location.search.includes('workload.rate=0.07')")
    after = final_answer(page, words="workload.rate=0.07 ")
    assert after["move"] > before["move"]
    assert after["goodput"].split(" [")[0] == from_shell(after["command"]) != before["goodput"]
    page.get_by_text(re.compile(r"^Before: workload\.rate=0\.")).first.wait_for()
    earlier = page.locator("[data-before=service_goodput_mean]").first.inner_text()
    change = page.locator("[data-difference=service_goodput_mean]").first.inner_text()
    assert float(earlier) > 0
    assert change != "…"
    shot(page, "moved")
    again = opened(page.url)
    assert final_answer(again)["command"] == after["command"]


def test_events_are_placed_dragged_moved_by_keys_and_removed(opened, address):
    page = opened(address + QUICK)
    final_answer(page)
    box = page.locator(".timeline .track").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.click(box["x"] + box["width"] / 3, middle)
    event = page.get_by_role("slider", name="rate_change")
    page.wait_for_function("() => location.search.includes('event=rate_change,at_s:100,factor:2')")
    final_answer(page, words="at_s:100,")
    shot(page, "event")
    page.mouse.move(box["x"] + box["width"] / 3, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, middle, steps=4)
    page.mouse.up()
    page.wait_for_function("() => location.search.includes('at_s:150,')")
    event.focus()
    for key in ("ArrowRight", "ArrowRight", "PageDown"):
        page.keyboard.press(key)
    page.wait_for_function("() => location.search.includes('at_s:110,')")
    assert event.get_attribute("aria-valuetext") == "110 s"
    after = final_answer(page, words="{kind:rate_change,at_s:110,factor:2}")
    assert after["goodput"].split(" [")[0] == from_shell(after["command"])
    page.get_by_role("button", name="add event").click()
    page.wait_for_function("() => location.search.includes('at_s:150,')")
    page.get_by_role("button", name="remove 2: rate_change,at_s:150").click()
    page.wait_for_function("() => !location.search.includes('at_s:150,')")
    event.focus()
    page.keyboard.press("Delete")
    page.wait_for_function("() => !location.search.includes('event')")
    event.wait_for(state="detached")


def test_the_time_can_be_scrubbed_and_a_query_chosen(opened, address):
    page = opened(address + QUICK)
    final_answer(page)
    canvas = page.locator("canvas").first
    canvas.wait_for()
    counts = page.locator(".counts").first
    before = counts.inner_text()
    seek(page, 290)
    assert counts.inner_text() != before
    there = page.locator("select.query").first.locator("option").nth(1).get_attribute("value")
    page.locator("select.query").first.select_option(there)
    assert f"Query {there}" in page.locator(".about").first.inner_text()
    canvas.click(position={"x": 2, "y": 2})  # where no query is
    assert page.locator(".about").first.inner_text() == ""
    shot(page, "scrubbed")


def test_a_click_on_a_query_explains_it_and_its_regrets_can_be_asked_for(opened, address, tmp_path):
    page = opened(address + QUICK)
    shown = final_answer(page)
    page.locator("canvas").first.wait_for()
    run(shlex.split(shown["command"])[1:], directory=tmp_path / "run")
    seek(page, 150)
    page.locator("canvas").first.click(position={"x": 12, "y": 45})  # the first that waits
    told = page.locator("pre")
    told.wait_for()
    query = int(re.match(r"Query (\d+):", told.text_content())[1])
    assert told.text_content() == explanation(tmp_path / "run", query)
    assert page.locator("select.query").first.input_value() == str(query)
    page.get_by_role("button", name="regret of the decisions").click()
    page.get_by_role("button", name="computing").wait_for()
    told.nth(1).wait_for()
    head, *lines = told.first.text_content().splitlines()
    decisions = int(re.fullmatch(rf"Decisions on query {query}: (\d+)\.", head)[1])
    examined = sum(line.startswith("at ") and " s, on " in line for line in lines)
    assert examined == decisions > 0 or lines[-1].startswith("Not examined within 120 s: ")
    shot(page, "explained")
    page.locator("select.query").first.select_option("")
    told.first.wait_for(state="detached")


def test_a_click_on_a_dot_tells_about_its_query(opened, tmp_path):
    done = run(
        ["experiment=speech_small", "planner=greedy", "horizon_s=120"], directory=tmp_path / "run"
    )
    assert main(["animate", str(tmp_path / "run")]) == 0
    page = opened((tmp_path / "run" / "animation.html").as_uri())
    page.locator("button.play").click()
    seek(page, 100)
    told = set()
    for y in range(40, 360, 8):  # The first dot of each state is at the left.
        page.locator("canvas").click(position={"x": 12, "y": y})
        told.add(page.locator(".about").inner_text().partition(" (")[0])
    there = done.queries.filter(done.queries["arrival_s"] <= 100)["query"]
    assert told - {""} <= {f"Query {each}" for each in there}
    assert len(told - {""}) > 1
    shot(page, "exported")


def test_everything_can_be_reached_by_the_keyboard(opened, address):
    page = opened(address + QUICK + "&event=rate_change,at_s:100")
    final_answer(page)
    page.locator("canvas").first.wait_for()
    reached = []
    for _ in range(70):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED))
    for what in ("SELECT", "noUi-handle", "BUTTON slider", "CANVAS img", "time INPUT"):
        assert any(what in one for one in reached), what
    assert sum("noUi-handle" in one for one in reached) >= page.locator(".noUi-handle").count()


def test_a_narrow_window_needs_no_scrolling_to_the_side(opened, address):
    page = opened(address + QUICK, width=400, height=900)
    final_answer(page)
    page.locator("canvas").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    slider(page, "arrivals").focus()
    page.keyboard.press("Home")
    final_answer(page, words="workload.rate=0.0125 ")
    page.locator("[data-difference]").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    shot(page, "narrow")


def test_a_closed_menu_shows_the_whole_mix_of_links(opened, address):
    page = opened(address + QUICK)
    menu = page.locator("select", has_text="mobile: ")
    lines = {}
    for name in ("wifi", "mobile", "replayed"):
        menu.select_option(label=menu.locator("option", has_text=f"{name}: ").inner_text())
        lines[name] = menu.bounding_box()["height"]
    assert lines["wifi"] < lines["mobile"] < lines["replayed"]
    shot(page, "menu")


def test_a_hostile_address_gets_one_sentence_and_a_page_that_works(opened, address):
    page = opened(f"{address}?workload.rate=<img src=x onerror=alert(1)>&planner=greedy")
    said = page.locator("[role=alert]").first
    said.wait_for()
    assert "must be a number from 0.0125 to 0.075 queries/s" in said.inner_text()
    assert page.locator("img").count() == 0
    shown = final_answer(page, side=1)
    assert shown["command"] == (
        "compass-sim experiment=speech_small planner=videostorm workload.rate=0.05 seed=0"
    )
    slider(page, "arrivals").focus()
    page.keyboard.press("Home")
    final_answer(page, side=1, words="workload.rate=0.0125 ")
    said.wait_for(state="detached")


def test_a_port_in_use_is_named(address, refused):
    port = address.rstrip("/").rpartition(":")[2]
    said = f"--host=127.0.0.1 --port={port}: nothing can listen there: Address already in use"
    assert refused("app", "--no-browser", "--port", port) == f"compass-lab: {said}\n"


def test_random_moves_raise_nothing_and_the_last_one_is_answered(opened, address):
    page = opened(address + QUICK)
    final_answer(page)
    draw = random.Random(3)
    handles = page.locator(".noUi-handle")
    for _ in range(30):
        handles.nth(draw.randrange(handles.count())).focus()
        page.keyboard.press(draw.choice(("ArrowLeft", "ArrowRight")))
        page.wait_for_timeout(draw.choice((0, 100, 400)))
    slider(page, "arrivals").focus()
    page.keyboard.press("Home")
    shown = final_answer(page, words="workload.rate=0.0125 ")
    assert shown["goodput"].split(" [")[0] == from_shell(shown["command"])
