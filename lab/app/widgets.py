"""The controls and the animation as widgets, for the page and for notebooks; they need Panel."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import panel as pn
import param
from panel.custom import JSComponent

from lab.app import events
from lab.app.controls import ROUNDED, SCENARIOS, Control, Menu, Value, planners
from lab.app.scenario import PLANNERS, State
from lab.common.errors import InputError
from lab.reporting.animation.export import code
from lab.reporting.animation.scene import Scene
from scenarios.drift import FIELDS_OF, DriftEvent

WIDTH = 270
"""Width of the controls in pixels."""
WITH_FACTOR = tuple(kind for kind, names in FIELDS_OF.items() if "factor" in names)


class Animation(JSComponent):  # type: ignore[misc]
    """What happens in a run; empty without a scene."""

    scene: Scene = param.Dict(default={}, doc="What `lab.reporting.animation.scene` returns.")

    _esm = code("animation.js")
    _stylesheets = [code("animation.css")]  # noqa: RUF012 -- Panel's own form


def widget_of(control: Control, value: Value) -> Any:
    """Return the widget of a control."""
    unit = f" ({control.unit})" if not isinstance(control, Menu) and control.unit else ""
    named = {"name": f"{control.label}{unit}", "value": value, "width": WIDTH}
    if isinstance(control, Menu):
        return pn.widgets.Select(options=list(control.options), **named)
    bounds = {"start": control.low, "end": control.high, "step": control.step}
    return (pn.widgets.IntSlider if control.whole else pn.widgets.FloatSlider)(
        **{name: int(each) if control.whole else each for name, each in bounds.items()},
        **({} if control.whole else {"format": "0[.]000"}),
        **named,
    )


class Controls:
    """All controls of a state.

    Args:
        state: the first state.
        moved: called with each new state.
        refused: called with a sentence if an event cannot be added.
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
        self._list = pn.Column(width=WIDTH)
        self._list_events()
        self.view[:] = [*made, self._adding(), self._list]

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
            end = int(float(self.state.value(key)))
            self._at_s.param.update(end=end, value=min(self._at_s.value, end))

    def _adding(self) -> Any:
        """Return the widgets that add an event to the timeline."""
        kind = self._select("drift event", list(FIELDS_OF), "rate_change")
        horizon_s = int(float(self.state.value("horizon_s")))
        at_s = self._at_s = pn.widgets.IntSlider(
            name="at (s)", start=0, end=horizon_s, step=10, value=horizon_s // 2, width=WIDTH
        )
        factor = pn.widgets.FloatInput(name="factor", value=2.0, step=0.1, width=90)
        button = pn.widgets.Button(name="add event", width=110, align="end")

        def add(_: Any) -> None:
            text = f"{kind.value},at_s:{at_s.value}"
            if kind.value in WITH_FACTOR:
                text += f",factor:{factor.value}"
            elif "node" in FIELDS_OF[kind.value]:
                text += ",node:cloud"
            try:
                if len(self.state.events) == events.MOST:
                    raise InputError(f"a scenario here has at most {events.MOST} events")
                added = (*self.state.events, events.read(text))
            except InputError as error:
                self._refused(str(error))
                return
            self._with_events(tuple(sorted(added, key=lambda one: one.at_s)))

        button.on_click(add)
        return pn.Column(kind, at_s, pn.Row(factor, button))

    def _with_events(self, happens: tuple[DriftEvent, ...]) -> None:
        self.state = replace(self.state, events=happens)
        self._list_events()
        self._moved(self.state)

    def _list_events(self) -> None:
        def row(event: DriftEvent) -> Any:
            button = pn.widgets.Button(name=f"remove {events.written(event)}", width=WIDTH)
            button.on_click(
                lambda _: self._with_events(
                    tuple(one for one in self.state.events if one is not event)
                )
            )
            return button

        self._list[:] = [row(one) for one in self.state.events]
