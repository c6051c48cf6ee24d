"""Confines the process of a submitted planner, before any of its code runs.

The process gets limits of memory, processor time, processes and sizes of files. On Linux, it also
loses sockets and thus the network, and Landlock lets it read only Python, the installed packages
and its own directory, write only there, and send signals only to itself. The process needs no
rights for that.
This module imports the standard library only, because threads of other libraries would not be
confined.
"""

import ctypes
import json
import os
import site
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.leaderboard import system_calls

PROCESSES = 64
"""Largest number of processes and threads of a planner."""
MOST_FILE_BYTES = 100_000_000
"""Largest size of a file that a planner writes."""
PACKAGES = ("conf", "hardware_models", "hydra_plugins", "lab", "planners", "scenarios", "sim")
"""This project's packages, which a checkout has next to other files."""
READABLE = (
    *("/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/lib", "/lib64", "/etc/ld.so.cache"),
    *("/etc/localtime", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
)
"""Places outside of Python that its libraries read."""
OTHER_FILES = "read and change other files"
"""What a process can do without Landlock."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")

# From <linux/landlock.h> and <linux/sched.h>; numbers are those of all processors.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION, PATH_BENEATH = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
READS = EXECUTE | READ_FILE | READ_DIR
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Number of rights on files, by version; 16 in later ones."""
NETWORK_SINCE, SCOPES_SINCE = 4, 6
CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000


@dataclass(frozen=True)
class Bounds:
    """What a planner's process may use.

    Args:
        place: its own directory, in which it can write.
        machine_code: directory of stored machine code, which it can read; empty for none.
        memory_bytes: its largest address space.
        cpu_s: its longest processor time in seconds.
    """

    place: str
    machine_code: str
    memory_bytes: int
    cpu_s: int

    def words(self) -> list[str]:
        """Return the words of a command line from which `run_confined` reads the bounds."""
        return [json.dumps(asdict(self))]


def run_confined() -> None:
    """Confine this process, and let it plan for its parent process."""
    missing = confine(Bounds(**json.loads(sys.argv[1])))
    if sys.argv[2:3] == ["probe"]:
        print(json.dumps([*missing, *_exposed(missing, Path(sys.argv[3]))]))
        return
    from lab.common.orphans import end_with
    from lab.leaderboard.contestant import contest

    end_with(os.getppid())
    contest()


def _exposed(missing: list[str], hidden: Path) -> Iterator[str]:
    """Yield what a confined process can do if it can read a file that it must not read."""
    with suppress(OSError):
        hidden.open("rb").close()
        if OTHER_FILES not in missing:
            yield f"read {hidden.name}, which is below a directory of Python's packages"


def confine(bounds: Bounds) -> list[str]:
    """Confine this process for good; return what it can still do."""
    namespaces = _leave_namespaces()
    _set_limits(bounds, namespaces)
    version = _landlock_version()
    if version and not _restrict(version, bounds):
        version = 0
    filtered = system_calls.forbid()
    found = {
        OTHER_FILES: version >= 1,
        "connect to other programs and computers": filtered,
        "send signals to other processes": version >= SCOPES_SINCE,
        "start any number of processes": namespaces and os.getuid() != 0,  # root has no limit
    }
    return [what for what, prevented in found.items() if not prevented]


def _set_limits(bounds: Bounds, namespaces: bool) -> None:
    limit("RLIMIT_AS", bounds.memory_bytes)
    limit("RLIMIT_CPU", bounds.cpu_s)
    limit("RLIMIT_FSIZE", MOST_FILE_BYTES)
    limit("RLIMIT_CORE", 0)
    if namespaces:  # Outside of a namespace, all processes of the user would count.
        limit("RLIMIT_NPROC", PROCESSES)


def limit(name: str, most: int) -> None:
    """Limit a resource of this process for good, unless the system has no such limit."""
    import resource

    number = getattr(resource, name)
    hard = resource.getrlimit(number)[1]
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    with suppress(ValueError, OSError):  # macOS does not limit the address space.
        resource.setrlimit(number, (least, least))


def _leave_namespaces() -> bool:
    """Leave the namespaces of the network and of users; return whether that is possible here."""
    if sys.platform != "linux":
        return False
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC):
        return False
    for name, text in (
        ("uid_map", f"{user} {user} 1"),
        ("setgroups", "deny"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with suppress(OSError):  # Its files then seem to belong to nobody.
            Path("/proc/self", name).write_text(text)
    return True


def _landlock_version() -> int:
    if sys.platform != "linux":
        return 0
    found = int(ctypes.CDLL(None).syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION))
    return max(0, found)


def _restrict(version: int, bounds: Bounds) -> bool:
    """Let Landlock restrict this process; return whether that worked."""
    libc = ctypes.CDLL(None, use_errno=True)
    every = (1 << FILE_RIGHTS.get(version, 16)) - 1
    handled = [every]
    if version >= NETWORK_SINCE:
        handled.append(0b11)  # to bind and to connect
    if version >= SCOPES_SINCE:
        handled.append(0b11)  # abstract sockets and signals
    attributes = struct.pack(f"={len(handled)}Q", *handled)
    size = ctypes.c_size_t(len(attributes))
    rules = int(libc.syscall(CREATE_RULESET, attributes, size, 0))
    if rules < 0:
        return False
    readable = (*READABLE, bounds.machine_code, *_python())
    rights = dict.fromkeys(readable, READS) | dict.fromkeys(DEVICES, READ_FILE | WRITE_FILE)
    for path, allowed in {**rights, bounds.place: every}.items():
        _allow(libc, rules, path, allowed & every)
    libc.prctl(system_calls.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return int(libc.syscall(RESTRICT_SELF, rules, 0)) == 0


def _allow(libc: ctypes.CDLL, rules: int, path: str, allowed: int) -> None:
    """Add a rule for a path; paths that do not exist need none."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        allowed &= OF_FILES
    rule = struct.pack("=Qi", allowed, opened)
    libc.syscall(ADD_RULE, rules, PATH_BENEATH, rule, 0)
    os.close(opened)


def _python() -> Iterator[str]:
    """Yield the places of Python and of the packages that it can import."""
    yield from (sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.realpath(sys.executable))
    yield from _without_neighbours(sys.path)


def _without_neighbours(places: Iterable[str]) -> Iterator[str]:
    installed = {*site.getsitepackages(), site.getusersitepackages()}
    for place in places:
        if place not in installed and Path(place, "lab", "leaderboard").is_dir():
            yield from (str(Path(place, package)) for package in PACKAGES)
        else:
            yield place
