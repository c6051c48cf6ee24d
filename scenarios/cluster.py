"""Clusters: nodes on the edge and in the cloud, each a pool of machines of one type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Annotated, Any

from hardware_models.gpu.mig import profiles
from hardware_models.prices import (
    egress_usd_per_byte,
    gpu_share_of_price,
    machine_price_usd_per_hour,
    machine_type,
    machines,
    offers_of,
)
from scenarios.applications.nodes import choose, pick_key
from scenarios.ranges import Range, check_ranges

DEVICE = "device"
EDGE, CLOUD = TIERS = ("edge", "cloud")
"""The possible tiers of a node, in the order in which data move."""

SECONDS = Range(ge=0, le=1e8, unit="s")
"""Allowed durations, up to three years: sums of many such durations fit 64 bits of nanoseconds."""

PERIOD = replace(SECONDS, ge=1e-3)
COUNT = Range(ge=1, le=100_000)
"""Allowed numbers of equal things, each of which a run keeps in a list."""
SPEED = Range(ge=1e-3, le=1e3, unit="times a Raspberry Pi 4")
"""Allowed speeds of a core, in the unit of table ``device_models``."""

LOADING = Range(ge=1e3, unit="bytes/s")
"""Allowed rates of loading weights; even the largest model then loads within a few years."""

FIFO, EDF, PRIORITY = DISCIPLINES = ("fifo", "edf", "priority")
"""Queueing disciplines of stations, which ``Cluster`` describes."""

PER_INSTANCE, PER_MACHINE = BANDWIDTHS = ("per_instance", "per_machine")
"""What has a bandwidth of its own for loading weights."""

FREE_SWITCHING: Mapping[str, Any] = {
    "cloud_boot_s": 0.0,
    "edge_boot_s": 0.0,
    "mig_create_s": 1.0,
    "mig_destroy_s": 1.0,
    "load_bandwidth": PER_INSTANCE,
}
"""The option ``switching=free``, as arguments of ``Cluster``: machines and GPUs are ready soon."""

FREE, POOL, IDLE_INSTANCES = PROFILING = ("free", "pool", "idle_instances")
"""On what planners profile, which ``Profiling`` describes."""

NOMINAL: Mapping[str, Any] = {**FREE_SWITCHING, "service_cv": 0.0, "speed_log_sd": 0.0}
"""Arguments of a ``Cluster`` that is ready soon and exactly as fast as the catalogue says."""


@dataclass
class Node:
    """A pool of equal machines at one tier. Plans choose a node; the cluster chooses a machine.

    Args:
        tier: ``edge`` or ``cloud``; data move from devices through the edge to the cloud.
        machine: name of a machine in the price table, which states its cores, GPUs and price.
        count: number of machines in the pool.
        standby: number of machines that are always rented; the others are rented while in use.
            Planners can change this number during a run.
        purchase: price model: ``on-demand``, ``spot``, ``1-year commit`` or ``3-year commit``.
        region: cloud region whose price applies.
        cpu_relative_speed: speed of a core, in multiples of a Raspberry Pi 4.
        boot_s: seconds from the renting of a machine until it can be used; if None, those of the
            cluster for the node's tier.
        replicas_per_core: number of replicas of operators of kind ``cpu`` that plans can place on
            each core. With 1, each replica has a core of its own. With more, all replicas on the
            machine share its cores equally, the node must be a single machine, and only
            ``data_plane=events`` can simulate it. Planners count a place for a replica as a core.
        core_slowdown: time of a service while 1, 2, ... replicas on shared cores are busy, divided
            by its time while one is busy, apart from the sharing; see
            ``sim.dataplane.base.interface.Processor``.

    When the node is created, data of the machine are read from the tables in use at that time. So
    ``machine``, ``purchase``, ``region`` and ``replicas_per_core`` must not be changed later.
    """

    tier: str = CLOUD
    machine: str = "a2-highgpu-1g"
    count: Annotated[int, Range(ge=1, unit="machine")] = 1
    standby: int = 0
    purchase: str = "on-demand"
    region: str = "us-central1"
    cpu_relative_speed: Annotated[float, SPEED] = 13.203
    boot_s: Annotated[float, SECONDS] | None = None
    replicas_per_core: Annotated[int, Range(ge=1, unit="replica")] = 1
    core_slowdown: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        pick_key("tier", self.tier, TIERS, "tier")
        check_ranges(self)
        if not 0 <= self.standby <= self.count:
            raise ValueError(
                f"standby={self.standby}: must lie between 0 and the node's count, {self.count}"
            )
        if self.replicas_per_core > 1 and self.count > 1:
            raise ValueError(
                f"count={self.count}: a node with replicas_per_core={self.replicas_per_core} must "
                "be a single machine, whose cores they share; name a node for each machine"
            )
        if not self.core_slowdown or not all(0 < each < inf for each in self.core_slowdown):
            raise ValueError(
                f"core_slowdown={list(self.core_slowdown)}: must be numbers above 0, at least one"
            )
        _check_offer(self.machine, self.purchase, self.region)
        self._look_up()

    def __setattr__(self, name: str, value: object) -> None:
        if name in vars(self) and name not in self.__dataclass_fields__:
            raise AttributeError(f"{name} follows from the tables; it cannot be set")
        super().__setattr__(name, value)

    def _look_up(self) -> None:
        """Set prices, cores and GPUs of the machine from the tables."""
        price = machine_price_usd_per_hour(self.machine, self.purchase, self.region)
        of_gpus = gpu_share_of_price(self.machine)
        self.price_usd_per_hour = price  # of one whole machine
        # a vCPU as a core
        self.shared_cores, self.gpus, self.gpu_board = machine_type(self.machine)
        self.cores = self.shared_cores * self.replicas_per_core  # places for replicas
        self.core_price_usd_per_hour = price * (1 - of_gpus) / self.cores
        self.gpu_price_usd_per_hour = price * of_gpus / self.gpus if self.gpus else 0.0
        self._profiles = {} if self.gpu_board is None else profiles(self.gpu_board)
        self.gpu_slices = max((each.compute_slices for each in self._profiles.values()), default=0)
        self.egress_usd_per_byte = egress_usd_per_byte(self.region)  # to a user's device
        # Partition profiles that plans can ask for, the smallest first.
        self.all_gpu_profiles = tuple(self._profiles)
        # profiles of candidates, without media extensions
        self.gpu_profiles = tuple(name for name in self._profiles if not name.endswith("+me"))

    def slice_price_usd_per_hour(self, profile: str) -> float:
        """Return the part of a machine's price that is attributed to a GPU instance of a profile.

        The GPU's part of the price is divided equally among its compute slices. The price of
        compute slices that a layout does not use is not attributed.
        """
        return self.gpu_price_usd_per_hour * self._profiles[profile].compute_fraction


@dataclass
class Profiling:
    """The boards on which planners profile; they serve no requests.

    A *lane* is a group of boards that one search uses at a time. ``sim.planning.search_clock`` has
    the rule by which searches get lanes.

    Args:
        kind: ``pool`` for rented boards: ``count`` of them, ``workers`` in each lane. A query
            without a plan comes before background work. The pool is rented by the second: each
            board is billed while it profiles, and at no other time. ``idle_instances`` for the idle
            parts of the GPUs that serve, see ``sim.planning.profiling_pool``; offline profiles are
            still made in the pool. ``free`` for lanes that cost nothing, and for which all searches
            wait alike.
        lanes: number of lanes if profiling is free.
        workers: number of boards in a lane, at most ``count`` in a pool, each with a core.
            Profiling n samples takes ceil(n / workers) times the time of one sample. If profiling
            is free, boards are A100-80GBs.
        machine: machine in the price table that has the pool's boards. A board is billed at the
            machine's price, divided by its GPUs.
        count: number of boards in the pool.
        purchase: price model of the pool's machines, as of ``Node``.
        region: cloud region whose price applies.
        feature_correlation: correlation of an item's features with its difficulty, at least 0 and
            below 1. The default is an assumption; see ``sim.planning.profiling_bench``.
        least_search_rounds: waits for a lane count towards the budget of a search, but enough of it
            remains for this many rounds, each of one item on every board, on average over
            configurations; see ``sim.planning.search_clock``. It has no effect if profiling is
            free. The default is an assumption.
        checkpoint_every_s: period of checkpoints. A checkpoint saves planners' records and profiles
            at the first tick of each period. After a ``planner_crash`` (``scenarios.drift``), the
            planner continues from the last checkpoint. The default is an assumption, chosen so that
            a crash loses at most a few searches.
    """

    kind: str = FREE
    lanes: Annotated[int, COUNT] = 4
    workers: Annotated[int, COUNT] = 16
    machine: str = "a2-ultragpu-1g"
    count: Annotated[int, COUNT] = 4
    purchase: str = "on-demand"
    region: str = "us-central1"
    feature_correlation: Annotated[float, Range(ge=0, lt=1)] = 0.85
    least_search_rounds: Annotated[int, Range(ge=0, le=1_000_000, unit="round")] = 1
    checkpoint_every_s: Annotated[float, PERIOD] = 10.0

    def __post_init__(self) -> None:
        check_ranges(self, "cluster.profiling.")
        pick_key("cluster.profiling.kind", self.kind, PROFILING, "kind of profiling")
        if self.kind != FREE:
            _check_offer(self.machine, self.purchase, self.region, "cluster.profiling.")
            if not machine_type(self.machine).gpus:
                boards = [name for name in machines() if machine_type(name).gpus]
                raise ValueError(
                    f"cluster.profiling.machine={self.machine}: has no GPU, and a pool is of "
                    f"boards; {choose(self.machine, boards)}"
                )

    @property
    def searches(self) -> int:
        """The number of lanes: of searches that can profile at the same time."""
        return self.lanes if self.kind == FREE else self.count // self.boards

    @property
    def boards(self) -> int:
        """The number of boards in a lane, among which a search divides its items."""
        if self.kind == IDLE_INSTANCES:
            return 1
        return self.workers if self.kind == FREE else min(self.workers, self.count)

    @property
    def price_usd_per_hour(self) -> float:
        """The price of one board, in dollars per hour."""
        if self.kind == FREE:
            return 0.0
        price = machine_price_usd_per_hour(self.machine, self.purchase, self.region)
        return price / machine_type(self.machine).gpus


def _check_offer(machine: str, purchase: str, region: str, prefix: str = "") -> None:
    """Raise ValueError unless the price table has an offer of a machine."""
    pick_key(f"{prefix}machine", machine, machines(), "machine")
    offers = offers_of(machine)
    regions = dict.fromkeys(region for region, _ in offers)
    pick_key(f"{prefix}region", region, regions, f"region with a price of {machine}")
    purchases = [how for where, how in offers if where == region]
    pick_key(f"{prefix}purchase", purchase, purchases, f"offer of {machine} there")


@dataclass
class Cluster:
    """All machines except the users' devices.

    Args:
        nodes: the nodes by name, in the order in which data can move.
        profiling: the profiling machines.
        max_utilisation: a station accepts queries until their declared load reaches this share
            of its capacity.
        cloud_boot_s: seconds from the renting of a cloud machine until it can be used. Table
            ``machine_startup`` has measured means: 124.1 s on Google's cloud, whose machines the
            shipped clusters have, and 55.9 s on Amazon's, for images of 32 to 256 GB; 25 to 41 s
            for small images.
        edge_boot_s: the same for edge machines. It is assumed that an operator's machine keeps its
            disk, so that it takes as long as to restart a stopped machine, on average 32.8 s.
        load_bytes_per_s: rate of loading model weights. It is assumed not to depend on whether
            weights come from a local SSD (first load) or from the host's memory (later loads).
        load_bandwidth: what loads at this rate: ``per_instance``, each GPU instance, whatever else
            loads, or ``per_machine``, all of a machine together, through its disk and host. In the
            second case, loads that were ordered earlier come first; a load uses the bandwidth that
            they leave. A load that is no longer wanted is completed. Both are assumptions.
        mig_create_s: seconds to create a GPU instance. With a Kubernetes operator, a change of the
            layout of a card took 41 to 46 s in single runs, with a mean of 43.4 s (table
            ``mig_reconfiguration``). 1 s without an operator is an assumption, because no citable
            value for a bare card was found. Other instances of the card continue to serve.
        mig_destroy_s: seconds to destroy an idle GPU instance before another one is created: none
            with an operator, or else 1 s, an assumption, too.
        llm_sequences: largest number of sequences that an engine of a language model generates at
            the same time under any plan that the planning context lists. Planners are free to
            deploy plans with other numbers.
        drain_timeout_s: longest time for which a replaced deployment continues to serve its
            remaining requests.
        tick_s: period of telemetry, and of the control that depends on telemetry.
        discipline: order in which all stations, including those on devices, serve requests.
            ``fifo`` is the order of arrival. ``edf`` is the order of deadlines (creation plus
            latency bound); requests without a bound come last. ``priority`` is the order of classes
            of service in the workload's tiers, or else in the application's.
        shed_late: whether stations shed a request if a server would start it after its deadline.
        service_cv: coefficient of variation of repeated services of one request, on any machine or
            device; log-normal, in addition to what the application declares. Language models have
            no such spread. The default is an assumption between two cases. Single inferences on a
            GPU of their own hardly vary: the 99.99th percentile is within 0.03 % of the median
            (Gujarati et al., "Serving DNNs like Clockwork", OSDI 2020). On shared cores, reading
            the same documents twice took core times with a coefficient of variation of 0.03 to
            0.05 (recogniser) and 0.04 to 0.09 (detector); see ``studies.served``.
        speed_log_sd: standard deviation of the logarithm of the true speed of each GPU card and of
            each machine's cores, relative to nominal speed, which is what planners know. The
            default is an assumption. Sinha et al. ("Not all GPUs are created equal", SC 2022) find
            that equal cards of a cluster vary by 8 % on average, and by 22 % at most. If this is
            the width of a normal distribution from -2 to 2 standard deviations, one is 2 %.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    profiling: Profiling = field(default_factory=Profiling)
    max_utilisation: Annotated[float, Range(gt=0, lt=1)] = 0.8
    cloud_boot_s: Annotated[float, SECONDS] = 124.1
    edge_boot_s: Annotated[float, SECONDS] = 32.8
    load_bytes_per_s: Annotated[float, LOADING] = 2e9
    load_bandwidth: str = PER_MACHINE
    mig_create_s: Annotated[float, SECONDS] = 43.4
    mig_destroy_s: Annotated[float, SECONDS] = 0.0
    llm_sequences: Annotated[int, Range(ge=1, le=1024)] = 16
    drain_timeout_s: Annotated[float, SECONDS] = 30.0
    tick_s: Annotated[float, PERIOD] = 1.0
    discipline: str = FIFO
    shed_late: bool = False
    service_cv: Annotated[float, Range(ge=0, le=1)] = 0.015
    speed_log_sd: Annotated[float, Range(ge=0, le=1)] = 0.02

    def __post_init__(self) -> None:
        pick_key("cluster.discipline", self.discipline, DISCIPLINES, "discipline")
        pick_key("cluster.load_bandwidth", self.load_bandwidth, BANDWIDTHS, "bandwidth")
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
        kind, nodes = self.profiling.kind, self.nodes.values()
        if kind == IDLE_INSTANCES and not any(node.standby and node.gpus for node in nodes):
            raise ValueError(
                f"cluster.profiling.kind={kind}: no node has GPUs on standby, so at first there "
                "would be nothing to profile on; set standby of a node to 1 or more"
            )

    def boot_s(self, node: Node) -> float:
        """Return the seconds from the renting of a machine of a node until it can be used."""
        if node.boot_s is not None:
            return node.boot_s
        return self.edge_boot_s if node.tier == EDGE else self.cloud_boot_s

    @property
    def places(self) -> tuple[str, ...]:
        """The places where operators can run, in the order of data movement: device and nodes."""
        return (DEVICE, *self.nodes)
