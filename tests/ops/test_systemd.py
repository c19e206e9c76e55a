"""tocsin.ops.systemd, against a stand-in for systemd's socket (OP-14)."""

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tocsin.ops.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """The receiving socket, and its address as systemd would write it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@tocsin-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name.replace("@", "\0"))
        receiver.settimeout(5)
        yield receiver, name


def test_each_state_is_one_datagram(manager: tuple[socket.socket, str]) -> None:
    """Ready, reloading, watchdog and stopping arrive in systemd's words, status in one line."""
    receiver, address = manager
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": address})
    notifier.ready()
    notifier.reloading()
    notifier.ready("refused:\n1 mistake")
    notifier.watchdog()
    notifier.stopping()
    assert receiver.recv(200) == b"READY=1\nSTATUS="
    reloading = dict(line.split(b"=") for line in receiver.recv(200).splitlines())
    assert reloading[b"RELOADING"] == b"1"
    assert int(reloading[b"MONOTONIC_USEC"]) > 0
    assert receiver.recv(200) == b"READY=1\nSTATUS=refused: 1 mistake"
    assert receiver.recv(200) == b"WATCHDOG=1"
    assert receiver.recv(200) == b"STOPPING=1\nSTATUS=draining"


def test_a_start_that_takes_long(manager: tuple[socket.socket, str]) -> None:
    """OP-14: systemd waits for as long as it is told to, and says what for."""
    receiver, address = manager
    Notifier.from_environ({"NOTIFY_SOCKET": address}).starting("Sealing", 120.5)
    assert receiver.recv(200) == b"EXTEND_TIMEOUT_USEC=120500000\nSTATUS=Sealing"


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    """A socket that is gone does not disturb the daemon."""
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert notifier.ready() is None


def test_without_systemd_it_does_nothing() -> None:
    """No variable, or a family this does not speak: a notifier without address."""
    assert Notifier.from_environ({}) == Notifier()
    assert Notifier.from_environ({"NOTIFY_SOCKET": "vsock:2:1"}) == Notifier()
    assert Notifier().ready() is None


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], interval: float | None) -> None:
    """Half of what systemd allows, and only if it is meant for this process."""
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": "@x", **environ})
    assert notifier.watchdog_interval == interval
