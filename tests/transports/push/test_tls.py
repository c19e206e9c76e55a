"""Tests of the way to a provider, over real sockets on the loopback."""

import gc
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from tocsin.transports.push.tls import ConnectError, Origin, client_context, dial

AUTHORITY = trustme.CA()
HOST = "push.example"


class Loopback(trio.abc.HostnameResolver):
    """Every name that ends in .example is this machine; no other exists."""

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,  # noqa: A002 - Trio's name for it
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        await trio.lowlevel.checkpoint()
        if not host.decode().endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise NotImplementedError


def know_names() -> None:
    """For this run of Trio."""
    trio.socket.set_custom_hostname_resolver(Loopback())


def trusting() -> ssl.SSLContext:
    context = client_context()
    AUTHORITY.configure_trust(context)
    return context


def serving(*protocols: str, name: str = HOST) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(name).configure_cert(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@asynccontextmanager
async def server(context: ssl.SSLContext) -> AsyncIterator[int]:
    """A TLS server that shakes hands and waits for the end; its port."""

    async def serve(stream: trio.SocketStream) -> None:
        try:
            await trio.SSLStream(stream, context, server_side=True).receive_some()
        except trio.BrokenResourceError:
            pass  # the client has seen enough
        finally:
            await trio.aclose_forcefully(stream)

    know_names()
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def reason_of(origin: Origin, context: ssl.SSLContext) -> str:
    with pytest.raises(ConnectError) as caught:
        await dial(origin, context)
    return caught.value.reason


async def test_a_connection_speaks_http2_over_tls() -> None:
    """PU-58: TLS 1.2 or later, and HTTP/2 agreed on by ALPN."""
    async with server(serving("http/1.1", "h2")) as port:
        stream = await dial(Origin(HOST, port), trusting())
        assert isinstance(stream, trio.SSLStream)
        assert stream.selected_alpn_protocol() == "h2"
        assert stream.version() in {"TLSv1.2", "TLSv1.3"}
        await trio.aclose_forcefully(stream)


def test_old_tls_is_not_offered() -> None:
    """PU-58: what is older than TLS 1.2 is refused, and certificates and names are checked."""
    context = client_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("protocols", [(), ("http/1.1",)])
async def test_without_http2_there_is_no_connection(protocols: Sequence[str]) -> None:
    """PU-58: a server that does not agree to h2 is left, whatever else it speaks."""
    async with server(serving(*protocols)) as port:
        assert await reason_of(Origin(HOST, port), trusting()) == "alpn"


async def test_an_unknown_authority_is_refused() -> None:
    """PU-58: a certificate that is not signed by whom we trust ends the handshake."""
    async with server(serving("h2")) as port:
        assert await reason_of(Origin(HOST, port), client_context()) == "tls"


async def test_a_certificate_for_another_name_is_refused() -> None:
    """PU-58: the certificate must be for the host that was to be reached."""
    async with server(serving("h2", name="other.example")) as port:
        assert await reason_of(Origin(HOST, port), trusting()) == "tls"


@pytest.mark.parametrize("name", ["push.invalid", "ä" * 64, "push..example"])
async def test_a_name_that_does_not_exist(name: str) -> None:
    """PU-58: the word for it is dns, also for what cannot be a name."""
    know_names()
    assert await reason_of(Origin(name, 443), trusting()) == "dns"


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that nobody listens on, and nobody else gets meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


async def test_a_port_nobody_listens_on(dead_port: int) -> None:
    """PU-58: the word for it is connect."""
    know_names()
    assert await reason_of(Origin(HOST, dead_port), trusting()) == "connect"


async def test_a_file_of_authorities_replaces_those_of_the_system(tmp_path: Path) -> None:
    """PU-58: with ca_file its authorities are trusted, and no others."""
    own = tmp_path / "own.pem"
    own.write_bytes(AUTHORITY.cert_pem.bytes())
    foreign = tmp_path / "foreign.pem"
    foreign.write_bytes(trustme.CA().cert_pem.bytes())
    async with server(serving("h2")) as port:
        stream = await dial(Origin(HOST, port), client_context(str(own)))
        await trio.aclose_forcefully(stream)
        assert await reason_of(Origin(HOST, port), client_context(str(foreign))) == "tls"
    assert len(client_context(str(own)).get_ca_certs()) == 1


async def test_cancelled_anywhere_nothing_stays_open() -> None:
    """PU-58: a dial that is cancelled closes what it has opened, however far it has come."""
    came_through = 0
    async with server(serving("h2")) as port:
        for steps in range(40):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(cancel_after, steps, scope)
                    stream = await dial(Origin(HOST, port), trusting())
                    came_through += 1
                    await trio.aclose_forcefully(stream)
                    nursery.cancel_scope.cancel()
        gc.collect()
    assert 0 < came_through < 40


async def cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.testing.wait_all_tasks_blocked()
    scope.cancel()
