"""Every key of the configuration, with its type and bounds; pydantic checks values against them.

The dataclasses of ``scenarios`` are the models of their sections. Sections that name a class by
``_target_`` are open: their keys are the parameters of that class, see ``lab.config.targets``.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, make_dataclass
from typing import Annotated, Any, ClassVar, get_origin, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import BooleanNode, DictConfig, OmegaConf
from pydantic import BeforeValidator, ConfigDict, Field

from hardware_models.schemas import SCHEMAS as TABLES
from hardware_models.tables import ACCELERATORS, UserTable
from lab.config.targets import build
from scenarios.arrivals import ArrivalProcess, Poisson
from scenarios.cluster import Cluster, Node
from scenarios.drift import Drift
from scenarios.link_traces import LinkTrace
from scenarios.network import Network
from scenarios.slo import Tier
from scenarios.workload import Workload

OPEN = ("about", "application", "data_plane", "planner", "tables", "workload.arrivals")
"""What a configuration keeps as it was given, for what is in it is checked by others."""

# More than that is a slip of the pen: a run holds every machine, and its clock counts int64 ns.
MOST_HORIZON_S = 1e9
MOST_MACHINES = 100_000

OPEN_MAPPINGS = (
    "network.technologies",
    "network.traces",
    "workload.tiers",
    "workload.datasets",
    "workload.devices",
)
"""Mappings by names of the user's choice: set whole on the command line, they are replaced."""

ENTRIES = {"cluster.nodes": Node, "network.traces": LinkTrace, "workload.tiers": Tier}
"""Mappings of which each entry has the keys of a dataclass, with defaults."""


def _arrivals(node: object) -> ArrivalProcess:
    made: ArrivalProcess = build(node, "workload.arrivals", ArrivalProcess)
    return made


def _user_table(node: object) -> object:
    given = {"path": node} if isinstance(node, str) else node
    if given is not None and not (
        isinstance(given, Mapping) and isinstance(given.get("path"), str)
    ):
        raise ValueError("give the path of a CSV or Parquet file")
    return given


CHECKS = ConfigDict(extra="forbid", arbitrary_types_allowed=True, coerce_numbers_to_str=True)


@dataclass
class WorkloadSettings(Workload):
    """A workload whose arrivals are given as a class and its parameters."""

    arrivals: Annotated[ArrivalProcess, BeforeValidator(_arrivals)] = field(default_factory=Poisson)


@dataclass
class About:
    """What an experiment is to show; no run depends on it.

    Args:
        figure: figures of the Compass paper that it stands for.
        claim: what is claimed, in one sentence.
        series: key whose values are compared.
        metric: what is measured.
        quick: what is set otherwise to try it out, by key.
    """

    figure: str = ""
    claim: str = ""
    series: str = ""
    metric: str = ""
    quick: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Settings:
    """A whole configuration.

    Args:
        about: what it is to show.
        seed: seed of all random streams.
        horizon_s: length of the run in simulated seconds.
        flush_every_s: simulated seconds between two writings of results.
        requests: whether to write a table of all requests, too.
        max_wall_s: seconds of wall-clock time after which a run is ended; None for no limit.
        figures: whether to draw figures at the end.
        resume: whether to go on with what broke off in the directory of results.
        application: the application, by class and parameters.
        cluster: the machines.
        network: the links.
        workload: the queries.
        drift: what changes meanwhile.
        tables: tables of the user's own, by the name of the one that each is merged into or
            replaces.
        data_plane: the data plane, by class and parameters.
        planner: the planner, by class and parameters; without a class, those to compare, by name.
    """

    __pydantic_config__: ClassVar = CHECKS

    about: About
    seed: Annotated[int, Field(ge=0)] = 0
    horizon_s: Annotated[float, Field(ge=1, le=MOST_HORIZON_S)] = 3600.0
    flush_every_s: Annotated[float, Field(ge=1)] = 600.0
    requests: bool = False
    max_wall_s: float | None = None
    figures: bool = True
    resume: bool = False
    application: dict[str, Any]
    cluster: Cluster
    network: Network
    workload: WorkloadSettings
    drift: Drift
    tables: dict[str, Annotated[UserTable | None, BeforeValidator(_user_table)]]
    data_plane: dict[str, Any]
    planner: dict[str, Any]

    def __post_init__(self) -> None:
        counts = {name: node.count for name, node in self.cluster.nodes.items()}
        if sum(counts.values()) > MOST_MACHINES:
            name = max(counts, key=lambda name: counts[name])
            raise ValueError(
                f"cluster.nodes.{name}.count={counts[name]}: a cluster may have {MOST_MACHINES:,} "
                f"machines or fewer, and this makes {sum(counts.values()):,}"
            )


def default_tree() -> DictConfig:
    """Return the tree of all keys and their defaults that the files of all groups are merged into.

    It says which keys there are; what their values may be is checked when all is composed.
    """
    tree: DictConfig = OmegaConf.create(defaults(Settings))
    tree.tables = dict.fromkeys(
        (*TABLES, ACCELERATORS)
    )  # so that each can be set, and a slip is told
    # Whoever claims a directory asks it before all is checked, so `resume=no` must not be a text.
    tree.resume = BooleanNode(value=False, is_optional=False)
    for key, kind in ENTRIES.items():
        section, _, name = key.partition(".")
        entry = make_dataclass(
            kind.__name__, [(one.name, Any, one.default) for one in fields(kind)]
        )
        tree[section][name] = DictConfig({}, element_type=entry)
    # Not all entries of the list have all keys, so any may be set; a slip is told later.
    for key in (*OPEN_MAPPINGS, "drift.events"):
        OmegaConf.set_struct(OmegaConf.select(tree, key), False)
    return tree


def defaults(model: type) -> dict[str, Any]:
    """Return the defaults of a dataclass as plain values; mappings and lists are empty.

    Files are merged into mappings key by key: defaults in them would mix with what a file lists.
    """
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
    """Make the keys and the resolvers known to Hydra; doing so twice does no harm."""
    store = ConfigStore.instance()
    if "schema.yaml" not in store.repo:
        store.store(name="schema", node=default_tree(), provider="compass-sim")
    OmegaConf.register_new_resolver("half", lambda value: value / 2, replace=True)
