"""Runs ``compass-sim``: composes a configuration, simulates its planners and prints results."""

import multiprocessing.util
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn

from hydra import main as hydra_main
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lab.cli.arguments import option_names, sentence
from lab.common import console
from lab.common.console import complain, live_progress, say, warn
from lab.common.errors import COMPOSING, InputError, key_of, one_line, raised_by, why_not
from lab.common.resources import shortage
from lab.common.signals import Ending
from lab.config import preflight
from lab.config.compose import VERSION_BASE, set_up
from lab.config.environment import hidden
from lab.config.messages import composition_sentence
from lab.config.overrides import check_directory, readable, repeated_keys
from lab.config.settings import register
from lab.config.trust import OPTION, allow_import, checked_files
from lab.limits.wall_limit import WallLimitError
from lab.runs.resume import Checkpoint, check_resumable, clear, is_finished, why_stale
from lab.runs.run_directory import (
    CHECKPOINT,
    CONFIG,
    ERROR,
    SUMMARY,
    UNDER_WAY,
    RunDirectory,
    TakenError,
    check_links,
    claim,
    held,
    never_ran,
    read_summary,
    write_aside,
    write_summary,
)
from lab.runs.runner import simulate, single_threaded
from lab.runs.warm_up import ready
from lab.sweeps.launchers import enter
from lab.sweeps.progress import run_and_report
from lab.sweeps.sweep import BrokenSweepError, Outcome
from sim.api.errors import PlannerError
from sim.api.planner import Planner
from sim.planning.guard import end_process, exits_refused
from sim.safe_text import safe_text

OK, FAILED, REFUSED = 0, 1, 2
RERUN = "--experimental-rerun"
"""An option of Hydra that is refused."""
DIRECTORY_OPTIONS = ("--config-dir", "-cd", "--config-path", "-cp")
"""Options of Hydra that are followed by a directory, whose name can look like an override."""

EVERY_ROW: ContextVar[bool] = ContextVar("EVERY_ROW", default=False)
"""Whether the command line has ``--all``, which Hydra's parser does not know."""

LEFT_RUNNING: list[Any] = []
"""Threads and child processes that planners left running, for which the program would wait."""

MOST_NAMED = 10
"""Largest number of failed jobs that a message names."""


def run() -> int:
    """Run the command line; return its exit status."""
    EVERY_ROW.set("--all" in sys.argv)
    words, modules = _without_allowed([word for word in sys.argv[1:] if word != "--all"])
    words = _options_first(words)
    sys.argv[1:] = map(readable, words)
    as_written = dict(zip(sys.argv[1:], words, strict=True))

    register()
    Outcome.forget()

    # Hydra's parser is private, and for its own errors, it prints a page of usage.
    options = get_args_parser()
    options.allow_abbrev = False

    def refuse(message: str) -> NoReturn:
        known = [name for name in option_names(options) if name != RERUN]
        said = sentence(message, ["--all", OPTION, *known])
        raise InputError(f"{said}; see compass-sim --help")

    options.error = refuse  # type: ignore[method-assign]
    overrides: list[str] = []
    try:
        given = options.parse_args()
        overrides = [as_written.get(one, one) for one in given.overrides]
        if modules:
            sys.argv.append(allow_import(",".join(modules)))
        _check_files(given)
        for repeated in repeated_keys(overrides):
            warn(repeated)
        used, unused = "hydra.sweep.dir", "hydra.run.dir"
        if not given.multirun:
            used, unused = unused, used
        for one in (one for one in overrides if key_of(one) == unused):
            warn(f"{one}: has no effect {'with' if given.multirun else 'without'} -m; set {used}")
        with checked_files(), exits_refused():
            hydra_main("pkg://conf", "config", VERSION_BASE)(job)()
    except KeyboardInterrupt:
        complain(_interrupted(Outcome.path, Outcome.job_path))
        return Ending.status()
    except SystemExit:
        if Outcome.job_path is None:
            raise
        # A planner can leave a thread that raises it anywhere; the work was not done.
        complain("a planner's SystemExit ended the command; results so far were kept")
        return FAILED
    except Exception as error:
        return _refused(error, overrides)
    status = Outcome.job_status or OK
    if Outcome.path is not None:
        status = _sweep_status(Outcome.path, Outcome.job_statuses)
    if any(each.is_alive() for each in LEFT_RUNNING):
        end_process(status)
    return status


def _check_files(given: Any) -> None:
    """Raise InputError for options of Hydra whose files are missing or hold code."""
    if given.experimental_rerun is not None:
        raise InputError(
            f"{RERUN} {given.experimental_rerun}: is refused, because such a file can "
            "run any code; repeat the overrides of the run"
        )
    if given.config_dir is not None:
        check_directory(given.config_dir)


def _without_allowed(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words without ``--allow-import``, which Hydra does not know, and its modules."""
    kept: list[str] = []
    modules: list[str] = []
    left = iter(words)
    for word in left:
        option, equals, value = word.partition("=")
        if option == OPTION:
            modules.append(value if equals else next(left, ""))
        else:
            kept.append(word)
    return kept, modules


def _refused(error: Exception, overrides: Sequence[str]) -> int:
    """Report why a command line did not run, or a sweep ended early; return the exit status."""
    if Ending.number:  # The signal also ended the processes of a sweep's jobs.
        complain(_interrupted(Outcome.path, Outcome.job_path))
        return Ending.status()
    _drop_if_empty(Outcome.path)
    status = REFUSED
    if isinstance(error, BrokenSweepError):
        reason, status = str(error), FAILED
    elif _here() is None:
        reason, status = "the current directory has been deleted; change to another", FAILED
    elif isinstance(error, OSError) and error.strerror and not (error.filename or shortage(error)):
        # Hydra could not write its record of a run or a sweep.
        place = "hydra.run.dir" if Outcome.path is None else f"hydra.sweep.dir={Outcome.path}"
        reason, status = f"{place}: cannot be written: {error.strerror}", FAILED
    # This comes before other OSErrors, because some of Hydra's own errors are OSErrors.
    elif isinstance(error, InputError | RecursionError | UnicodeDecodeError) or raised_by(
        error, COMPOSING
    ):
        reason = composition_sentence(error, overrides)
    elif lacking := shortage(error):
        reason, status = lacking, FAILED
    elif isinstance(error, OSError):
        reason = f"hydra.run.dir: cannot be written: {why_not(error)}"
    else:
        raise error
    complain(hidden(reason, overrides))
    return status


def _options_first(words: Sequence[str]) -> list[str]:
    """Move overrides behind the options, because Hydra's parser requires that order."""
    overrides = [
        before not in DIRECTORY_OPTIONS
        and not word.startswith("-")
        and ("=" in word or word.startswith("~"))
        for before, word in pairwise(["", *words])
    ]
    return [word for _, word in sorted(zip(overrides, words, strict=True), key=itemgetter(0))]


def job(config: Any) -> int:
    """Make a single run, or do one job of a sweep, for Hydra; return the exit status."""
    hydra = HydraConfig.get()
    directory = Path(hydra.runtime.output_dir)
    overrides = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    assert isinstance(overrides, list)
    if hydra.mode != RunMode.MULTIRUN:
        return attempt(config, overrides, directory)
    enter(hydra)
    label = f"job {hydra.job.num} ({', '.join(overrides)}): "
    task = partial(attempt, config, overrides, directory, label)
    return run_and_report(task, Path(hydra.sweep.dir), hydra.job.num, label)


def attempt(config: Any, overrides: list[str], directory: Path, label: str = "") -> int:
    """Simulate, report a failure in one sentence, and return the exit status."""
    taken = False
    # A job waits for the lock, because the job of a killed sweep ends soon. A single run does not
    # wait.
    busy = "" if label else f"hydra.run.dir={directory}: {UNDER_WAY}"
    try:
        with held(directory, busy):
            if not config.resume:
                claim(directory)
            failure = simulate_all(config, overrides, directory, label)
        status = FAILED if failure else OK
    except InputError as error:
        failure, status, taken = str(error), REFUSED, isinstance(error, TakenError)
    except OmegaConfBaseException as error:
        failure, status = composition_sentence(error, overrides), REFUSED
    except BaseException as error:
        status = FAILED
        if lacking := shortage(error):
            failure = lacking
        elif isinstance(error, OSError):  # The disk can be full; the run is not at fault.
            during = "".join(getattr(error, "__notes__", ()))
            failure = f"hydra.run.dir={directory}: cannot be written{during}: {why_not(error)}"
        elif not isinstance(error, KeyboardInterrupt):
            print(hidden(traceback.format_exc(), overrides), end="", file=sys.stderr)
            failure = f"the simulator failed: {type(error).__name__}: {one_line(error)}"
        else:
            raise
    if failure:
        failure = hidden(failure, overrides)
        complain(f"{label}{failure}")
        if not taken and (label or status == FAILED):
            with suppress(OSError):  # The failure was printed already.
                write_aside(directory / ERROR, f"{failure}\n")
        _drop_if_empty(directory)
    return status


@single_threaded()
def simulate_all(config: Any, overrides: list[str], directory: Path, label: str) -> str:
    """Simulate every planner, print results preceded by the label, and return failures."""
    before = at_work()
    stuck = partial(give_up, directory, label)
    setup = set_up(config, overrides, stuck=stuck)
    for warning in map(setup.environment.hidden, preflight.warnings(setup)):
        console.warn(f"{label}{warning}{' (shown once per sweep)' if label else ''}")
    setup = ready(setup, overrides, config, of_a_sweep=bool(label))
    check_links(directory, setup.planners)
    places = {name: directory if setup.alone else directory / name for name in setup.planners}
    if setup.resume:
        if not label or (directory / CONFIG).exists():
            check_resumable(directory, setup.saved, setup.alone)
        (directory / ERROR).unlink(missing_ok=True)
        clear_stale(setup.planners, places, label)
    if not setup.alone:
        write_aside(directory / CONFIG, OmegaConf.to_yaml(setup.saved))
    summaries: dict[str, Any] = {}

    def note(_: Any, summary: Any) -> None:
        summaries[summary["planner"]] = summary
        if not setup.alone:
            write_summary(directory, summaries)

    to_run = [name for name in places if not (setup.resume and is_finished(places[name]))]

    def delete_checkpoints() -> None:
        """Delete the checkpoints of finished runs."""
        for name, summary in summaries.items():
            if summary["status"] == "finished":
                (places[name] / CHECKPOINT).unlink(missing_ok=True)

    # The last checkpoint is deleted after drawing, so that the run can be resumed until then.
    if not to_run and not any((place / CHECKPOINT).exists() for place in places.values()):
        console.say(f"{label}nothing to do: all runs in {_shown(directory)} have finished")
        return ""
    ended: dict[str, str] = {}
    for name, place in places.items():
        delete_checkpoints()
        if name in to_run:
            ended[name] = simulate_one(setup, name, place, note, stuck)
            note_threads(before, name, label)
        else:
            note(None, read_summary(place))
    if setup.config.figures:
        draw(directory, list(summaries), setup.alone)
    delete_checkpoints()
    if label:
        for one in summaries.values():
            console.say(f"{label}{console.summary_line(one)}")
    else:
        console.show_table(list(summaries.values()), f"seed {setup.seed}", EVERY_ROW.get())
        console.say(f"results: {_shown(directory)}")
    failed = [
        one for name, one in summaries.items() if one["status"] == "failed" and not ended.get(name)
    ]
    console.show_errors([one for one in summaries.values() if one not in failed])
    raised = [
        f"planner {one['planner']} {'' if one['deployments'] else 'deployed nothing and '}raised "
        f"{console.times(one['planner_errors'])}, first {one['planner_error_first']}; "
        "results were kept"
        for one in failed
    ]
    return "; ".join([*filter(None, ended.values()), *raised])


def clear_stale(planners: Mapping[str, Planner], places: Mapping[str, Path], label: str) -> None:
    """Remove the results of runs that had other behaviour versions, and say so."""
    for name, place in places.items():
        if why := why_stale(place, planners[name]):
            console.say(f"{label}{name} is made again: {why}")
            clear(place)
            (place / CHECKPOINT).unlink(missing_ok=True)


def give_up(directory: Path, label: str, failure: str) -> NoReturn:
    """Report a failure in one sentence, and end the process."""
    complain(f"{label}{failure}")
    with suppress(OSError):  # The failure was printed already.
        write_aside(directory / ERROR, f"{failure}\n")
    end_process(FAILED)


def at_work() -> set[Any]:
    """Return the threads and the processes of `multiprocessing` for which Python waits."""
    every: list[Any] = [*threading.enumerate(), *multiprocessing.active_children()]
    return {each for each in every if not each.daemon}


def note_threads(before: set[Any], planner: str, label: str) -> None:
    """Warn of what a planner left running; ``before`` has what is known."""
    new = sorted(at_work() - before, key=lambda each: isinstance(each, threading.Thread))
    if not new:
        return
    before.update(new)
    LEFT_RUNNING.extend(new)
    kind = "thread" if isinstance(new[0], threading.Thread) else "thread or process"
    warn(
        f"{label}planner {planner} left {console.times(len(new))} a {kind} running, first "
        f"{safe_text(new[0].name)}; the program does not wait for it"
    )
    if multiprocessing.current_process().name != "MainProcess":
        # At its end, a worker process would wait for the thread.
        multiprocessing.util.Finalize(None, end_process, (OK,), exitpriority=-1000)


def simulate_one(
    setup: Any, name: str, place: Path, note: Any, stuck: Callable[[str], NoReturn]
) -> str:
    """Simulate or resume one planner in directory `place`; return why it ended early.

    `stuck` is called with a sentence if the planner cannot be stopped; it ends the process.
    """
    checkpoint = Checkpoint(place, setup.resume)
    try:
        if setup.resume:
            clear(place)
        sinks = [checkpoint.flush, RunDirectory(place, setup.saved_of(name)).add, note]
        with live_progress(name, setup.config.horizon_s) as progress:
            simulate(
                setup, name, setup.planners[name], sinks, progress, checkpoint.profiling_log, stuck
            )
    except WallLimitError as error:
        return str(error)
    except PlannerError as error:
        return f"planner {name}: {error}"
    except OSError as error:
        error.add_note(f" (in the run of planner {name})")
        raise
    except (InputError, OmegaConfBaseException, KeyboardInterrupt):
        raise
    except BaseException as error:
        if setup.alone or shortage(error):
            raise
        print(setup.environment.hidden(traceback.format_exc()), end="", file=sys.stderr)
        return f"planner {name}: the simulator failed: {type(error).__name__}: {one_line(error)}"
    finally:
        checkpoint.close()
    return ""


def draw(directory: Path, planners: list[str], alone: bool) -> None:
    """Draw the figures of a directory of results; warn if that fails."""
    try:
        from lab.reporting.run_figures import draw_comparison, draw_run

        for planner in planners:
            draw_run(directory if alone else directory / planner, planner)
        if not alone:
            draw_comparison(directory, planners)
    except Exception as error:  # A failure here does not affect the results.
        warn(f"figures could not be drawn ({type(error).__name__}: {one_line(error)})")


def _here() -> Path | None:
    """Return the current directory; None if it has been deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def _shown(directory: Path) -> Path:
    """Return a path, made relative to the current directory if it lies below that directory."""
    here = _here()
    return directory.relative_to(here) if here and directory.is_relative_to(here) else directory


def _interrupted(sweep: Path | None, job_directory: Path | None) -> str:
    """Return a sentence on where an interrupted command left results, and what is missing."""
    if job_directory is None or not (job_directory / SUMMARY).is_file():
        _drop_if_empty(job_directory)
    missing = never_ran(job_directory) if job_directory is not None else ""
    directory = sweep or job_directory
    if directory is None or not directory.is_dir():
        return "interrupted before there were any results"
    where = _shown(directory.absolute())
    return (
        f"interrupted; {missing + '; ' if missing else ''}results so far are kept in {where}, and "
        "resume=true continues from there"
    )


def _drop_if_empty(directory: Path | None) -> None:
    """Delete an empty directory, then its empty parents, up to the current directory."""
    here = _here()
    while directory is not None and directory.is_dir() and here in directory.absolute().parents:
        try:
            directory.rmdir()
        except OSError:
            return
        directory = directory.parent


def _sweep_status(directory: Path, statuses: Mapping[int, int | None]) -> int:
    """Print which jobs of a sweep failed, and return the sweep's exit status."""
    say(f"results: {_shown(directory.absolute())}")
    failed = sorted(number for number, status in statuses.items() if status != OK)
    if not failed:
        return OK
    named = ", ".join(map(str, failed[:MOST_NAMED])) + ", ..." * (len(failed) > MOST_NAMED)
    refused = {statuses[number] for number in failed} == {REFUSED}
    complain(
        f"{len(failed):,} of {len(statuses):,} jobs failed: {named}; "
        f"{'correct what is said above' if refused else f'each has an {ERROR}'}, and "
        "resume=true runs them again"
    )
    return REFUSED if refused and len(failed) == len(statuses) else FAILED
