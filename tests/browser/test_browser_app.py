"""The app in a real browser: start, move, compare, scrub, click, keyboard only, narrow window."""

import os
import random
import re
from pathlib import Path

import pytest

from lab import run
from lab.cli.tools import main
from lab.common.formatting import number

pytestmark = pytest.mark.browser

QUICK = "?planner=greedy&against=cheapest_feasible&horizon_s=300"
"""The query of an address whose answers take little time."""
SHOTS = os.environ.get("COMPASS_SHOTS")
"""Directory for screenshots, to look at."""


def shot(page, name):
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def goodput(page, side):
    return page.locator("[data-name=service_goodput_mean]").nth(side)


def wait_for_answer(page, side=0):
    """Return the text of the goodput once the first seed of a planner has ended."""
    page.wait_for_function(FINAL, arg=side)
    return goodput(page, side).inner_text()


FINAL = """side => {
  const found = [];
  const walk = (node) => {
    if (node.shadowRoot) walk(node.shadowRoot);
    for (const one of node.children || []) {
      if (one.dataset && one.dataset.name === "service_goodput_mean") found.push(one);
      walk(one);
    }
  };
  walk(document);
  return found.length > side && /^[0-9]/.test(found[side].innerText);
}"""


def slider(page, label):
    """Return the handle of a slider."""
    return page.locator(".bk-input-group", has_text=label).locator(".noUi-handle")


def test_the_page_starts_and_compares_two_planners(opened, address):
    page = opened(address + QUICK)
    for side in (0, 1):
        page.get_by_text("Mean over 2 seeds, with 95 % intervals.").nth(side).wait_for()
    page.wait_for_timeout(500)
    shot(page, "start")
    for side in (0, 1):
        program, *words = page.locator("code").nth(side).inner_text().split()
        assert (program, words[-1]) == ("compass-sim", "seed=0")
        found = [run([*words[:-1], f"seed={seed}"]).summary for seed in (0, 1)]
        mean = sum(one["service_goodput_mean"] for one in found) / 2
        assert goodput(page, side).inner_text().split(" [")[0] == number(mean)


def test_a_move_changes_the_answer_the_command_and_the_address(opened, address):
    page = opened(address + QUICK)
    before = wait_for_answer(page)
    handle = slider(page, "arrivals")
    handle.focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => location.search.includes('workload.rate=0.07')")
    page.wait_for_function(FINAL, arg=0)
    assert "workload.rate=0.07" in page.locator("code").first.inner_text()
    assert wait_for_answer(page) != before
    shot(page, "moved")
    again = opened(page.url)
    again.locator("code", has_text="workload.rate=0.07").first.wait_for()


def test_the_time_can_be_scrubbed_and_a_query_clicked(opened, address):
    page = opened(address + QUICK)
    wait_for_answer(page)
    canvas = page.locator("canvas").first
    canvas.wait_for()
    counts = page.locator(".counts").first
    before = counts.inner_text()
    page.locator("input.time").first.evaluate(
        "one => { one.value = 290; one.dispatchEvent(new Event('input')); }"
    )
    page.wait_for_timeout(300)
    assert page.locator(".bar output").first.inner_text() == "290 s"
    assert counts.inner_text() != before
    there = page.locator("select.query").first.locator("option").nth(1).get_attribute("value")
    page.locator("select.query").first.select_option(there)
    assert f"Query {there}" in page.locator(".about").first.inner_text()
    canvas.click(position={"x": 2, "y": 2})  # where no query is
    assert page.locator(".about").first.inner_text() == ""
    shot(page, "scrubbed")


def test_a_click_on_a_dot_tells_about_its_query(opened, tmp_path):
    run(["experiment=speech_small", "planner=greedy", "horizon_s=120"], directory=tmp_path / "run")
    assert main(["animate", str(tmp_path / "run")]) == 0
    page = opened((tmp_path / "run" / "animation.html").as_uri())
    page.locator("button.play").click()
    page.locator("input.time").evaluate(
        "one => { one.value = 100; one.dispatchEvent(new Event('input')); }"
    )
    page.wait_for_timeout(300)
    told = 0
    for y in range(40, 360, 8):  # The first dot of each state is at the left.
        page.locator("canvas").click(position={"x": 12, "y": y})
        told += page.locator(".about").inner_text().startswith("Query ")
    assert told
    shot(page, "exported")


def test_everything_can_be_reached_by_the_keyboard(opened, address):
    page = opened(address + QUICK)
    wait_for_answer(page)
    page.locator("canvas").first.wait_for()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(FOCUSED))
    assert {"SELECT", "noUi-handle", "BUTTON", "CANVAS", "time"} <= reached


FOCUSED = """() => {
  let one = document.activeElement;
  while (one && one.shadowRoot && one.shadowRoot.activeElement) one = one.shadowRoot.activeElement;
  if (!one) return "";
  if (one.className.includes("noUi-handle")) return "noUi-handle";
  return one.className === "time" ? "time" : one.tagName;
}"""


def test_a_narrow_window_needs_no_scrolling_to_the_side(opened, address):
    page = opened(address + QUICK, width=400, height=900)
    wait_for_answer(page)
    page.locator("canvas").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    shot(page, "narrow")


def test_a_hostile_address_gets_one_sentence_and_a_page_that_works(opened, address):
    page = opened(f"{address}?workload.rate=<img src=x onerror=alert(1)>&planner=greedy")
    said = page.locator("[role=alert]").first
    said.wait_for()
    assert "must be a number from 0.025 to 0.15 queries/s" in said.inner_text()
    assert page.locator("img").count() == 0
    goodput(page, 0).wait_for()


def test_random_moves_raise_nothing_and_the_last_one_is_answered(opened, address):
    page = opened(address + QUICK)
    wait_for_answer(page)
    draw = random.Random(3)
    handles = page.locator(".noUi-handle")
    count = handles.count() - 1  # The last one only places the next event.
    for _ in range(30):
        handles.nth(draw.randrange(count)).focus()
        page.keyboard.press(draw.choice(("ArrowLeft", "ArrowRight")))
        page.wait_for_timeout(draw.choice((0, 100, 400)))
    slider(page, "arrivals").focus()
    page.keyboard.press("Home")
    page.wait_for_function("() => location.search.includes('workload.rate=0.025')")
    command = page.locator("code").first
    page.wait_for_function(FINAL, arg=0)
    assert "workload.rate=0.025" in command.inner_text()
    assert re.match(r"[0-9]", goodput(page, 0).inner_text())
