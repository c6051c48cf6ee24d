"""The page with the controls and the answers of two planners. It needs Panel."""

from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import panel as pn

from lab.analysis.statistics import IntervalEstimate
from lab.app.answers import LEAST, SEEDS, Answer, Answers
from lab.app.details import Details, Examine
from lab.app.scenario import State, state_of
from lab.app.widgets import Animation, Controls
from lab.app.workers import Workers
from lab.common.errors import InputError
from lab.common.formatting import count, interval, number

TITLE = "compass-sim"
FIGURES = (
    ("service_goodput_mean", "service goodput, queries"),
    ("active_queries_mean", "active queries"),
    ("slo_met_fraction", "SLO met, share of time"),
    ("total_cost_usd", "cost with profiling, $"),
    ("latency_mean_s", "mean latency, s"),
    ("response_time_p50_s", "response time, median, s"),
    ("planning_charged_s", "planning, charged, s"),
)
"""What is shown of each planner: names of numbers, and words for them."""
STYLE = """
table.figures { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
table.figures td, table.figures th { padding: .2rem .6rem .2rem 0; text-align: left;
  border-bottom: 1px solid #ddd; font-weight: normal; }
table.figures .value { text-align: right; }
table.figures .value span { white-space: nowrap; }
table.figures .before { color: #666; }
.preliminary { color: #8a5a00; font-style: italic; }
.refused { color: #a40000; }
code { overflow-wrap: anywhere; white-space: pre-wrap; }
h1 { font-size: 1.3rem; margin: .2rem 0; }
h2 { font-size: 1.1rem; margin: .2rem 0; }
"""
COMPILING = "Compiling code, {} so far; this happens only once."
GAP = "24px"
PALE, CLEAR = {"opacity": "0.35"}, {"opacity": "1"}
INTRODUCTION = """
<h1>What do two planners make of a scenario?</h1>
<p>Move a control: both planners serve the same queries, and the figures follow.</p>
"""
SHARE = "<p>The address of this page keeps the controls, so you can share it.</p>"


def _growing(width: int) -> dict[str, str]:
    """Return the style of what is as wide as there is room, from a width in pixels on."""
    return {"flex": f"1 1 {width}px", "min-width": "min(300px, 100%)"}


class Side:
    """The answer of one planner; `examine` is that of `Details`."""

    def __init__(self, examine: Examine) -> None:
        self.figures = pn.pane.HTML("", sizing_mode="stretch_width", stylesheets=[STYLE])
        self.animation = Animation(sizing_mode="stretch_width", margin=(5, 10))
        self.details = Details(examine)
        self._run: Path | None = None  # the directory of the run that is drawn
        self.animation.param.watch(lambda event: self.details.show(self._run, event.new), "chosen")
        self.view = pn.Column(self.figures, self.animation, self.details.view, styles=_growing(400))

    def wait(self, waiting: Answer) -> None:
        """Say that an answer is being computed: clear the figures, and let the picture pale."""
        self.figures.object = _text(waiting)
        self.animation.styles = PALE

    def show(self, answer: Answer) -> None:
        """Show an answer."""
        self.figures.object = _text(answer)
        if answer.scene is not None and answer.scene is not self.animation.scene:
            self._run = answer.directory
            self.animation.param.update(scene=answer.scene, chosen=None)
        if not answer.preliminary:
            self.animation.styles = CLEAR


class Page:
    """What one browser shows.

    Args:
        workers: the processes that make the runs.
        query: query of an address, for a page whose own address has none.
        seeds: number of seeds for intervals.
    """

    def __init__(self, workers: Workers, query: str = "", seeds: int = SEEDS) -> None:
        self._document = pn.state.curdoc
        self._said = pn.pane.HTML("", sizing_mode="stretch_width", stylesheets=[STYLE])
        location = pn.state.location
        try:
            state = state_of((location.search if location else "") or query)
        except InputError as error:
            state = State()
            self._say(f"The address was refused: {error}")
        self._number = 0
        self.answers = Answers(workers, partial(self._later, self._show), seeds)
        self.controls = Controls(state, self._moved, self._say)
        self.sides = (Side(self._examine), Side(self._examine))
        sides = pn.FlexBox(
            *(one.view for one in self.sides),
            flex_wrap="wrap",
            styles={"gap": GAP, **_growing(480)},
        )
        words = INTRODUCTION + (SHARE if location else "")
        self.view = pn.Column(
            pn.pane.HTML(words, sizing_mode="stretch_width", stylesheets=[STYLE]),
            self._said,
            pn.FlexBox(
                self.controls.view,
                sides,
                flex_wrap="wrap",
                sizing_mode="stretch_width",
                styles={"gap": GAP},
            ),
            sizing_mode="stretch_width",
            margin=(8, 16),
        )
        self._ask(state)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """Return what a notebook shows."""
        return self.view._repr_mimebundle_(include, exclude)

    def close(self) -> None:
        """End the runs of this page."""
        self.answers.close()

    def _moved(self, state: State) -> None:
        self._say("")
        self._ask(state)
        location = pn.state.location
        if location is not None:
            location.search = f"?{state.query()}"

    def _ask(self, state: State) -> None:
        for side, one in enumerate(self.sides):
            one.wait(self.answers.waiting(state, side))
        self._number = self.answers.ask(state)

    def _examine(self, run: Path, query: int, take: Callable[[str], Any]) -> None:
        self.answers.examine(run, query, lambda text: self._later(take, text))

    def _later(self, function: Callable[..., Any], *words: Any) -> None:
        """Call a function from a thread of the workers, also in a notebook."""
        if self._document is None or self._document.session_context is None:
            function(*words)
        else:
            self._document.add_next_tick_callback(partial(function, *words))

    def _show(self, answer: Answer) -> None:
        if answer.number >= self._number:
            self.sides[answer.side].show(answer)

    def _say(self, sentence: str) -> None:
        self._said.object = f'<p class="refused" role="alert">{escape(sentence)}</p>' * bool(
            sentence
        )


def _text(answer: Answer) -> str:
    """Return the figures of an answer as HTML."""
    parts = [f"<h2>{escape(answer.state.planners[answer.side])}</h2>"]
    if answer.refused:
        parts.append(f'<p class="refused" role="alert">{escape(answer.refused)}</p>')
    parts.append(
        f'<table class="figures" data-move="{answer.number}" data-state="{_state(answer)}" '
        'aria-live="polite">'
    )
    if answer.before is not None:
        parts.append('<tr><th></th><th class="value" scope="col">now</th>')
        parts.append('<th class="value before" scope="col">before</th>')
        parts.append('<th class="value" scope="col">difference</th></tr>')
    for name, words in FIGURES:
        parts.append(f'<tr><th scope="row">{words}</th>')
        parts.append(f'<td class="value" data-name="{name}">{_value(answer, name)}</td>')
        if answer.before is not None:
            before, change = _written(answer.earlier(name)), _change(answer, name)
            parts.append(f'<td class="value before" data-before="{name}">{before}</td>')
            parts.append(f'<td class="value" data-difference="{name}">{change}</td>')
        parts.append("</tr>")
    parts.append(f"</table><p>{_status(answer)}</p>{_before(answer)}")
    parts.append(f"<p>The same run: <code>{escape(answer.state.command(answer.side))}</code></p>")
    return "".join(parts)


def _state(answer: Answer) -> str:
    """Return one word for scripts that drive the page."""
    if not answer.preliminary:
        return "final"
    return "refused" if answer.refused else "waiting" if answer.figures is None else "preliminary"


def _status(answer: Answer) -> str:
    if answer.refused and answer.preliminary:
        return "No answer."
    if answer.preliminary and answer.figures is None:
        said = "Computing ..."
        if answer.compiled is not None:
            said = COMPILING.format(count(answer.compiled, "function"))
        return f'<span class="preliminary">{said}</span>'
    if answer.preliminary and answer.figures is not None:
        done_s = answer.figures.simulated_s
        return f'<span class="preliminary">Preliminary: {done_s:.0f} s are simulated so far.</span>'
    runs = len(answer.runs)
    if runs == 1:
        return "Seed 0."
    return f"Mean over {runs} seeds{', with 95 % intervals' if runs >= LEAST else ''}."


def _before(answer: Answer) -> str:
    """Say what was different before the move, and over which seeds it is compared."""
    if answer.before is None:
        return ""
    said = f"Before: {', '.join(answer.before.state.apart(answer.state, answer.side))}."
    paired = len(answer.paired)
    if not answer.preliminary and paired < len(answer.runs):
        said += f" Compared over {count(paired, 'seed')}."
    return f"<p>{escape(said)}</p>"


def _value(answer: Answer, name: str) -> str:
    """Return the text of a figure."""
    if not answer.preliminary:
        return _written(answer.interval(name))
    value = None if answer.figures is None else answer.figures.numbers.get(name)
    return "…" if value is None else f'<span class="preliminary">≈ {number(value)}</span>'


def _change(answer: Answer, name: str) -> str:
    """Return the text of a figure's difference from before the move."""
    if answer.preliminary:
        return "…"
    found = answer.difference(name)
    return f"{'+' * ((found.mean or 0) > 0)}{_written(found)}"


def _written(found: IntervalEstimate) -> str:
    """Return a mean with its interval, between which a line can break."""
    within = interval(found.low, found.high)
    return f"{number(found.mean)}{f' <span>{within}</span>' if within else ''}"


def serve(make: Callable[[], Page], host: str, port: int, browser: bool) -> None:
    """Serve pages until an interruption; `make` makes one for each browser."""

    def page() -> Any:
        made = make()
        pn.state.on_session_destroyed(lambda _: made.close())
        return made.view

    pn.extension(notifications=False)
    pn.serve({"/": page}, address=host, port=port, show=browser, title=TITLE)
