"""The way to a provider: name, TCP, TLS, and nothing but HTTP/2 (push.md, PU-58)."""

import contextlib
import socket
import ssl

import attrs
import trio

from tocsin.model.errors import TocsinError

ALPN = "h2"


class ConnectError(TocsinError):
    """No connection, so nothing was sent; `reason` is a word of a closed set.

    `dns`, `connect`, `tls`, `alpn`, `timeout`, or `refused` for one that ended before it began.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@attrs.frozen
class Origin:
    """Whom the connections of a pool lead to. The operator's choice, so no guard judges it."""

    host: str
    port: int = 443


def client_context(ca_file: str = "") -> ssl.SSLContext:
    """TLS 1.2 or later, verified, HTTP/2 the only offer.

    Trusts what the system trusts, or the authorities of `ca_file` alone. Raises OSError for a
    file that cannot be read, ssl.SSLError for one that is none.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([ALPN])
    return context


async def dial(origin: Origin, ssl_context: ssl.SSLContext) -> trio.abc.Stream:
    """A connection that speaks HTTP/2; raises ConnectError.

    Addresses are raced, the next one joining after 250 ms. It has no timeout of its own. Leaves
    nothing open when it fails or is cancelled.
    """
    tcp = await _connect(origin)
    stream = trio.SSLStream(tcp, ssl_context, server_hostname=origin.host, https_compatible=True)
    async with contextlib.AsyncExitStack() as unless_ready:
        unless_ready.push_async_callback(trio.aclose_forcefully, tcp)
        await _shake_hands(stream)
        unless_ready.pop_all()
    return stream


async def _connect(origin: Origin) -> trio.SocketStream:
    try:
        return await trio.open_tcp_stream(origin.host, origin.port)
    except (socket.gaierror, UnicodeError) as error:
        raise ConnectError("dns") from error
    except OSError as error:
        raise ConnectError("connect") from error


async def _shake_hands(stream: trio.SSLStream[trio.SocketStream]) -> None:
    try:
        await stream.do_handshake()
    except (trio.BrokenResourceError, ssl.SSLError) as error:
        raise ConnectError("tls") from error
    if stream.selected_alpn_protocol() != ALPN:
        raise ConnectError("alpn")
