"""`POST /v1/notifications`: what is accepted, rejected and refused, and what reaches a client."""

import json
import time
from pathlib import Path
from typing import Any

import orjson
from tests.fakes.daemon import PUBLISH, USER, Answer, Daemon, chat, daemon, token
from tests.fakes.notification_socket import connected

SERVICES = "sms, chat, call, presence, account"
PRIORITIES = "urgent, normal, low"
MESSAGE = {"chatMessageNotification": {"chatMessage": {"text": "hi"}}}
GOOD = {"user": USER, "service": "chat", "notification": MESSAGE}
STRUCTURED = ("Content-Type", "application/cloudevents+json")
EVENT = {
    "specversion": "1.0",
    "type": "chat.chatMessageNotification",
    "source": "/chat",
    "subject": USER,
    "id": "M1",
    "time": "2026-01-01T00:00:00Z",
    "data": MESSAGE,
}


async def publish(running: Daemon, body: object) -> Answer:
    return await running.post(PUBLISH, body, scope="publish")


def without(member: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name != member}


async def test_shape_of_the_answer(tmp_path: Path) -> None:
    """An object is answered by an object, a list by a list in its order, nothing by nothing
    (CH-110, CH-111)."""
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        await running.subscribe(await running.open_channel())
        answer = await publish(running, chat("e1"))
        assert (answer.status, answer.json) == (
            202,
            {"id": "e1", "channels": 2, "status": "accepted"},
        )
        items = [chat("e2"), {**GOOD, "user": "nobody", "id": "n"}, {"user": USER, "id": "bad"}]
        answer = await publish(running, items)
        assert (answer.status, answer.json) == (
            202,
            [
                {"id": "e2", "channels": 2, "status": "accepted"},
                {"id": "n", "channels": 0, "status": "no_channel"},
                {
                    "id": "bad",
                    "channels": 0,
                    "status": "rejected",
                    "error": {
                        "messageId": "SVC0002",
                        "text": "Invalid input value for message part %1",
                        "variables": ["service"],
                    },
                },
            ],
        )
        assert (await publish(running, [])).json == []
        assert sum((await running.stored())[2].values()) == 4


async def test_on_the_wire(tmp_path: Path) -> None:
    """`id` and `dateTime` are added one level down where absent; all else passes untouched, in
    its order, numbers exact (CH-100, T2)."""
    body = {"z": 1, "a": [1.25, 2**53 + 1, 10**30, "é\u2028"], "null": None}
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        async with connected(running, channel) as client:
            before = time.time()
            for given in (body, {"id": "own", "dateTime": 5, **body}):
                answer = await publish(running, {**GOOD, "notification": {"x-Root_1": given}})
                assert answer.status == 202
                text = str((await client.frame())[1])
                await client.settle()
                [(root, received)] = json.loads(text).items()
                assert root == "x-Root_1"
                assert received["id"] == answer.json["id"]
                added = {"id", "dateTime"} - set(given)
                assert [name for name in received if name not in added] == list(given)
                assert {name: received[name] for name in given} == given
                assert "1000000000000000000000000000000" in text
                if added:
                    assert before - 1 < received["dateTime"] / 1000 < time.time() + 1


async def test_ids(tmp_path: Path) -> None:
    """The outer id goes first, then the inner; the chosen one is in the object (CH-110)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        async with connected(running, channel) as client:
            for outer, inner in (("o", None), (None, "i"), ("s", "s"), (None, None)):
                item = {**GOOD, "notification": {"chatX": {"id": inner}}, "id": outer}
                id_ = (await publish(running, item)).json["id"]
                assert id_ == (outer or inner or id_)
                assert await client.ids(1) == [id_]


NO_NOTIFICATIONS: list[Any] = [
    *(None, [], 1, {}, {"a": {}, "b": {}}, {"a": 1}, {"a": None}, {"1a": {}}, {"": {}}),
    *({"connCheck": {}}, {"connAck": {}}, {"channelResumed": {}}, {"a" * 65: {}}),
    *({"a.b": {}}, {"é": {}}, {"a\n": {}}),
]
REFUSED: list[tuple[Any, int, str, list[str]]] = [
    *((body, 400, "SVC0002", ["body"]) for body in (1, "x", None, True)),
    *(
        ({**GOOD, "user": user}, 400, "SVC0002", ["user"])
        for user in (None, "", 1, "a\nb", "\x7f", "u" * 257)
    ),
    (without("service"), 400, "SVC0002", ["service"]),
    *(({**GOOD, "service": v}, 400, "SVC0003", ["service", SERVICES]) for v in ("mail", 1, "SMS")),
    *(
        ({**GOOD, "notification": value}, 400, "SVC0002", ["notification"])
        for value in NO_NOTIFICATIONS
    ),
    *(
        ({**GOOD, "id": id_}, 400, "SVC0002", ["id"])
        for id_ in ("", 1, "a b", 'a"', "a\\", "é", "i" * 129)
    ),
    ({**GOOD, "notification": {"a": {"id": 7}}}, 400, "SVC0002", ["id"]),
    ({**GOOD, "id": "x", "notification": {"a": {"id": "y"}}}, 400, "SVC0002", ["id"]),
    *(
        ({**GOOD, "priority": value}, 400, "SVC0003", ["priority", PRIORITIES])
        for value in ("high", 1, "URGENT")
    ),
    *(
        ({**GOOD, "expires_in": value}, 400, "SVC0002", ["expires_in"])
        for value in (0, -1, 2_592_001, "9" * 40, 1.5, True, "x")
    ),
    *(
        ({**GOOD, member: value}, 400, "SVC0002", [member])
        for member in ("collapse_key", "order_key")
        for value in ("", 1, "k" * 257)
    ),
    ({**GOOD, "priorty": "urgent"}, 400, "SVC0002", ["priorty"]),
    ({**GOOD, "{x}\n" + "y" * 200: 1}, 400, "SVC0002", ["x" + "y" * 99]),
    ({**GOOD, "notification": {"a": {"t": "é" * 32_768}}}, 413, "SVC0001", ["too_large"]),
]


async def test_what_is_refused(tmp_path: Path) -> None:
    """Each bad item is the HTTP error when alone and `rejected` with the same error in a list,
    where it does not touch its neighbours; it stores nothing (CH-110 to CH-112, CH-120)."""
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        before = await running.stored()
        for item, status, message_id, variables in REFUSED:
            answer = await publish(running, b"null" if item is None else item)
            assert answer.refusal == (status, message_id, variables), item
        assert await running.stored() == before
        answer = await publish(running, [row[0] for row in REFUSED])
        told = [(one["error"]["messageId"], one["error"]["variables"]) for one in answer.json]
        assert told == [(row[2], row[3]) for row in REFUSED]
        assert {one["status"] for one in answer.json} == {"rejected"}
        assert await running.stored() == before
        answer = await publish(running, [1, GOOD, 2])
        statuses = [one["status"] for one in answer.json]
        assert statuses == ["rejected", "accepted", "rejected"]


async def test_the_first_bad_member_is_named(tmp_path: Path) -> None:
    """Of several mistakes the one that stands first in CH-110's table is told (CH-121)."""
    wrong: dict[str, Any] = {
        "unknown": 1,
        "order_key": "",
        "collapse_key": "",
        "expires_in": 0,
        "priority": "x",
        "id": "",
        "notification": {},
        "service": "x",
        "user": "",
    }
    order = [*list(wrong)[:0:-1], "unknown"]
    async with daemon(tmp_path) as running:
        for member in order:
            assert (await publish(running, wrong)).refusal[2][0] == member
            del wrong[member]
            wrong |= {member: GOOD[member]} if member in GOOD else {}
        assert (await publish(running, wrong)).status == 202


async def test_largest_that_fits(tmp_path: Path) -> None:
    """64 KiB of notification are taken and arrive, one byte more is not (CH-110, SE-5)."""
    frame = len(orjson.dumps({"a": {"t": ""}}))
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        async with connected(running, channel) as client:
            for spare, status in ((0, 202), (1, 413)):
                text = "x" * (65_536 - frame + spare)
                answer = await publish(running, {**GOOD, "notification": {"a": {"t": text}}})
                assert answer.status == status
            assert len((await client.message())["a"]["t"]) == 65_536 - frame


async def test_the_request_as_a_whole(tmp_path: Path) -> None:
    """Too many items, too large a body or no JSON store nothing of it at all (CH-111)."""
    async with daemon(tmp_path, publish={"max_items": 3, "body": 1024}) as running:
        await running.subscribe(await running.open_channel())
        before = await running.stored()
        answer = await publish(running, [GOOD] * 4)
        assert answer.refusal == (413, "SVC0001", ["too_many_items"])
        answer = await publish(running, [GOOD, {"x": "y" * 1024}])
        assert answer.refusal == (413, "SVC0001", ["too_large"])
        for body in (b"[{}", b"", b'{"a":NaN}', b'{"a":1,"a":2}', b"\xff", b'"\\ud800"', b"[" * 40):
            assert (await publish(running, body)).refusal == (400, "SVC0002", ["body"]), body
        assert await running.stored() == before
        assert len((await publish(running, [GOOD] * 3)).json) == 3


async def test_a_list_of_1001(tmp_path: Path) -> None:
    """1,000 of anything are answered, one more is refused whole (CH-110, section 15)."""
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        answer = await publish(running, [1] * 999 + [GOOD])
        assert [one["status"] for one in answer.json] == ["rejected"] * 999 + ["accepted"]
        before = await running.stored()
        answer = await publish(running, [GOOD] * 1001)
        assert answer.refusal == (413, "SVC0001", ["too_many_items"])
        assert await running.stored() == before
        counter = 'tocsin_notifications_rejected_total{reason="too_many_items"}'
        assert await running.metric(counter) == 1


async def test_a_repeated_id(tmp_path: Path) -> None:
    """The item's first answer and `duplicate`, whatever has changed since; nothing is sent, also
    when it stands twice in one list or comes after a restart (CH-115)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        first = {"id": "e1", "channels": 1, "status": "accepted"}
        again = {**first, "duplicate": True}
        nobody = {"id": "n", "channels": 0, "status": "no_channel"}
        items = [chat("e1"), chat("e1", text="other"), chat("n", user="nobody")]
        assert (await publish(running, items)).json == [first, again, nobody]
        await running.subscribe(await running.open_channel())
        answer = await publish(running, {**chat("e1"), "priority": "urgent"})
        assert (answer.status, answer.json) == (202, again)
        assert await running.metric("tocsin_notifications_repeated_total") == 2
        inner = {**GOOD, "notification": {"chatX": {"id": "e1"}}}
        assert (await publish(running, [inner])).json == [again]
        assert sum((await running.stored())[2].values()) == 1
    async with daemon(tmp_path) as running:
        items = [chat("e1"), chat("n", user="nobody")]
        answer = await publish(running, items)
        assert answer.json == [again, {**nobody, "duplicate": True}]
        async with connected(running, channel) as client:
            assert await client.ids(1) == ["e1"]


async def test_a_repeated_id_with_another_user_or_service(tmp_path: Path) -> None:
    """Is a mistake: 409 for one alone, `rejected` with the same in a list, counted (CH-115)."""
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        await running.publish("e1")
        mistakes = [chat("e1", user="bob"), {**chat("e1"), "service": "sms"}]
        for item in mistakes:
            assert (await publish(running, item)).refusal == (409, "SVC0005", ["e1", "id"])
        answer = await publish(running, [*mistakes, chat("e2")])
        assert [one["status"] for one in answer.json] == ["rejected", "rejected", "accepted"]
        assert [one["id"] for one in answer.json] == ["e1", "e1", "e2"]
        assert answer.json[0]["error"]["variables"] == ["e1", "id"]
        assert sum((await running.stored())[2].values()) == 2
        counter = 'tocsin_notifications_rejected_total{reason="duplicate"}'
        assert await running.metric(counter) == 4


async def test_ids_belong_to_their_producer(tmp_path: Path) -> None:
    """The same id of another client, or of another source of the same, is another notification;
    ids of our own are never repeats (CH-113, CH-115)."""
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        for client in ("a", "b"):
            bearer = token(client, "publish", client_id=client)
            for source in ("/a", "/b"):
                one = {**EVENT, "source": source}
                answer = await running.post(PUBLISH, one, bearer=bearer, headers=[STRUCTURED])
                assert "duplicate" not in answer.json
            answer = await running.post(PUBLISH, chat("M1"), bearer=bearer)
            assert answer.json == {"id": "M1", "channels": 1, "status": "accepted"}
        assert [one["status"] for one in (await publish(running, [GOOD] * 3)).json] == [
            "accepted"
        ] * 3
        assert sum((await running.stored())[2].values()) == 9


async def test_an_event(tmp_path: Path) -> None:
    """A structured CloudEvent is a notification like others, on the socket too (CH-113)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        async with connected(running, channel) as client:
            answer = await running.post(PUBLISH, EVENT, scope="publish", headers=[STRUCTURED])
            assert (answer.status, answer.json) == (
                202,
                {"id": "M1", "channels": 1, "status": "accepted"},
            )
            text = {"text": "hi"}
            body = {"chatMessage": text, "id": "M1", "dateTime": 1_767_225_600_000}
            assert await client.message() == {"chatMessageNotification": body}
        bad = {**EVENT, "type": "chat"}
        answer = await running.post(PUBLISH, bad, scope="publish", headers=[STRUCTURED])
        assert answer.refusal == (400, "SVC0002", ["type"])


async def test_a_batch_of_events(tmp_path: Path) -> None:
    """Judged one by one and answered in order, as a list is (CH-113)."""
    batched = [("Content-Type", "application/cloudevents-batch+json; charset=utf-8")]
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        events = [EVENT, {**EVENT, "id": "M2", "subject": ""}, 5, {**EVENT, "id": "M3"}, EVENT]
        answer = await running.post(PUBLISH, events, scope="publish", headers=batched)
        assert answer.status == 202
        assert [(one["id"], one["status"]) for one in answer.json] == [
            ("M1", "accepted"),
            ("M2", "rejected"),
            (None, "rejected"),
            ("M3", "accepted"),
            ("M1", "accepted"),
        ]
        assert answer.json[1]["error"]["variables"] == ["subject"]
        assert answer.json[4]["duplicate"] is True
        answer = await running.post(PUBLISH, [EVENT] * 1001, scope="publish", headers=batched)
        assert answer.refusal == (413, "SVC0001", ["too_many_items"])
        answer = await running.post(PUBLISH, b"[]", scope="publish", headers=batched)
        assert (answer.status, answer.json) == (202, [])


async def test_media_types(tmp_path: Path) -> None:
    """Anything but the three is 415, binary mode with a word of its own (CH-4, CH-113)."""
    types = [
        ([("Content-Type", "text/plain")], "media_type"),
        ([("Content-Type", "application/json"), ("ce-id", "1")], "cloudevents_binary"),
        ([("Content-Type", "text/plain"), ("Ce-SpecVersion", "1.0")], "cloudevents_binary"),
        ([("ce-type", "x")], "cloudevents_binary"),
    ]
    async with daemon(tmp_path) as running:
        for headers, code in types:
            answer = await running.post(PUBLISH, GOOD, scope="publish", headers=headers)
            assert answer.refusal == (415, "SVC0001", [code])
        answer = await running.post(PUBLISH, [EVENT], scope="publish", headers=[STRUCTURED])
        assert answer.refusal == (400, "SVC0002", ["body"])


async def test_backlog(tmp_path: Path) -> None:
    """At the bound the whole request is answered 503 with Retry-After and stores nothing; where
    nothing is to be delivered there is nothing to refuse (CH-117)."""
    async with daemon(tmp_path, limits={"backlog": 3}) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        await running.publish("a", "b")
        before = await running.stored()
        answer = await publish(running, [chat("c"), chat("d")])
        assert answer.refusal == (503, "SVC1000", [])
        assert int(answer.headers["retry-after"]) > 0
        assert await running.stored() == before
        assert (await publish(running, chat("x", user="nobody"))).status == 202
        await running.publish("c")
        async with connected(running, channel) as client:
            assert await client.ids(3) == ["a", "b", "c"]


async def test_producer_rate(tmp_path: Path) -> None:
    """`publish.rate` is answered 429 with Retry-After and stores nothing (section 15)."""
    async with daemon(tmp_path, publish={"rate": 1}) as running:
        await running.subscribe(await running.open_channel())
        statuses = [(await publish(running, GOOD)).status for _ in range(4)]
        assert statuses == [202, 202, 202, 429]
        answer = await publish(running, GOOD)
        assert answer.refusal == (429, "SVC1000", [])
        assert int(answer.headers["retry-after"]) > 0
        assert sum((await running.stored())[2].values()) == 3


async def test_accepted_outlives_the_process(tmp_path: Path) -> None:
    """What was answered 202 is delivered by the next process, in order, urgent ones
    first (CH-22, CH-60)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        await running.publish("a", "b")
        await running.publish("c", priority="urgent", order_key="call")
    async with daemon(tmp_path) as running, connected(running, channel) as client:
        assert await client.ids(3) == ["c", "a", "b"]


async def test_services_nobody_subscribed_to(tmp_path: Path) -> None:
    """Every known service is accepted; only the one subscribed to has channels (CH-111)."""
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        items = [{**GOOD, "service": service} for service in SERVICES.split(", ")]
        answer = await publish(running, items)
        assert [one["channels"] for one in answer.json] == [0, 1, 0, 0, 0]
