"""tocsin.server.tls (OP-8): a socket that speaks TLS, judged by the library's own client."""

import socket
import ssl
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
import trio
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.model.errors import StartupError
from tocsin.server.limits import ConnectionGate, Lease
from tocsin.server.peers import Networks
from tocsin.server.settings import HttpLimits
from tocsin.server.tls import TlsFront, TlsSettings, check, tls_context, validity
from tocsin.server.tlssocket import PLAIN_HTTP, SLICE_BYTES, TlsSocket

AUTHORITY = trustme.CA()
LEAF = AUTHORITY.issue_cert("localhost")
CHAIN = LEAF.cert_chain_pems[0].bytes().decode()
KEY = LEAF.private_key_pem.bytes().decode()
SETTINGS = TlsSettings(CHAIN, KEY)
NOT_ITS_KEY = "tls: the key is not that of the first certificate, the server's own"
OTHER_KEY = trustme.CA().issue_cert("localhost").private_key_pem.bytes().decode()


def server_context() -> ssl.SSLContext:
    context = tls_context(SETTINGS)
    assert context is not None
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


class Client:
    """The far side: OpenSSL over memory, and a non-blocking socket."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = (context or client_context()).wrap_bio(
            self.incoming, self.outgoing, server_hostname="localhost"
        )

    def pump(self) -> None:
        """Carry what there is in both directions."""
        while data := self.outgoing.read():
            self.sock.sendall(data)
        try:
            while data := self.sock.recv(65_536):
                self.incoming.write(data)
        except BlockingIOError:
            return
        self.incoming.write_eof()

    async def handshake(self) -> None:
        while True:
            try:
                self.session.do_handshake()
            except ssl.SSLWantReadError:
                self.pump()
                await trio.lowlevel.checkpoint()
            else:
                self.pump()
                return

    def send(self, data: bytes) -> None:
        self.session.write(data)
        self.pump()

    def read(self) -> bytes:
        """All there is; ends where the server has said good-bye."""
        self.pump()
        found = b""
        try:
            while part := self.session.read(65_536):
                found += part
        except ssl.SSLWantReadError:
            pass
        return found


def sockets(stack: ExitStack, *, small: bool = False) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        stack.callback(sock.close)
        sock.setblocking(False)
    if small:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return ours, theirs


async def connected(stack: ExitStack, *, small: bool = False) -> tuple[TlsSocket, Client]:
    ours, theirs = sockets(stack, small=small)
    server, client = TlsSocket(ours, server_context()), Client(theirs)
    stack.callback(server.close)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.handshake)
            await server.handshake()
    client.pump()
    return server, client


async def test_bytes_both_ways() -> None:
    """What one side sends the other receives; nothing there is BlockingIOError."""
    with ExitStack() as stack:
        server, client = await connected(stack)
        with pytest.raises(BlockingIOError):
            server.recv(65_536)
        client.send(b"hello")
        assert server.recv(65_536) == b"hello"
        assert server.send(b"and you") == 7
        assert client.read() == b"and you"


async def test_nothing_waits_inside() -> None:
    """All that came is handed out at once, many records of it: the kernel would not say again
    that there is something."""
    with ExitStack() as stack:
        server, client = await connected(stack)
        for number in range(20):
            client.send(b"%d," % number)
        assert server.recv(65_536) == b"".join(b"%d," % number for number in range(20))
        assert not server.ahead


async def test_looking_takes_nothing() -> None:
    """MSG_PEEK leaves the bytes there, and says so; the end of the peer is seen by it."""
    with ExitStack() as stack:
        server, client = await connected(stack)
        client.send(b"next")
        assert server.recv(1, socket.MSG_PEEK) == b"n"
        assert server.ahead
        assert server.recv(65_536) == b"next"
        assert not server.ahead
        with pytest.raises(ssl.SSLWantReadError):
            client.session.unwrap()
        client.pump()
        assert server.recv(1, socket.MSG_PEEK) == b""


async def test_a_request_in_a_hurry() -> None:
    """What came along with the end of the handshake is there to be received."""
    with ExitStack() as stack:
        ours, theirs = sockets(stack)
        server, client = TlsSocket(ours, server_context()), Client(theirs)
        stack.callback(server.close)

        async def hurry() -> None:
            """Its last message of the handshake and the first of its own leave together."""
            while True:
                try:
                    client.session.do_handshake()
                except ssl.SSLWantReadError:
                    client.pump()
                    await trio.lowlevel.checkpoint()
                else:
                    client.send(b"GET /")
                    return

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hurry)
                await server.handshake()
        assert server.ahead
        assert server.recv(65_536) == b"GET /"


async def test_the_last_byte_leaves_last() -> None:
    """A kernel that does not take everything is known: one byte is owed until it has."""
    with ExitStack() as stack:
        server, client = await connected(stack, small=True)
        data = bytes(range(256)) * 4096
        sent = server.send(data)
        with pytest.raises(BlockingIOError):
            server.send(data[sent:])
        received = client.read()
        assert len(received) < sent <= len(received) + SLICE_BYTES
        while len(received) < len(data):
            received += client.read()
            try:
                sent += server.send(data[sent:]) if sent < len(data) else 0
            except BlockingIOError:
                continue
        assert sent == len(data)
        assert received == data


@settings(deadline=None, max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=70_000), min_size=1, max_size=12))
def test_any_frames_in_any_portions(frames: list[bytes]) -> None:
    """An outbox that is flushed as the kernel allows: every byte, in order, whatever sizes."""

    async def main() -> None:
        with ExitStack() as stack:
            server, client = await connected(stack, small=True)
            waiting = list(frames)
            received = b""
            while waiting:
                try:
                    sent = server.sendmsg(waiting)
                except BlockingIOError:
                    received += client.read()
                    continue
                while sent:
                    head = waiting.pop(0)
                    if len(head) > sent:
                        waiting.insert(0, head[sent:])
                        break
                    sent -= len(head)
            whole = b"".join(frames)
            while len(received) < len(whole):
                received += client.read()
            assert received == whole

    trio.run(main)


async def test_the_end_is_said() -> None:
    """A socket that is closed says so in the protocol, so that nobody can cut an answer short."""
    with ExitStack() as stack:
        server, client = await connected(stack)
        server.send(b"last")
        server.close()
        client.pump()
        assert client.session.read(100) == b"last"
        assert client.session.read(100) == b""  # cut short, it would raise


async def test_nonsense_is_an_error() -> None:
    """Bytes that are no record, after the handshake: an OSError, as of a connection reset."""
    with ExitStack() as stack:
        server, client = await connected(stack)
        client.sock.sendall(b"\x17\x03\x03\x00\x05nope!")
        with pytest.raises(ConnectionError):
            server.recv(65_536)


class Served:
    """What comes behind the front, and what was said of failures."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.reasons: list[str] = []
        self.kinds: list[type] = []
        self.gate = ConnectionGate(HttpLimits(), Networks([]))
        self.front = TlsFront(self.serve, context, timeout=5, on_failure=self.reasons.append)

    async def serve(self, sock: socket.socket, _peer: str, lease: Lease) -> None:
        self.kinds.append(type(sock))
        await trio.lowlevel.checkpoint()
        sock.close()
        lease.finish()

    async def take(self, sock: socket.socket) -> None:
        """Have a connection served to its end."""
        lease = self.gate.admit("192.0.2.1")
        assert lease is not None
        await self.front.serve_connection(sock, "192.0.2.1", lease)
        assert self.gate.open == 0
        assert sock.fileno() == -1


def tcp_pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    for sock in (server, client):
        stack.callback(sock.close)
        sock.setblocking(False)
    return server, client


async def test_front_shakes_hands(nursery: trio.Nursery) -> None:
    """OP-8: behind it is a socket that speaks TLS."""
    served = Served(server_context())
    with ExitStack() as stack:
        server, client = tcp_pair(stack)
        nursery.start_soon(Client(client).handshake)
        await served.take(server)
    assert served.kinds == [TlsSocket]
    assert served.reasons == []


async def test_front_lets_plain_ones_pass() -> None:
    """Without a certificate, and on a socket that is a file, connections are what they are."""
    for context in (None, server_context()):
        served = Served(context)
        with ExitStack() as stack:
            pair = tcp_pair(stack) if context is None else sockets(stack)
            await served.take(pair[0])
        assert served.kinds == [socket.socket]


async def test_front_tells_who_speaks_http(nursery: trio.Nursery) -> None:
    """A request in the clear is answered so that whoever sent it sees the mistake."""
    served = Served(server_context())
    with ExitStack() as stack:
        server, client = tcp_pair(stack)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await served.take(server)
        await trio.lowlevel.wait_readable(client)
        assert client.recv(1000) == PLAIN_HTTP
    assert served.reasons == ["plain_http"]
    assert served.kinds == []


@pytest.mark.parametrize(
    ("said", "reason"), [(b"SSH-2.0-x\r\n", "protocol"), (b"", "hangup"), (b"\x16\x03", "hangup")]
)
async def test_front_sends_others_away(said: bytes, reason: str) -> None:
    """Who does not speak TLS, or leaves in the midst of it, costs a closed connection."""
    served = Served(server_context())
    with ExitStack() as stack:
        server, client = tcp_pair(stack)
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        await served.take(server)
    assert served.reasons == [reason]


async def test_front_waits_for_a_while(autojump_clock: trio.testing.MockClock) -> None:
    """Who says nothing is given up after the time for a head."""
    served = Served(server_context())
    with ExitStack() as stack:
        server, _client = tcp_pair(stack)
        await served.take(server)
    assert served.reasons == ["timeout"]


def test_certificates_are_checked() -> None:
    """OP-6, OP-7: what cannot be served with is said in one line, before anything uses it."""
    assert check(SETTINGS) == []
    assert check(TlsSettings()) == []
    assert check(TlsSettings(CHAIN, "")) == ["tls.key: must be set, too"]
    assert check(TlsSettings("", KEY)) == ["tls.certificate: must be set, too"]
    assert check(TlsSettings(CHAIN, OTHER_KEY)) == [NOT_ITS_KEY]
    [problem] = check(TlsSettings("/etc/tocsin/cert.pem", KEY))
    assert problem.startswith("tls.certificate: is no PEM text")
    [first, second] = check(TlsSettings(KEY, CHAIN))
    assert first == "tls.certificate: holds no certificate; is it mixed up with tls.key?"
    assert second == "tls.key: holds no private key; is it mixed up with tls.certificate?"
    trusted = CHAIN.replace("BEGIN CERT", "BEGIN TRUSTED CERT").replace(
        "END CERT", "END TRUSTED CERT"
    )
    assert "trusted form" in check(TlsSettings(trusted, KEY))[0]
    locked = KEY.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
    assert check(TlsSettings(CHAIN, locked))[0].startswith("tls.key: is encrypted")
    broken = CHAIN.replace(CHAIN.splitlines()[3], "?" * 64)
    assert check(TlsSettings(broken, KEY)) == ["tls: certificate and key cannot be read"]


def test_no_certificate_no_context() -> None:
    """Without settings connections are plain, and there is nothing that ends."""
    assert tls_context(TlsSettings()) is None
    assert validity(TlsSettings()) is None
    with pytest.raises(StartupError):
        tls_context(TlsSettings(CHAIN, OTHER_KEY))


def test_when_it_is_over() -> None:
    """OP-16: the day the certificate names."""
    leaf = AUTHORITY.issue_cert("localhost", not_after=datetime(2031, 5, 4, tzinfo=UTC))
    chain = leaf.cert_chain_pems[0].bytes().decode()
    valid = validity(TlsSettings(chain, "x"))
    assert valid is not None
    assert valid[0] < valid[1] == datetime(2031, 5, 4, tzinfo=UTC).timestamp()


def test_old_versions_are_refused() -> None:
    """`tls.minimum` is what the context was told."""
    newest = tls_context(TlsSettings(CHAIN, KEY, "1.3"))
    assert newest is not None
    assert newest.minimum_version is ssl.TLSVersion.TLSv1_3
    assert server_context().minimum_version is ssl.TLSVersion.TLSv1_2
