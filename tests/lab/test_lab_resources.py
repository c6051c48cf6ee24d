"""A message of one sentence says what a machine lacks; nothing hangs or ends silently."""

import errno
import os
import sys
import time
import warnings

import pytest

from lab.cli import simulate
from lab.common import resources
from lab.common.command import run_command
from lab.common.orphans import workers_end_with_this_process


def panic(message):
    return type("PanicException", (BaseException,), {})(message)


def chained():
    try:
        raise ImportError("libgfortran.so.5: failed to map segment", path="/x/_core.so")
    except ImportError as error:
        wrapped = ImportError("numpy: a page of advice")
        wrapped.__cause__ = error
        return wrapped


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("can't start new thread"), "no further thread can be started"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (panic("could not spawn threads"), "a library failed, perhaps for lack of memory"),
        (chained(), "a library cannot be loaded: libgfortran.so.5: failed to map segment"),
    ],
)
def test_a_shortage_is_one_sentence(error, sentence, capsys):
    def work():
        raise error

    assert run_command("compass-sim", work) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"compass-sim: {sentence}")


def test_a_fault_of_the_program_is_raised():
    def work():
        raise ImportError("cannot import name 'x'")

    with pytest.raises(ImportError, match="cannot import"):
        run_command("compass-sim", work)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit that the system enforces")
def test_too_small_a_limit_is_told_before_libraries_are_loaded(monkeypatch, capsys):
    import resource

    monkeypatch.setattr(sys, "argv", ["compass-sim"])
    monkeypatch.setattr(resource, "getrlimit", lambda _: (600_000_000, 600_000_000))
    assert simulate.main() == 1
    cores = len(os.sched_getaffinity(0))
    assert capsys.readouterr().err == (
        "compass-sim: out of memory (limit of this process: 600,000,000 bytes of address space); "
        f"at least {resources.LEAST_BYTES + resources.BYTES_PER_CORE * cores:,} bytes are needed\n"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit that the system enforces")
def test_too_little_private_memory_is_told_before_libraries_are_loaded(monkeypatch, capsys):
    import resource

    few, no = (200_000_000,) * 2, (resource.RLIM_INFINITY,) * 2
    monkeypatch.setattr(sys, "argv", ["compass-sim"])
    monkeypatch.setattr(resource, "getrlimit", lambda n: few if n == resource.RLIMIT_DATA else no)
    assert simulate.main() == 1
    sentence = "compass-sim: out of memory (limit of this process: 200,000,000 bytes of data); "
    assert capsys.readouterr().err.startswith(sentence)


@pytest.mark.skipif(os.name != "posix", reason="needs limits")
def test_too_few_open_files_are_told(monkeypatch, capsys):
    import resource

    monkeypatch.setattr(
        resource, "getrlimit", lambda n: (6 if n == resource.RLIMIT_NOFILE else -1,)
    )
    assert run_command("compass-sim", resources.check_machine) == 1
    assert capsys.readouterr().err == (
        "compass-sim: too few open files (limit of this process: 6 open files); 16 are needed\n"
    )


def test_an_unreadable_variable_of_the_compiler_is_one_sentence(capsys):
    text = "Environment variable 'NUMBA_OPT' is defined but could not be parsed.\nTraceback (most"

    def work():
        resources.check_machine()
        warnings.warn(text, RuntimeWarning, stacklevel=1)
        return 0

    assert run_command("compass-sim", work) == 1
    assert capsys.readouterr().err == f"compass-sim: {text.splitlines()[0][:-1]}\n"


def test_a_clock_beyond_all_dates_is_refused(monkeypatch, capsys):
    def late():
        raise OverflowError("timestamp too large")

    monkeypatch.setattr(time, "time", late)
    assert run_command("compass-sim", resources.check_machine) == 1
    assert "the clock of this machine" in capsys.readouterr().err


def test_a_machine_without_semaphores_is_told(monkeypatch, capsys):
    from joblib.parallel import BACKENDS

    monkeypatch.delitem(BACKENDS, "loky")
    assert run_command("compass-sim", workers_end_with_this_process) == 1
    assert capsys.readouterr().err.startswith("compass-sim: joblib cannot start processes")


def test_too_few_threads_are_told_before_libraries_are_loaded(monkeypatch, capsys):
    def start(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(sys, "argv", ["compass-sim"])
    monkeypatch.setattr(resources.Thread, "start", start)
    assert simulate.main() == 1
    assert capsys.readouterr().err.startswith("compass-sim: no further thread can be started")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("NUMBA_DISABLE_JIT", "1", ": the simulator needs compiled functions; unset it"),
        (
            *("NUMBA_CACHE_LOCATOR_CLASSES", "x.Y"),
            ": would import a module to store machine code; unset it",
        ),
        ("POLARS_MAX_THREADS", "0", "=0: must be a whole number of 1 or more, or unset"),
        ("NUMBA_NUM_THREADS", "x", "=x: must be a whole number of 1 or more, or unset"),
        ("LOKY_MAX_CPU_COUNT", "x", "=x: must be a whole number of 1 or more, or unset"),
    ],
)
def test_a_variable_that_breaks_a_library_is_refused(monkeypatch, capsys, name, value, sentence):
    monkeypatch.setattr(sys, "argv", ["compass-sim"])
    monkeypatch.setenv(name, value)
    assert simulate.main() == 1
    assert capsys.readouterr().err == f"compass-sim: {name}{sentence}\n"


def test_a_deleted_current_directory_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["compass-sim"])
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    assert simulate.main() == 1
    assert capsys.readouterr().err == (
        "compass-sim: the current directory: No such file or directory; change to another\n"
    )


def test_a_file_that_sets_up_the_compiler_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["compass-sim"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / resources.NUMBA_FILE).write_text("cache_dir: theirs")
    assert simulate.main() == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"compass-sim: {resources.NUMBA_FILE}: a file in the current directory")
