"""Connections to checked addresses: plain sockets as the fast path, TLS over Trio's streams.

Plain ones are bare non-blocking sockets: a request fits into one `send`, and only the answer is
waited for. What the operating system or OpenSSL raise is mapped here and nowhere else.
"""

import errno
import socket
import ssl
from collections.abc import Sequence
from typing import Protocol

import trio

from tocsin.model.errors import TocsinError
from tocsin.transports.guard import AddressGuard
from tocsin.transports.lookups import SocketAddress
from tocsin.transports.notconnected import NotConnectedError
from tocsin.transports.patience import Patience
from tocsin.wire.endpoint import Endpoint

RECEIVE_SIZE = 8_192
STAGGER = 0.25
ADDRESSES_TRIED = 8


class ConnectionLostError(TocsinError):
    """The connection broke while it was in use."""


class Connection(Protocol):
    """A byte stream to one endpoint, used by one task at a time."""

    async def send_all(self, data: bytes) -> None:
        """Hand everything to the system; raises ConnectionLostError.

        Cancelled, it may have sent a part: only `close` is left then.
        """

    async def receive_some(self) -> bytes:
        """What has come, waiting for the first byte; b"" at the end. Raises ConnectionLostError."""

    def is_quiet(self) -> bool:
        """Nothing has come that nobody asked for, the end of the stream included."""

    def close(self) -> None:
        """Close now, without farewell."""


async def dial(
    endpoint: Endpoint, patience: Patience, *, guard: AddressGuard, ssl_context: ssl.SSLContext
) -> Connection:
    """Resolve, judge, connect, and with `https` shake hands; raises NotConnectedError.

    The certificate must be for the name in the URL, whatever the address. Leaves nothing open
    when it fails or is cancelled.
    """
    sock = await _connect_any(await guard.addresses(endpoint.host, endpoint.port, patience))
    if endpoint.scheme == "http":
        return PlainConnection(sock)
    return await TlsConnection.over(sock, endpoint.host, ssl_context)


class PlainConnection:
    """TCP as it is."""

    __slots__ = ("_sock",)

    def __init__(self, sock: socket.socket) -> None:
        """Own a connected, non-blocking socket."""
        self._sock = sock

    async def send_all(self, data: bytes) -> None:
        """See Connection; does not reach the scheduler when the system takes all at once."""
        sent = self._send(data)
        while sent < len(data):
            await trio.lowlevel.wait_writable(self._sock)
            sent += self._send(memoryview(data)[sent:])

    async def receive_some(self) -> bytes:
        """See Connection."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                return self._sock.recv(RECEIVE_SIZE)
            except BlockingIOError:
                continue
            except OSError as error:
                raise ConnectionLostError from error

    def is_quiet(self) -> bool:
        """See Connection."""
        return _is_quiet(self._sock)

    def close(self) -> None:
        """See Connection."""
        self._sock.close()

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ConnectionLostError from error


class TlsConnection:
    """TLS, verified by the context it was made with."""

    __slots__ = ("_sock", "_stream")

    def __init__(self, sock: socket.socket, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._sock = sock
        self._stream = stream

    @classmethod
    async def over(
        cls, sock: socket.socket, host: str, ssl_context: ssl.SSLContext
    ) -> "TlsConnection":
        """Shake hands on a connected socket, closing it on failure; raises NotConnectedError.

        A host that is an IP address is looked for in the certificate as one, without SNI.
        """
        stream = trio.SSLStream(
            trio.SocketStream(trio.socket.from_stdlib_socket(sock)),
            ssl_context,
            server_hostname=host,
            https_compatible=True,
        )
        connection = cls(sock, stream)
        ready = False
        try:
            await stream.do_handshake()
            ready = True
        except (trio.BrokenResourceError, ssl.SSLError) as error:
            raise NotConnectedError("tls") from error
        finally:
            if not ready:
                connection.close()
        return connection

    async def send_all(self, data: bytes) -> None:
        """See Connection."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, ssl.SSLError) as error:
            raise ConnectionLostError from error

    async def receive_some(self) -> bytes:
        """See Connection."""
        try:
            return bytes(await self._stream.receive_some(RECEIVE_SIZE))
        except (trio.BrokenResourceError, ssl.SSLError) as error:
            raise ConnectionLostError from error

    def is_quiet(self) -> bool:
        """See Connection."""
        return _is_quiet(self._sock)

    def close(self) -> None:
        """See Connection."""
        self._stream.transport_stream.socket.close()


def _is_quiet(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


async def _connect_any(addresses: Sequence[SocketAddress]) -> socket.socket:
    """The first connection that stands; the next address joins after 250 ms or a failure."""
    if len(addresses) == 1:
        return await _connect(addresses[0])
    won: list[socket.socket] = []
    kept = 0
    try:
        async with trio.open_nursery() as nursery:
            for address in addresses[:ADDRESSES_TRIED]:
                failed = trio.Event()
                nursery.start_soon(_race, address, won, failed, nursery.cancel_scope)
                with trio.move_on_after(STAGGER):
                    await failed.wait()
        kept = 1
    finally:
        # Two may have won in the same instant, and a winner may find itself cancelled.
        for spare in won[kept:]:
            spare.close()
    if not won:
        raise NotConnectedError("connect")
    return won[0]


async def _race(
    address: SocketAddress, won: list[socket.socket], failed: trio.Event, race: trio.CancelScope
) -> None:
    try:
        won.append(await _connect(address))
    except NotConnectedError:
        failed.set()
    else:
        race.cancel()


async def _connect(address: SocketAddress) -> socket.socket:
    family, target = address
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise NotConnectedError("connect") from error
    ready = False
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sock.connect_ex(target) not in {0, errno.EINPROGRESS}:
            raise NotConnectedError("connect")
        await trio.lowlevel.wait_writable(sock)
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0:
            raise NotConnectedError("connect")
        ready = True
    finally:
        if not ready:
            sock.close()
    return sock
