"""Telling systemd how the daemon is (sd_notify(3), sd_watchdog_enabled(3); OP-14).

Without systemd everything here does nothing.
"""

import os
import socket
import time
from collections.abc import Mapping
from typing import Self

import attrs


@attrs.frozen
class Notifier:
    """Sends states to systemd's socket; a message that cannot be sent at once is dropped.

    `watchdog_interval` is how often, in seconds, `watchdog` must be called, with a factor of two
    in reserve; None if nobody waits for it.
    """

    address: str | None = None
    watchdog_interval: float | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """As systemd says in the environment of the process."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls()
        return cls(address, _watchdog_interval(environ))

    def ready(self, status: str = "") -> None:
        """The daemon serves; also the end of a reload. `status` is what `systemctl status` says of
        it, one line; nothing if all is well."""
        self._send(f"READY=1\nSTATUS={' '.join(status.split())}")

    def starting(self, work: str, seconds: float) -> None:
        """Something long has begun, before `ready`: the start is not to be given up for so many
        seconds from now on."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}\nSTATUS={work}")

    def reloading(self) -> None:
        """A reload begins."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon drains."""
        self._send("STOPPING=1\nSTATUS=draining")

    def watchdog(self) -> None:
        """Still alive. Not to be called unless all is well."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self.address is None:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(message.encode(), address)
            except OSError:
                # systemd restarting or flooded: nothing we could do about it would be better.
                return


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000
