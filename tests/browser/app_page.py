"""A served page of the app: what tests read from it, and how they move its controls."""

import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_S = 120.0
"""Longest wait for a page, even on a busy machine, in seconds."""

WITHIN = """
  const found = [];
  const walk = (node) => {
    if (node.shadowRoot) walk(node.shadowRoot);
    for (const one of node.children || []) {
      if (one.matches("table.figures")) found.push(one);
      walk(one);
    }
  };
  walk(document);
"""
READ = f"""() => {{ {WITHIN}
  return found.map((table) => ({{
    move: Number(table.dataset.move), state: table.dataset.state,
    goodput: table.querySelector("[data-name=service_goodput_mean]").textContent,
    command: table.parentNode.querySelector("code").textContent,
  }}));
}}"""
IS_FINAL = f"""([side, words]) => {{ {WITHIN}
  const one = found[side];
  return one && one.dataset.state === "final" &&
    one.parentNode.querySelector("code").textContent.includes(words);
}}"""
FOCUSED = """() => {
  let one = document.activeElement;
  while (one && one.shadowRoot && one.shadowRoot.activeElement) one = one.shadowRoot.activeElement;
  return one ? (one.className.includes("noUi-handle") ? "noUi-handle" : one.className) +
    " " + one.tagName + " " + (one.getAttribute("role") || "") : "";
}"""


@contextmanager
def served(words, log=None):
    """Serve the app; yield its process and its address. `log` is a file for what it prints."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "lab.cli.tools", "app", "--no-browser", "--port", str(port)]
    server = subprocess.Popen([*command, *words], cwd=ROOT, stdout=log, stderr=log)
    try:
        until_s = time.monotonic() + MOST_S
        while True:
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < until_s, "the server does not listen"
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield server, f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(30)


def answers(page):
    """Return what both planners' tables show: move, state, goodput and command."""
    return page.evaluate(READ)


def final_answer(page, side=0, words=""):
    """Return the answer of a planner when the first seed's run with words in its command ended."""
    page.wait_for_function(IS_FINAL, arg=[side, words])
    return answers(page)[side]


def slider(page, label):
    """Return the handle of a slider."""
    return page.locator(".bk-input-group", has_text=label).locator(".noUi-handle")


def seek(page, at_s):
    """Move the first animation to a time."""
    page.locator("input.time").first.evaluate(
        f"one => {{ one.value = {at_s}; one.dispatchEvent(new Event('input')); }}"
    )
    page.get_by_text(f"{at_s} s", exact=True).first.wait_for()
