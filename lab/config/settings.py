"""The configuration's keys with types and bounds, which pydantic checks.

The dataclasses of ``scenarios`` declare the keys of their sections. In a section with ``_target_``,
the keys are the parameters of the class that it names (see ``lab.config.targets``).
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, make_dataclass
from typing import Annotated, Any, ClassVar, get_origin, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import BooleanNode, DictConfig, OmegaConf
from pydantic import BeforeValidator, ConfigDict, Field

from hardware_models.schemas import SCHEMAS as TABLES
from hardware_models.tables import ACCELERATORS, UserTable
from lab.config.file_source import use_our_sources
from lab.config.targets import build
from lab.config.trust import hide_plugins_here
from scenarios.arrivals import ArrivalProcess, Poisson
from scenarios.cluster import Cluster, Node
from scenarios.drift import KINDS, Drift
from scenarios.link_traces import LinkTrace
from scenarios.network import Network
from scenarios.scenario import AUTO
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim.metrics.request_table import REQUESTS
from sim.metrics.results import SCHEMAS as RESULTS

OPEN = ("about", "application", "data_plane", "planner", "tables", "workload.arrivals")
"""Sections that pydantic leaves as they are, because other code checks them."""

# Larger values are surely typing errors: a run stores every machine, and counts ns in int64.
MOST_HORIZON_S = 1e9
MOST_MACHINES = 100_000

OPEN_MAPPINGS = (
    "network.technologies",
    "network.traces",
    "workload.tiers",
    "workload.datasets",
    "workload.devices",
)
"""Mappings whose keys the user chooses. An override of the whole mapping replaces it."""

FIGURES, REPORT = "figures", "report"
INSIDE = frozenset({*RESULTS, REQUESTS, FIGURES, REPORT})
"""Names of a run's own subdirectories, which compared planners must not have."""

ENTRIES = {"cluster.nodes": Node, "network.traces": LinkTrace, "workload.tiers": Tier}
"""Mappings whose entries have the keys and defaults of a dataclass."""


def _user_table(node: object) -> object:
    given = {"path": node} if isinstance(node, str) else node
    if given is not None and not (
        isinstance(given, Mapping) and isinstance(given.get("path"), str)
    ):
        raise ValueError("must be the path of a file")
    return given


def _events(node: object) -> object:
    given = node.get("events") if isinstance(node, Mapping) else None
    for number, event in enumerate(given if isinstance(given, list) else ()):
        if isinstance(event, Mapping) and "kind" not in event:
            raise ValueError(
                f"drift.events.{number}: has no kind; choose one of {', '.join(KINDS)}"
            )
    return node


def _seconds_or_auto(node: object) -> object:
    number = isinstance(node, int | float) and not isinstance(node, bool)
    if node != AUTO and not (number and 0 <= node <= MOST_HORIZON_S):  # type: ignore[operator]
        raise ValueError(f"must be a number of seconds, 0 or more, or {AUTO}")
    return node


CHECKS = ConfigDict(extra="forbid", arbitrary_types_allowed=True, coerce_numbers_to_str=True)


@dataclass
class WorkloadSettings(Workload):
    """A workload whose arrival process is configured as a class with parameters."""

    arrivals: Annotated[
        ArrivalProcess,
        BeforeValidator(lambda node: build(node, "workload.arrivals", ArrivalProcess)),
    ] = field(default_factory=Poisson)


@dataclass
class About:
    """The purpose of an experiment; no result depends on it."""

    figure: str = ""  # figures of the Compass paper
    claim: str = ""
    series: str = ""  # key whose values are compared
    metric: str = ""  # what is measured
    quick: dict[str, Any] = field(default_factory=dict)  # values for a quick trial, by key


@dataclass(kw_only=True)
class Settings:
    """A complete configuration."""

    __pydantic_config__: ClassVar = CHECKS

    about: About
    seed: Annotated[int, Field(ge=0)] = 0
    horizon_s: Annotated[float, Field(ge=1, le=MOST_HORIZON_S)] = 3600.0  # simulated seconds
    # simulated seconds that metrics of goodput leave out, or auto, see lab.runs.steady_state
    warm_up_s: Annotated[float | str, BeforeValidator(_seconds_or_auto)] = 0.0
    # simulated seconds between two writings of results
    flush_every_s: Annotated[float, Field(ge=1)] = 600.0
    # simulated time of a period of the bound on goodput; None for at most 30 periods in a run
    bound_every_s: Annotated[float, Field(gt=0)] | None = None
    bound_optimum: bool = False  # whether to solve integer programs for it, too
    requests: bool = False  # whether to write the table of requests
    max_wall_s: float | None = None  # wall-clock limit of a run; None for no limit
    max_call_s: float | None = 600.0  # wall-clock limit of one call of a planner; None for no limit
    figures: bool = True
    resume: bool = False  # whether to resume an unfinished run
    application: dict[str, Any]
    cluster: Cluster
    network: Network
    workload: WorkloadSettings
    drift: Annotated[Drift, BeforeValidator(_events)]  # changes during the run
    # the user's tables, by the name of the table that each extends or replaces
    tables: dict[str, Annotated[UserTable | None, BeforeValidator(_user_table)]]
    data_plane: dict[str, Any]
    planner: dict[str, Any]

    def __post_init__(self) -> None:
        if self.bound_every_s is not None and self.bound_every_s > self.horizon_s:
            raise ValueError(
                f"bound_every_s={self.bound_every_s:g}: must be at most the length of the run, "
                f"horizon_s={self.horizon_s:g}"
            )
        counts = {name: node.count for name, node in self.cluster.nodes.items()}
        if sum(counts.values()) > MOST_MACHINES:
            name = max(counts, key=lambda name: counts[name])
            raise ValueError(
                f"cluster.nodes.{name}.count={counts[name]}: a cluster may have at most "
                f"{MOST_MACHINES:,} machines; this one has {sum(counts.values()):,}"
            )


def default_tree() -> DictConfig:
    """Return the tree of keys and defaults; Hydra merges files into it without type checks."""
    tree: DictConfig = OmegaConf.create(defaults(Settings))
    # Each table has a key, so that any table can be set and a misspelt name is refused.
    tree.tables = dict.fromkeys((*TABLES, ACCELERATORS))
    # `resume` is read before validation, so `resume=no` must be a boolean already.
    tree.resume = BooleanNode(value=False, is_optional=False)
    for key, kind in ENTRIES.items():
        section, _, name = key.partition(".")
        entry = make_dataclass(
            kind.__name__, [(one.name, Any, one.default) for one in fields(kind)]
        )
        tree[section][name] = DictConfig({}, element_type=entry)
    # The entries' keys are free here, because entries differ in them; validation checks them later.
    for key in (*OPEN_MAPPINGS, "drift.events"):
        OmegaConf.set_struct(OmegaConf.select(tree, key), False)
    return tree


def defaults(model: type) -> dict[str, Any]:
    """Return a dataclass's defaults by field name; the default of each mapping or list is empty."""
    hints = get_type_hints(model)
    values: dict[str, Any] = {}
    for one in fields(model):
        if one.default is not MISSING:
            values[one.name] = one.default
        elif is_dataclass(hints[one.name]):
            values[one.name] = defaults(hints[one.name])
        else:
            values[one.name] = [] if get_origin(hints[one.name]) is list else {}
    return values


def register() -> None:
    """Register the keys and the resolvers with Hydra, if that has not been done yet."""
    hide_plugins_here()
    use_our_sources()
    store = ConfigStore.instance()
    if "schema.yaml" not in store.repo:
        store.store(name="schema", node=default_tree(), provider="compass-sim")
    OmegaConf.register_new_resolver("half", lambda value: value / 2, replace=True)
