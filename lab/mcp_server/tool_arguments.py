"""What can be asked: the arguments of each tool, with what a type alone cannot exclude."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from lab.app.controls import NODES, planners
from lab.common.errors import InputError, choices, short
from lab.common.metrics import METRICS
from lab.common.options import groups
from lab.mcp_server import keys
from scenarios.drift import DriftEvent

STRICT = ConfigDict(extra="forbid")
MOST_SEEDS, MOST_CHANGES, MOST_VALUES = 50, 8, 100
ID = r"^[0-9a-f]{32}$"
"""What the server's names of runs look like."""
SCENARIOS, PLANNERS = tuple(groups()["experiment"]), planners()

Scenario = Annotated[str, Field(json_schema_extra={"enum": list(SCENARIOS)})]
PlannerName = Annotated[
    str, Field(description="a registered planner", json_schema_extra={"enum": list(PLANNERS)})
]
Settings = Annotated[dict[str, Any], WithJsonSchema({"format": keys.SETTINGS})]
RunId = Annotated[str, Field(pattern=ID, description="a name of a run that this server returned")]
Vary = Annotated[
    dict[str, list[Any]],
    Field(description="values to try, by the keys that settings can have, or by planner"),
]
Metric = Annotated[
    str,
    Field(
        description="a number of the summary, or, of a class of service, NAME.CLASS",
        examples=list(METRICS),
    ),
]
Seeds = Annotated[int, Field(ge=1, le=MOST_SEEDS, description="number of seeds, from 0 on")]


@dataclass(kw_only=True)
class Asked:
    """What all tools have in common."""

    __pydantic_config__: ClassVar = STRICT

    budget_s: Annotated[
        float | None,
        Field(gt=0, description="wall-clock limit in seconds; by default the largest allowed one"),
    ] = None

    def check(self) -> None:
        """Raise InputError, in a sentence, for what a type alone cannot exclude."""


@dataclass(kw_only=True)
class ListScenarios(Asked):
    """List the scenarios and planners; with an experiment, also its keys: values and meanings."""

    experiment: Scenario | None = None

    def check(self) -> None:
        """Raise InputError for an unknown experiment."""
        if self.experiment is not None:
            check_name("experiment", self.experiment, SCENARIOS)


@dataclass(kw_only=True)
class InScenario(Asked):
    """What is asked of a planner in a scenario."""

    experiment: Scenario
    planner: PlannerName
    settings: Settings = field(default_factory=dict)

    def check(self) -> None:
        """Raise InputError for unknown names, and values that cannot be written."""
        check_name("experiment", self.experiment, SCENARIOS)
        check_name("planner", self.planner, PLANNERS)
        keys.overrides(self.settings)

    @property
    def overrides(self) -> list[str]:
        """The overrides of the scenario, as for ``compass-sim``."""
        names = [f"experiment={self.experiment}", f"planner={self.planner}"]
        return [*names, *keys.overrides(self.settings)]


@dataclass(kw_only=True)
class Run(InScenario):
    """Simulate a planner in a scenario, and keep all tables, for explain and fork.

    Numbers are means over seeds with 95 % intervals.
    """

    seeds: Seeds = 1


@dataclass(kw_only=True)
class Change:
    """What is different: keys of the scenario, the planner, or both."""

    __pydantic_config__: ClassVar = STRICT

    settings: Settings = field(default_factory=dict)
    planner: PlannerName | None = None

    @property
    def overrides(self) -> list[str]:
        """The overrides of the change."""
        named = [] if self.planner is None else [f"planner={self.planner}"]
        return [*named, *keys.overrides(self.settings)]


@dataclass(kw_only=True)
class Compare(InScenario):
    """Answer "what if ...?": compare changes with the scenario as it is, on the same seeds.

    Differences are paired over seeds, with 95 % intervals. To compare planners, change the planner.
    """

    changes: Annotated[list[Change], Field(min_length=1, max_length=MOST_CHANGES)]
    seeds: Seeds = 5

    def check(self) -> None:
        """Raise InputError also for a wrong change."""
        super().check()
        for number, each in enumerate(self.changes):
            if each.planner is not None:
                check_name(f"changes.{number}.planner", each.planner, PLANNERS)
            if not each.overrides:
                raise InputError(f"changes.{number}: must have settings or a planner")


@dataclass(kw_only=True)
class Fork(Asked):
    """Continue a run from a decision with something changed, under the same draws."""

    run: RunId
    at_s: Annotated[float, Field(description="simulated second from which on it is different")]
    planner: PlannerName | None = None
    machines: Annotated[
        dict[str, int], Field(description="number of machines by node, edge or cloud")
    ] = field(default_factory=dict)
    events: Annotated[
        list[DriftEvent], Field(max_length=keys.ITEMS, description="further drift events")
    ] = field(default_factory=list)
    queries: Annotated[
        dict[Annotated[str, Field(pattern=r"^[0-9]{1,9}$")], Literal["wait", "refuse"]],
        Field(description="by query: wait instead of an order now, or refuse the query"),
    ] = field(default_factory=dict)

    def check(self) -> None:
        """Raise InputError for an unknown planner, or names that cannot be written."""
        if self.planner is not None:
            check_name("planner", self.planner, PLANNERS)
        for node in self.machines:
            check_name("machines", node, NODES)
        for each in self.events:
            if each.node is not None:
                check_name("events.node", each.node, NODES)
        if not (self.planner or self.machines or self.events or self.queries):
            raise InputError("planner, machines, events or queries: name what is different")


@dataclass(kw_only=True)
class Explain(Asked):
    """Explain why a query got its plan, and how the plan performed; without a query, list them."""

    run: RunId
    query: Annotated[int | None, Field(ge=0, description="number of the query")] = None


@dataclass(kw_only=True)
class Capacity(InScenario):
    """Find the cheapest machines that reach a target, by a search over simulations.

    Give one of at_least and at_most.
    """

    vary: Vary
    metric: Metric = "slo_met_fraction"
    at_least: Annotated[
        float | None, Field(description="lowest allowed mean; shares are from 0 to 1")
    ] = None
    at_most: Annotated[float | None, Field(description="highest allowed mean")] = None
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    seeds: Annotated[
        int, Field(ge=3, le=MOST_SEEDS, description="most seeds for a combination")
    ] = 20

    def check(self) -> None:
        """Raise InputError also for wrong values to try, or not exactly one bound."""
        super().check()
        varied(self.vary)
        if not self.vary:
            raise InputError("vary: must have a key, such as cluster.nodes.cloud.count")
        if (self.at_least is None) == (self.at_most is None):
            raise InputError("at_least or at_most: give exactly one of them")


@dataclass(kw_only=True)
class Sensitivity(InScenario):
    """Rank assumptions by their effect on an answer; each is set to a low and a high value.

    Without vary, the default assumptions are varied.
    """

    vary: Vary = field(default_factory=dict)
    metric: Metric = "slo_met_fraction"
    against: PlannerName | None = None
    seeds: Annotated[int, Field(ge=2, le=MOST_SEEDS, description="number of seeds")] = 5

    def check(self) -> None:
        """Raise InputError also for wrong values to try."""
        super().check()
        varied(self.vary)
        if self.against is not None:
            check_name("against", self.against, PLANNERS)


TOOLS: Mapping[str, type[Asked]] = {
    "list_scenarios": ListScenarios,
    "run": Run,
    "compare": Compare,
    "fork": Fork,
    "explain": Explain,
    "capacity": Capacity,
    "sensitivity": Sensitivity,
}
"""The tools, by name, with their arguments."""


def check_name(key: str, name: str, known: tuple[str, ...]) -> None:
    """Raise InputError if a name is not known."""
    if name not in known:
        raise InputError(f"{key}={short(name)}: {choices(name, known)}")


def varied(vary: Mapping[str, list[Any]]) -> list[str]:
    """Return values to try as texts ``KEY=A,B``; raise InputError if one cannot be written."""
    found = []
    for key, values in vary.items():
        if not 1 <= len(values) <= MOST_VALUES:
            raise InputError(f"vary.{key}: must have 1 to {MOST_VALUES} values")
        if key == "planner":
            for one in values:
                check_name("vary.planner", str(one), PLANNERS)
            found.append(f"planner={','.join(values)}")
        else:
            keys.check_key(key)
            found.append(f"{key}={','.join(keys.written(key, one) for one in values)}")
    return found
