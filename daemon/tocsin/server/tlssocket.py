"""A socket that speaks TLS, behind the calls of a plain one (OP-8).

OpenSSL works on two buffers in memory, so that nothing here waits: `TlsSocket` is what HTTP and
the reactor already know, a non-blocking socket that sends, receives, and says `BlockingIOError`.
Two things make it one:

- What the kernel has given is decrypted whole and handed out, so that nothing waits inside while
  the kernel has nothing more to say. What does, after a look with `MSG_PEEK` or from the
  handshake, is `ahead`.
- Bytes are `sent` when the kernel has taken all of their ciphertext. Until then the last one of
  them is said not to have left, so whoever sends knows that something is to be flushed.
- No more is encrypted than a slice beyond what the kernel takes, so that a slow reader costs no
  second copy of what waits for it.
"""

import contextlib
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final

import trio

RECORD_BYTES: Final = 16_384
SLICE_BYTES: Final = 4 * RECORD_BYTES
PLAIN_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: 32\r\n\r\nThis port speaks https, not http"
)
PLAIN: Final = "plain HTTP"
METHODS: Final = (b"GET ", b"POST", b"PUT ", b"DELE", b"OPTI", b"HEAD", b"PATC")


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
                pass
            except ssl.SSLError:
                # Why, as far as the kernel takes it at once.
                self._flush()
                raise
            else:
                await self._drain()
                # A client in a hurry has sent its request along.
                self._ahead = self._opened() or b""
                return
            await self._drain()
            await self._fill()

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
        """As of a plain socket: how many bytes have left, as the kernel took them, or one less."""
        sent = 0
        if self._owes:
            if not self._flush():
                raise BlockingIOError
            self._owes = False
            sent = 1
        view = memoryview(data)
        while sent < len(view):
            part = view[sent : sent + SLICE_BYTES]
            try:
                self._session.write(part)
            except ssl.SSLError as error:
                raise ConnectionError(str(error)) from error
            sent += len(part)
            if not self._flush():
                self._owes = True
                return sent - 1
        return sent

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
        if size >= SLICE_BYTES:
            break
    return found
