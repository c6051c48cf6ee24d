"""Forbids system calls that reach other processes and that Landlock allows, by a seccomp filter.

Landlock lets a process connect to a socket that is a file, such as that of the user's D-Bus, which
starts any program. It also lets a process change limits, priorities and processors of others. This
module imports the standard library only, for the same reason as `lab.leaderboard.confinement`.
"""

import ctypes
import platform
import struct
import sys
from errno import EPERM

# From <linux/audit.h> and <asm/unistd.h>.
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
FORBIDDEN = {"x86_64": (41, 141, 425, 251), "aarch64": (198, 140, 425, 30)}
"""Numbers of socket, setpriority, io_uring_setup, which can make sockets, and ioprio_set."""
OF_OTHERS = {"x86_64": (302, 142, 144, 203, 314), "aarch64": (261, 118, 119, 122, 274)}
"""Numbers of prlimit64 and sched_set{param,scheduler,affinity,attr}; a process may change itself,
which is process 0 for them."""
X32 = 0x40000000
"""Calls with larger numbers are those of another interface, which has further numbers for them."""

# From <linux/bpf_common.h>, <linux/seccomp.h> and <linux/prctl.h>.
LOAD, IF_EQUAL, IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
CALL, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # places in what the filter gets
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | EPERM
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def forbid() -> bool:
    """Forbid this process the calls for good; return whether that is possible here."""
    machine = platform.machine()
    if sys.platform != "linux" or sys.maxsize < 2**32 or machine not in ARCHITECTURES:
        return False
    steps = _steps(machine)
    program = _Program(len(steps), b"".join(struct.pack("=HBBI", *each) for each in steps))
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return int(libc.prctl(PR_SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0)) == 0


def _steps(machine: str) -> list[tuple[int, int, int, int]]:
    """Return the filter's steps: code, steps to skip if true and if false, and value."""
    refuse, allow = (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)
    steps = [
        (LOAD, 0, 0, ARCHITECTURE),
        *((IF_EQUAL, 1, 0, ARCHITECTURES[machine]), refuse),
        (LOAD, 0, 0, CALL),
        *((IF_AT_LEAST, 0, 1, X32), refuse),
    ]
    for number in FORBIDDEN[machine]:
        steps += [(IF_EQUAL, 0, 1, number), refuse]
    for number in OF_OTHERS[machine]:
        own = [(LOAD, 0, 0, FIRST_ARGUMENT), (IF_EQUAL, 0, 1, 0), allow, refuse]
        steps += [(IF_EQUAL, 0, len(own), number), *own]
    return [*steps, allow]
