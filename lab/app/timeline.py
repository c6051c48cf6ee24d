"""The timeline of drift events as widgets; they need Panel."""

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import panel as pn
import param
from panel.custom import JSComponent

from lab.app import events
from lab.app.controls import NODES
from lab.common.errors import InputError
from scenarios.drift import FIELDS_OF, DriftEvent

WITH_FACTOR = tuple(kind for kind, names in FIELDS_OF.items() if "factor" in names)
NEXT = [
    f"{kind}{node}"
    for kind, names in FIELDS_OF.items()
    for node in ([f",node:{each}" for each in NODES] if "node" in names else [""])
]
"""What can be added, as texts of events without factor and time."""

Happens = tuple[DriftEvent, ...]


class Axis(JSComponent):  # type: ignore[misc]
    """A time axis on which events are placed, moved and removed; `on_msg` gets what is wanted."""

    horizon_s = param.Number(default=600.0, doc="Length of the axis in simulated seconds.")
    marks = param.List(default=[], doc="Words and time in seconds of each event.")

    _esm = files(__package__).joinpath("timeline.js").read_text(encoding="utf-8")
    _stylesheets = [  # noqa: RUF012 -- Panel's own form
        files(__package__).joinpath("timeline.css").read_text(encoding="utf-8")
    ]


class Timeline:
    """Drift events on a time axis, a button for each to remove it, and what the next one will be.

    Args:
        happens: the events.
        horizon_s: length of the simulated time in seconds.
        width: width of the widgets in pixels.
        changed: called with the events after each change.
        refused: called with a sentence if a change is not possible.
    """

    def __init__(
        self,
        happens: Happens,
        horizon_s: float,
        width: int,
        changed: Callable[[Happens], Any],
        refused: Callable[[str], Any],
    ) -> None:
        self._happens, self._changed, self._refused = happens, changed, refused
        self._kind = pn.widgets.Select(
            name="drift event", options=NEXT, value="rate_change", width=width
        )
        self._factor = pn.widgets.FloatInput(name="factor", value=2.0, step=0.1, width=90)
        add = pn.widgets.Button(name="add event", width=110, align="end")
        axis = self._axis = Axis(horizon_s=horizon_s, width=width)
        axis.on_msg(self._heard)
        add.on_click(lambda _: self._want(None, axis.horizon_s // 2))
        self._list, self._width = pn.Column(width=width), width
        self._show()
        self.view = pn.Column(self._kind, pn.Row(self._factor, add), self._axis, self._list)

    def set_horizon(self, horizon_s: float) -> None:
        """Set the length of the axis in simulated seconds."""
        self._axis.horizon_s = horizon_s

    def _heard(self, message: Any) -> None:
        """Do what the axis sends; its data can be a stranger's."""
        if isinstance(message.data, dict):
            self._want(message.data.get("event"), message.data.get("at_s"))

    def _want(self, number: Any, at_s: Any) -> None:
        try:
            happens = events.changed(self._happens, number, at_s, self._next)
        except InputError as error:
            self._refused(str(error))
            self._axis.param.trigger("marks")  # which moves a mark back
            return
        self._happens = happens
        self._show()
        self._changed(happens)

    @property
    def _next(self) -> str:
        """The next event as a text without its time."""
        kind = str(self._kind.value)
        return f"{kind},factor:{self._factor.value}" if kind in WITH_FACTOR else kind

    def _show(self) -> None:
        self._axis.marks = [[events.written(one), one.at_s] for one in self._happens]
        self._list[:] = [self._removal(number) for number in range(len(self._happens))]

    def _removal(self, number: int) -> Any:
        text = f"remove {number + 1}: {events.written(self._happens[number])}"
        button = pn.widgets.Button(name=text, width=self._width)
        button.on_click(lambda _: self._want(number, None))
        return button
