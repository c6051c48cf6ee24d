"""Real services: Ray Serve with the stub and with the real models, HTTP, and gRPC.

They need the extra ``[serve]``, and start processes, so they are slow.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lab.cli.tools import main
from lab.serving.observation import read_observation
from lab.serving.observe import Load, observe_endpoint
from lab.serving.ocr import Detect, Extract, Recognise
from lab.serving.pipeline import load_pipeline
from lab.serving.predicting.service_tables import ServiceTables
from lab.serving.ray_service import served
from sim.metrics.request_table import PARTS

pytestmark = pytest.mark.slow

EXTRA = "needs the extra [serve]"
STUB = """
name: stub
payloads: {_target_: lab.serving.stub.Sizes, cv: 0.5}
operators:
  one:
    replicas: 2
    max_batch: 4
    max_wait_s: 0.05
    operator: {_target_: lab.serving.stub.Busy, mean_s: 0.01, name: one}
  two:
    operator: {_target_: lab.serving.stub.Busy, mean_s: 0.005, name: two}
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """The file of a pipeline; temporary directories are made beside it."""
    path = tmp_path / "stub.yaml"
    path.write_text(STUB)
    place = Path("/tmp") / f"t{os.getpid()}"  # The names of Ray's sockets must be short.
    place.mkdir(exist_ok=True)
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", str(place))
    yield str(path)
    assert list(place.iterdir()) == []
    place.rmdir()


def processes(mark):
    """Return the processes whose environment has a text, but this one."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (each / "environ").read_bytes() and int(each.name) != os.getpid():
                found.append(each.name)
        except OSError:
            continue
    return found


def none_left(mark, within_s=10):
    """Return whether all processes with a mark end in time."""
    for _ in range(within_s * 10):
        if not processes(mark):
            return True
        time.sleep(0.1)
    return False


def test_a_stub_is_served_observed_and_ended(stub, tmp_path, capsys):
    pytest.importorskip("ray.serve", reason=EXTRA)
    mark = f"TMPDIR={os.environ['TMPDIR']}"
    out = tmp_path / "made"
    words = ["--rate=25", "--requests=60", "--seed=3", f"--out={out}"]
    assert main(["observe", stub, *words]) == 0
    assert none_left(mark)
    assert "60 of 60 requests" in capsys.readouterr().out
    found = read_observation(out)
    rows = found.requests
    assert found.operators == ["one", "two"]
    assert rows["outcome"].to_list() == ["completed"] * 60
    parts = rows.select([f"{name}_{part}" for name in found.operators for part in PARTS])
    total = parts.sum_horizontal() + rows["answer_transfer_s"]
    np.testing.assert_allclose(total, rows["latency_s"], atol=1e-9)
    assert parts.min_horizontal().min() >= 0
    # A core was used for the drawn time: batch by batch, each request of it has the whole batch's.
    alone = rows.filter(rows["two_batch"] == 1)
    np.testing.assert_allclose(alone["two_cpu_s"], 0.005 * alone["size"], atol=0.004)
    assert 1 < rows["one_batch"].max() <= 4
    assert set(rows["one_replica"]) == {0, 1}
    # Executions of one replica do not overlap.
    for _, its in rows.group_by("one_replica"):
        batches = its.unique("one_started_s").sort("one_started_s")
        ended = (batches["one_started_s"] + batches["one_compute_s"]).to_numpy()
        assert (batches["one_started_s"].to_numpy()[1:] >= ended[:-1]).all()


def test_an_operator_that_raises_loses_its_requests(stub, tmp_path, capsys):
    pytest.importorskip("ray.serve", reason=EXTRA)
    words = ["--rate=20", "--requests=10", f"--out={tmp_path / 'made'}", "--warm-up=0"]
    failing = ["operators.two.operator.fail_every=5", "operators.one.max_wait_s=0.0"]
    assert main(["observe", stub, *failing, *words]) == 0
    rows = read_observation(tmp_path / "made").requests
    assert rows.filter(rows["outcome"] == "lost")["number"].to_list() == [0, 5]
    said = "operator two raised ValueError: request 0 fails, as it should"
    assert said in capsys.readouterr().err
    assert said in rows["failure"][0]


def test_an_operator_that_cannot_be_set_up_is_one_sentence(stub, tmp_path, capsys, monkeypatch):
    pytest.importorskip("ray.serve", reason=EXTRA)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_ops.py").write_text(
        "from lab.serving.pipeline import Operator\n"
        "class Broken(Operator):\n"
        "    def setup(self): raise RuntimeError('no model')\n"
        "    def run(self, batch): return batch\n"
    )
    Path(stub).write_text(
        STUB.replace("lab.serving.stub.Busy, mean_s: 0.005, name: two", "my_ops.Broken")
    )
    words = ["--rate=20", "--requests=10", f"--out={tmp_path / 'made'}", "--allow-import=my_ops"]
    assert main(["observe", stub, *words]) == 2
    err = capsys.readouterr().err
    assert err == "compass-lab: operators.two: its setup raised RuntimeError: no model\n"


def test_a_port_in_use_is_one_sentence(stub, tmp_path, capsys):
    pytest.importorskip("ray.serve", reason=EXTRA)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = ["--rate=20", "--requests=10", f"--out={tmp_path / 'made'}", f"--port={port}"]
        assert main(["observe", stub, *words]) == 2
    assert capsys.readouterr().err.startswith(f"compass-lab: --port={port}: is in use")


@pytest.mark.parametrize("after_s", [4, 40])  # while the service starts, and later
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_stays_behind_a_command_that_is_ended(stub, tmp_path, number, after_s):
    pytest.importorskip("ray.serve", reason=EXTRA)
    code = "import sys; from lab.cli.tools import main; sys.exit(main())"
    words = ["--rate=2", "--requests=1000", f"--out={tmp_path / 'made'}"]
    command = subprocess.Popen([sys.executable, "-c", code, "observe", stub, *words])
    time.sleep(after_s)
    command.send_signal(number)
    assert command.wait(40) == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert none_left(f"TMPDIR={os.environ['TMPDIR']}", within_s=40)
    assert not (tmp_path / "made").exists()
    if number == signal.SIGKILL:  # Empty directories are left.
        for each in Path(os.environ["TMPDIR"]).iterdir():
            each.rmdir()


def test_the_real_models_read_documents():
    pytest.importorskip("rapidocr", reason=EXTRA)
    pytest.importorskip("onnx", reason=EXTRA)
    documents = load_pipeline("document_reading").payloads
    bodies = [documents.payload(0, number).body for number in range(12)]

    def score(*operators):
        values = bodies
        for operator in operators:
            operator.setup()
            values = operator.run(values)
        answers = [json.dumps(one).encode() for one in values]
        return np.mean([documents.score(0, at, one)["accuracy"] for at, one in enumerate(answers)])

    assert score(Detect(), Recognise(), Extract()) > 0.9
    assert score(Detect(), Recognise("int8"), Extract()) > 0.9
    coarse = score(Detect(image_scale=0.4, input_side=128), Recognise(line_scale=0.5), Extract())
    assert coarse < 0.9


def test_bytes_that_are_no_image_are_an_error():
    pytest.importorskip("rapidocr", reason=EXTRA)
    detect = Detect()
    detect.setup()
    with pytest.raises(ValueError, match="the body is no image"):
        detect.run([b"text"])


@contextmanager
def running(serve):
    """Run a coroutine function in a thread until the body ends; yield the port that it tells."""
    told, loop = [], asyncio.new_event_loop()
    ready, end = threading.Event(), asyncio.Event()

    def tell(port):
        told.append(port)
        ready.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(tell, end),))
    thread.start()
    ready.wait(20)
    try:
        yield told[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()


def test_a_stalling_http_server_delays_no_request(tmp_path, capsys):
    web = pytest.importorskip("aiohttp.web", reason=EXTRA)
    came = []

    async def serve(tell, end):
        lock = asyncio.Lock()

        async def answer(request):
            came.append(time.monotonic())
            body = await request.read()
            async with lock:
                if len(came) == 6:  # the first one after the warm-up
                    await asyncio.sleep(1.0)
            return web.Response(body=body, headers={"Server-Timing": "x.compute;dur=2"})

        application = web.Application()
        application.router.add_post("/read", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        tell(site._server.sockets[0].getsockname()[1])
        await end.wait()
        await runner.cleanup()

    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.json").write_text("[1]")
    with running(serve) as port:
        url = f"http://127.0.0.1:{port}/read"
        words = ["--rate=40", "--requests=40", "--warm-up=5", f"--out={tmp_path / 'made'}"]
        assert main(["observe", url, f"--payloads={tmp_path / 'files'}", *words]) == 0
    found = read_observation(tmp_path / "made")
    rows = found.requests
    assert found.operators == ["x"]
    np.testing.assert_allclose(rows["x_compute_s"], 0.002)
    assert (rows["sent_s"] - rows["arrival_s"]).max() < 0.2
    arrived = np.array(came[5:]) - came[5]
    np.testing.assert_allclose(arrived, rows["arrival_s"], atol=0.2)
    # A request in the stall waits until the end of it; closed loops would send one request then.
    during = rows.filter(rows["arrival_s"] < 0.8)
    assert during.height > 10
    np.testing.assert_allclose(during["latency_s"], 1.0 - during["arrival_s"], atol=0.2)


def test_a_grpc_method_is_observed(tmp_path):
    grpc = pytest.importorskip("grpc", reason=EXTRA)

    async def serve(tell, end):
        async def answer(request, context):
            context.set_trailing_metadata([("server-timing", "x.compute;dur=2")])
            if request == b"bad":
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad request")
            return request[::-1]

        handlers = {"Read": grpc.unary_unary_rpc_method_handler(answer)}
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("my.Service", handlers)]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        tell(port)
        await end.wait()
        await server.stop(0)

    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_bytes(b"good")
    (tmp_path / "files" / "b").write_bytes(b"bad")
    with running(serve) as port:
        url = f"grpc://127.0.0.1:{port}/my.Service/Read"
        words = ["--rate=40", "--requests=4", "--warm-up=0", f"--out={tmp_path / 'made'}"]
        assert main(["observe", url, f"--payloads={tmp_path / 'files'}", *words]) == 0
    rows = read_observation(tmp_path / "made").requests
    assert rows["answer"].to_list() == ["doog", None, "doog", None]
    assert rows["failure"][1] == "INVALID_ARGUMENT: bad request"
    assert rows["x_compute_s"].to_list() == [0.002, None, 0.002, None]


@pytest.mark.parametrize("scheme", ["http://127.0.0.1:{}/", "grpc://127.0.0.1:{}/a.S/M"])
def test_an_endpoint_that_nobody_serves_is_one_sentence(scheme, tmp_path, capsys):
    pytest.importorskip("aiohttp" if "http" in scheme else "grpc", reason=EXTRA)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = scheme.format(free.getsockname()[1])
    (tmp_path / "a").write_bytes(b"x")
    words = ["--rate=20", "--requests=10", f"--out={tmp_path / 'made'}", "--timeout-s=5"]
    assert main(["observe", url, f"--payloads={tmp_path}", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"compass-lab: {url}: the first request failed: ")
    assert err.count("\n") == 1


DOCUMENTS = {"slow": (6, 120, 1), "fast": (10, 150, 2), "a": (8, 150, 3), "b": (8, 150, 3)}
STUBS = {"slow": (8, 120, 1), "fast": (20, 250, 2), "a": (14, 250, 3), "b": (14, 250, 3)}


def loop(pipeline, loads, bound_s, tmp_path):
    """Observe two loads and calibrate from them; return how well a third one is predicted.

    The bounds of tests are wide, because others can use this machine, too.
    """
    with served(pipeline) as url:
        for name, load in loads.items():
            observe_endpoint(url, Load(*load), pipeline.payloads, pipeline).write(tmp_path / name)
    tables, csv = str(tmp_path / "tables"), tmp_path / "rows.csv"
    calibrating = [str(tmp_path / name) for name in ("slow", "fast")]
    assert main(["calibrate", "--observations", *calibrating, "--out", tables]) == 0
    seen = [str(tmp_path / name) for name in ("a", "b")]
    words = ["--tables", tables, f"--bound-s={bound_s}", f"--csv={csv}"]
    assert main(["compare", *seen, *words]) == 0
    rows = {row["figure"]: row for row in pl.read_csv(csv).iter_rows(named=True)}
    assert abs(rows["p50_s"]["error"]) < 0.25 + rows["p50_s"]["floor"]
    assert abs(rows["throughput_per_s"]["error"]) < 0.05
    return ServiceTables.read(Path(tables))


def test_a_served_stub_is_calibrated_and_predicted(stub, tmp_path):
    pytest.importorskip("ray.serve", reason=EXTRA)
    pipeline = load_pipeline(stub, ["operators.one.replicas=1"])
    found = loop(pipeline, STUBS, 0.2, tmp_path)
    for name, time_s in (("one", 0.01), ("two", 0.005)):
        [setting] = found["service_times"].filter(operator=name)["setting"].unique()
        assert found.times_s(name, setting, 1) == pytest.approx([time_s], rel=0.15)


def test_the_served_models_are_calibrated_and_predicted(tmp_path):
    for package in ("ray.serve", "rapidocr"):
        pytest.importorskip(package, reason=EXTRA)
    found = loop(load_pipeline("document_reading"), DOCUMENTS, 1.0, tmp_path)
    [accuracy] = found["accuracy"]["accuracy"]
    assert accuracy > 0.9
