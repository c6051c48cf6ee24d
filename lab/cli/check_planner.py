"""The tool ``check-planner``: it checks a planner in a process of its own, which has a time limit.

The check has succeeded only if that process says so after the check. A planner that ends its
process, or never returns, fails.
"""

import argparse
import faulthandler
import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lab
from lab.common.errors import COMPOSING, InputError, one_line, printable, raised_by
from lab.common.orphans import end_with

OK, FAILED = 0, 1
OF_RUN = "planner"
"""The key of a planner in the configuration of a run; the check has no other keys."""
MOST_S = 1e6
"""Largest time limit of a check in seconds."""
GRACE_S = 5.0
"""Seconds after the limit, at which the process is killed if it has not ended by itself."""
CHILD = "from lab.cli.check_planner import answer; answer()"
FRAME = re.compile(r'File "(.+)", line (\d+) in ')
NO_AUTHORS = (
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")),
    *(Path(lab.__file__).parents[1] / name for name in ("lab", "sim", "scenarios")),
)
"""Directories whose code the author of a planner did not write."""


def check_planner(options: argparse.Namespace) -> int:
    """Check that a planner keeps its contract; print the first violation, if any."""
    if not 0 < options.limit_s <= MOST_S:
        raise InputError(f"--limit-s={options.limit_s:g}: must be above 0 and at most {MOST_S:g} s")
    with TemporaryDirectory() as place:
        status, ended = _run(options, Path(place))
        for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
            stream.write((Path(place) / name).read_text(errors="replace"))
            stream.flush()
    if status is not None:
        return status
    print(f"compass-lab: {options.target}: {ended}", file=sys.stderr)
    return FAILED


def _run(options: argparse.Namespace, place: Path) -> tuple[int | None, str]:
    """Run the check in a process; return its status, or else None and how the process ended."""
    given = (str(os.getpid()), str(place), str(options.limit_s), options.target)
    command = [sys.executable, "-P", "-c", CHILD, *given]
    # The planner is found as it is here.
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with (place / "out").open("wb") as out, (place / "err").open("wb") as err:
        child = subprocess.Popen(
            [*command, *options.parameters],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,  # so that all processes that it starts can be ended
        )
        late = False
        try:
            child.wait(options.limit_s + GRACE_S)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            with suppress(OSError):  # They have all ended.
                if hasattr(os, "killpg"):
                    os.killpg(child.pid, signal.SIGKILL)
                else:
                    child.kill()
            child.wait()
    with suppress(OSError, ValueError):  # It did not come so far.
        return int((place / "status").read_text()), ""
    stack = place / "stack"
    dump = stack.read_text(errors="replace") if stack.exists() else ""
    if late or dump:
        return None, f"the check did not end within --limit-s={options.limit_s:g} s{_where(dump)}"
    if child.returncode < 0:
        name = signal.strsignal(-child.returncode) or "unknown"
        return None, f"its process was ended by signal {-child.returncode} ({name})"
    return None, f"its process ended with status {child.returncode} before the check was complete"


def _where(dump: str) -> str:
    """Return a clause with the innermost place of the author's code in a stack; it can be empty."""
    for name, line in FRAME.findall(dump):
        path = Path(name)
        if path.suffix == ".py" and not set(NO_AUTHORS) & set(path.parents):
            return f"; it was in {path.name}:{line}"
    return ""


def answer() -> None:
    """Check the planner that the command line names, and write the status when it is known."""
    parent, place, limit_s, target, *parameters = sys.argv[1:]
    end_with(int(parent))
    with Path(place, "stack").open("w") as stack:
        faulthandler.dump_traceback_later(float(limit_s), exit=True, file=stack)
        from lab.cli.tools import reported
        from sim.planning.guard import end_process, exits_refused

        with exits_refused():
            status = reported(partial(check, target, parameters), "check-planner")
        Path(place, "status").write_text(str(status))
        end_process(status)  # Threads that the planner started can still run.


def check(target: str, parameters: Sequence[str]) -> int:
    """Check a planner in this process; print the first violation of its contract, if any."""
    from omegaconf import OmegaConf

    from lab.config.targets import build
    from sim.api.planner import Planner
    from sim.conformance import check_planner as conformance

    for pair in parameters:
        if "=" not in pair:
            raise InputError(f"{pair}: not a parameter; write KEY=VALUE")
        if pair.startswith(f"{OF_RUN}."):
            short = pair.removeprefix(f"{OF_RUN}.")
            raise InputError(f"{pair}: names of parameters stand alone here; write {short}")
        try:
            OmegaConf.from_dotlist([pair])
        except Exception as error:  # YAML and OmegaConf have no common class of errors.
            if not raised_by(error, COMPOSING):
                raise
            reason = one_line(getattr(error, "problem", None) or f"{error}".partition("\n")[0])
            raise InputError(f"{pair}: cannot be read as KEY=VALUE ({reason})") from None
    node: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(parameters)))
    planner = build({**node, "_target_": target}, OF_RUN, Planner)
    try:
        conformance.check_planner(planner)
    except conformance.PlannerCheckError as error:
        print(f"compass-lab: {printable(error)}", file=sys.stderr)
        return FAILED
    print(f"{target} keeps the contract of planners")
    return OK
