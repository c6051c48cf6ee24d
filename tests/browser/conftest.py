"""A browser of the system and a served page; ``python3 tasks.py app-test`` runs these tests."""

import runpy
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_S = 120.0
"""Longest wait for a page, even on a busy machine, in seconds."""


@pytest.fixture(scope="session")
def browser():
    browsers = runpy.run_path(str(ROOT / "tasks.py"))["browsers"]()
    path = next(filter(None, map(shutil.which, browsers)), None)
    if path is None:
        pytest.fail(
            "no browser: install Debian's package chromium, or name one by COMPASS_BROWSER=PATH",
            pytrace=False,
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def address():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words = [sys.executable, "-m", "lab.cli.tools", "app", "--no-browser", "--port", str(port)]
    words += ["--seeds", "2", "planner=greedy&against=cheapest_feasible"]
    server = subprocess.Popen(words, cwd=ROOT)
    try:
        until_s = time.monotonic() + MOST_S
        while True:
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < until_s, "the server does not listen"
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def opened(browser):
    """A function that opens a page; the test fails on errors and on requests to elsewhere."""
    complaints, contexts = [], []

    def open_(url, width=1400, height=1200):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)

        def only_here(route):
            if not route.request.url.startswith(("http://127.0.0.1:", "file:", "data:", "blob:")):
                complaints.append(route.request.url)
                route.abort()
            else:
                route.continue_()

        context.route("**/*", only_here)
        page = context.new_page()
        page.set_default_timeout(MOST_S * 1000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type == "error" else None,
        )
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []
