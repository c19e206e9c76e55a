"""Binding, accepting, and what can go wrong with either."""

import errno
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

import orjson
import pytest
import trio
import trio.testing

from tocsin.model.errors import StartupError
from tocsin.server import inherited
from tocsin.server import listener as module
from tocsin.server.addresses import LONGEST_PATH, AddressError, parse_address
from tocsin.server.limits import ConnectionGate, Lease
from tocsin.server.listener import Listener, open_listeners, serve, write_addresses
from tocsin.server.peers import Networks
from tocsin.server.settings import HttpLimits

NO_ENVIRON: dict[str, str] = {}


def tcp(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def greet(sock: socket.socket, peer: str, lease: Lease) -> None:
    await trio.lowlevel.wait_writable(sock)
    sock.send(f"hello {peer}".encode())
    sock.close()
    lease.finish()


@asynccontextmanager
async def accepting(
    listeners: list[Listener], *, limits: HttpLimits | None = None
) -> AsyncIterator[ConnectionGate]:
    gate = ConnectionGate(limits or HttpLimits(), Networks([]))
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, listeners, greet, gate=gate, handler_nursery=nursery))
        yield gate
        nursery.cancel_scope.cancel()


async def hear(stream: trio.abc.ReceiveStream) -> bytes:
    async with stream:
        return bytes(await stream.receive_some())


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0"])
async def test_tcp(address: str) -> None:
    """Port 0 takes a free port, which is said; accepted sockets do not delay small answers."""
    (listener,) = open_listeners(address)
    host, port = tcp(listener.address)
    assert port > 0
    async with accepting([listener]):
        stream = await trio.open_tcp_stream(host, port)
        assert await hear(stream) == f"hello {host}".encode()


async def test_accepted_sockets_inherit_nodelay() -> None:
    """TCP_NODELAY set on the listener holds for what it accepts."""
    (listener,) = open_listeners("127.0.0.1:0")
    with socket.create_connection(tcp(listener.address)):
        await trio.lowlevel.wait_readable(listener.sock)
        accepted, _ = listener.sock.accept()
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        accepted.close()
    listener.close()


def test_ipv6() -> None:
    """An IPv6 address is written in brackets."""
    try:
        (listener,) = open_listeners(["[::1]:0"])
    except StartupError:
        pytest.skip("no IPv6 on this machine")
    assert listener.address.startswith("[::1]:")
    listener.close()


async def test_unix(tmp_path: Path) -> None:
    """A Unix socket serves peers without an address, and its file goes with it."""
    path = tmp_path / "s"
    listeners = open_listeners(f"unix:{path}")
    assert listeners[0].address == f"unix:{path}"
    async with accepting(listeners):
        assert await hear(await trio.open_unix_socket(path)) == b"hello "
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o660, 0o600, 0o777])
def test_who_may_connect_to_a_unix_socket(tmp_path: Path, mode: int) -> None:
    """OP-8: the file has the mode that was asked for, whatever the umask; else the umask's."""
    before = os.umask(0o027)
    try:
        [asked, plain] = [
            *open_listeners(f"unix:{tmp_path}/asked", unix_mode=mode),
            *open_listeners(f"unix:{tmp_path}/plain"),
        ]
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "asked").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == 0o750
    asked.close()
    plain.close()


def test_the_longest_unix_path(tmp_path: Path) -> None:
    """OP-8: what `parse_address` lets through the kernel takes; one byte more it would not."""
    path = f"{tmp_path}/" + "s" * (LONGEST_PATH - len(f"{tmp_path}/"))
    (listener,) = open_listeners(f"unix:{path}")
    listener.close()
    with pytest.raises(AddressError, match="at most 107 bytes, this one 108"):
        parse_address(f"unix:{path}s")


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    """A socket file nobody answers on, left by a crash, is not in the way."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    (listener,) = open_listeners(f"unix:{path}")
    listener.close()


def test_a_live_unix_socket_is_left_alone(tmp_path: Path) -> None:
    """A socket somebody answers on, and a file that is no socket, are not touched."""
    path, plain = tmp_path / "s", tmp_path / "f"
    plain.write_text("precious")
    (listener,) = open_listeners(f"unix:{path}")
    for taken in (path, plain):
        with pytest.raises(StartupError, match="in use"):
            open_listeners(f"unix:{taken}")
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert plain.read_text() == "precious"
    listener.close()


def test_a_taken_port_is_one_clear_line() -> None:
    """A port in use names the address; what was bound before it is closed again."""
    (listener,) = open_listeners("127.0.0.1:0")
    with pytest.raises(StartupError) as caught:
        open_listeners(["127.0.0.1:0", listener.address])
    assert str(caught.value).startswith(
        f"cannot listen on {listener.address}: Address already in use ("
    )
    listener.close()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EADDRNOTAVAIL])
def test_what_to_do_about_it(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error whose cause is known says what can be done."""

    def fail(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, "_listening", fail)
    with pytest.raises(StartupError) as caught:
        open_listeners("127.0.0.1:0")
    assert str(caught.value).endswith(f"{os.strerror(number)} ({module.HINTS[number]})")


@pytest.mark.parametrize(
    "address", ["nonsense", "198.51.100.1:80", "unix:/no/such/directory/s", "systemd:public"]
)
def test_other_addresses_that_cannot_be_had(address: str) -> None:
    """Each failure to bind is a StartupError that names the address."""
    with pytest.raises(StartupError, match="cannot listen on") as caught:
        open_listeners(address, environ=NO_ENVIRON)
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)


def next_to_each_other() -> int:
    """The first of two descriptors that are not in use, as systemd would pass them."""
    used = {int(name) for name in os.listdir("/proc/self/fd")}
    return next(one for one in count(100) if not {one, one + 1} & used)


async def test_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets inherited from systemd are found by name, and only by the process they are for."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        first = next_to_each_other()
        for number, server in enumerate(servers, first):
            os.dup2(server.fileno(), number)
    by_fd = {number: socket.socket(fileno=number) for number in (first, first + 1)}
    monkeypatch.setattr(inherited, "FIRST_INHERITED", first)
    environ = {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": "2",
        "LISTEN_FDNAMES": "admin:public",
    }
    with pytest.raises(StartupError, match="no socket of that name"):
        open_listeners("systemd:public", environ=environ | {"LISTEN_PID": "1"})
    (listener,) = open_listeners("systemd:public", environ=environ)
    ours = by_fd.pop(first + 1)
    assert tcp(listener.address) == ours.getsockname()
    ours.detach()
    async with accepting([listener]):
        stream = await trio.open_tcp_stream(*tcp(listener.address))
        assert await hear(stream) == b"hello 127.0.0.1"
    by_fd[first].close()


async def test_connections_over_the_bound_are_closed_at_accept() -> None:
    """A connection the gate refuses is closed without a task, and counted (SE-5)."""
    (listener,) = open_listeners("127.0.0.1:0")
    held: list[tuple[socket.socket, Lease]] = []

    async def hold(sock: socket.socket, _peer: str, lease: Lease) -> None:
        held.append((sock, lease))
        await trio.lowlevel.checkpoint()

    gate = ConnectionGate(HttpLimits(connections_per_address=1), Networks([]))
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, [listener], hold, gate=gate, handler_nursery=nursery))
        async with await trio.open_tcp_stream(*tcp(listener.address)):
            second = await trio.open_tcp_stream(*tcp(listener.address))
            assert await hear(second) == b""
            assert (gate.open, gate.refused_address, len(held)) == (1, 1, 1)
            held[0][0].close()
        nursery.cancel_scope.cancel()


async def test_connections_outlive_the_listeners() -> None:
    """Accepting can be cancelled while connections go on in the nursery they were given."""
    (listener,) = open_listeners("127.0.0.1:0")
    gate = ConnectionGate(HttpLimits(), Networks([]))
    proceed = trio.Event()

    async def late(sock: socket.socket, peer: str, lease: Lease) -> None:
        await proceed.wait()
        await greet(sock, peer, lease)

    async with trio.open_nursery() as connections:
        async with trio.open_nursery() as accept:
            await accept.start(
                partial(serve, [listener], late, gate=gate, handler_nursery=connections)
            )
            stream = await trio.open_tcp_stream(*tcp(listener.address))
            await trio.testing.wait_all_tasks_blocked(0.01)
            accept.cancel_scope.cancel()
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream(*tcp(listener.address))
        proceed.set()
        assert await hear(stream) == b"hello 127.0.0.1"


class FailingSocket:
    """A listening socket whose accept fails as it is told, then works."""

    def __init__(self, sock: socket.socket, failures: list[int]) -> None:
        self._sock = sock
        self._failures = failures

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()

    def accept(self) -> tuple[socket.socket, object]:
        if self._failures:
            number = self._failures.pop(0)
            raise OSError(number, os.strerror(number))
        return self._sock.accept()


async def test_running_out_of_descriptors(autojump_clock: trio.testing.MockClock) -> None:
    """EMFILE pauses accepting for a moment and is counted; the client waits and is served."""
    (listener,) = open_listeners("127.0.0.1:0")
    listener.sock = FailingSocket(  # type: ignore[assignment] # stands in for the socket
        listener.sock, [errno.EMFILE, errno.ENFILE, errno.ECONNABORTED]
    )
    async with accepting([listener]):
        stream = await trio.open_tcp_stream(*tcp(listener.address))
        assert await hear(stream) == b"hello 127.0.0.1"
    assert listener.paused == 2
    assert trio.current_time() == pytest.approx(2 * module.PAUSE)


async def test_a_broken_listener_is_not_hidden() -> None:
    """An error of the listening socket itself ends `serve`, so that its supervisor sees it."""
    (listener,) = open_listeners("127.0.0.1:0")
    listener.sock = FailingSocket(listener.sock, [errno.EBADF])  # type: ignore[assignment]
    with (
        socket.create_connection(tcp(listener.address)),
        pytest.RaisesGroup(
            pytest.RaisesGroup(pytest.RaisesExc(OSError, match="Bad file descriptor"))
        ),
    ):
        async with accepting([listener]):
            await trio.sleep_forever()


def test_listen_json(tmp_path: Path) -> None:
    """The addresses bound are written whole, over what stood there, leaving nothing beside."""
    path = tmp_path / "listen.json"
    for port in (1, 2):
        write_addresses(path, {"public": [f"127.0.0.1:{port}"], "admin": []})
    assert orjson.loads(path.read_bytes()) == {"public": ["127.0.0.1:2"], "admin": []}
    assert list(tmp_path.iterdir()) == [path]
