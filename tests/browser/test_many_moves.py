"""A thousand random moves over all controls: no exception, no leak, no older answer after a newer.

``python3 tasks.py app-test -m "browser and slow" -s`` runs it, 45 minutes on two idle cores, and
prints how soon first figures came. COMPASS_MOVES=N makes N moves after the warm-up.
"""

import os
import random
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
from app_page import WITHIN, answers, served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MOVES, WARM_UP = int(os.environ.get("COMPASS_MOVES", "1000")), 300
"""By the end of the warm-up, each process that makes runs has met most planners, and has loaded
what they need."""
EVERY = 100
"""Number of moves between two looks at memory."""
MOST_GROWTH_MB = 50
IDLE_S = 120
"""Longest wait for the runs that are under way, before memory is measured."""
SETTLED_MS = 1500
"""Wait for the page to take a move; without a sign by then, the control was where it was."""
KEYS = ("ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Home", "End")
RECORD = f"""() => {{ {WITHIN}
  window.seen = [];
  const sides = found.map((table) => table.getRootNode());
  const note = (side) => {{
    const table = sides[side].querySelector("table.figures");
    if (!table) return;
    const text = table.querySelector("[data-name=service_goodput_mean]").textContent;
    const one = [Number(table.dataset.move), table.dataset.state, text];
    const last = window.seen.findLast(([where]) => where === side);
    if (!last || last.slice(1, 4).join() !== one.join()) {{
      window.seen.push([side, ...one, performance.now()]);
    }}
  }};
  sides.forEach((root, side) => new MutationObserver(() => note(side)).observe(
    root, {{ childList: true, subtree: true }}));
  sides.forEach((_, side) => note(side));
}}"""
TAKEN = "from => window.seen.slice(from).some(([, , state]) => state === 'waiting')"
FIRST = """([from, wanted]) => [0, 1].every((side) => window.seen.slice(from).some(
  (one) => one[0] === side && wanted.includes(one[2])))"""
SHOWN = ("preliminary", "final", "refused")


def move_at_random(page, draw):
    """Make a random move on a random control of the page."""
    kinds = {
        "select": page.locator("select:not(.query):not(.speed)"),
        "handle": page.locator(".noUi-handle"),
        "button": page.get_by_role("button", name="event"),
        "remove": page.get_by_role("button", name="remove"),
        "mark": page.locator(".timeline [role=slider]"),
        "track": page.locator(".timeline .track"),
        "query": page.locator("select.query"),
        "time": page.locator("input.time"),
    }
    every = [(kind, at) for kind, found in kinds.items() for at in range(found.count())]
    kind, at = draw.choice(every)
    one = kinds[kind].nth(at)
    if kind in ("select", "query"):
        names = one.locator("option").evaluate_all("all => all.map((each) => each.value)")
        one.select_option(draw.choice(names))
    elif kind in ("handle", "mark"):
        one.focus()
        page.keyboard.press(draw.choice((*KEYS, "Delete") if kind == "mark" else KEYS))
    elif kind == "track":
        width = one.bounding_box()["width"]
        one.click(position={"x": draw.uniform(1, width - 1), "y": 2})
    elif kind == "time":
        one.focus()
        page.keyboard.press(draw.choice(KEYS))
    else:
        one.click()


def children(pid):
    """Return the processes that a process started."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def wait_until_idle(server):
    """Wait until the server's processes make no run, which would take memory of its own."""

    def spent():
        stats = [Path(f"/proc/{each}/stat").read_text() for each in children(server.pid)]
        return [one.rpartition(")")[2].split()[11:13] for one in stats]

    before, until_s = None, monotonic() + IDLE_S
    while before != (before := spent()) and monotonic() < until_s:
        sleep(1)


def memory_mb(server, page, browser):
    """Return the memory of the server, of its processes, of the page's heap, and of its process."""
    wait_until_idle(server)

    def resident(pid):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    own = page.context.new_cdp_session(page)
    own.send("HeapProfiler.collectGarbage")
    used = own.send("Runtime.getHeapUsage")["usedSize"] / 2**20
    own.detach()
    whole = browser.new_browser_cdp_session()
    found = whole.send("SystemInfo.getProcessInfo")["processInfo"]
    whole.detach()
    renderers = [resident(one["id"]) for one in found if one["type"] == "renderer"]
    return {
        "server": resident(server.pid),
        "workers": sum(map(resident, children(server.pid))),
        "page's heap": used,
        "page's process": max(renderers),
    }


def check_order(seen, newest):
    """Check that no answer follows one to a newer move; `newest` has the newest of each side."""
    for side, number, state, *_ in seen:
        if state != "waiting":
            assert number >= newest[side], "an older answer is shown after a newer one"
            newest[side] = number


def move(page, draw):
    """Move; return the milliseconds to each planner's first figure, None if nothing changed."""
    from playwright.sync_api import TimeoutError

    begun = page.evaluate("() => [window.seen.length, performance.now()]")
    with suppress(TimeoutError):  # A control can vanish meanwhile.
        move_at_random(page, draw)
    try:
        page.wait_for_function(TAKEN, arg=begun[0], timeout=SETTLED_MS)
    except TimeoutError:
        return None
    wanted = ("final", "refused") if draw.random() < 0.1 else SHOWN
    page.wait_for_function(FIRST, arg=[begun[0], wanted], timeout=300_000)
    seen = page.evaluate("from => window.seen.slice(from)", begun[0])
    return [
        next(at for where, _, state, _, at in seen if where == side and state in SHOWN) - begun[1]
        for side in (0, 1)
    ]


def tell(times_s):
    """Print how soon first figures came, by planner."""
    every = {"all": [one for found in times_s.values() for one in found], **times_s}
    for name, found in sorted(every.items()):
        middle_s, p95_s = np.quantile(found, [0.5, 0.95])
        print(f"  {name}: {len(found)}, median {middle_s:.2f} s, p95 {p95_s:.2f} s", flush=True)


def test_a_thousand_random_moves(opened, browser, tmp_path, capsys):
    draw, times_s, memory, newest = random.Random(1), defaultdict(list), [], [0, 0]
    with (tmp_path / "log").open("w") as log, served(["--seeds", "2"], log) as (server, url):
        page = opened(url)
        page.wait_for_function("() => document.readyState === 'complete'")
        page.locator("table.figures").nth(1).wait_for()
        page.evaluate(RECORD)
        page.set_default_timeout(10_000)
        made, begun_s = 0, monotonic()
        while made < WARM_UP + MOVES:
            found_ms = move(page, draw)
            if found_ms is None:
                continue
            made += 1
            for one, ms in zip(answers(page), found_ms, strict=True):
                times_s[one["command"].split()[2]].append(ms / 1e3)
            if made % EVERY == 0:
                memory.append(memory_mb(server, page, browser))
                check_order(page.evaluate("() => window.seen.splice(0)"), newest)
                with capsys.disabled():
                    now = ", ".join(f"{name} {mb:.1f}" for name, mb in memory[-1].items())
                    print(f"\n{made} moves, {monotonic() - begun_s:.0f} s; MB: {now}", flush=True)
                    tell(times_s)
    text = (tmp_path / "log").read_text()
    assert "Traceback" not in text, text
    assert "ERROR" not in text, text
    warm = memory[WARM_UP // EVERY - 1]
    for name in warm:
        assert memory[-1][name] - warm[name] < MOST_GROWTH_MB, name
