"""As a service of systemd: what it tells the manager, and a listener that outlives it (OP-14)."""

import signal
import socket
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio
from tests.end_to_end.clients import Platform, User, chat, text_of
from tests.end_to_end.daemon import BOUND, until
from tests.end_to_end.http_connection import HttpConnection
from tests.end_to_end.launched import Launched
from tests.end_to_end.notification_socket import open_socket

pytestmark = pytest.mark.end_to_end

ACTIVATION = Path(__file__).parent / "activation.py"
# It is told twice as often, and no more than ten times while it does not listen (unix(7)).
WATCHDOG_SECONDS = 1.0


@attrs.define
class Manager:
    """What stands in for systemd: it is told how the service is, and listens for it."""

    told: socket.socket
    listener: socket.socket
    states: list[str] = attrs.field(factory=list)

    @classmethod
    def open(cls) -> "Manager":
        """With both sockets."""
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        told.bind(f"\0tocsin-{uuid.uuid4()}")
        told.setblocking(False)
        return cls(told, socket.create_server(("127.0.0.1", 0), backlog=128))

    def service(self, folder: Path, **settings: object) -> Launched:
        """The daemon, not started yet."""
        before = [sys.executable, str(ACTIVATION), str(self.listener.fileno()), "public"]
        environ = {
            "NOTIFY_SOCKET": f"@{self.told.getsockname()[1:].decode()}",
            "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6)),
        }
        return Launched(
            folder,
            {"listen.public": "systemd:public", **settings},
            before=before,
            environ=environ,
            passed=[self.listener.fileno()],
        )

    def heard(self, state: str) -> int:
        """How often it has been told this."""
        try:
            while True:
                self.states += self.told.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self.states.count(state)

    async def is_told(self, state: str, times: int = 1) -> None:
        """Wait until it has been told this so often."""
        await until(lambda: self.heard(state) >= times, f"systemd is told {state}")

    async def connect(self) -> trio.SocketStream:
        """A client's connection, which nobody may refuse."""
        return await trio.open_tcp_stream(*self.listener.getsockname())


@pytest.fixture
def manager() -> Iterator[Manager]:
    """A new one."""
    made = Manager.open()
    yield made
    made.told.close()
    made.listener.close()


async def test_what_it_tells(manager: Manager, tmp_path: Path) -> None:
    """OP-14: ready once it serves, alive in time, a reload's begin and end, and that it stops."""
    async with manager.service(tmp_path) as daemon:
        await manager.is_told("READY=1")
        assert manager.states.index("READY=1") == 0
        await manager.is_told("WATCHDOG=1", 3)
        daemon.signal(signal.SIGHUP)
        await manager.is_told("READY=1", 2)
        reloading = manager.states.index("RELOADING=1")
        assert manager.states[reloading + 1].startswith("MONOTONIC_USEC=")
        assert "READY=1" in manager.states[reloading:]
        assert manager.heard("STOPPING=1") == 0
        daemon.terminate()
        assert await daemon.exit_status() == 0
        await manager.is_told("STOPPING=1")


async def test_what_it_says_of_a_reload(manager: Manager, tmp_path: Path) -> None:
    """OP-7, OP-14: `systemctl status` tells of a reload that was refused and of a restart that is
    needed, and no longer when all is well."""
    async with manager.service(tmp_path) as daemon:
        started_with = daemon.config.read_text()
        for added, status in (
            (
                "ws.window = 0",
                "the reload was refused, mistakes: 1; the first: ws.window: must be at least 1",
            ),
            ("ws.window = 10", "a restart is needed for ws.window"),
            ("", ""),
        ):
            before = manager.heard(f"STATUS={status}")
            daemon.config.write_text(f"{started_with}{added}\n")
            daemon.signal(signal.SIGHUP)
            await manager.is_told(f"STATUS={status}", before + 1)


async def test_what_the_watchdog_leaves(tmp_path: Path) -> None:
    """OP-10: a daemon that hangs, and is sent SIGABRT for it, says where, and ends by it."""
    async with Launched(tmp_path) as daemon:
        daemon.signal(signal.SIGABRT)
        assert await daemon.exit_status() == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in daemon.log
        assert '/cli/serve.py", line' in daemon.log


async def test_a_start_that_takes_long(manager: Manager, tmp_path: Path) -> None:
    """OP-14, SE-7: systemd is told to wait while a store is sealed, and what for; the next start
    is one like others."""
    for times in (2, 0):
        manager.states.clear()
        async with manager.service(tmp_path, **{"store.master_key": "5e" * 32}):
            await manager.is_told("READY=1")
        before = manager.states[: manager.states.index("READY=1")]
        assert sum(state.startswith("EXTEND_TIMEOUT_USEC=") for state in before) == times
        assert sum(state.startswith("STATUS=") for state in before) == times


async def test_who_came_before_it_was_up(manager: Manager, tmp_path: Path) -> None:
    """OP-14: a request that was sent before the daemon was started is answered."""
    early = await manager.connect()
    async with early:
        await early.send_all(b"GET /v1/notifications HTTP/1.1\r\nHost: x\r\n\r\n")
        async with manager.service(tmp_path) as daemon:
            host, port = manager.listener.getsockname()
            assert daemon.public == f"{host}:{port}"
            with trio.fail_after(BOUND):
                answer = await early.receive_some()
    assert answer.startswith(b"HTTP/1.1 405 ")


async def test_nobody_is_refused_over_a_restart(manager: Manager, tmp_path: Path) -> None:
    """OP-12, OP-14: from before SIGTERM until after the start connections are taken at any moment;
    those that come once the listener was handed back are answered by the next daemon, and what
    was accepted is there."""
    async with manager.service(tmp_path) as daemon:
        user = User(daemon, "alice")
        channel = await user.socket_channel()
        await Platform(daemon).publish(chat("alice", "before"))
        daemon.terminate()
        waiting = []
        while not daemon.has_ended:
            waiting.append(await manager.connect())
            await trio.sleep(0.01)
        late = [await manager.connect() for _ in range(20)]
        await daemon.start()
        for stream in late:
            with trio.fail_after(BOUND):
                answer = await HttpConnection(stream).request("GET", "/v1/notifications")
            assert answer.status == 405
        assert waiting
        async with open_socket(user, channel) as socket_:
            assert text_of((await socket_.texts(1))[0]) == "before"
        for stream in [*waiting, *late]:
            await stream.aclose()
