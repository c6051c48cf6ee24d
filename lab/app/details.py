"""What one planner did for the query that was clicked on, as widgets; they need Panel."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import panel as pn

from lab.app.inquiry import MOST_S, explanation

STYLE = """
pre { overflow-x: auto; font-size: 11px; line-height: 1.35; margin: .3rem 0; }
"""
EXAMINE = "regret of the decisions on this query"

Examine = Callable[[Path, int, Callable[[str], Any]], Any]


class Details:
    """The explanation of a query, and the regrets of the decisions on it once they are asked for.

    Args:
        examine: examines the decisions on a query of a run, and passes a text on.
    """

    def __init__(self, examine: Examine) -> None:
        self._examine = examine
        self._shown: tuple[Path, int] | None = None
        self._take: Callable[[str], Any] | None = None  # gets the regrets that are computed
        self._explained, self._regrets = (
            pn.pane.HTML("", sizing_mode="stretch_width", stylesheets=[STYLE]) for _ in range(2)
        )
        self._button = pn.widgets.Button(name=EXAMINE, visible=False, margin=(5, 10))
        self._button.on_click(self._ask)
        self.view = pn.Column(
            self._button, self._regrets, self._explained, sizing_mode="stretch_width"
        )

    def show(self, run: Path | None, query: int | None) -> None:
        """Explain a query of a run; without one, show nothing."""
        self._shown = None if run is None or query is None else (run, query)
        self._take = None
        self._explained.object = "" if self._shown is None else _pre(explanation(*self._shown))
        self._regrets.object = ""
        self._button.param.update(visible=self._shown is not None, disabled=False, name=EXAMINE)

    def _ask(self, _: Any) -> None:
        shown = self._shown
        if shown is None:
            return
        self._button.param.update(disabled=True, name=f"computing, for up to {MOST_S} s ...")

        def take(text: str) -> None:
            if self._take is take:  # else another query was chosen meanwhile
                self._regrets.object = _pre(text)
                self._button.param.update(disabled=False, name=EXAMINE)

        self._take = take
        self._examine(*shown, take)


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"
