"""A machine: its cores, its cards, the GPU instances on them and the models in their memory.

A *slot* is one core, or a share of one GPU instance; a station has one slot per replica. The
instances on a card always form a legal layout. An unused instance keeps its models in memory until
its slices are needed or the machine is no longer rented.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import fsum

from hardware_models.gpu.mig import choose_start, profiles
from scenarios.applications.application import Model
from scenarios.cluster import Node
from sim.api.plan import CORE
from sim.cluster.loading import Busy

WHOLE = 100  # all the active threads of an instance, in percent

MOST_CLIENTS = 48
"""Largest number of clients of an MPS server (NVIDIA Multi-Process Service documentation)."""

Room = tuple[str, int, int, int]
"""A profile, a share of the instance in percent, a memory size in bytes, and a process count."""


@dataclass(frozen=True, slots=True)
class Need:
    """The resources that one replica of an operator needs."""

    profile: str  # partition profile of the instance, or ``"core"``
    thread_percent: int = WHOLE  # share of the instance; if below 100, others can use the rest
    processes: int = 1  # processes that share the slot by MPS, each with a copy of the weights
    model: Model | None = None  # the model that it loads; None for classical code
    memory_bytes: int = 0  # memory that it needs
    # all values that decide whether the need fits
    room: Room = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        room = self.profile, self.thread_percent, self.memory_bytes, self.processes
        object.__setattr__(self, "room", room)

    @property
    def load_bytes(self) -> int:
        """Number of bytes of weights that must be loaded before the replica is ready."""
        return 0 if self.model is None else self.processes * self.model.weight_bytes


@dataclass(eq=False)
class Instance:
    """A GPU instance, or a whole card that is not partitioned."""

    gpu: int  # number of the instance's card in the machine
    profile: str
    start: int  # first memory slice
    memory_bytes: int  # size of its memory
    ready_ns: int = 0  # the time at which it has been created
    slots: list["GpuShare"] = field(default_factory=list)  # the slots on it that are in use
    # Bytes of weights of the models that earlier users left in memory, the latest model last.
    left: dict[Model, int] = field(default_factory=dict)

    @property
    def clients(self) -> int:
        """Number of processes that share the instance."""
        return sum(slot.need.processes for slot in self.slots)

    @property
    def thread_percent(self) -> int:
        """Percentage of active threads that is in use."""
        return sum(slot.need.thread_percent for slot in self.slots)

    def takes(self, need: Need) -> bool:
        """Return whether the instance has room for one more replica."""
        if self.profile != need.profile or self.thread_percent + need.thread_percent > WHOLE:
            return False
        used = sum(slot.need.memory_bytes for slot in self.slots)
        if used + need.memory_bytes > self.memory_bytes:
            return False
        return self.clients + need.processes <= MOST_CLIENTS

    def load(self, need: Need) -> int:
        """Evict the least recently used models until a model has room; return the bytes to load."""
        if need.model is None:
            return 0
        there = self.left.pop(need.model, 0)
        used = need.memory_bytes + sum(slot.need.memory_bytes for slot in self.slots)
        while self.left and used + sum(self.left.values()) > self.memory_bytes:
            del self.left[next(iter(self.left))]
        return max(0, need.load_bytes - there)


@dataclass(slots=True, eq=False)
class GpuShare:
    """A slot of a machine: one core, or a share of a GPU instance."""

    machine: "Machine"
    need: Need  # the need for which it was taken
    instance: Instance | None = None  # the instance; None for a core
    destroyed: int = 0  # idle instances that had to be destroyed for it
    created: bool = False  # whether its instance was created for it
    load_bytes: int = 0  # weights to load before it is ready
    ready_ns: int = 0  # the time at which the weights are loaded
    # Share of the machine's price that the slot carries.
    price_usd_per_hour: float = field(init=False)

    def __post_init__(self) -> None:
        node = self.machine.node
        self.price_usd_per_hour = node.core_price_usd_per_hour
        if self.instance is not None:
            share = self.need.thread_percent / WHOLE
            self.price_usd_per_hour = share * node.slice_price_usd_per_hour(self.instance.profile)


@dataclass(eq=False)
class Machine:
    """One machine of a node."""

    node_name: str  # name of its node
    node: Node  # description of the node's machines
    number: int  # number within the node, from 0
    standby: bool = field(init=False)  # whether the machine is rented even if nothing uses it
    free_cores: int = field(init=False)  # cores that no station holds
    # GPU instances; among unused ones, the one that has been unused longest comes first.
    instances: list[Instance] = field(default_factory=list, init=False)
    up: bool = field(default=True, init=False)  # whether the machine works
    ready_ns: int = field(default=0, init=False)  # the time at which the machine has booted
    # The times at which it loads weights, if loads share its bandwidth.
    loading: Busy = field(default_factory=list, init=False)
    down_until_ns: int = field(default=0, init=False)  # the time of its recovery, if it has failed
    # The slots that stations hold, in the order in which they were taken.
    slots: dict[GpuShare, None] = field(default_factory=dict, init=False)
    # needs that the cards refused since they last changed
    _in_vain: set[Room] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.standby = self.number < self.node.standby
        self.free_cores = self.node.cores

    def may_take(self, need: Need) -> bool:
        """Return False if the machine certainly has no room, and True if it may have room."""
        if need.profile == CORE:
            return self.up and self.free_cores > 0
        return self.up and need.room not in self._in_vain

    @property
    def rented(self) -> bool:
        """Whether the machine is billed, because it is on standby or in use."""
        return self.up and (self.standby or bool(self.slots))

    def rented_for(self, slot: GpuShare) -> bool:
        """Return whether the machine was rented because of a slot that was just taken."""
        return not self.standby and next(iter(self.slots)) is slot

    def set_standby(self, standby: bool) -> None:
        """Put the machine on standby, or take it off standby."""
        self.standby = standby
        self._drop_unused()

    def _drop_unused(self) -> None:
        """Drop unused instances and the models in them if the machine is no longer rented."""
        if not self.rented:
            self.instances = [each for each in self.instances if each.slots]

    def layout(
        self, gpu: int, idle: bool = True, without: Sequence[Instance] = ()
    ) -> tuple[tuple[str, int], ...]:
        """Return a card's instances except ``without``, and except unused ones if not ``idle``."""
        return tuple(
            sorted(
                (each.profile, each.start)
                for each in self.instances
                if each.gpu == gpu and (idle or each.slots) and each not in without
            )
        )

    def take(self, need: Need) -> tuple[GpuShare, Callable[[], None]] | None:
        """Take a slot: a core, or a share of an existing or a new instance.

        Return the slot and a function that undoes this call, or None if there is no room.
        """
        if not self.may_take(need):
            return None
        if need.profile == CORE:
            return self._take_core(need)
        before = self.instances.copy()
        destroyed, created = 0, False
        instance = self._shared(need) or self._idle(need)
        if instance is None:
            instance = self._partition(need)
            if instance is None:
                self._in_vain.add(need.room)
                return None
            created = self.partitioned  # a card that cannot be partitioned exists from the start
            destroyed = (len(before) + 1 - len(self.instances)) * created
        left = instance.left.copy()
        slot = GpuShare(self, need, instance, destroyed, created, instance.load(need))
        instance.slots.append(slot)
        refused = self._in_vain
        self._in_vain = set()

        def undo() -> None:
            instance.slots.remove(slot)
            instance.left = left
            self.instances = before
            self._in_vain = refused

        return slot, undo

    def _take_core(self, need: Need) -> tuple[GpuShare, Callable[[], None]]:
        self.free_cores -= 1

        def undo() -> None:
            self.free_cores += 1

        return GpuShare(self, need), undo

    def _shared(self, need: Need) -> Instance | None:
        """Return the most used shared instance with room, or None if the need excludes sharing."""
        if need.thread_percent == WHOLE:
            return None
        fitting = [each for each in self.instances if each.slots and each.takes(need)]
        return max(fitting, key=lambda each: each.thread_percent, default=None)

    def _idle(self, need: Need) -> Instance | None:
        """Return an unused instance, preferably one that has the model in memory."""
        fitting = [each for each in self.instances if not each.slots and each.takes(need)]
        having = [each for each in fitting if need.model in each.left]
        return next(iter(having or fitting), None)

    def _partition(self, need: Need) -> Instance | None:
        """Create an instance on the GPU where this destroys the fewest unused instances."""
        board = self.node.gpu_board
        assert board is not None
        best: tuple[list[Instance], int] | None = None
        for gpu in range(self.node.gpus):
            idle = [each for each in self.instances if each.gpu == gpu and not each.slots]
            first = (idle[:count] for count in range(len(idle) + 1))
            enough = (each for each in first if self._start(gpu, each, need.profile) is not None)
            going = next(enough, None)
            if going is None:
                continue
            for each in going[:-1]:  # The first ones may have been destroyed in vain.
                fewer = [other for other in going if other is not each]
                if self._start(gpu, fewer, need.profile) is not None:
                    going = fewer
            if best is None or len(going) < len(best[0]):
                best = going, gpu
        if best is None:
            return None
        going, gpu = best
        start = self._start(gpu, going, need.profile)
        assert start is not None
        memory_bytes = profiles(board)[need.profile].memory_bytes
        instance = Instance(gpu, need.profile, start, memory_bytes)
        self.instances = [each for each in self.instances if each not in going] + [instance]
        return instance

    def _start(self, gpu: int, without: list[Instance], profile: str) -> int | None:
        board = self.node.gpu_board
        assert board is not None
        return choose_start(board, self.layout(gpu, without=without), profile)

    @property
    def partitioned(self) -> bool:
        """Whether the cards can be partitioned into instances."""
        return self.node.gpu_board is not None and len(profiles(self.node.gpu_board)) > 1

    def room_for(self, profile: str) -> int:
        """Return how many new instances of a profile fit if unused ones are destroyed."""
        board = self.node.gpu_board
        if not self.up or board is None:
            return 0
        count = 0
        for gpu in range(self.node.gpus):
            layout = self.layout(gpu, idle=False)
            start = choose_start(board, layout, profile)
            while start is not None:
                count += 1
                layout = tuple(sorted((*layout, (profile, start))))
                start = choose_start(board, layout, profile)
        return count

    def give_back(self, slot: GpuShare, now_ns: int) -> None:
        """Release a slot; its instance keeps the models whose loading is complete."""
        instance = slot.instance
        self._in_vain.clear()
        if instance is None:
            self.free_cores += 1
        else:
            instance.slots.remove(slot)
            if slot.need.model is not None and slot.ready_ns <= now_ns:
                instance.left.pop(slot.need.model, None)
                instance.left[slot.need.model] = slot.need.load_bytes
            if not instance.slots:
                self.instances.remove(instance)
                if instance.ready_ns <= now_ns:
                    self.instances.append(instance)
        self._drop_unused()  # The slots of a removed station are given back one by one.

    def lose_instances(self) -> None:
        """Remove all GPU instances, because the machine failed."""
        self.instances.clear()
        self.loading.clear()
        self._in_vain.clear()

    def idle_slices(self, gpu: int) -> float:
        """Return the number of unused compute slices of a card, inside and outside instances."""
        assert self.node.gpu_board is not None
        known = profiles(self.node.gpu_board)
        used = fsum(
            known[each.profile].compute_slices * each.thread_percent / WHOLE
            for each in self.instances
            if each.gpu == gpu
        )
        return self.node.gpu_slices - used
