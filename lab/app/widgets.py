"""The controls and the animation as widgets, for the page and for notebooks; they need Panel."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import panel as pn
import param
from panel.custom import JSComponent

from lab.app.controls import ROUNDED, SCENARIOS, Control, Menu, Value, planners
from lab.app.scenario import PLANNERS, State
from lab.app.timeline import Timeline
from lab.reporting.animation.export import code
from lab.reporting.animation.scene import Scene
from scenarios.drift import DriftEvent

WIDTH = 270
"""Width of the controls in pixels."""
WHOLE = "select.bk-input { height: auto; padding-block: .35rem; white-space: normal; }"
"""Style of a menu that shows a long choice in several lines, also when it is closed."""


class Animation(JSComponent):  # type: ignore[misc]
    """What happens in a run; empty without a scene."""

    scene: Scene = param.Dict(default={}, doc="What `lab.reporting.animation.scene` returns.")
    chosen: int | None = param.Integer(default=None, allow_None=True, doc="The query clicked on.")

    _esm = code("animation.js")
    _stylesheets = [code("animation.css")]  # noqa: RUF012 -- Panel's own form


def widget_of(control: Control, value: Value) -> Any:
    """Return the widget of a control."""
    unit = f" ({control.unit})" if not isinstance(control, Menu) and control.unit else ""
    named = {"name": f"{control.label}{unit}", "value": value, "width": WIDTH}
    if isinstance(control, Menu):
        labels = control.labels or control.options
        options = dict(zip(labels, control.options, strict=True))
        return pn.widgets.Select(options=options, stylesheets=[WHOLE], **named)
    bounds = {"start": control.low, "end": control.high, "step": control.step}
    return (pn.widgets.IntSlider if control.whole else pn.widgets.FloatSlider)(
        **{name: int(each) if control.whole else each for name, each in bounds.items()},
        **({} if control.whole else {"format": "0[.]0[000]"}),
        **named,
    )


class Controls:
    """All controls of a state.

    Args:
        state: the first state.
        moved: called with each new state.
        refused: called with a sentence if an event cannot be added or moved.
    """

    def __init__(
        self, state: State, moved: Callable[[State], Any], refused: Callable[[str], Any]
    ) -> None:
        self.state, self._moved, self._refused = state, moved, refused
        self.view = pn.Column(width=WIDTH + 20)
        self._build()

    def _build(self) -> None:
        """Make the widgets anew, because another experiment has other bounds."""
        state = self.state
        scenario = self._select("scenario", list(SCENARIOS), state.experiment)
        scenario.param.watch(lambda event: self._experiment(event.new), "value")
        made: list[Any] = [scenario]
        for side, (name, planner) in enumerate(zip(PLANNERS, state.planners, strict=True)):
            menu = self._select(name, list(planners()), planner)
            menu.param.watch(lambda event, side=side: self._planner(side, event.new), "value")
            made.append(menu)
        for key, control in state.controls.items():
            widget = widget_of(control, state.value(key))
            widget.param.watch(lambda event, key=key: self._control(key, event.new), "value")
            made.append(widget)
        self._timeline = Timeline(
            state.events, state.horizon_s, WIDTH, self._with_events, self._refused
        )
        self.view[:] = [*made, self._timeline.view]

    @staticmethod
    def _select(name: str, options: Sequence[str], value: str) -> Any:
        return pn.widgets.Select(name=name, options=options, value=value, width=WIDTH)

    def _move(self, state: State) -> None:
        self.state = state
        self._moved(state)

    def _experiment(self, name: str) -> None:
        self.state = State(name, SCENARIOS[name])
        self._build()
        self._moved(self.state)

    def _planner(self, side: int, name: str) -> None:
        first, other = self.state.planners
        self._move(replace(self.state, planners=(first, name) if side else (name, other)))

    def _control(self, key: str, value: Value) -> None:
        exact = round(value, ROUNDED) if isinstance(value, float) else value
        self._move(self.state.moved(key, exact))
        if key == "horizon_s":
            self._timeline.set_horizon(self.state.horizon_s)

    def _with_events(self, happens: tuple[DriftEvent, ...]) -> None:
        self._move(replace(self.state, events=happens))
