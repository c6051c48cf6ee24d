"""The boards on which planners profile: their lanes, their price, and their speed."""

import numpy as np

from hardware_models.gpu.mig import profiles
from hardware_models.reference import REFERENCE
from scenarios.applications.application import Application
from scenarios.applications.pipeline import Configuration
from scenarios.cluster import FREE, Cluster, Node
from scenarios.numerics import Floats
from sim.api.plan import CORE, Allocation
from sim.catalogue.service_times import node_service
from sim.planning.search_clock import Lanes


class ProfilingPool:
    """The boards of ``scenarios.cluster.Profiling``; ``lanes`` are those that searches share.

    Results of profiling are those of the reference hardware, whatever the board: nominal speeds,
    which are public, convert them. Only the time that a run takes, and so its price, are those of
    the board. A configuration that the board cannot run, or for which the tables lack a time,
    cannot be profiled.
    """

    def __init__(self, application: Application, cluster: Cluster) -> None:
        profiling = cluster.profiling
        self._application = application
        self._free = profiling.kind == FREE
        self._searches = profiling.searches
        self.workers = profiling.boards
        self.price_usd_per_hour = profiling.price_usd_per_hour
        self._node: Node | None = None  # None if boards are the reference board
        if not self._free:
            node = Node(
                machine=profiling.machine, purchase=profiling.purchase, region=profiling.region
            )
            self._node = None if node.gpu_board == REFERENCE else node
        self._sequences = cluster.llm_sequences
        self._factors: dict[int, Floats] = {}
        self.restart()

    def restart(self) -> None:
        """Free all lanes."""
        self.lanes = Lanes(self._searches, background_yields=not self._free)

    def factors(self, configuration: Configuration) -> Floats | None:
        """Return the time of each operator, divided by its reference time, of shape (N,).

        Returns None on the reference board, where all are 1.

        Raises:
            RefusalError: the board cannot run an operator.
        """
        if self._node is None:
            return None
        known = self._factors.get(configuration.index)
        if known is None:
            known = np.array(
                [
                    self._factor(operator, configuration, self._node)
                    for operator in range(len(self._application.operators))
                ]
            )
            self._factors[configuration.index] = known
        return known

    def _factor(self, operator: int, configuration: Configuration, node: Node) -> float:
        kind = self._application.operators[operator].kind
        assert node.gpu_board is not None
        whole = max(profiles(node.gpu_board).values(), key=lambda each: each.compute_slices).name
        batch = self._sequences if kind == "llm" else 1
        on_core = self._application.model(operator, configuration) is None
        allocation = Allocation(CORE) if on_core else Allocation(whole, max_batch=batch)
        return node_service(self._application, operator, configuration, node, allocation).factor
