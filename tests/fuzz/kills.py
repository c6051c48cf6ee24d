"""Kills sweeps at random moments, resumes them, and compares them with one that nobody killed.

    python -m tests.fuzz.kills                               3 kills with the basic launcher
    python -m tests.fuzz.kills --launcher joblib --count 50  50 kills with joblib
    python -m tests.fuzz.kills --directory KEPT ...          go on where such a command was stopped

Each sweep has four jobs. Its process gets SIGKILL when the sweep has written a number of files that
is drawn by the seed and the number of the kill. Then no other process of the sweep may be alive for
long, and ``resume=true`` must end with the same bytes in every file, but for wall-clock times and
counts of restored profiles in the summaries. The exit status is 1 if any kill fails; each failure
is printed with the command that repeats it, and its directory is kept.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

LAUNCHERS = {
    "basic": (),
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "ray": ("hydra/launcher=ray",),
}
SWEEP = (
    *("experiment=speech_small", "planner=videostorm,greedy", "seed=0,1", "horizon_s=80"),
    *("flush_every_s=10", "requests=true", "figures=false", "hydra.sweep.dir=sweep"),
)
COMMAND = (sys.executable, "-m", "lab.cli.simulate", "-m")
ROOT = Path(__file__).resolve().parents[2]
MARK = "COMPASS_KILLED_SWEEP"
"""An environment variable by which the processes of a sweep are found."""
UNLIKE = {"wall_s", "planning_wall_s", "bound_wall_s", "profiles_restored", "profiles_measured"}
"""Keys of a summary that may differ."""
PAUSE_S = 5.0
"""How long after the kill the sweep is resumed at the latest."""
ORPHANS_S = 120.0
"""How long a process may outlive the kill; two agents of Ray look for their parent seldom."""
LIMIT_S = 300.0
POLL_S = 0.003


def contents(sweep: Path) -> dict[str, object]:
    """Return what each file of a sweep holds, by its path; only the wall-clock times are left out.

    Files of ``.`` are ignored: a killed process leaves them.
    """
    found: dict[str, object] = {}
    for path in sorted(sweep.rglob("*")):
        name = str(path.relative_to(sweep))
        if not path.is_file() or path.name.startswith("."):
            continue
        if path.name == "summary.json":
            summary = json.loads(path.read_text(encoding="utf-8"))
            found[name] = {key: value for key, value in summary.items() if key not in UNLIKE}
        else:
            found[name] = path.read_bytes()
    return found


def start(launcher: str, directory: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start a sweep in a directory."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (directory / "output.txt").open("ab") as output:
        return subprocess.Popen(
            [*COMMAND, *LAUNCHERS[launcher], *SWEEP, *more],
            cwd=directory,
            env=os.environ | {MARK: mark(directory, *more), "PYTHONPATH": paths},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def mark(directory: Path, *more: str) -> str:
    """Return what marks the processes of a sweep that is started so."""
    return " ".join([str(directory), *more])


def written(sweep: Path) -> int:
    """Return the number of files of a sweep."""
    return sum(len(files) for _, _, files in os.walk(sweep))


def alive(marked: str, session: int) -> Iterator[int]:
    """Yield the processes of a sweep, which began a session."""
    line = f"{MARK}={marked}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            ours = line in (process / "environ").read_bytes().split(b"\0")
        except OSError:  # It has ended, or is somebody else's.
            continue
        if state != "Z" and (ours or its_session == str(session)):
            yield int(process.name)


def gone_s(marked: str, session: int, limit_s: float, since_s: float) -> float | None:
    """Wait until no process of a sweep is alive; return the time since then, None at the limit."""
    while list(alive(marked, session)):
        if time.monotonic() - since_s > limit_s:
            return None
        time.sleep(0.05)
    return time.monotonic() - since_s


def end_of(process: subprocess.Popen[bytes]) -> int:
    """Wait for a sweep, and return its status; kill it if it takes too long."""
    try:
        return process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return -1


def whole(directory: Path) -> dict[str, object]:
    """Make a sweep that nobody kills, unless it is there; return its contents."""
    if not (directory / "done").exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        if end_of(start("basic", directory)):
            raise SystemExit((directory / "output.txt").read_text(errors="replace"))
        (directory / "done").touch()
    return contents(directory / "sweep")


def kill(
    launcher: str, directory: Path, expected: dict[str, object], rng: random.Random
) -> dict[str, object]:
    """Kill a sweep and resume it; return what happened, with the failure or an empty text."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    at, late_s = rng.randrange(len(expected)), rng.random()
    process = start(launcher, directory)
    begun = time.monotonic()
    while process.poll() is None and written(directory / "sweep") < at:
        time.sleep(POLL_S)
    time.sleep(late_s if at == 0 else late_s / 50)
    killed = process.poll() is None
    process.kill()
    process.wait()
    kill_s, at_kill = time.monotonic(), written(directory / "sweep")
    failure = "" if killed or not process.returncode else "the sweep fails"
    gone = gone_s(mark(directory), process.pid, PAUSE_S, kill_s)
    # A sweep that was killed before its first file is started again.
    resume = ["resume=true"] if (directory / "sweep").exists() else ["resume=false"]
    status = end_of(start(launcher, directory, *resume))
    if status:
        failure = failure or f"resuming ends with status {status}"
    elif different := differences(expected, contents(directory / "sweep")):
        failure = failure or f"after resuming, {different}"
    if gone is None:
        gone = gone_s(mark(directory), process.pid, ORPHANS_S, kill_s)
    if gone is None:
        orphans = list(alive(mark(directory), process.pid))
        failure = failure or f"{len(orphans)} processes outlive the kill by {ORPHANS_S:g} s"
        for each in orphans:
            os.kill(each, signal.SIGKILL)
    return {
        "files": at_kill,
        "killed": killed,
        "gone_s": None if gone is None else round(gone, 2),
        "seconds": round(time.monotonic() - begun, 1),
        "failure": failure,
    }


def differences(expected: dict[str, object], found: dict[str, object]) -> str:
    """Return what differs between two sweeps, in a few words; nothing if they are equal."""
    names = [
        name for name in {**expected, **found} if expected.get(name, ()) != found.get(name, ())
    ]
    return f"{len(names)} files differ: {', '.join(names[:5])}" if names else ""


def kills(launcher: str, count: int, seed: int, directory: Path) -> list[dict[str, object]]:
    """Make kills, or read from a directory those that are done; return what happened in each."""
    directory.mkdir(parents=True, exist_ok=True)
    expected = whole(directory / "whole")
    record = directory / f"{launcher}-{seed}.jsonl"
    lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    done = [json.loads(line) for line in lines]
    for number in range(len(done), count):
        rng = random.Random(f"{launcher} {seed} {number}")
        place = directory / f"{launcher}-{seed}-{number}"
        done.append({"number": number, **kill(launcher, place, expected, rng)})
        if not done[-1]["failure"]:
            shutil.rmtree(place)
        with record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(done[-1]) + "\n")
        print(launcher, json.dumps(done[-1]), flush=True)
    return done[:count]


def main() -> int:
    """Kill as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--launcher", choices=LAUNCHERS, default="basic")
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", type=Path, help="results of kills are kept here")
    given = parser.parse_args()
    directory = given.directory or Path(mkdtemp())
    done = kills(given.launcher, given.count, given.seed, directory.resolve())
    failed = [each for each in done if each["failure"]]
    for each in failed:
        print(
            f"kill {each['number']}: {each['failure']}; see "
            f"{directory}/{given.launcher}-{given.seed}-{each['number']}, or repeat: python -m "
            f"tests.fuzz.kills --launcher {given.launcher} --seed {given.seed} "
            f"--count {int(str(each['number'])) + 1}"
        )
    in_time = sum(bool(each["killed"]) for each in done)
    print(
        f"{len(done)} sweeps with {given.launcher}, {in_time} killed before they ended: "
        f"{len(failed)} failures"
    )
    if given.directory is None and not failed:
        shutil.rmtree(directory)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
