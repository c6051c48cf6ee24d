"""A browser of the system and a served page; ``python3 tasks.py app-test`` runs these tests."""

import runpy
import shutil

import pytest
from app_page import MOST_S, ROOT, served


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
    with served(["--seeds", "2", "planner=greedy&against=cheapest_feasible"]) as (_, url):
        yield url


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
