"""A unit's restrictions on system calls, put on this process as systemd 252 puts them.

`libseccomp` does it, which systemd uses, too; the groups of calls are those of the systemd that is
installed. Filters add up: a call is made only if each of them lets it pass.
"""

import ctypes
import errno
import mmap
import socket
import subprocess
from collections.abc import Iterable, Sequence
from typing import Final

LIBRARY: Final = "libseccomp.so.2"
ALLOW: Final = 0x7FFF0000
REFUSE: Final = 0x00050000  # plus the error number
MASKED_EQUAL: Final = 7
MOST_FAMILIES: Final = 64
NEW_NAMESPACES: Final = (
    *(0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000),
    *(0x1000_0000, 0x2000_0000, 0x4000_0000),
)
SHM_EXEC: Final = 0o100000
WRITE_AND_EXECUTE: Final = mmap.PROT_WRITE | mmap.PROT_EXEC


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`"""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class Filter:
    """One filter in the making: what happens to calls no rule is for, then rules, then `load`."""

    def __init__(self, otherwise: int) -> None:
        self._library = ctypes.CDLL(LIBRARY)
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(otherwise)))

    def add(self, action: int, call: str, *comparisons: tuple[int, int, int, int]) -> None:
        """What happens to a call whose arguments compare so; one this machine does not have, or
        that is known by a number of its own only elsewhere, is passed over."""
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        array = (_Comparison * len(comparisons))(*(_Comparison(*one) for one in comparisons))
        result = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(action), number, len(comparisons), array
        )
        if result not in {0, -errno.EACCES}:  # the latter: it would happen without the rule
            raise OSError(-result, f"no rule for {call}")

    def load(self) -> None:
        """Put it on this process and all it becomes; it has no new privileges from then on."""
        if (result := self._library.seccomp_load(self._context)) != 0:
            raise OSError(-result, "the filter is not taken")


def calls_of(directives: Iterable[str]) -> set[str]:
    """What `SystemCallFilter=` lines leave, of which the first is a list of what is allowed."""
    allowed: set[str] = set()
    for line in directives:
        named = {call for group in line.removeprefix("~").split() for call in expanded(group)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


def expanded(group: str) -> set[str]:
    """The calls of a group such as `@system-service`, those of groups in it included."""
    if not group.startswith("@"):
        return {group}
    shown = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, check=True, text=True
    ).stdout
    lines = [line.strip() for line in shown.splitlines()[1:]]
    members = {line for line in lines if line and not line.startswith("#")}
    return {call for member in members for call in expanded(member)}


def allow_only(calls: Iterable[str]) -> None:
    """`SystemCallFilter=` with `SystemCallErrorNumber=EPERM`, `SystemCallArchitectures=native`."""
    made = Filter(REFUSE | errno.EPERM)
    for call in sorted(calls):
        made.add(ALLOW, call)
    made.load()


def allow_only_families(names: Sequence[str]) -> None:
    """`RestrictAddressFamilies=` with a list of what is allowed."""
    made = Filter(ALLOW)
    allowed = {int(getattr(socket, name)) for name in names}
    for family in set(range(MOST_FAMILIES)) - allowed:
        made.add(REFUSE | errno.EAFNOSUPPORT, "socket", (0, MASKED_EQUAL, 0xFFFFFFFF, family))
    made.load()


def restrict_the_rest() -> None:
    """`MemoryDenyWriteExecute=`, `RestrictNamespaces=` and `RestrictRealtime=`."""
    made = Filter(ALLOW)
    refuse = REFUSE | errno.EPERM
    made.add(refuse, "mmap", (2, MASKED_EQUAL, WRITE_AND_EXECUTE, WRITE_AND_EXECUTE))
    for call in ("mprotect", "pkey_mprotect"):
        made.add(refuse, call, (2, MASKED_EQUAL, mmap.PROT_EXEC, mmap.PROT_EXEC))
    made.add(refuse, "shmat", (2, MASKED_EQUAL, SHM_EXEC, SHM_EXEC))
    for flag in NEW_NAMESPACES:
        made.add(refuse, "clone", (0, MASKED_EQUAL, flag, flag))
    made.add(REFUSE | errno.ENOSYS, "clone3")
    for call in ("unshare", "setns"):
        made.add(refuse, call)
    for policy in range(1, 7):
        made.add(refuse, "sched_setscheduler", (1, MASKED_EQUAL, 0xFFFFFFFF, policy))
    made.load()
