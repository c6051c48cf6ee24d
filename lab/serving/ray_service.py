"""Serves a pipeline on Ray Serve: each operator is a deployment with its replicas and batches.

Ray runs in a process of its own, the server, so that its threads do not slow the client. The server
ends with the command, in whatever way that ends, because its standard input then closes.

How Ray Serve 2.x serves, which a prediction has to know:

- A request of the client reaches the proxy, which is one process; then the `Ingress`, which calls
  one operator after the other.
- Among several replicas, the ingress takes the one with fewer requests (of two drawn at random). A
  request then stays in the queue of its replica.
- In a replica, ``@serve.batch`` closes a batch when it is full, or ``max_wait_s`` after its first
  request has come, also while the batch before it executes. Closed batches are executed one by one.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from secrets import token_hex
from shutil import rmtree
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import monotonic, thread_time
from typing import IO, Any

from lab.common.errors import InputError, one_line
from lab.serving.extra import needed
from lab.serving.pipeline import Pipeline, Stage, build_pipeline, why
from lab.serving.timing import HEADER, Visit, header

HOST = "127.0.0.1"
PATH = "/"
MOST_ONGOING = 100_000
"""Requests that a replica accepts at once; with fewer, Ray would ask again after a pause."""
STORE_BYTES = 100_000_000
"""Memory that is shared between Ray's processes; requests here are small."""
START_S, STOP_S = 180.0, 30.0
"""Longest times that the server may take to start and to stop."""
PLACE = "cs_"
"""First letters of the temporary directory; Ray's sockets in it must not have long names."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""The environment of the server: nothing is reported, a replica computes on one thread, and Ray,
which is not asked for GPUs, does not hide them from replicas that use one. Without clusters, Ray
listens on the loopback address only; on Linux, too, in spite of the variable's name."""


@contextmanager
def served(pipeline: Pipeline, port: int | None = None) -> Iterator[str]:
    """Serve a pipeline while the body runs; yield its address.

    Args:
        pipeline: what to serve.
        port: port of the address; a free one by default.

    Raises:
        InputError: the port is in use, the extra is missing, or an operator cannot be set up.
    """
    needed("ray.serve")
    asked = {"tree": pipeline.tree, "port": _free_port(port)}
    with TemporaryDirectory(prefix=PLACE, ignore_cleanup_errors=True) as place:
        log = Path(place) / "server.log"
        found = os.pathsep.join(filter(None, sys.path))
        own = {"PYTHONPATH": found, "RAY_AUTH_TOKEN": token_hex(32)}  # Other users stay out.
        with log.open("wb") as written:
            # Ctrl-C must not reach the server, which this process stops in order: a new session.
            server = subprocess.Popen(
                [sys.executable, "-c", "from lab.serving.ray_service import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=written,
                env=os.environ | QUIET | own,
                start_new_session=True,
                text=True,
            )
        try:
            assert server.stdin is not None
            with suppress(OSError):  # It has ended, and `_told` says so.
                server.stdin.write(json.dumps(asked | {"place": place}) + "\n")
                server.stdin.flush()
            told = _told(server, log)
            if "refused" in told:
                raise InputError(told["refused"])
            yield told["url"]
        finally:
            _stop(server)


def _free_port(port: int | None) -> int:
    with socket.socket() as free:
        if port is not None and os.name == "posix":
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind((HOST, port or 0))
        except (OSError, OverflowError):
            raise InputError(
                f"--port={port}: is in use or not allowed; choose another, or leave it out"
            ) from None
        return int(free.getsockname()[1])


def _told(server: subprocess.Popen[str], log: Path) -> dict[str, str]:
    """Return what the server says when it has started, or why it did not."""
    said: Queue[str] = Queue()

    def listen(stream: IO[str]) -> None:
        said.put(stream.readline())

    assert server.stdout is not None
    Thread(target=listen, args=(server.stdout,), daemon=True).start()
    try:
        line = said.get(timeout=START_S)
    except Empty:
        raise InputError(f"Ray Serve has not started within {START_S:g} s") from None
    if not line:
        last = [one for one in log.read_text(errors="replace").splitlines() if one.strip()][-1:]
        raise InputError(f"Ray Serve did not start: {one_line(last[0] if last else 'it ended')}")
    told: dict[str, str] = json.loads(line)
    return told


def _stop(server: subprocess.Popen[str]) -> None:
    """Let the server stop in order, and kill whatever is left of its session."""
    assert server.stdin is not None
    assert server.stdout is not None
    with suppress(OSError):
        server.stdin.close()
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        pass
    finally:  # A second Ctrl-C, too, leaves no process behind.
        with suppress(ProcessLookupError, PermissionError, AttributeError):
            os.killpg(server.pid, signal.SIGKILL)
        server.kill()
        server.wait()
        server.stdout.close()  # Not before: another thread can be reading from it.


# What follows runs in the server and in Ray's processes.


def serve() -> None:
    """Be the server: read what to serve, serve it, and stop when the standard input closes."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Whatever Ray prints goes into the log.
    asked = json.loads(sys.stdin.readline())
    Thread(target=_interrupt_at_end, daemon=True).start()
    try:
        _serve(asked, out)
    except KeyboardInterrupt:
        pass
    finally:
        stop(asked["place"])


def _interrupt_at_end() -> None:
    """Interrupt the server when its standard input closes: the command stops it, or has ended."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)


def _serve(asked: Mapping[str, Any], out: IO[str]) -> None:
    """Serve until the server is interrupted, or say why that cannot be."""
    try:
        check_setup(build_pipeline(asked["tree"]))
        url = start(build_pipeline(asked["tree"]), asked["port"], asked["place"])
        told = {"url": url}
    except InputError as error:
        told = {"refused": str(error)}
    except Exception as error:  # One line says what keeps Ray from starting.
        told = {"refused": f"Ray Serve did not start: {why(error)}"}
    with suppress(OSError):  # The command has ended meanwhile.
        out.write(json.dumps(told) + "\n")
        out.flush()
    Event().wait()


def start(pipeline: Pipeline, port: int, place: str) -> str:
    """Start Ray and the deployments of a pipeline; return the address."""
    import ray
    from ray import serve as ray_serve

    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        num_cpus=max(2, os.cpu_count() or 1),
        object_store_memory=STORE_BYTES,
        _temp_dir=place,
        _node_ip_address=HOST,
    )
    quiet = {"enable_access_log": False, "log_level": "ERROR"}
    ray_serve.start(
        http_options={"host": HOST, "port": port, "location": "HeadOnly"}, logging_config=quiet
    )
    handles = {name: _deployment(name, pipeline) for name in pipeline.stages}
    ingress = ray_serve.deployment(Ingress).options(
        max_ongoing_requests=MOST_ONGOING,
        ray_actor_options={"num_cpus": 0},
        logging_config=quiet,
        health_check_period_s=3600,
    )
    ray_serve.run(ingress.bind(handles), name=pipeline.name, route_prefix=PATH)
    return f"http://{HOST}:{port}{PATH}"


def check_setup(pipeline: Pipeline) -> None:
    """Set up each operator once in this process; Ray's own report of a failure is long."""
    for name, stage in pipeline.stages.items():
        try:
            stage.operator.setup()
        except InputError:
            raise
        except Exception as error:  # An operator is a user's code.
            raise InputError(f"operators.{name}: its setup raised {why(error)}") from None


def _deployment(name: str, pipeline: Pipeline) -> Any:
    """Return the deployment of an operator."""
    from ray import serve as ray_serve

    stage = pipeline.stages[name]
    deployment = ray_serve.deployment(_replica(stage)).options(
        name=name,
        num_replicas=stage.replicas,
        max_ongoing_requests=MOST_ONGOING,
        ray_actor_options={"num_cpus": 0},
        logging_config={"enable_access_log": False, "log_level": "ERROR"},
        health_check_period_s=3600,
    )
    return deployment.bind(name, dict(pipeline.tree))


def _replica(stage: Stage) -> type:
    """Return the class of an operator's replicas, whose batches Ray Serve collects."""
    from ray import serve as ray_serve

    batched = ray_serve.batch(max_batch_size=stage.max_batch, batch_wait_timeout_s=stage.max_wait_s)
    return type("OperatorReplica", (Replica,), {"execute": batched(execute)})


class Replica:
    """A process that executes the batches of an operator, one after the other.

    The operator runs in a thread of its own, so that the replica takes requests meanwhile, and
    knows when they came.
    """

    execute: Any

    def __init__(self, name: str, tree: Mapping[str, Any]) -> None:
        from ray.serve import get_replica_context

        self.operator = build_pipeline(tree).stages[name].operator
        self.operator.setup()
        self.name, self.label = name, str(get_replica_context().replica_id.unique_id)
        self.thread = ThreadPoolExecutor(1)
        self.free_s = monotonic()

    async def __call__(self, value: Any) -> tuple[Any, Visit | str]:
        """Return the result for one request and its visit, or None and why it failed."""
        found: tuple[Any, Visit | str] = await self.execute((value, monotonic()))
        return found


async def execute(
    self: Replica, items: Sequence[tuple[Any, float]]
) -> Sequence[tuple[Any, Visit | str]]:
    """Execute a batch of values that came at the given times; a method of `Replica`.

    Ray Serve finds the replica by the name of this function, which is that of the attribute.
    """
    loop, values = asyncio.get_running_loop(), [value for value, _ in items]
    free_s = self.free_s

    def timed() -> tuple[float, float, Sequence[Any] | str, float]:
        start, before = monotonic(), thread_time()
        try:
            results: Sequence[Any] | str = list(self.operator.run(values))
            if len(results) != len(values):
                results = f"returned {len(results)} results for a batch of {len(values)}"
        except Exception as error:  # An operator is a user's code.
            results = f"raised {why(error)}"
        return start, thread_time() - before, results, monotonic()

    start, cpu_s, results, self.free_s = await loop.run_in_executor(self.thread, timed)
    if isinstance(results, str):
        return [(None, f"operator {self.name} {results}")] * len(items)
    return [
        (
            result,
            Visit(
                queueing_s=max(free_s - entered, 0.0),
                batching_s=start - max(free_s, entered),
                compute_s=self.free_s - start,
                cpu_s=cpu_s,
                start_s=start,
                batch=len(items),
                replica=self.label,
            ),
        )
        for result, (_, entered) in zip(results, items, strict=True)
    ]


class Ingress:
    """Takes the requests of clients, and calls the operators in their order."""

    def __init__(self, handles: Mapping[str, Any]) -> None:
        self._handles = handles

    async def __call__(self, request: Any) -> Any:
        """Return the answer, with the header that tells the time at each operator."""
        from starlette.responses import Response

        value: Any = await request.body()
        visits: dict[str, Visit] = {}
        for name, handle in self._handles.items():
            value, visit = await handle.remote(value)
            if isinstance(visit, str):
                return Response(visit, 500, {HEADER: header(visits)}, "text/plain")
            visits[name] = visit
        binary = isinstance(value, bytes)
        body = value if binary else json.dumps(value).encode()
        kind = "application/octet-stream" if binary else "application/json"
        return Response(body, 200, {HEADER: header(visits)}, kind)


def stop(place: str) -> None:
    """End all of Ray's processes, and remove their files; this ends the server, too."""
    import ray

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ray.shutdown()
    rmtree(place, ignore_errors=True)  # The command does the same, unless it was killed.
    with suppress(AttributeError):
        os.killpg(0, signal.SIGKILL)  # Ray's agents can outlive it; the group is our session.
