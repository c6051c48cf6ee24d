"""The benefit of micro-optimisations of the data plane: processor time without each, as a ratio.

One process runs the simulator as it is. A second one does the same, which shows the noise. Each
other process leaves out one optimisation. They take turns of a few simulated seconds, so that other
load on the machine affects all alike. `planned` is the experiment ``tracking_frames_large`` while
it fills, `alone` is its data plane with fixed plans (see ``benchmarks/_tracking.py``). Ratios are
medians over the turns, with their quartiles.
"""

import random
import subprocess
import sys
from statistics import quantiles
from time import process_time
from typing import Any

from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

VARIANTS = ("nothing", "prefetch", "index", "radix_sort", "chunks")
TURNS = {"planned": (300, 900, 5), "alone": (5, 65, 1)}
"""Simulated seconds: the time of filling, the end, and the length of a turn."""


def no_hint(context: Any, *_: Any) -> Any:
    """Return nothing, without prefetching."""
    return context.get_dummy_value()


def no_promise(_: Any, __: Any) -> Any:
    """Return an index unchanged."""
    return types.int64(types.int64), lambda *arguments: arguments[3][0]


def shell_sort(
    keys: NDArray[Any], slots: NDArray[Any], n: int, _: int, __: int, shift: int, ___: int
) -> None:
    """Sort like ``radix_sort``, except that the order of equal keys is not kept."""
    gap = 1
    while gap < n // 9:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            key, slot, j = keys[i], slots[i], i - gap
            while j >= 0 and keys[j] >> shift > key >> shift:
                keys[j + gap], slots[j + gap] = keys[j], slots[j]
                j -= gap
            keys[j + gap], slots[j + gap] = key, slot
        gap //= 3


def leave_out(variant: str) -> None:
    """Replace one optimisation, before its users are imported."""
    from scenarios.compiled import in_place
    from sim._jit import hints, radix

    if variant == "prefetch":
        vars(hints)["_hint"] = no_hint
    elif variant == "index":
        vars(hints)["index"] = intrinsic(no_promise)
    elif variant == "radix_sort":
        vars(radix)["radix_sort"] = in_place(shell_sort)
    elif variant == "chunks":  # of a window's latencies
        from sim.metrics import window_counts

        window_counts.CHUNK_WIDTH, window_counts.PER_CHUNK = 2, 1


def run(kind: str, variant: str) -> None:
    """Simulate until each second read from standard input; print the processor seconds taken."""
    leave_out(variant)
    from benchmarks._tracking import QUERIES, application, monitor, tracking
    from lab.config.compose import compose, set_up
    from lab.runs.runner import single_threaded
    from sim.clock import ns
    from sim.controlplane.world import World
    from sim.dataplane.blocks.plane import BlocksPlane

    with single_threaded():
        if kind == "planned":
            setup = set_up(compose(["experiment=tracking_frames_large"]), [])
            [planner] = setup.planners.values()
            World(setup.scenario(), planner, 1, BlocksPlane).run(60.0)  # compiles
            world = World(setup.scenario(), planner, 0, BlocksPlane)
        else:
            app = application()
            counts = monitor(app, QUERIES)
            plane = tracking(BlocksPlane, counts, app, QUERIES)
            plane.advance(ns(0.5))  # compiles
        for line in sys.stdin:
            started = process_time()
            if kind == "planned":
                world.run(float(line))
            else:
                plane.advance(ns(float(line)))
                counts.judge(ns(float(line)))
            print(process_time() - started, flush=True)


def ratios(kind: str) -> list[dict[str, Any]]:
    """Return a row for each optimisation."""
    first_s, last_s, turn_s = TURNS[kind]
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.without", kind, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("base", *VARIANTS)
    }

    def turn(name: str, until_s: int) -> float:
        process = processes[name]
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{until_s}\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    times: dict[str, list[float]] = {name: [] for name in processes}
    for until_s in range(first_s, last_s + 1, turn_s):
        for name in random.sample(list(processes), len(processes)):
            times[name].append(turn(name, until_s))
    for process in processes.values():
        process.communicate()
    rows = []
    for name in VARIANTS:
        turns = [a / b for a, b in zip(times[name][1:], times["base"][1:], strict=True)]
        low, median, high = (round(each, 2) for each in quantiles(turns, n=4))
        rows.append({"world": kind, "without": name, "ratio": median, "low": low, "high": high})
        print(rows[-1], flush=True)
    return rows


def measure() -> dict[str, Any]:
    """Return the figures."""
    return {"benchmark": "without", "ratios": [*ratios("alone"), *ratios("planned")]}


if __name__ == "__main__":
    run(*sys.argv[1:])
