"""Runs a command as systemd runs the service, as far as that can be had without systemd:

    python sandbox.py UNIT {calls,all} STATE -- command ...

`calls`: `SystemCallFilter`, `SystemCallErrorNumber`, `SystemCallArchitectures`,
`RestrictAddressFamilies`, `LimitNOFILE`, `UMask` as the unit has them; `NoNewPrivileges`,
`CapabilityBoundingSet=` (empty), `MemoryDenyWriteExecute`, `RestrictNamespaces`,
`RestrictRealtime`.

`all`, besides, in a mount namespace of its own: everything read-only but `STATE` and what is
mounted below it (`ProtectSystem=strict`); nothing at /root, /home and /run/user
(`ProtectHome`), but for the interpreter if it is there; /proc with processes of its own user alone,
and with nothing but processes (`ProtectProc`, `ProcSubset`); an unprivileged user (`DynamicUser`).

Not covered: `PrivateUsers`, `PrivateDevices`, `PrivateTmp`, `ProtectKernel*`, `ProtectClock`,
`ProtectControlGroups`, `ProtectHostname`, `RestrictSUIDSGID`, `LockPersonality` and `RemoveIPC`,
most of which take away what is refused already. Run by root, `ProtectHome` keeps the interpreter's
own folder, and run by somebody else, `all` leaves him who he is and /proc as it is.
"""

import argparse
import contextlib
import ctypes
import os
import resource
import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.end_to_end import seccomp

NOBODY: Final = 65_534
CLONE_NEWNS, CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
MS_RDONLY, MS_BIND, MS_REC, MS_PRIVATE = 1, 4096, 16384, 1 << 18
MOUNT_SETATTR: Final = 442
AT_FDCWD, AT_RECURSIVE, ATTR_RDONLY = -100, 0x8000, 1
PR_CAPBSET_DROP: Final = 24
LAST_CAPABILITY: Final = 40
HIDDEN: Final = ("/root", "/home", "/run/user")

libc = ctypes.CDLL(None, use_errno=True)


class Unit(dict[str, list[str]]):
    """The directives of a service, each with its lines; one without a value starts anew."""

    @classmethod
    def read(cls, path: Path) -> "Unit":
        """The `[Service]` of a unit file."""
        unit = cls()
        section = ""
        for line in path.read_text().splitlines():
            if line.startswith("["):
                section = line
            elif section == "[Service]" and "=" in line and not line.startswith("#"):
                name, _, value = line.partition("=")
                unit.setdefault(name, []).append(value)
        return unit


class MountAttributes(ctypes.Structure):
    """`struct mount_attr`"""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns"))


def done(result: int, what: str) -> None:
    """A call into the C library has gone well, or OSError."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)"""
    texts = [text.encode() for text in (source, target, kind)]
    done(libc.mount(*texts, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def set_read_only(path: str, *, to: bool) -> None:
    """A mount and all below it can be written to, or not."""
    wanted = MountAttributes(**{"set" if to else "clear": ATTR_RDONLY})
    size = ctypes.sizeof(wanted)
    flags = ctypes.c_uint(AT_RECURSIVE)
    result = libc.syscall(
        MOUNT_SETATTR, AT_FDCWD, path.encode(), flags, ctypes.byref(wanted), ctypes.c_size_t(size)
    )
    done(result, f"remount {path}")


def leave_the_file_system(state: Path) -> None:
    """A mount namespace, in which only `state` can be written to."""
    user, group = os.getuid(), os.getgid()
    done(libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if user else 0)), "unshare")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount(str(state), str(state), flags=MS_BIND | MS_REC)
    hide_homes(keep=Path(sys.base_prefix).resolve())
    set_read_only("/", to=True)
    set_read_only(str(state), to=False)
    os.chdir(Path.cwd())  # where we are is still what it was before
    if not user:
        mount("proc", "/proc", "proc", data="subset=pid,hidepid=invisible")


def hide_homes(keep: Path) -> None:
    """Nothing where people live, but for one folder that a test cannot do without."""
    held = os.open(keep, os.O_PATH)
    for home in filter(os.path.isdir, HIDDEN):
        mount("tmpfs", home, "tmpfs", data="mode=755")
        if keep.is_relative_to(home):
            keep.mkdir(parents=True)
            mount(f"/proc/self/fd/{held}", str(keep), flags=MS_BIND | MS_REC)
    os.close(held)


def give_up_privileges(*, user: int | None) -> None:
    """No capability, now or later; with `user`, another one."""
    for capability in range(LAST_CAPABILITY + 1):
        with contextlib.suppress(OSError):  # whoever may not drop them has none
            done(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl")
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


def restrict_calls(unit: Unit) -> None:
    """What the unit says about system calls."""
    calls = seccomp.calls_of(unit["SystemCallFilter"])
    [families] = unit["RestrictAddressFamilies"]
    seccomp.restrict_the_rest()
    seccomp.allow_only_families(families.split())
    seccomp.allow_only(calls)


def main() -> None:
    """Become the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("unit", type=Path)
    parser.add_argument("extent", choices=("calls", "all"))
    parser.add_argument("state", type=Path)
    parser.add_argument("command", nargs="+")
    wanted = parser.parse_args()
    unit = Unit.read(wanted.unit)
    descriptors = int(unit["LimitNOFILE"][-1])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(descriptors, most),) * 2)
    is_root = os.getuid() == 0
    if wanted.extent == "all":
        leave_the_file_system(wanted.state)
    give_up_privileges(user=NOBODY if is_root and wanted.extent == "all" else None)
    os.umask(int(unit["UMask"][-1], 8))
    restrict_calls(unit)
    os.execvp(wanted.command[0], wanted.command)


if __name__ == "__main__":
    main()
