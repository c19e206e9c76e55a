"""`/v1/messaging` of the real daemon (messaging.md, section 11)."""

from pathlib import Path
from typing import Any

import pytest
import trio
from tests.end_to_end.daemon import Daemon, token, until
from tests.end_to_end.talkers import (
    Rest,
    device_of,
    direct,
    join,
    open_room,
    operator,
    pass_of,
    send,
    talk,
    to_room,
)
from tests.fakes import raw_http, receiver
from tests.fakes.messaging_client import POLLING, Message

pytestmark = pytest.mark.end_to_end

AT_ONCE = {"messaging.resume_hold": 0}
PAGE = "https://page.example"
READ_OUTS = ("/log", "/channels", "/channels/r-1/subscribers", "/history?subscriber-id=b")
OVERSIGHT = ("/subscribers/alice", "/messages/0194", "/revoke")


def without(message: Message, *names: str) -> Message:
    """It without these members."""
    return {name: value for name, value in message.items() if name not in names}


async def test_what_anybody_is_answered(tmp_path: Path) -> None:
    """Section 11, CH-3 to CH-6, MS-6, MS-13: every path has a preflight that needs no token; every
    refusal is JSON of this face, readable by pages, with the status of its reason, and is not
    cached."""
    async with Daemon(tmp_path, {**AT_ONCE, "cors.origins": [PAGE]}) as daemon:
        good, admin = Rest(daemon, pass_of("alice")), operator(daemon)
        for path in (*READ_OUTS, *OVERSIGHT):
            asked = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
            preflight = await raw_http.fetch(
                daemon.public, "OPTIONS", f"/v1/messaging{path}", asked
            )
            assert (preflight.status, preflight.body) == (204, b"")
            assert preflight["Access-Control-Allow-Origin"] == PAGE
            assert "Authorization" in (preflight["Access-Control-Allow-Headers"] or "")
        nobody = await raw_http.fetch(daemon.public, "GET", "/v1/messaging/log", {"Origin": PAGE})
        refusals = [
            (401, "unauthorized", await Rest(daemon, "nonsense").get("/log")),
            (403, "forbidden", await Rest(daemon, token("alice")).get("/log")),
            (403, "forbidden", await good.get("/subscribers/alice")),
            (403, "forbidden", await good.call("POST", "/revoke", {"jti": "x"})),
            (400, "bad-request", await good.call("GET", "/log?access_token=twice")),
            (400, "bad-request", await good.get("/log", limit="many")),
            (400, "bad-request", await good.get("/history")),
            (400, "bad-request", await good.get("/history", subscriber_id="b", channel_id="c")),
            (404, "not-found", await good.get("/history", channel_id="r-1")),
            (404, "not-found", await good.get("/channels/r-1/subscribers")),
            (404, "not-found", await good.get("/nowhere")),
            (400, "bad-request", await admin.get("/subscribers/alice")),
            (404, "not-found", await admin.get("/subscribers/nobody", domain="local")),
            (404, "not-found", await admin.get("/messages/0194", domain="local")),
            (400, "bad-request", await admin.call("POST", "/revoke", {})),
            (400, "bad-request", await admin.call("POST", "/revoke", {"jti": "a", "token": "b"})),
            (413, "too-large", await admin.call("POST", "/revoke", {"jti": "x" * 1_100_000})),
        ]
        for status, code, answer in refusals:
            assert answer.status == status, (code, answer)
            assert answer.json()["error"]["code"] == code, answer
            assert set(answer.json()) == {"error"}
            assert set(answer.json()["error"]) == {"code", "text"}
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["cache-control"] == "no-store"
        assert (nobody.status, nobody["WWW-Authenticate"]) == (401, "Bearer")
        assert nobody["Access-Control-Allow-Origin"] == PAGE
        assert nobody["Access-Control-Expose-Headers"]
        challenge = refusals[0][2].headers["www-authenticate"]
        assert challenge == 'Bearer error="invalid_token"'
        wrong = await good.call("DELETE", "/log")
        assert (wrong.status, set(wrong.json())) == (405, {"error"})
        in_query = await raw_http.fetch(
            daemon.public, "GET", f"/v1/messaging/channels?access_token={pass_of('alice')}"
        )
        assert (in_query.status, in_query.body) == (200, b'{"channels":[]}')
        assert pass_of("alice").rpartition(".")[2] not in daemon.log


async def test_read_outs_are_what_connections_are_told(tmp_path: Path) -> None:
    """Section 11, MS-47, MS-62, MS-28, MS-30: a Log, Rooms, members and histories over REST are
    those of the messages of these names, without `type` and `reply-to`; pages lead to one another
    and `+` and `@` are themselves, raw or encoded."""
    async with Daemon(tmp_path, AT_ONCE) as daemon:
        async with talk(daemon, "+1@x") as alice, talk(daemon, "bob") as bob:
            room = await open_room(alice, "room", "bob")
            await join(bob, room)
            for number in range(7):
                last = await send(alice, direct("bob", f"d{number}", dedupe_id=f"k{number}"))
                await send(bob, to_room(room, f"r{number}", content_type="text/x"))
            await alice.until("delivery", message_id=last, status="received")
            read = Rest(daemon, pass_of("+1@x"))
            async with talk(daemon, "+1@x") as other:
                *entries, resumed = (await other.resume("")).messages
            whole = await read.found("/log")
            assert whole["messages"] == [without(one, "reply-to") for one in entries]
            assert (whole["cursor"], whole["complete"]) == (resumed["cursor"], True)
            assert whole["more"] is False
            assert await pages(read) == whole["messages"]

            listed = (await alice.ask({"type": "list-channels"})).one["channels"]
            assert (await read.found("/channels")) == {"channels": listed}
            members = (await alice.ask({"type": "list-subscribers", "channel-id": room})).one
            path = f"/channels/{room}/subscribers"
            found = await read.found(path)
            assert found["more"] is False
            assert by_id(found["subscribers"]) == by_id(members["subscribers"])
            first = found["subscribers"][0]["id"]
            rest = (await read.found(path, after=first))["subscribers"]
            assert rest == found["subscribers"][1:]
            raw = await read.call("GET", f"{path}?after=+1@x")
            assert raw.json() == await read.found(path, after="+1@x")

            for party in ({"subscriber-id": "bob"}, {"channel-id": room}):
                asked = await alice.ask({"type": "history", "limit": 3, **party})
                query = {name.replace("-", "_"): value for name, value in party.items()}
                page = await read.found("/history", limit=3, **query)
                told = without(asked.one, "type", "reply-to", *party)
                assert page == told
                assert (len(page["messages"]), page["more"]) == (3, True)
                before = page["messages"][0]["message-id"]
                older = await read.found("/history", before=before, **query)
                assert [len(older["messages"]), older["more"]] == [4, False]
        assert (await Rest(daemon, pass_of("eve")).get(path)).status == 404


def by_id(people: list[Message]) -> list[Message]:
    """In the order of their ids."""
    return sorted(people, key=lambda one: str(one["id"]))


async def pages(read: Rest) -> list[Message]:
    """The whole Log, a few entries at a time."""
    found: list[Message] = []
    page: dict[str, Any] = {"more": True}
    query: dict[str, str] = {}
    while page["more"]:
        page = await read.found("/log", limit=4, **query)
        assert len(page["messages"]) <= 4
        found += page["messages"]
        query["after"] = page["cursor"]
    return found


async def test_what_an_operator_sees(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Section 11: a subscriber as announced, with his connections and the size of his Log; a
    message's status for each recipient, with what each way has made of it, and no content."""
    hook = await receiver.start(nursery)
    async with Daemon(tmp_path, AT_ONCE) as daemon:
        await device_of(daemon, "bob").webhook_channel(hook.port)
        see = operator(daemon)
        async with talk(daemon, "alice", transport=POLLING) as alice, talk(daemon, "alice"):
            announce = {"type": "announce", "availability": "busy", "status": "at work"}
            assert (await alice.ask(announce)).is_ok
            room = await open_room(alice, "room", "bob")
            async with talk(daemon, "bob") as bob:
                await join(bob, room)
            secret = await send(alice, to_room(room, "a secret"))
            await until(lambda: len(hook.requests) == 2, "the webhook is called")
            found = await see.found("/subscribers/alice", domain="local")
            assert found["subscriber"] == {
                "id": "alice",
                "status": "at work",
                "availability": "busy",
                "administrator": False,
                "attributes": {},
            }
            kinds = sorted(one["transport"] for one in found["connections"])
            assert kinds == ["websocket-raw", "xhr-polling"]
            assert found["log"]["last"] in {one["cursor"] for one in found["connections"]}
            log = await Rest(daemon, pass_of("alice")).found("/log")
            assert found["log"]["entries"] == len(log["messages"])
            assert found["log"]["first"] == log["messages"][0]["cursor"]

            async def is_logged() -> bool:
                seen = await see.found(f"/messages/{secret}", domain="local")
                [recipient] = seen["recipients"]
                return bool(recipient["legs"])

            await until(is_logged, "the attempt is in the delivery log")
            answer = await see.get(f"/messages/{secret}", domain="local")
            [recipient] = answer.json()["recipients"]
            assert (recipient["subscriber-id"], recipient["status"]) == ("bob", "stored")
            assert len(recipient["legs"]) == 1
            assert b"secret" not in answer.body
            await Rest(daemon, pass_of("bob")).found("/log", after=await end_of(daemon, "bob"))
            await alice.until("delivery", message_id=secret, status="received")
            [recipient] = (await see.found(f"/messages/{secret}", domain="local"))["recipients"]
            assert recipient["status"] == "received"


async def end_of(daemon: Daemon, name: str) -> str:
    """The cursor of the last entry of his Log."""
    return str((await Rest(daemon, pass_of(name)).found("/log"))["cursor"])


async def test_domains_are_apart(tmp_path: Path) -> None:
    """MS-2, MS-66: the same ids in two domains are different people: messages, Rooms and histories
    do not cross; an operator of one sees and ends nothing in the other, one of all says where."""
    async with Daemon(tmp_path, AT_ONCE) as daemon:
        ours, theirs = pass_of("bob", domain="ours"), pass_of("bob", domain="theirs")
        async with (
            talk(daemon, "", bearer=pass_of("alice", domain="ours")) as alice,
            talk(daemon, "bob", bearer=ours) as bob,
            talk(daemon, "bob", bearer=theirs) as other,
        ):
            room = await open_room(alice, "room", "bob")
            sent = await send(alice, direct("bob", "ours"))
            assert (await bob.until("direct-message"))[-1]["message-id"] == sent
            joining = {"type": "join-channel", "channel-id": room}
            assert (await other.ask(joining)).error == "not-found"
            received = {"type": "delivery", "message-id": sent, "status": "read"}
            assert (await other.ask(received)).error == "not-found"
            history = await other.ask({"type": "history", "subscriber-id": "alice"})
            assert history.one["messages"] == []
            foreign = (await other.resume(bob.cursor)).messages
            assert [one["type"] for one in foreign] == ["resumed"]
            assert (foreign[0]["complete"], foreign[0]["count"]) == (False, 0)

            here = Rest(daemon, pass_of("op", "admin", domain="ours"))
            there = Rest(daemon, pass_of("op", "admin", domain="theirs"))
            everywhere = operator(daemon)
            assert (await here.get(f"/messages/{sent}")).status == 200
            assert (await there.get(f"/messages/{sent}")).status == 404
            assert (await there.get(f"/messages/{sent}", domain="ours")).status == 403
            assert (await everywhere.get(f"/messages/{sent}", domain="ours")).status == 200
            assert (await everywhere.get(f"/messages/{sent}", domain="theirs")).status == 404
            log = (await there.found("/subscribers/bob"))["log"]
            assert log == {"first": None, "last": None, "entries": 0}
            assert (await there.call("POST", "/revoke", {"subscriber-id": "bob"})).status == 204
            assert await other.ended() == (3000, "Unauthorized")
            await send(alice, direct("bob", "still here"))
            await bob.until("direct-message", content="still here")


async def test_asking_too_often(tmp_path: Path) -> None:
    """Section 12, section 11: read-outs count as the subscriber's messages do: past the burst 429
    with `Retry-After`."""
    slow = {**AT_ONCE, "messaging.limits.rate": 0.1, "messaging.limits.burst": 5}
    async with Daemon(tmp_path, slow) as daemon:
        read = Rest(daemon, pass_of("alice"))
        begun = trio.current_time()
        answers = [await read.get("/channels") for _ in range(20)]
        regained = 0.1 * (trio.current_time() - begun)
        refused = [one for one in answers if one.status != 200]
        assert [one.status for one in answers[:5]] == [200] * 5
        assert 15 - regained <= len(refused) <= 15
        for one in refused:
            assert (one.status, one.json()["error"]["code"]) == (429, "rate-limited")
            assert 1 <= int(one.headers["retry-after"]) <= 10
