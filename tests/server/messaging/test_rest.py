"""What a subscriber reads over REST, and how this face refuses (messaging.md, section 11)."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import trio
import trio.testing
from tests.fakes.messaging_rest import RestWorld, admin, of, rest_world, told
from tests.fakes.tokens import NOW

from tocsin.messaging.settings import MessagingLimits
from tocsin.server.messaging.rest import PREFIX
from tocsin.store.mail import LogPage
from tocsin.wire.messaging.words import Availability

LARGE = "x" * 60_000


@pytest.fixture
async def world(nursery: trio.Nursery) -> AsyncIterator[RestWorld]:
    async with rest_world(nursery) as made:
        yield made


# -- the Log ---------------------------------------------------------------------------------------


async def test_the_log(world: RestWorld) -> None:
    """MS-46, MS-60, MS-62: without `after` the oldest; whole messages with type and cursor, in
    order, those of the reader with their `dedupe-id`; nothing of anybody else."""
    alice, bob = await world.people("alice", "bob")
    sent = await world.say(alice, "bob", "hi")
    again = await world.ask(
        bob, type="direct-message", subscriber_id="alice", content="ho", dedupe_id="d1"
    )
    log = await world.get("/log", "bob")
    first, second = log["messages"]
    assert (first["type"], first["message-id"], first["cursor"]) == ("direct-message", sent, "e1:1")
    assert (second["message-id"], second["dedupe-id"]) == (again.one["message-id"], "d1")
    assert "reply-to" not in first
    assert (log["cursor"], log["complete"], log["more"]) == ("e1:2", True, False)
    nobody = await world.get("/log", "carol")
    assert nobody == {"messages": [], "cursor": "e1:0", "complete": True, "more": False}
    other = await world.get("/log", "bob", domain="other")
    assert other["messages"] == []


async def test_nobody_reads_on_for_who_has_hung_up(
    world: RestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SE-5: a page is not waited for any more when its client has gone."""
    await world.people("bob")
    gone = trio.Event()

    async def log_page(*_place: int, **_bounds: int) -> LogPage:
        try:
            await trio.sleep_forever()
        finally:
            gone.set()
        raise AssertionError("nobody wakes it")

    monkeypatch.setattr(world.store, "log_page", log_page)
    client = await world.front.connect_tcp()
    request = f"GET {PREFIX}/log HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {of('bob')}\r\n\r\n"
    await client.send(request.encode())
    await trio.testing.wait_all_tasks_blocked()
    client.reset()
    with trio.fail_after(30):
        await gone.wait()


async def test_pages_of_the_log(world: RestWorld) -> None:
    """MS-28, MS-30: `limit` is clamped to 100 entries, and 512 KiB are enough; the cursor of a
    page leads to the next, and all of them are everything, once and in order."""
    alice, _ = await world.people("alice", "bob")
    contents = [str(number) for number in range(120)] + [LARGE] * 12
    for content in contents:
        await world.say(alice, "bob", content)
    found: list[str] = []
    sizes, after, more = [], "", True
    while more:
        page = await world.get(f"/log?limit=5000&after={after}", "bob")
        found += [one["content"] for one in page["messages"]]
        sizes.append(len(page["messages"]))
        after, more = page["cursor"], page["more"]
        assert page["complete"]
    assert found == contents
    assert sizes == [100, 28, 4]
    page = await world.get("/log?limit=3&after=e1:2", "bob")
    assert [one["cursor"] for one in page["messages"]] == ["e1:3", "e1:4", "e1:5"]
    assert (page["cursor"], page["more"]) == ("e1:5", True)
    at_the_end = await world.get("/log?after=e1:132", "bob")
    assert at_the_end == {"messages": [], "cursor": "e1:132", "complete": True, "more": False}


@pytest.mark.parametrize("after", ["e0:1", "e1:4", "e1:01", "hello", "e1:-1", "1"])
async def test_cursors_of_no_use(world: RestWorld, after: str) -> None:
    """MS-63, MS-61: another epoch, beyond the end, not one of ours: nothing is guessed, and nothing
    proven; the cursor of the answer is where a connection is fed from that did not resume."""
    alice, _ = await world.people("alice", "bob")
    for number in range(3):
        await world.say(alice, "bob", str(number))
    page = await world.get(f"/log?after={after}", "bob")
    assert page == {"messages": [], "cursor": "e1:0", "complete": False, "more": True}
    assert world.receipts._gathered == {}
    await world.get("/log?after=e1:0", "bob")
    assert world.receipts._gathered == {}
    for proven, more in ((2, True), (3, False)):
        await world.get(f"/log?after=e1:{proven}", "bob")
        world.receipts.flush()
        page = await world.get(f"/log?after={after}", "bob")
        assert (page["cursor"], page["more"]) == (f"e1:{proven}", more)


async def test_a_log_that_was_trimmed(nursery: trio.Nursery) -> None:
    """MS-63: it no longer reaches back to the cursor: what is left, and that it is not complete;
    whoever asks for the oldest has it."""
    async with rest_world(nursery) as world:
        world.store.most_entries = 3
        alice, _ = await world.people("alice", "bob")
        for number in range(5):
            await world.say(alice, "bob", str(number))
        for after, complete, contents in (
            ("e1:1", False, "234"),
            ("e1:2", True, "234"),
            ("e1:3", True, "34"),
            ("", True, "234"),
        ):
            page = await world.get(f"/log?after={after}", "bob")
            assert "".join(one["content"] for one in page["messages"]) == contents
            assert page["complete"] is complete


async def test_what_reading_the_log_proves(world: RestWorld) -> None:
    """MS-53 to MS-55, CH-3: that the device named has what is up to `after`, nothing of what it is
    given now; the sender is told, once."""
    alice, bob = await world.people("alice", "bob")
    first, second = [await world.say(alice, "bob", text) for text in "ab"]
    await world.get("/log", "bob")
    world.receipts.flush()
    assert await _statuses(world, alice.subscriber) == []
    for _ in range(2):
        await world.get("/log?after=e1:1&correlator=phone%2B1", "bob")
    [(device, proof)] = world.receipts._gathered.items()
    assert (device, proof.upto) == ((bob.subscriber.key, "phone+1"), 1)
    world.receipts.flush()
    assert await _statuses(world, alice.subscriber) == [(first, "received")]
    await world.get("/log?after=e1:2", "bob")
    world.receipts.flush()
    assert await _statuses(world, alice.subscriber) == [(first, "received"), (second, "received")]


async def _statuses(world: RestWorld, subscriber: Any) -> list[tuple[str, str]]:
    log = await world.log_of(subscriber)
    return [(one["message-id"], one["status"]) for one in log if one["type"] == "delivery"]


# -- Rooms and histories ---------------------------------------------------------------------------


async def test_rooms(world: RestWorld) -> None:
    """MS-30 and the models of section 6: own memberships, with attributes where there are any."""
    alice, bob = await world.people("alice", "bob")
    first = await world.create(alice, "Day", attributes=b'{"a":1}')
    second = await world.create(bob, "Night")
    await world.join(alice, second)
    assert await world.get("/channels", "alice") == {
        "channels": [
            {"channel-id": first, "name": "Day", "administrator": True, "attributes": {"a": 1}},
            {"channel-id": second, "name": "Night", "administrator": False},
        ]
    }
    assert await world.get("/channels", "carol") == {"channels": []}


async def test_members(world: RestWorld) -> None:
    """MS-42: members as members see them, a hundred at a time by their ids; for members only."""
    alice, *others = await world.people("alice", *(f"m{number:03}" for number in range(150)))
    room_id = await world.room_of(alice, *others)
    world.announce(others[0], Availability.BUSY, "in a call")
    page = await world.get(f"/channels/{room_id}/subscribers", "alice")
    first, second, *_ = page["subscribers"]
    assert (len(page["subscribers"]), page["more"]) == (100, True)
    assert (first["id"], first["administrator"]) == ("alice", True)
    assert (second["status"], second["availability"]) == ("in a call", "busy")
    last = page["subscribers"][-1]["id"]
    page = await world.get(f"/channels/{room_id}/subscribers?after={last}", "m149")
    assert [one["id"] for one in page["subscribers"]] == [f"m{n:03}" for n in range(99, 150)]
    assert not page["more"]
    for who, name in (("carol", room_id), ("alice", "r-none")):
        path = f"/channels/{name}/subscribers"
        assert await world.refused("GET", path, of(who)) == (404, "not-found")


async def test_history(world: RestWorld) -> None:
    """MS-23, MS-28: of a conversation of two, or of a Room one is in; bounds as in a `history`."""
    alice, bob = await world.people("alice", "bob")
    room_id = await world.room_of(alice, bob)
    sent = [await world.say(alice, "bob", text) for text in "abc"]
    said = await world.say_in(bob, room_id)
    page = await world.get("/history?subscriber-id=bob&limit=2", "alice")
    assert [one["message-id"] for one in page["messages"]] == sent[1:]
    assert page["more"]
    assert page["messages"][0]["status"] == "stored"
    assert not {"type", "cursor"} & page["messages"][0].keys()
    page = await world.get(f"/history?subscriber-id=bob&after={sent[1]}", "alice")
    assert [one["message-id"] for one in page["messages"]] == sent[2:]
    page = await world.get(f"/history?channel-id={room_id}", "alice")
    assert [one["message-id"] for one in page["messages"]] == [said]
    assert await world.get("/history?subscriber-id=nobody", "alice") == {
        "messages": [],
        "more": False,
    }
    for query, told_ in (
        ("", (400, "bad-request")),
        (f"subscriber-id=bob&channel-id={room_id}", (400, "bad-request")),
        ("subscriber-id=bob&before=1&after=2", (400, "bad-request")),
        ("subscriber-id=alice", (400, "bad-request")),
        ("channel-id=r-none", (404, "not-found")),
    ):
        assert await world.refused("GET", f"/history?{query}", of("alice")) == told_
    assert await world.refused("GET", f"/history?channel-id={room_id}", of("carol")) == (
        404,
        "not-found",
    )


# -- refusals --------------------------------------------------------------------------------------

RESOURCES = [
    ("GET", "/log"),
    ("GET", "/channels"),
    ("GET", "/channels/r-1/subscribers"),
    ("GET", "/history"),
    ("GET", "/subscribers/12"),
    ("GET", "/messages/1"),
    ("POST", "/revoke"),
]


async def test_two_headers(world: RestWorld) -> None:
    """MS-4, MS-6: two `Authorization` headers are a token twice, told in the words of this face."""
    token = of("12")
    again = (f"authorization: bearer {token}",)
    answer = await world.http("GET", "/log", token, headers=again)
    assert told(answer) == (400, "bad-request")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_request"'


@pytest.mark.parametrize(("method", "path"), RESOURCES)
async def test_whoever_may_not(world: RestWorld, method: str, path: str) -> None:
    """MS-4, MS-6 and the table of section 3, on every resource: 401, 400 for a token in two
    places, 403; no scope stands in for another."""
    scope = "messaging" if path.split("/")[1] in {"log", "channels", "history"} else "admin"
    other = "admin" if scope == "messaging" else "messaging"
    mine = of("12", scope=scope)
    for token, query, told_, challenge in (
        (None, "", (401, "unauthorized"), "Bearer"),
        ("typo", "", (401, "unauthorized"), 'Bearer error="invalid_token"'),
        (mine, f"?access_token={mine}", (400, "bad-request"), 'Bearer error="invalid_request"'),
        (of("12", scope=other), "", (403, "forbidden"), 'Bearer error="insufficient_scope"'),
        (
            of("12", scope=scope, active=False),
            "",
            (403, "forbidden"),
            'Bearer error="insufficient_scope"',
        ),
        (
            of("12", scope=scope, domain=""),
            "",
            (401, "unauthorized"),
            'Bearer error="invalid_token"',
        ),
        (of("12", exp=NOW - 30), "", (401, "unauthorized"), 'Bearer error="invalid_token"'),
    ):
        answer = await world.http(method, f"{path}{query}", token)
        assert told(answer) == told_
        assert answer.headers["www-authenticate"] == challenge
        assert answer.headers["access-control-allow-origin"] == "*"
    assert (await world.http(method, f"{path}?access_token={mine}")).status in {200, 400, 404}


async def test_whoever_is_no_subscriber(world: RestWorld) -> None:
    """MS-7: an operator need not be one; to read a Log one must."""
    nobody = {"sub": "a\tb", "preferred_username": "x"}
    assert (await world.refused("GET", "/log", of("", **nobody)))[0] == 401
    assert (await world.refused("GET", "/messages/1", admin(**nobody)))[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "", 404, "not-found"),
        ("GET", "/", 404, "not-found"),
        ("GET", "/logs", 404, "not-found"),
        ("GET", "/channels/a%2", 404, "not-found"),
        ("POST", "/log", 405, "not-found"),
        ("GET", "/revoke", 405, "not-found"),
    ],
)
async def test_no_such_resource(
    world: RestWorld, method: str, path: str, status: int, code: str
) -> None:
    """MS-6, CH-3, CH-8: in the words of this face, with CORS, before any token is asked for."""
    answer = await world.http(method, path)
    assert told(answer) == (status, code)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert ("allow" in answer.headers) is (status == 405)


async def test_preflights(world: RestWorld) -> None:
    """CH-6: every path, without a token."""
    for _, path in RESOURCES:
        answer = await world.http("OPTIONS", path, headers=("Origin: https://app.example",))
        assert (answer.status, answer.body) == (204, b"")
        assert "GET" in answer.headers["access-control-allow-methods"]
        assert "Authorization" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("path", ["/log?limit=x", "/channels/r-1/subscribers?after="])
async def test_bad_queries(world: RestWorld, path: str) -> None:
    """MS-15, section 4: what is wrong with a parameter."""
    assert await world.refused("GET", path, of("12")) == (400, "bad-request")


@pytest.mark.parametrize(
    ("body", "headers", "told_"),
    [
        (b"{", (), (400, "bad-request")),
        (b"{}", ("Content-Type: text/plain",), (415, "bad-request")),
        (b"x" * 200_000, (), (413, "too-large")),
    ],
)
async def test_bad_bodies(
    world: RestWorld, body: bytes, headers: tuple[str, ...], told_: tuple[int, str]
) -> None:
    """CH-4, SE-5: not JSON, of another type, too large."""
    assert await world.refused("POST", "/revoke", admin(), body=body, headers=headers) == told_


async def test_what_only_html_accepts(world: RestWorld) -> None:
    """CH-5: the answers are JSON."""
    answer = await world.http("GET", "/log", of("12"), headers=("Accept: text/html",))
    assert told(answer) == (406, "bad-request")


async def test_too_often(nursery: trio.Nursery) -> None:
    """Section 12, SE-5: the rate is the subscriber's, whichever token he shows, and the same as
    that of his messages; nobody else is held up."""
    async with rest_world(nursery, limits=MessagingLimits(rate=1, burst=3)) as world:
        for number in range(3):
            await world.get("/channels", "alice", jti=str(number))
        answer = await world.http("GET", "/log", of("alice"))
        assert told(answer) == (429, "rate-limited")
        assert answer.headers["retry-after"] == "1"
        await world.get("/channels", "bob")
        assert (429, "rate_limited") in world.front.reported


async def test_a_store_that_fails(world: RestWorld) -> None:
    """MS-7, SE-12: 503 with when to try again, in the words of this face."""
    await world.people("alice")
    world.store.is_failing = True
    answer = await world.http("GET", "/channels", of("bob"))
    assert told(answer) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_addresses_that_keep_failing(world: RestWorld) -> None:
    """SE-5: 429 for the next failed attempt of that address."""
    statuses = set()
    for _ in range(70):
        statuses.add((await world.http("GET", "/log", "typo", peer="198.51.100.7")).status)
    assert statuses == {401, 429}


async def test_the_body_of_a_refusal(world: RestWorld) -> None:
    """MS-6: code and text."""
    answer = await world.http("GET", "/channels/r-1/subscribers", of("12"))
    assert orjson.loads(answer.body) == {"error": {"code": "not-found", "text": "no such channel"}}
