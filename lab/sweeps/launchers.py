"""Launchers of a sweep: checks, defaults, preparation of a job's process, and failures."""

import os
from pathlib import Path
from socket import create_connection, gethostname

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from lab.common.errors import InputError, one_line, shown
from lab.common.orphans import workers_end_with_this_process
from lab.config.settings import register
from lab.sweeps.progress import FOLDER

RAY_INIT = {
    "object_store_memory": None,  # With Hydra's default, Ray cannot join a running cluster.
    "log_to_driver": False,  # `lab.sweeps.progress` shows the output of jobs.
    "logging_level": "error",
}
RAY_REMOTE = {
    "max_retries": 0,  # A retry would fail, because the directory exists; resume=true works.
}
ANSWER_S = 5.0
"""Timeout in seconds for connecting to the head of a cluster."""


def launcher_name(config: DictConfig) -> str:
    """Return the name of the launcher."""
    return str(config.hydra.runtime.choices["hydra/launcher"])


def ray_address(config: DictConfig) -> str:
    """Return the address of the Ray cluster; empty if none is given."""
    return str(OmegaConf.select(config, "hydra.launcher.ray.init.address") or "")


def prepare(config: DictConfig) -> None:
    """Replace Hydra's defaults for a sweep's launcher; raise InputError if it cannot run."""
    name, launcher = launcher_name(config), config.hydra.launcher
    if name == "joblib":
        if type(launcher.n_jobs) is not int or launcher.n_jobs == 0:
            raise InputError(
                f"hydra.launcher.n_jobs={shown(launcher.n_jobs)}: must be a whole number of "
                "processes, or -1 for one per core"
            )
        with read_write(config):
            # By default, jobs that end at once (finished ones) make joblib use large batches.
            launcher.batch_size = "1"
        workers_end_with_this_process()
        # Each core has a process already.
        os.environ.setdefault("POLARS_MAX_THREADS", "1")
        # joblib starts a process by `python -m`, which would import from the current directory.
        os.environ["PYTHONSAFEPATH"] = "1"
    elif name == "ray":
        _check_answer(ray_address(config))
        # `failure_sentence` reports the first error in one sentence.
        os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
        with read_write(config), open_dict(config):
            launcher.ray.init = {**RAY_INIT, **launcher.ray.init}
            launcher.ray.remote = {**RAY_REMOTE, **launcher.ray.remote}


def _check_answer(address: str) -> None:
    """Check that the head of a cluster answers, because Ray itself would try for minutes."""
    if address in ("", "auto", "local"):
        return
    key = f"hydra.launcher.ray.init.address={address}"
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"{key}: must be the HOST:PORT of the head of a Ray cluster")
    try:
        create_connection((host, int(port)), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{key}: does not answer ({one_line(error)}); start Ray on that machine by "
            f"`ray start --head --port={port}`"
        ) from None


def enter(hydra: HydraConf) -> None:
    """Prepare the process of a job; raise InputError if it cannot see the sweep's directory."""
    register()
    directory, cwd = Path(hydra.sweep.dir), Path(hydra.runtime.cwd)
    if cwd.is_dir():
        os.chdir(cwd)
    if not (directory / FOLDER).is_dir():
        raise InputError(
            f"hydra.sweep.dir={directory}: {gethostname()} cannot see the directory of the sweep; "
            "name one that all machines share"
        )


def failure_sentence(error: Exception, config: DictConfig) -> str:
    """Return a sentence that says why a launcher failed, and what to do."""
    if isinstance(error, ConnectionError):
        return (
            f"hydra.launcher.ray.init.address={ray_address(config)}: Ray cannot be reached "
            f"({one_line(error)}); if the cluster has a token, set RAY_AUTH_MODE=token here, "
            "and RAY_AUTH_TOKEN to the token"
        )
    name = launcher_name(config)
    lines = str(error).split("\n\n")[0].strip().splitlines() or [""]
    # Ray prints the cause after its traces.
    reason = one_line(lines[-1] if name == "ray" else " ".join(lines))
    return (
        f"hydra/launcher={name}: failed ({type(error).__name__}: {reason}); finished jobs are "
        "kept, and resume=true runs the others"
    )
