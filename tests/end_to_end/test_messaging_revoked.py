"""Connections end with their tokens, on every transport (messaging.md, section 3)."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.talkers import Rest, direct, pass_of, revoke, send, talk
from tests.fakes import raw_http
from tests.fakes.introspection_server import IntrospectionServer, introspection_server
from tests.fakes.messaging_client import FRAMED, POLLING, RAW, TRANSPORTS, RefusedError
from tests.fakes.raw_http import Answer, RawWebSocket

pytestmark = pytest.mark.end_to_end

UNAUTHORIZED = (3000, "Unauthorized")
FORBIDDEN = (3003, "Forbidden")
CLOSING = b'c[3000,"Unauthorized"]\n'
FAR_AWAY = 4_000_000_000
PATIENT = {"messaging.sockjs.disconnect_delay": 60}
# Over by now, but for the leeway, of which some seconds are left.
ENDING = {"issued": -100, "lifetime": 78}


async def status_of(daemon: Daemon, bearer: str) -> int:
    """What a connection with this token is answered, 101 where it is let in."""
    try:
        async with talk(daemon, "", bearer=bearer):
            return 101
    except RefusedError as refused:
        return refused.answer.status


async def are_closed(daemon: Daemon, count: int) -> bool:
    """Whether so many have been closed because of their tokens."""
    return await daemon.metric("tocsin_messaging_closes_total", code="3000") == count


async def is_refused(daemon: Daemon, bearer: str) -> bool:
    """Whether it lets nobody in, neither by a socket nor to REST."""
    by_rest = (await Rest(daemon, bearer).get("/channels")).status
    return (by_rest, await status_of(daemon, bearer)) == (401, 401)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_revoked(tmp_path: Path, transport: str) -> None:
    """MS-8, MS-9, MS-12: revoked as a token, by its id or with all of its subscriber, a connection
    is closed 3000 on every transport, and lets nobody in again, not even after a SIGKILL; others
    are left alone; the subscriber comes back with a new token."""
    async with Daemon(tmp_path, {"messaging.resume_hold": 0}) as daemon:
        first, second = pass_of("alice", jti="first"), pass_of("alice", jti="second")
        third, other = pass_of("alice", jti="third"), pass_of("bob")
        async with (
            talk(daemon, "bob", bearer=other) as bob,
            talk(daemon, "alice", bearer=first, transport=transport) as one,
            talk(daemon, "alice", bearer=second, transport=transport) as two,
            talk(daemon, "alice", bearer=third, transport=transport) as three,
        ):
            await revoke(daemon, token=first)
            assert await one.ended() == UNAUTHORIZED
            await revoke(daemon, jti="second")
            assert await two.ended() == UNAUTHORIZED
            assert three.closing is None
            sent = await send(bob, direct("alice", "hello"))
            assert (await three.next("direct-message"))["message-id"] == sent
            await revoke(daemon, subscriber_id="alice")
            assert await three.ended() == UNAUTHORIZED
            await send(bob, direct("alice", "nobody there"))
            await until(lambda: are_closed(daemon, 3), "all three are counted")
            if transport == RAW:
                await daemon.kill()
        if transport == RAW:
            await daemon.start()
        assert [await is_refused(daemon, one) for one in (first, second, third)] == [True] * 3
        assert await status_of(daemon, other) == 101

        async def is_let_in() -> bool:
            return await status_of(daemon, pass_of("alice")) == 101

        await until(is_let_in, "the second is over in which it was revoked")
        async with talk(daemon, "alice", transport=transport) as back:
            replayed = (await back.resume("")).messages[:-1]
            assert [one["content"] for one in replayed] == ["hello", "nobody there"]
    assert first.rpartition(".")[2] not in daemon.log


class Session:
    """A polling session, request by request."""

    def __init__(self, daemon: Daemon, bearer: str, name: str = "s1") -> None:
        self._daemon = daemon
        self._bearer = bearer
        self._name = name

    async def poll(self, bearer: str | None = None, path: str = "xhr", body: bytes = b"") -> Answer:
        """One request, by another token if need be."""
        token = quote(bearer or self._bearer)
        target = f"/messaging/000/{self._name}/{path}?access_token={token}"
        return await raw_http.fetch(self._daemon.public, "POST", target, {}, body)


async def test_between_two_polls(tmp_path: Path) -> None:
    """MS-10, SJ-18: a polling session that is closed while nobody polls answers its dead token's
    polls with the `c` frame and drops what is sent, and 401 when disconnect_delay is over, however
    often it was polled; with the same token nothing begins anew."""
    async with Daemon(tmp_path, {"messaging.sockjs.disconnect_delay": 6}) as daemon:
        bearer = pass_of("alice")
        session = Session(daemon, bearer)
        assert (await session.poll()).body == b"o\n"
        assert b"welcome" in (await session.poll()).body
        await revoke(daemon, token=bearer)
        assert (await Session(daemon, bearer, "s2").poll()).status == 401
        assert (await session.poll(path="xhr_send", body=b'["x"]')).status == 204
        seen: list[tuple[int, bytes]] = []

        async def is_over() -> bool:
            answer = await session.poll()
            seen.append((answer.status, answer.body))
            return answer.status == 401

        await until(is_over, "the session is gone")
        assert seen[0] == (200, CLOSING)
        assert set(seen[:-1]) == {(200, CLOSING)}
        assert json.loads(seen[-1][1])["error"]["code"] == "unauthorized"


async def test_how_it_is_said(tmp_path: Path) -> None:
    """MS-9: a framed socket has its `c` frame and then the Close of the same code, a raw one the
    Close alone; a streaming response has the frame and ends."""
    async with Daemon(tmp_path, {"messaging.sockjs.prove_within": 0}) as daemon:
        bearer = pass_of("alice")
        query = f"access_token={bearer}"
        framed = await RawWebSocket.open(daemon.public, f"/messaging/0/s/websocket?{query}")
        raw = await RawWebSocket.open(daemon.public, f"/messaging/websocket?{query}")
        assert await framed.text() == "o"
        assert "welcome" in await framed.text()
        assert "welcome" in await raw.text()
        async with raw_http.connected(daemon.public) as streaming:
            await streaming.begin("POST", f"/messaging/0/s/xhr_streaming?{query}")
            assert [(await streaming.chunk())[:1] for _ in range(3)] == [b"h", b"o", b"a"]
            await revoke(daemon, token=bearer)
            assert [await streaming.chunk(), await streaming.chunk()] == [CLOSING, b""]
        said = [one async for one in frames_of(framed)]
        assert said == [("text", 'c[3000,"Unauthorized"]'), ("close", UNAUTHORIZED)]
        assert [one async for one in frames_of(raw)] == [("close", UNAUTHORIZED)]
        for one in (framed, raw):
            await one.aclose()


async def frames_of(socket: RawWebSocket) -> AsyncIterator[tuple[str, object]]:
    """Its frames up to the Close, without Pings."""
    kind = ""
    while kind != "close":
        kind, payload = await socket.frame()
        if kind != "ping":
            yield kind, payload


async def test_a_session_is_of_its_token(tmp_path: Path) -> None:
    """MS-8: another token gets 404 on a session id, to receive or to send, though it is one of the
    same subscriber; the session is unharmed."""
    async with Daemon(tmp_path, PATIENT) as daemon:
        session = Session(daemon, pass_of("alice"))
        assert (await session.poll()).body == b"o\n"
        for stranger in (pass_of("alice", jti="another"), pass_of("bob")):
            assert (await session.poll(stranger)).status == 404
            said = await session.poll(stranger, "xhr_send", b'["{}"]')
            assert said.status == 404
        assert (await session.poll("no.such.token")).status == 401
        assert b"welcome" in (await session.poll()).body


@pytest.mark.parametrize("transport", [FRAMED, POLLING])
async def test_an_expired_token(tmp_path: Path, transport: str) -> None:
    """MS-9: a connection is cut when its token would no longer be let in, and not before; what it
    was asked by then was done."""
    async with Daemon(tmp_path) as daemon:
        short = pass_of("alice", **ENDING)
        async with talk(daemon, "alice", bearer=short, transport=transport) as alice:
            sent = await send(alice, direct("bob", "in time"))
            assert await status_of(daemon, short) == 101
            assert await alice.ended() == UNAUTHORIZED
            assert await is_refused(daemon, short)
        log = await Rest(daemon, pass_of("bob")).found("/log")
        assert [one["message-id"] for one in log["messages"]] == [sent]


async def test_expired_and_left_alone(tmp_path: Path) -> None:
    """MS-9: with `cut_on_token_expiry` off, a connection outlives its token."""
    async with Daemon(tmp_path, {"messaging.cut_on_token_expiry": False}) as daemon:
        short = pass_of("alice", **ENDING)
        async with talk(daemon, "alice", bearer=short) as alice:

            async def is_expired() -> bool:
                return await status_of(daemon, short) == 401

            await until(is_expired, "the token is over")
            await send(alice, direct("bob", "still here"))


@asynccontextmanager
async def asked(
    tmp_path: Path, **more: object
) -> AsyncIterator[tuple[Daemon, IntrospectionServer]]:
    """A daemon that asks about tokens, as often as it may."""
    async with introspection_server() as server:
        settings = {
            "auth.introspection.url": server.url,
            "auth.introspection.client_id": "tocsin",
            "auth.introspection.client_secret": "secret",
            "auth.introspection.cache": 0,
            "messaging.recheck": 1,
            "messaging.resume_hold": 0,
            **more,
        }
        async with Daemon(tmp_path, settings) as daemon:
            yield daemon, server


async def asked_again(server: IntrospectionServer, bearer: str) -> None:
    """It has been asked about a token once more, and that was answered."""
    before = server.asked.count(bearer)
    await until(
        lambda: server.asked.count(bearer) > before + 1 and not server.under_way, "it asks again"
    )


@pytest.mark.parametrize("transport", [RAW, POLLING])
async def test_rechecked(tmp_path: Path, transport: str) -> None:
    """MS-7, MS-11: while its issuer cannot be asked, live connections stay and no new one is let
    in; one whose token is over for him is closed 3000, one without the scope or whose subscriber
    is not active 3003; an opaque token is asked about once, however many live by it."""
    async with asked(tmp_path) as (daemon, server):
        claims = {"scope": "messaging", "exp": FAR_AWAY}
        server.tokens = {name: {**claims, "sub": name} for name in ("over", "less", "off", "good")}
        connect = [talk(daemon, name, bearer=name, transport=transport) for name in server.tokens]
        async with connect[0] as over, connect[1] as less, connect[2] as off, connect[3] as good:
            async with talk(daemon, "good", bearer="good"):
                server.status = "503 Service Unavailable"
                await asked_again(server, "good")
                assert await status_of(daemon, "good") == 503
                rounds = {server.asked.count(name) for name in ("over", "off")}
                assert max(rounds) - min(rounds) <= 1
            await send(good, direct("over", "hello"))
            await over.until("direct-message", content="hello")
            server.status = "200 OK"
            del server.tokens["over"]
            server.tokens["less"]["scope"] = "channels"
            server.tokens["off"]["subscriber_active"] = False
            assert await over.ended() == UNAUTHORIZED
            assert [await less.ended(), await off.ended()] == [FORBIDDEN] * 2
            assert good.closing is None
            assert [await status_of(daemon, one) for one in ("less", "off")] == [403, 403]


async def test_signed_tokens_are_asked_about_if_wanted(tmp_path: Path) -> None:
    """MS-7, MS-11: with `introspect_jwt` a signed token that its issuer does not stand by lets
    nobody in, and a connection ends when he does not any more; without, he is not asked."""
    bearer = pass_of("alice")
    async with asked(tmp_path, **{"messaging.introspect_jwt": True}) as (daemon, server):
        assert await status_of(daemon, bearer) == 401
        server.tokens[bearer] = {"sub": "alice", "scope": "messaging", "exp": FAR_AWAY}
        async with talk(daemon, "alice", bearer=bearer) as alice:
            del server.tokens[bearer]
            assert await alice.ended() == UNAUTHORIZED


@pytest.mark.parametrize(
    ("said", "closing", "refused"),
    [(None, CLOSING, 401), ({"scope": "channels"}, b'c[3003,"Forbidden"]\n', 403)],
)
async def test_a_poll_finds_out(
    tmp_path: Path, said: dict[str, str] | None, closing: bytes, refused: int
) -> None:
    """MS-9, MS-10: where a poll is the first to find that its token is good no longer, its session
    is closed and says so, for clients of SockJS see no status; a new session is refused by it."""
    async with asked(tmp_path, **PATIENT, **{"messaging.recheck": 3600}) as (daemon, server):
        server.tokens["t"] = {"sub": "alice", "scope": "messaging", "exp": FAR_AWAY}
        session = Session(daemon, "t")
        assert (await session.poll()).body == b"o\n"
        assert b"welcome" in (await session.poll()).body
        if said is None:
            del server.tokens["t"]
        else:
            server.tokens["t"] |= said
        answers = [await session.poll() for _ in range(2)]
        assert [(one.status, one.body) for one in answers] == [(200, closing)] * 2
        assert (await Session(daemon, "t", "s2").poll()).status == refused
