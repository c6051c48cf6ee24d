"""The types of every key of the configuration; Hydra checks values against them.

The dataclasses of ``scenarios`` are the schemas. Parts that name a class by ``_target_`` are open:
their keys are the parameters of that class, which are checked when it is called.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from hardware_models.schemas import SCHEMAS as TABLES
from hardware_models.tables import ACCELERATORS
from scenarios.cluster import Cluster
from scenarios.drift import Drift
from scenarios.network import Network
from scenarios.workload import Workload

Open = dict[str, Any]

OPEN_MAPPINGS = (
    "network.technologies",
    "network.traces",
    "workload.tiers",
    "workload.datasets",
    "workload.devices",
)
"""Mappings by names of the user's choice: set whole on the command line, they are replaced."""


@dataclass
class WorkloadSchema(Workload):
    """A workload whose arrivals are still a class and its parameters, as OmegaConf needs it."""

    arrivals: Open = field(default_factory=dict)  # type: ignore[assignment]


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


@dataclass
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

    about: About = field(default_factory=About)
    seed: int = 0
    horizon_s: float = 3600.0
    flush_every_s: float = 600.0
    requests: bool = False
    max_wall_s: float | None = None
    figures: bool = True
    resume: bool = False
    application: Open = field(default_factory=dict)
    cluster: Any = None
    network: Any = None
    workload: Any = None
    drift: Any = None
    tables: Open = field(default_factory=dict)
    data_plane: Open = field(default_factory=dict)
    planner: Open = field(default_factory=dict)


def settings_schema() -> DictConfig:
    """Return the typed tree that the files of all groups are merged into."""
    schema: DictConfig = OmegaConf.structured(Settings)
    for name, part in (
        ("cluster", Cluster),
        ("network", Network),
        ("workload", WorkloadSchema),
        ("drift", Drift),
    ):
        schema[name] = OmegaConf.structured(part)
    # Mappings are merged key by key: defaults in them would mix with what a file lists.
    schema.tables = dict.fromkeys(
        (*TABLES, ACCELERATORS)
    )  # so that each can be set, and a slip is told
    schema.network.technologies = {}
    schema.workload.tiers = {}
    schema.workload.devices = {}
    for key in OPEN_MAPPINGS:
        OmegaConf.set_struct(OmegaConf.select(schema, key), False)
    return schema


def register() -> None:
    """Make the schema and the resolvers known to Hydra; doing so twice does no harm."""
    store = ConfigStore.instance()
    if "schema.yaml" not in store.repo:
        store.store(name="schema", node=settings_schema(), provider="compass-sim")
    OmegaConf.register_new_resolver("half", lambda value: value / 2, replace=True)
