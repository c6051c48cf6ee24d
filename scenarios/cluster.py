"""Cluster layouts: devices, then nodes tier by tier, each a pool of machines of one type."""

from dataclasses import dataclass, field, replace
from typing import Annotated

from hardware_models.gpu.mig import profiles
from hardware_models.prices import (
    egress_usd_per_byte,
    gpu_share_of_price,
    machine_price_usd_per_hour,
    machine_type,
    machines,
    offers_of,
)
from scenarios.applications.nodes import pick_key
from scenarios.ranges import Range, check_ranges

DEVICE = "device"
TIERS = ("edge", "cloud")
"""Where a node may be, in the order in which data moves."""

SECONDS = Range(ge=0, le=1e8, unit="s")
"""The longest duration, three years: many such durations fit 64 bits of nanoseconds."""

PERIOD = replace(SECONDS, ge=1e-3)
COUNT = Range(ge=1)
SPEED = Range(ge=1e-3, le=1e3, unit="times a Raspberry Pi 4")
"""Speeds of a core, as in table ``device_models``."""

LOADING = Range(ge=1e3, unit="bytes/s")
"""Load rates of weights, so that the largest model loads within a few years."""

FIFO, EDF, PRIORITY = DISCIPLINES = ("fifo", "edf", "priority")
"""Queueing disciplines of stations; see ``Cluster``."""


@dataclass
class Node:
    """A pool of machines of one type at one tier; the cluster picks the machine, a plan the node.

    Args:
        tier: ``edge`` or ``cloud``; data move from devices through the edge to the cloud.
        machine: a machine of the price table, which gives its cores, GPUs and price.
        count: machines in the pool.
        standby: machines that are rented all the time; the others are rented while in use.
        purchase: ``on-demand``, ``spot``, ``1-year commit`` or ``3-year commit``.
        region: region of the price.
        cpu_relative_speed: speed of a core, in multiples of a Raspberry Pi 4.
        boot_s: seconds from renting a machine to its first use.

    The figures of machine, purchase and region are looked up once, in the tables in use when the
    node is made; do not change these three later.
    """

    tier: str = "cloud"
    machine: str = "a2-highgpu-1g"
    count: Annotated[int, Range(ge=1, unit="machine")] = 1
    standby: int = 0
    purchase: str = "on-demand"
    region: str = "us-central1"
    cpu_relative_speed: Annotated[float, SPEED] = 13.203
    boot_s: Annotated[float, SECONDS] = 0.0

    def __post_init__(self) -> None:
        pick_key("tier", self.tier, TIERS, "tier")
        check_ranges(self)
        if not 0 <= self.standby <= self.count:
            raise ValueError(
                f"standby={self.standby}: must lie between 0 and the node's count, {self.count}"
            )
        pick_key("machine", self.machine, machines(), "machine")
        offers = offers_of(self.machine)
        regions = dict.fromkeys(region for region, _ in offers)
        pick_key("region", self.region, regions, f"region with a price of {self.machine}")
        purchases = [how for region, how in offers if region == self.region]
        pick_key("purchase", self.purchase, purchases, f"offer of {self.machine} there")
        self._look_up()

    def __setattr__(self, name: str, value: object) -> None:
        if name in vars(self) and name not in self.__dataclass_fields__:
            raise AttributeError(f"{name} follows from the tables; it cannot be set")
        super().__setattr__(name, value)

    def _look_up(self) -> None:
        """Set the figures of the rented machine from the tables."""
        price = machine_price_usd_per_hour(self.machine, self.purchase, self.region)
        of_gpus = gpu_share_of_price(self.machine)
        self.price_usd_per_hour = price  # of one whole machine
        self.cores, self.gpus, self.gpu_board = machine_type(self.machine)  # a vCPU as a core
        self.core_price_usd_per_hour = price * (1 - of_gpus) / self.cores
        self.gpu_price_usd_per_hour = price * of_gpus / self.gpus if self.gpus else 0.0
        self._profiles = {} if self.gpu_board is None else profiles(self.gpu_board)
        self.gpu_slices = max((each.compute_slices for each in self._profiles.values()), default=0)
        self.egress_usd_per_byte = egress_usd_per_byte(self.region)  # to a user's device
        # Partition profiles that plans may ask for, smallest first.
        self.all_gpu_profiles = tuple(self._profiles)
        # profiles of candidates, without media extensions
        self.gpu_profiles = tuple(name for name in self._profiles if not name.endswith("+me"))

    def slice_price_usd_per_hour(self, profile: str) -> float:
        """Return the share of the machine's price that a GPU instance of this profile carries.

        The GPU's share of the price is divided by compute slices. If a layout leaves compute slices
        unused, their share is not attributed.
        """
        return self.gpu_price_usd_per_hour * self._profiles[profile].compute_fraction


@dataclass
class Profiling:
    """The machines on which planners profile, separate from those that serve.

    Args:
        lanes: searches that can profile at the same time; the others wait, first come first served.
        workers: workers of a lane, each a core and a whole A100-80GB; n samples take
            ceil(n / workers) times the time of one sample.
        feature_correlation: correlation of an item's features with its difficulty, from 0 to below
            1; an assumption, see ``sim.planning.profiling_bench``.
        checkpoint_every_s: at the first tick of each such period, a checkpoint saves planners'
            records and profiles, to which a ``planner_crash`` falls back (``scenarios.drift``).
            The default is an assumption: a crash then loses a few searches at most.
    """

    lanes: Annotated[int, COUNT] = 4
    workers: Annotated[int, COUNT] = 16
    feature_correlation: Annotated[float, Range(ge=0, lt=1)] = 0.85
    checkpoint_every_s: Annotated[float, PERIOD] = 10.0

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass
class Cluster:
    """All machines except the users' devices.

    Args:
        nodes: pools by name, in the order in which data may move.
        profiling: the profiling machines.
        max_utilisation: a station accepts queries until their declared load reaches this share
            of its capacity.
        load_bytes_per_s: rate at which each instance loads model weights, however many load at a
            time on one machine (an assumption: local SSD, or the host's memory after the first).
        mig_create_s: seconds to create a GPU instance: an assumption, as no citable figure for a
            bare card was found. Through a Kubernetes operator, single runs took 41 to 46 s for a
            whole layout (table ``mig_reconfiguration``); set it so to simulate that path.
        mig_destroy_s: seconds to destroy an idle one, likewise.
        llm_sequences: most sequences that an engine of a language model generates at once, in the
            plans that the planning context offers; a planner may name plans with others.
        drain_timeout_s: how long a replaced deployment may take to finish its requests.
        tick_s: period of telemetry, and of control that depends on it.
        discipline: order in which all stations, including those on devices, serve requests:
            ``fifo`` by arrival; ``edf`` by deadline (birth plus latency bound), earliest first,
            and requests without a bound last; ``priority`` by class of service, in the order of
            the workload's tiers, or else the application's.
        shed_late: whether stations shed a request that a server would take after its deadline.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    profiling: Profiling = field(default_factory=Profiling)
    max_utilisation: Annotated[float, Range(gt=0, lt=1)] = 0.8
    load_bytes_per_s: Annotated[float, LOADING] = 2e9
    mig_create_s: Annotated[float, SECONDS] = 1.0
    mig_destroy_s: Annotated[float, SECONDS] = 1.0
    llm_sequences: Annotated[int, Range(ge=1, le=1024)] = 16
    drain_timeout_s: Annotated[float, SECONDS] = 30.0
    tick_s: Annotated[float, PERIOD] = 1.0
    discipline: str = FIFO
    shed_late: bool = False

    def __post_init__(self) -> None:
        pick_key("cluster.discipline", self.discipline, DISCIPLINES, "discipline")
        if not self.nodes:
            raise ValueError(
                "cluster.nodes={}: an empty cluster can run nothing; name at least one node with "
                "tier, machine and count"
            )
        if DEVICE in self.nodes:
            raise ValueError("cluster.nodes.device: this name is taken by the users' own devices")
        tiers = [node.tier for node in self.nodes.values()]
        if tiers != sorted(tiers, key=TIERS.index):
            raise ValueError(
                f"cluster.nodes={list(self.nodes)}: name edge nodes before cloud nodes, "
                "as data move"
            )
        check_ranges(self, "cluster.")

    @property
    def places(self) -> tuple[str, ...]:
        """The places of operators, in the order in which data move up."""
        return (DEVICE, *self.nodes)
