"""TLS on the public listener (OP-8): a socket that speaks it, behind the calls of a plain one.

OpenSSL works on two buffers in memory, so that nothing here waits: `TlsSocket` is what HTTP and
the reactor already know, a non-blocking socket that sends, receives, and says `BlockingIOError`.
Two things make it one:

- What the kernel has given is decrypted whole and handed out, so that nothing waits inside while
  the kernel has nothing more to say. What does, after a look with `MSG_PEEK` or from the
  handshake, is `ahead`.
- Bytes are `sent` when the kernel has taken all of their ciphertext. Until then the last one of
  them is said not to have left, so whoever sends knows that something is to be flushed.
"""

import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import attrs
import trio
from cryptography import x509

from tocsin.model.errors import StartupError
from tocsin.model.option import option
from tocsin.server.limits import Lease

Handler = Callable[[socket.socket, str, Lease], Coroutine[Any, Any, None]]

RECORD_BYTES: Final = 16_384
PLAIN_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: 32\r\n\r\nThis port speaks https, not http"
)
PLAIN: Final = "plain HTTP"
METHODS: Final = (b"GET ", b"POST", b"PUT ", b"DELE", b"OPTI", b"HEAD", b"PATC")


@attrs.frozen
class TlsSettings:
    """`[tls]`"""

    certificate: str = option(
        "",
        "The public listener's certificate with those of who signed it, PEM; set, it speaks TLS. "
        'Say { file = "/path" }.',
    )
    key: str = option("", "The private key of the certificate, PEM, not encrypted.", secret=True)
    minimum: str = option("1.2", "The oldest version of TLS spoken.", choices=("1.2", "1.3"))


def check(settings: TlsSettings) -> list[str]:
    """What is wrong with these settings as a whole, one line each."""
    if bool(settings.certificate) != bool(settings.key):
        missing = "key" if settings.certificate else "certificate"
        return [f"tls.{missing}: must be set, too"]
    problems = [
        f'tls.{name}: is no PEM text; of a file, say {{ file = "/path" }}'
        for name, text in (("certificate", settings.certificate), ("key", settings.key))
        if text and "-----BEGIN " not in text
    ]
    try:
        if not problems:
            tls_context(settings)
    except StartupError as error:
        problems = [str(error)]
    return problems


def tls_context(settings: TlsSettings) -> ssl.SSLContext | None:
    """What connections are wrapped in; None where they are plain. `StartupError` for a
    certificate and a key that are none, or are not each other's."""
    if not settings.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if settings.minimum == "1.3" else ssl.TLSVersion.TLSv1_2
    )
    context.set_alpn_protocols(["http/1.1"])
    try:
        _load(context, f"{settings.certificate}\n{settings.key}\n".encode())
    except ssl.SSLError as error:
        reason = {
            "KEY_VALUES_MISMATCH": "the key is not the certificate's",
            "BAD_DECRYPT": "the key is encrypted",
        }.get(error.reason or "", error.reason or "certificate and key cannot be read")
        raise StartupError(f"tls: {reason}") from None
    except (OSError, ValueError) as error:
        raise StartupError(f"tls: {error}") from None
    return context


def expires_at(settings: TlsSettings) -> float | None:
    """When the certificate is over, epoch seconds."""
    if not settings.certificate:
        return None
    return x509.load_pem_x509_certificate(
        settings.certificate.encode()
    ).not_valid_after_utc.timestamp()


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """OpenSSL reads certificates and keys from files alone; this one is never on a disk."""
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_no_password)
    finally:
        os.close(descriptor)


def _no_password() -> str:
    """OpenSSL would ask at the terminal."""
    return ""


class TlsFront:
    """Stands before what serves connections, and shakes hands where a certificate is configured.

    `context` may be replaced at any time; connections go on with what they began with. Sockets of
    files are plain: what connects there is on this machine.
    """

    def __init__(
        self,
        serve: Handler,
        context: ssl.SSLContext | None,
        *,
        timeout: float,
        on_failure: Callable[[str], None],
    ) -> None:
        """`timeout` is seconds for a handshake; `on_failure(reason)` hears of each that failed."""
        self.context = context
        self._serve = serve
        self._timeout = timeout
        self._on_failure = on_failure

    async def serve_connection(self, sock: socket.socket, peer: str, lease: Lease) -> None:
        """Serve a connection that was accepted; see `HttpServer.serve_connection`."""
        if self.context is None or sock.family == socket.AF_UNIX:
            await self._serve(sock, peer, lease)
            return
        wrapped = TlsSocket(sock, self.context)
        is_ready = False
        try:
            with trio.move_on_after(self._timeout) as scope:
                await wrapped.handshake()
                is_ready = True
            if scope.cancelled_caught:
                self._on_failure("timeout")
        except ssl.SSLError as error:
            self._on_failure("plain_http" if PLAIN in error.args else "protocol")
        except OSError:
            self._on_failure("hangup")
        finally:
            if not is_ready:
                wrapped.close()
                lease.finish()
        if is_ready:
            await self._serve(wrapped, peer, lease)


class TlsSocket(socket.socket):
    """A connected non-blocking socket, and the session on it. Takes over the one it is made of."""

    __slots__ = ("_ahead", "_incoming", "_outgoing", "_owes", "_session", "_unsent")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.setblocking(False)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._unsent = memoryview(b"")
        self._owes = False
        self._ahead = b""

    @property
    def ahead(self) -> bool:
        """Something is here and waits to be received, whatever the kernel says."""
        return bool(self._ahead)

    async def handshake(self) -> None:
        """Shake hands. Raises OSError (an `ssl.SSLError` is one) where that does not come about;
        so does a plain HTTP request, which is told so."""
        while True:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                await self._drain()
                await self._fill()
            except ssl.SSLError:
                await self._drain()
                raise
            else:
                await self._drain()
                # A client in a hurry has sent its request along.
                self._ahead = self._opened() or b""
                return

    async def _drain(self) -> None:
        while not self._flush():
            await trio.lowlevel.wait_writable(self)

    async def _fill(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self)
            try:
                data = super().recv(RECORD_BYTES)
            except BlockingIOError:
                continue
            if not data:
                raise ConnectionResetError("ended in the handshake")
            if data[:4] in METHODS:
                super().send(PLAIN_HTTP)
                raise ssl.SSLError(PLAIN)
            self._incoming.write(data)
            return

    # What a socket does.

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As of a plain socket; of the flags it knows MSG_PEEK. Some 40 KiB at a time or more,
        or what follows is `ahead`."""
        if not self._ahead:
            self._ahead = self._decrypted(bufsize)
        data = self._ahead[:bufsize]
        if not flags:
            self._ahead = self._ahead[bufsize:]
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> int:
        """As of a plain socket."""
        data = self.recv(nbytes or len(buffer), flags)
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: Any, _flags: int = 0, /) -> int:
        """As of a plain socket: how many bytes have left, all of them or all but one."""
        paid = 0
        if self._owes:
            if not self._flush():
                raise BlockingIOError
            self._owes = False
            paid = 1
        rest = memoryview(data)[paid:]
        if not rest:
            return paid
        try:
            self._session.write(rest)
        except ssl.SSLError as error:
            raise ConnectionError(str(error)) from error
        if self._flush():
            return paid + len(rest)
        self._owes = True
        return paid + len(rest) - 1

    def sendmsg(self, buffers: Any, *_others: Any) -> int:
        """As of a plain socket, for buffers alone."""
        return self.send(b"".join(_some(buffers)))

    def shutdown(self, how: int, /) -> None:
        """Say that nothing follows, as far as that can be said at once; then as a plain one."""
        self._say_goodbye()
        super().shutdown(how)

    def close(self) -> None:
        """As of a plain socket, with a good-bye before it."""
        if self.fileno() >= 0:
            self._say_goodbye()
        super().close()

    def _say_goodbye(self) -> None:
        """To truncate what was sent needs no key, so an end is said in so many words. Behind
        something that has not left it cannot be."""
        if self._owes:
            return
        # It says ours, and would wait for the peer's; or the peer is gone.
        with contextlib.suppress(OSError, ValueError):
            self._session.unwrap()
        with contextlib.suppress(OSError):
            self._flush()

    def _decrypted(self, wanted: int) -> bytes:
        """All that the kernel has, b"" at the end; not more than was wanted if that is much. A
        part of a record may be inside, and ciphertext is longer than what is in it."""
        data = super().recv(max(RECORD_BYTES, wanted - 2 * RECORD_BYTES))
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        found = self._opened()
        if found is None:
            raise BlockingIOError
        return found

    def _opened(self) -> bytes | None:
        """What is in the records that are here; None if they are none, b"" if they end."""
        parts: list[bytes] = []
        is_open = False
        try:
            while part := self._session.read(RECORD_BYTES):
                parts.append(part)
        except ssl.SSLWantReadError:
            is_open = True
        except ssl.SSLEOFError:
            pass
        except ssl.SSLError as error:
            if not parts:
                raise ConnectionError(str(error)) from error
        self._answer()
        return None if is_open and not parts else b"".join(parts)

    def _answer(self) -> None:
        """What the protocol itself has to say, a new key perhaps."""
        if self._outgoing.pending:
            self._flush()

    def _flush(self) -> bool:
        """Give the kernel ciphertext; whether it has taken all there is."""
        while True:
            if not self._unsent:
                self._unsent = memoryview(self._outgoing.read())
                if not self._unsent:
                    return True
            try:
                sent = super().send(self._unsent)
            except BlockingIOError:
                return False
            self._unsent = self._unsent[sent:]


def _some(buffers: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    """As many of them as make a few records."""
    found: list[bytes | memoryview] = []
    size = 0
    for buffer in buffers:
        found.append(buffer)
        size += len(buffer)
        if size >= 4 * RECORD_BYTES:
            break
    return found
