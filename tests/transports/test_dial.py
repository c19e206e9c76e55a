"""Tests of connections to checked addresses, over real sockets on the loopback."""

import datetime as dt
import os
import socket
import ssl
from collections.abc import Iterator, Sequence

import pytest
import trio
import trio.testing
import trustme
from tests.fakes.receiver import Receiver, start

from tocsin.transports.dial import Connection, ConnectionLostError, dial
from tocsin.transports.guard import AddressGuard
from tocsin.transports.lookups import Lookups, SocketAddress
from tocsin.transports.notconnected import NotConnectedError
from tocsin.transports.patience import UNLIMITED
from tocsin.transports.settings import WebhookSettings
from tocsin.wire.endpoint import Endpoint, parse_url

AUTHORITY = trustme.CA()
REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"


def trusting(authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def endpoint(port: int, *, scheme: str = "https", host: str = "a.example") -> Endpoint:
    return parse_url(f"{scheme}://{host}:{port}/", allow_http={host})


def guard_to(*addresses: tuple[str, int]) -> AddressGuard:
    """Every name resolves to these addresses, whatever port is asked for."""

    def resolve(_host: str, _port: int) -> Sequence[SocketAddress]:
        return [(socket.AF_INET, address) for address in addresses]

    return AddressGuard(WebhookSettings(allow_networks=["127.0.0.0/8"]), lookups=Lookups(resolve))


async def connect(to: Endpoint, guard: AddressGuard, context: ssl.SSLContext) -> Connection:
    return await dial(to, UNLIMITED, guard=guard, ssl_context=context)


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that nobody listens on, and nobody else gets meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that lets connections hang: its backlog is full and nobody accepts."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def answer_over(connection: Connection) -> bytes:
    await connection.send_all(REQUEST)
    return (await connection.receive_some())[:12]


async def test_plain_connections(nursery: trio.Nursery) -> None:
    """PU-67: bytes go and come, and an idle socket is quiet until the far side says something."""
    receiver = await start(nursery)
    guard = guard_to(("127.0.0.1", receiver.port))
    connection = await connect(endpoint(receiver.port, scheme="http"), guard, trusting())
    assert connection.is_quiet()
    assert await answer_over(connection) == b"HTTP/1.1 200"
    assert connection.is_quiet()
    connection.close()


async def test_a_large_request_is_sent_whole(nursery: trio.Nursery) -> None:
    """PU-68: what does not fit into the socket at once follows as there is room."""
    receiver = await start(nursery)
    guard = guard_to(("127.0.0.1", receiver.port))
    connection = await connect(endpoint(receiver.port, scheme="http"), guard, trusting())
    body = bytes(8_000_000)
    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    await connection.send_all(head + body)
    await connection.receive_some()
    assert receiver.requests[0].body == body
    connection.close()


async def test_broken_connections_have_one_error() -> None:
    """CH-83: a reset is ConnectionLostError when reading and when writing, and not quiet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        guard = guard_to(("127.0.0.1", port))
        connection = await connect(endpoint(port, scheme="http"), guard, trusting())
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        accepted.close()
        with pytest.raises(ConnectionLostError):
            await connection.receive_some()
        with pytest.raises(ConnectionLostError):
            await connection.send_all(b"x")
        assert not connection.is_quiet()
        connection.close()


async def connected(
    nursery: trio.Nursery, certificate: trustme.LeafCert, host: str = "a.example"
) -> tuple[Receiver, Connection]:
    receiver = await start(nursery, ssl_context=serving(certificate))
    guard = guard_to(("127.0.0.1", receiver.port))
    return receiver, await connect(endpoint(receiver.port, host=host), guard, trusting())


async def test_tls_with_the_right_name(nursery: trio.Nursery) -> None:
    """PU-72: the certificate is for the name in the URL, though the address was dialled."""
    _, connection = await connected(nursery, AUTHORITY.issue_cert("a.example"))
    assert await answer_over(connection) == b"HTTP/1.1 200"
    assert connection.is_quiet()
    connection.close()


@pytest.mark.parametrize("host", ["a.example", "127.0.0.1"])
async def test_the_name_is_told_to_the_server(nursery: trio.Nursery, host: str) -> None:
    """PU-72: SNI carries a name, and never an IP literal, which is verified as IP SAN."""
    told: list[str | None] = []
    context = serving(AUTHORITY.issue_cert(host))
    context.sni_callback = lambda _sock, name, _context: told.append(name)
    receiver = await start(nursery, ssl_context=context)
    guard = guard_to(("127.0.0.1", receiver.port))
    connection = await connect(endpoint(receiver.port, host=host), guard, trusting())
    assert await answer_over(connection) == b"HTTP/1.1 200"
    assert told == ([host] if host == "a.example" else [None])
    connection.close()


YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("certificate", "host"),
    [
        (AUTHORITY.issue_cert("b.example"), "a.example"),
        (AUTHORITY.issue_cert("127.0.0.1"), "a.example"),
        (AUTHORITY.issue_cert("a.example"), "127.0.0.1"),
        (trustme.CA().issue_cert("a.example"), "a.example"),
        (AUTHORITY.issue_cert("a.example", not_after=YESTERDAY), "a.example"),
    ],
    ids=["wrong name", "address for a name", "name for an address", "untrusted", "expired"],
)
async def test_tls_with_a_bad_certificate(
    nursery: trio.Nursery, certificate: trustme.LeafCert, host: str
) -> None:
    """CH-83, PU-72: verification cannot be talked out of; nothing is sent."""
    with pytest.raises(NotConnectedError) as caught:
        await connected(nursery, certificate, host)
    assert caught.value.reason == "tls"


async def test_tls_to_a_plain_port(nursery: trio.Nursery) -> None:
    """CH-83: a far side that speaks no TLS is a TLS failure."""

    async def greet(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 mail.example ESMTP\r\n")

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, greet, listeners)
    port = listeners[0].socket.getsockname()[1]
    with pytest.raises(NotConnectedError) as caught:
        await connect(endpoint(port), guard_to(("127.0.0.1", port)), trusting())
    assert caught.value.reason == "tls"


async def test_nobody_listens(dead_port: int) -> None:
    """CH-83: refused by all addresses, one or several, is a failure to connect."""
    for addresses in ([("127.0.0.1", dead_port)], [("127.0.0.1", dead_port)] * 3):
        with pytest.raises(NotConnectedError) as caught:
            await connect(
                endpoint(1024), guard_to(*addresses, ("127.0.0.2", dead_port)), trusting()
            )
        assert caught.value.reason == "connect"


async def test_the_next_address_after_a_failure(nursery: trio.Nursery, dead_port: int) -> None:
    """PU-72: an address that refuses does not stop the next one."""
    receiver = await start(nursery)
    guard = guard_to(("127.0.0.1", dead_port), ("127.0.0.1", receiver.port))
    connection = await connect(endpoint(1024, scheme="http"), guard, trusting())
    assert await answer_over(connection) == b"HTTP/1.1 200"
    connection.close()


async def test_the_next_address_after_a_while(nursery: trio.Nursery, deaf_port: int) -> None:
    """PU-72: an address that hangs holds up the next one for 250 ms, not for a timeout."""
    receiver = await start(nursery)
    guard = guard_to(("127.0.0.1", deaf_port), ("127.0.0.1", receiver.port))
    connection = await connect(endpoint(1024, scheme="http"), guard, trusting())
    assert await answer_over(connection) == b"HTTP/1.1 200"
    connection.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_cancelled_while_connecting(
    deaf_port: int, dead_port: int, autojump_clock: trio.testing.MockClock
) -> None:
    """PU-72: giving up leaves no socket open, with one address and with several."""
    deaf, dead = ("127.0.0.1", deaf_port), ("127.0.0.1", dead_port)
    before = open_files()
    for addresses in ([deaf], [deaf, dead]):
        with trio.move_on_after(5) as scope:
            await connect(endpoint(1024), guard_to(*addresses), trusting())
        assert scope.cancelled_caught
    assert open_files() == before


async def test_cancelled_in_the_handshake(autojump_clock: trio.testing.MockClock) -> None:
    """PU-68: a server that never finishes the handshake is left, with nothing open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        before = open_files()
        with trio.move_on_after(5) as scope:
            await connect(endpoint(port), guard_to(("127.0.0.1", port)), trusting())
        assert scope.cancelled_caught
        assert open_files() == before
