"""A real systemd, as the first process of a machine made of namespaces.

    with Machine.boot(folder) as machine:
        machine.run("systemctl", "start", "tocsin")

It has processes, mounts, a network and control groups of its own; its files are this machine's
below a layer that is kept in memory and gone with it. `/opt/tocsin/bin/tocsin` in it is the daemon
of this tree. Of this machine's services none is started, but for the journal.

Needs root and a kernel that lets it; CannotBootError says what was in the way. It ends with the
process that booted it, whatever becomes of that.
"""

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.end_to_end.daemon import BOUND

import tocsin

# Longer than systemd itself waits for anything.
HANG: Final = 120.0
LOOK_EVERY: Final = 0.05
CLONE_NEWNET: Final = 0x4000_0000
NAMESPACES: Final = ("--mount", "--uts", "--ipc", "--net", "--cgroup")
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRON: Final = {"PATH": PATH, "LANG": "C.UTF-8"}
BUILD: Final = Path(__file__).with_suffix(".sh")
UP: Final = "systemd is next\n"
UNDECIDED: Final = ("", "unknown", "offline", "initializing", "starting")
UNITS: Final = "/etc/systemd/system"

# $1 control group, $2 and $3 what to enter it with
ENTER = """
echo $$ > "$1/cgroup.procs"
shift
exec unshare "$@"
"""

# What a sandbox of systemd's needs of the kernel, in short.
PROBE = """
[Service]
Type=oneshot
ExecStart=test -s ${CREDENTIALS_DIRECTORY}/probe
LoadCredential=probe:/etc/passwd
DynamicUser=yes
PrivateDevices=yes
PrivateTmp=yes
PrivateUsers=yes
ProcSubset=pid
ProtectProc=invisible
ProtectSystem=strict
RestrictNamespaces=yes
SystemCallFilter=@system-service
"""

libc = ctypes.CDLL(None, use_errno=True)


class CannotBootError(Exception):
    """This is no place for a machine."""


class Machine:
    """One that runs until `close`, or until the end of a `with`."""

    def __init__(self, process: subprocess.Popen[bytes], group: Path, log: Path) -> None:
        self._process = process
        self._group = group
        self._log = log

    @classmethod
    def boot(cls, folder: Path) -> Self:
        """A machine in which systemd is up; a new folder in `folder` is where it hangs on."""
        group = _make_group()
        log = folder / "machine.log"
        place = folder / "machine"
        place.mkdir()
        try:
            machine = cls(_start(group, log, place), group, log)
        except BaseException:
            group.rmdir()
            raise
        try:
            machine._wait()
        except BaseException:
            machine.close()
            raise
        return machine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing of it is left."""
        self._process.kill()
        self._process.wait()
        if not _comes(lambda: "populated 0" in (self._group / "cgroup.events").read_text()):
            raise AssertionError(f"processes in {self._group} do not end")
        for folder, _, _ in os.walk(self._group, topdown=False):
            Path(folder).rmdir()

    # -- in it ---------------------------------------------------------------------------------

    def command(self, *command: str) -> list[str]:
        """The command line that runs a command in it."""
        pid = self._process.pid
        processes = f"--pid=/proc/{pid}/ns/pid_for_children"
        environ = [f"{name}={value}" for name, value in ENVIRON.items()]
        enter = ["nsenter", f"--target={pid}", *NAMESPACES, processes, "--root"]
        return [*enter, "env", "--ignore-environment", "--chdir=/", *environ, *command]

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command in it, and what came of it."""
        return subprocess.run(
            self.command(*command),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG,
        )

    def shell(self, script: str) -> str:
        """What a script prints that ends well."""
        done = self.run("sh", "-eu", stdin=script)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, content: str) -> None:
        """A file in it, with its folders."""
        self.shell(f"mkdir -p {Path(path).parent}")
        done = self.run("sh", "-c", 'cat > "$0"', path, stdin=content)
        assert done.returncode == 0, done.stderr

    def socket(self) -> socket.socket:
        """A TCP socket in its network."""
        with (
            Path("/proc/thread-self/ns/net").open("rb") as ours,
            Path(f"/proc/{self._process.pid}/ns/net").open("rb") as its,
        ):
            _enter_network(its.fileno())
            try:
                return socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            finally:
                _enter_network(ours.fileno())

    # -- booting -------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Until systemd has started everything."""
        _comes(lambda: UP in self._said or self._has_ended)
        if UP not in self._said or self._has_ended:
            raise CannotBootError(f"no machine of namespaces: {self._said.strip()[-200:]}")
        _comes(lambda: self._has_ended or self._state not in UNDECIDED)
        if self._state != "running":
            raise CannotBootError(f"systemd does not come up in namespaces: {self._state}")
        self.write(f"{UNITS}/probe.service", PROBE)
        if self.run("systemctl", "start", "probe").returncode != 0:
            told = self.run("systemctl", "status", "--no-pager", "probe").stdout
            raise CannotBootError(f"systemd has no sandboxes here: {told.strip()[-200:]}")

    @property
    def _said(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def _has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def _state(self) -> str:
        return self.run("systemctl", "is-system-running").stdout.strip()


def _start(group: Path, log: Path, place: Path) -> subprocess.Popen[bytes]:
    prefix = Path(sys.base_prefix).resolve()
    python = Path(sys.executable).resolve().relative_to(prefix)
    source = str(Path(tocsin.__file__).parents[1])
    parts = [str(prefix), str(python), source, sysconfig.get_path("purelib")]
    enter = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", ENTER, "enter", str(group)]
    options = [*NAMESPACES, "--pid", "--fork", "--kill-child", "--propagation=private"]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*enter, *options, "sh", str(BUILD), *parts],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=place,
            env=ENVIRON,
        )


def _make_group() -> Path:
    """A new control group below our own."""
    if os.getuid() != 0:
        raise CannotBootError("only root can boot a machine of namespaces")
    if missing := [one for one in ("unshare", "nsenter", "setpriv") if shutil.which(one) is None]:
        raise CannotBootError(f"there is no {missing[0]} (Debian: util-linux)")
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    hierarchies = [Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"]
    groups = Path("/proc/self/cgroup").read_text().splitlines()
    own = [line.removeprefix("0::/") for line in groups if line.startswith("0::/")]
    if not hierarchies or not own:
        raise CannotBootError("there is no cgroup2 hierarchy")
    group = hierarchies[0] / own[0] / f"tocsin-test-{os.getpid()}-{time.monotonic_ns()}"
    try:
        group.mkdir()
    except OSError as error:
        raise CannotBootError(f"no control group can be made: {error}") from error
    return group


def _enter_network(descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def _comes(condition: Callable[[], bool]) -> bool:
    """Whether it comes to this, in any time that something may take."""
    end = time.monotonic() + BOUND
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(LOOK_EVERY)
    return holds
