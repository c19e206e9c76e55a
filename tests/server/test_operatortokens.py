"""The operator API: revoking tokens, over the wire (SE-3, CH-13)."""

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trio
from structlog.testing import capture_logs
from tests.fakes.daemon import (
    CHANNELS,
    PUBLISH,
    USER,
    Answer,
    Daemon,
    daemon,
    dial,
    read_answer,
    request_bytes,
    token,
)
from tests.fakes.fault import Fault
from tests.fakes.notification_socket import UPGRADE, NotificationSocket, handshake
from tests.fakes.tokens import SECRET
from trio.testing import wait_all_tasks_blocked

from tocsin.delivery.revocations import By
from tocsin.model.channel import Channel, ChannelType
from tocsin.wire.jwk import shared_secret
from tocsin.wire.jwt import mint

INVALID = (401, "POL0001", ["token_invalid"])
MINE = {"jti": "mine", "client_id": "app"}


def later(user: str, scope: str = "channels", **more: Any) -> str:
    """A token issued after everything a test has done, by a clock that is ahead of ours."""
    claims = {"sub": user, "scope": scope, **more}
    return mint(claims, shared_secret(SECRET), now=time.time() + 10, lifetime=3600)


async def ask(
    running: Daemon, method: str, path: str, body: object = None, **options: Any
) -> Answer:
    """A request to the operator API, by an admin unless said otherwise."""
    address = running.app.admin_addresses[0]
    return await running.ask(
        method, f"/admin/v1/tokens/{path}", body, address=address, **{"scope": "admin", **options}
    )


async def revoke(running: Daemon, **named: str) -> None:
    """Revoke what is named, by somebody else; a subscriber in the only domain there is."""
    if "subscriber" in named:
        named["domain"] = "local"
    answer = await ask(running, "POST", "revoke", named, bearer=token("root", "admin"))
    assert (answer.status, answer.body) == (204, b"")


async def connect(running: Daemon, channel: dict[str, Any], bearer: str) -> NotificationSocket:
    """The socket of one of Alice's channels."""
    client = await handshake(running, channel["callbackURL"], bearer=bearer)
    assert isinstance(client, NotificationSocket), client
    return client


async def hold_poll(running: Daemon, channel: dict[str, Any], bearer: str) -> trio.SocketStream:
    """A connection on which a poll is held."""
    stream = await dial(running.public)
    target = channel["channelData"]["channelURL"]
    await stream.send_all(
        request_bytes("POST", target, headers=[("Authorization", f"Bearer {bearer}")])
    )
    with trio.fail_after(30):
        while not running.app._parts.sessions.all():
            await wait_all_tasks_blocked()
    await running.get(channel["resourceURL"])
    await wait_all_tasks_blocked()
    return stream


WAYS = ["token", "jti", "user", "client", "subscriber"]


@pytest.mark.parametrize("by", WAYS)
async def test_at_once(tmp_path: Path, by: str) -> None:
    """SE-3, MS-12, CH-13: before the answer the token is refused, on both listeners, its socket
    closed 4401, its poll answered 401; a token that has nothing to do with it keeps its own."""
    mine, other = token(**MINE), token("root", "admin", jti="other", client_id="crm")
    names = {"token": mine, "jti": "mine", "user": USER, "client": "app", "subscriber": USER}
    async with daemon(tmp_path) as running:
        channels = [await running.open_channel(correlator=c) for c in "ab"]
        polled = await running.open_channel(correlator="c", channelType="LongPolling")
        poll = await hold_poll(running, polled, mine)
        socket = await connect(running, channels[0], mine)
        spared = await connect(running, channels[1], other)
        assert (await running.get(CHANNELS, bearer=mine)).status == 200
        await revoke(running, **{by: names[by]})
        assert (await running.get(CHANNELS, bearer=mine)).refusal == INVALID
        assert (await ask(running, "GET", "revoked", bearer=mine)).refusal == INVALID
        assert (await read_answer(poll))[0].refusal == INVALID
        assert await socket.closed() == 4401
        again = await handshake(running, channels[0]["callbackURL"], bearer=mine)
        assert isinstance(again, Answer)
        assert again.refusal == INVALID
        assert await spared.is_alive()
        assert (await running.get(CHANNELS, bearer=other)).status == 200
        assert await running.metric(f'tocsin_revocations_total{{by="{by}"}}') == 1
        assert await running.metric('tocsin_ws_closed_total{code="4401"}') == 1
        for one in (poll, socket.stream, spared.stream):
            await trio.aclose_forcefully(one)


async def test_a_poll_that_was_cut_takes_nothing_with_it(tmp_path: Path) -> None:
    """CH-68: what comes afterwards is for the next poll, with another token."""
    mine = token(**MINE)
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(channelType="LongPolling")
        await running.subscribe(channel)
        poll = await hold_poll(running, channel, mine)
        await revoke(running, jti="mine")
        await running.publish("a")
        assert (await read_answer(poll))[0].refusal == INVALID
        answer = await running.get(channel["channelData"]["channelURL"])
        [found] = answer.json["notificationList"]
        assert found["chatMessageNotification"]["id"] == "a"
        await trio.aclose_forcefully(poll)


async def test_an_open_socket_that_has_outlived_its_token(tmp_path: Path) -> None:
    """CH-61, SE-3: a token that has expired still keeps a socket open, and is revoked as well."""
    old = token(**MINE, expires_in=-100)
    async with daemon(tmp_path, ws={"expired_token_grace": 1000}) as running:
        channel = await running.open_channel()
        socket = await connect(running, channel, old)
        await revoke(running, token=old)
        assert await socket.closed() == 4401
        again = await handshake(running, channel["callbackURL"], bearer=old)
        assert isinstance(again, Answer)
        assert again.refusal == INVALID
        await trio.aclose_forcefully(socket.stream)


@pytest.fixture
def revoking_late(monkeypatch: pytest.MonkeyPatch) -> Callable[[Daemon], None]:
    """Has a token revoked right behind the check that it is valid."""

    def begin(running: Daemon) -> None:
        directory = running.app._parts.directory
        account = directory.account

        async def revoking(user: str) -> Any:
            await running.app._parts.revocations.revoke(By.JTI, "mine")
            return await account(user)

        monkeypatch.setattr(directory, "account", revoking)

    return begin


async def test_revoked_while_the_101_is_on_its_way(
    tmp_path: Path, revoking_late: Callable[[Daemon], None]
) -> None:
    """SE-3: a socket that begins after its token was revoked is closed 4401 at once."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        revoking_late(running)
        socket = await connect(running, channel, token(**MINE))
        assert await socket.closed() == 4401
        await trio.aclose_forcefully(socket.stream)


async def test_revoked_before_a_poll_is_held(
    tmp_path: Path, revoking_late: Callable[[Daemon], None]
) -> None:
    """SE-3: it is not held, and the channel has no client by it."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(channelType="LongPolling")
        revoking_late(running)
        target = channel["channelData"]["channelURL"]
        assert (await running.get(target, bearer=token(**MINE))).refusal == INVALID
        assert len(running.app._parts.sessions) == 0


async def test_every_route_refuses_a_revoked_token(tmp_path: Path) -> None:
    """SE-2, SE-3: whatever it asks for, on either listener, with all scopes there are, before
    anything else is looked at."""
    everything = token(USER, "channels publish push messaging admin", **MINE)
    async with daemon(tmp_path, auth={"builtin": {"enabled": True}}) as running:
        await running.open_channel()
        before = await running.stored()
        await revoke(running, token=everything)
        public, admin = running.app._server, running.app._admin_server
        walked = 0
        for server, address in ((public, running.public), (admin, running.app.admin_addresses[0])):
            for route in [one for one in server._router.routes() if one.scope is not None]:
                path = route.pattern.replace("{user}", USER).replace("{", "").replace("}", "")
                answer = await running.ask(route.method, path, bearer=everything, address=address)
                assert answer.status == 401, route
                walked += 1
        assert walked > 50
        assert await running.stored() == before


async def test_sockets_in_the_query(tmp_path: Path) -> None:
    """CH-10: it does not matter where the token stands."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await revoke(running, jti="mine")
        query = f"?access_token={token(**MINE)}"
        answer = await handshake(running, channel["callbackURL"], query=query, bearer=None)
        assert isinstance(answer, Answer)
        assert answer.refusal == INVALID


async def test_over_a_restart(tmp_path: Path) -> None:
    """SE-3: it is in the store when it is answered, whatever becomes of the process then; a new
    token of the user is valid."""
    mine, older = token(**MINE), token("bob")
    async with daemon(tmp_path) as running:
        await revoke(running, token=mine)
        await revoke(running, user="bob")
    async with daemon(tmp_path) as running:
        assert (await running.get(CHANNELS, bearer=mine)).refusal == INVALID
        bobs = CHANNELS.replace(USER, "bob")
        assert (await running.get(bobs, bearer=older)).refusal == INVALID
        assert (await running.get(bobs, bearer=later("bob"))).status == 200
        assert await running.metric("tocsin_revocations_kept") == 2


async def test_a_store_that_fails(tmp_path: Path) -> None:
    """SE-12: 503, and the token is refused all the same; asked again, it is stored."""
    mine = token(**MINE)
    async with daemon(tmp_path) as running:
        fault = Fault(tmp_path / "tocsin.db")
        fault.begin("memo")
        answer = await ask(running, "POST", "revoke", {"token": mine})
        assert answer.refusal == (503, "SVC1000", [])
        assert (await running.get(CHANNELS, bearer=mine)).refusal == INVALID
        fault.end()
        fault.close()
        await revoke(running, token=mine)
    async with daemon(tmp_path) as running:
        assert (await running.get(CHANNELS, bearer=mine)).refusal == INVALID


@pytest.mark.parametrize(
    ("body", "member"),
    [
        (None, "body"),
        ([], "body"),
        ({}, "body"),
        ({"jti": "a", "user": "b"}, "body"),
        ({"jti": "a", "subject": "b"}, "subject"),
        ({"jti": ""}, "jti"),
        ({"jti": 5}, "jti"),
        ({"jti": "x" * 129}, "jti"),
        ({"user": None}, "user"),
        ({"user": "x" * 1025}, "user"),
        ({"client": ["a"]}, "client"),
        ({"subscriber": "a"}, "domain"),
        ({"subscriber": "a", "domain": ""}, "domain"),
        ({"subscriber": "x" * 129, "domain": "d"}, "subscriber"),
        ({"user": "a", "domain": "d"}, "domain"),
        ({"domain": "d"}, "body"),
        ({"token": "opaque"}, "token"),
        ({"token": "a.b.c"}, "token"),
        ({"token": "x" * 8193}, "token"),
    ],
)
async def test_refused(tmp_path: Path, body: object, member: str) -> None:
    """CH-4, CH-121: exactly one member, named where it is wrong; what can be no token of ours is a
    mistake, not a revocation."""
    async with daemon(tmp_path) as running:
        answer = await ask(running, "POST", "revoke", body)
        assert answer.refusal == (400, "SVC0002", [member])
        assert (await ask(running, "GET", "revoked")).json == {"revocations": [], "next": None}


async def test_full(tmp_path: Path) -> None:
    """SE-5: one more than configured is 503."""
    async with daemon(tmp_path, auth={"revocation": {"most": 1}}) as running:
        await revoke(running, jti="a")
        answer = await ask(running, "POST", "revoke", {"jti": "b"})
        assert answer.refusal == (503, "SVC1000", [])
        assert answer.headers["retry-after"] == "60"


async def test_the_list(tmp_path: Path) -> None:
    """OP-3: what is in force, in pages; tokens only by what they are known by."""
    mine = token()
    async with daemon(tmp_path) as running:
        for name in ({"user": "bob"}, {"client": "crm"}, {"token": mine}, {"jti": "j"}):
            await revoke(running, **name)
        first = (await ask(running, "GET", "revoked?limit=3")).json
        rest = (await ask(running, "GET", f"revoked?limit=3&after={quote(first['next'])}")).json
        found = [*first["revocations"], *rest["revocations"]]
        assert [one["by"] for one in found] == ["client", "token", "jti", "user"]
        assert rest["next"] is None
        assert all(one["at"] < one["expires_at"] for one in found)
        assert mine not in str(found)
        assert (await ask(running, "GET", "revoked?limit=0")).status == 400


async def test_the_log(tmp_path: Path) -> None:
    """OP-17, MS-13: who was meant, of a token the first 8 digits of its hash, and how many
    connections it was."""
    mine = token(**MINE)
    async with daemon(tmp_path) as running:
        with capture_logs() as lines:
            await revoke(running, token=mine)
            await revoke(running, user="bob")
        told = [one for one in lines if one["event"] == "token.revoked"]
        assert [(one["by"], one["closed"]) for one in told] == [("token", 0), ("user", 0)]
        assert len(told[0]["token"]) == 8
        assert told[1]["user"] == "bob"
        assert mine not in str(lines)


async def test_publishing_with_a_revoked_client(tmp_path: Path) -> None:
    """SE-3: a back end that has lost its secret is shut out by its name, and let in again with a
    token issued later."""
    async with daemon(tmp_path) as running:
        old, new = (make("crm", "publish", client_id="crm") for make in (token, later))
        await revoke(running, client="crm")
        assert (await running.post(PUBLISH, [], bearer=old)).refusal == INVALID
        assert (await running.post(PUBLISH, [], bearer=new)).status == 202


@pytest.fixture
def _many_descriptors() -> Iterator[None]:
    """Both ends of thousands of sockets are in this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


USERS, EACH = 100, 20


@pytest.mark.usefixtures("_many_descriptors")
async def test_thousands_of_sockets(tmp_path: Path) -> None:
    """MS-12: one revocation of a client closes all of its 2,000 sockets, of a hundred users, and
    leaves nothing in the index."""
    async with daemon(tmp_path) as running:
        sockets: list[NotificationSocket] = []

        async def open_all(user: str) -> None:
            bearer = token(user, client_id="app")
            mine = [await open_socket(running, user, bearer) for _ in range(EACH)]
            sockets.extend(mine)

        async with trio.open_nursery() as nursery:
            for number in range(USERS):
                nursery.start_soon(open_all, f"u{number}")
        assert running.app._parts.sessions.sockets == USERS * EACH
        await revoke(running, client="app")
        assert running.app._parts.sessions.sockets == 0
        codes = [await one.closed() for one in sockets]
        assert codes == [4401] * USERS * EACH
        with trio.fail_after(30):
            await running.app._parts.reactor.wait_empty()
        assert not running.app._parts.revocations._bearers._users._held
        for one in sockets:
            await trio.aclose_forcefully(one.stream)


async def open_socket(running: Daemon, user: str, bearer: str) -> NotificationSocket:
    """A new channel's, made on the short way."""
    parts = running.app._parts
    account = await parts.directory.account(user)
    channel = Channel(
        id=Channel.new_id(ChannelType.WEBSOCKETS),
        user=user,
        type=ChannelType.WEBSOCKETS,
        created_at=parts.clock(),
        client_correlator="tab",
        lifetime=3600,
    )
    channel.restart_clock(parts.clock())
    await parts.directory.open_channel(account, channel)
    target = f"{CHANNELS.replace(USER, user)}/{channel.id}/websocket"
    stream = await dial(running.public)
    headers = [("Authorization", f"Bearer {bearer}"), *UPGRADE]
    await stream.send_all(request_bytes("GET", target, headers=headers))
    answer, left = await read_answer(stream)
    assert answer.status == 101, answer
    client = NotificationSocket(stream)
    client.feed(left)
    return client
