"""`POST {channel}/callback`: one notification straight to one channel (CH-116)."""

import json
from pathlib import Path
from typing import Any

from tests.fakes.daemon import CHANNELS, USER, Answer, Daemon, daemon, token
from tests.fakes.notification_socket import connected
from tests.fakes.pushkeys import push_section

Item = dict[str, dict[str, Any]]
MESSAGE: Item = {"chatMessageNotification": {"chatMessage": {"text": "hi"}}}
INVITATION: Item = {"wrtcsSessionInvitationNotification": {}}
PRESENCE: Item = {"presenceNotification": {}}
ACCOUNT: Item = {"userStatusNotification": {}}
PUSH_APPS = push_section(
    {
        "com.example.app": {"provider": "apns"},
        "com.example.app.voip": {"provider": "apns", "kind": "voip"},
    }
)
DEVICE = "ab" * 32


async def call(
    running: Daemon, channel: dict[str, Any], body: object = MESSAGE, query: str = "", **more: Any
) -> Answer:
    target = f"{CHANNELS}/{channel['callbackURL']}/callback{query}"
    return await running.post(target, body, **{"scope": "publish", **more})


async def device(running: Daemon, app: str) -> dict[str, Any]:
    """A push channel of Alice's."""
    data = {"appId": app, "x-provider": "apns", "x-deviceToken": DEVICE}
    return await running.open_channel(channelType="OMAPush", channelData=data)


async def test_straight_to_one_channel(tmp_path: Path) -> None:
    """No subscription is needed and no other channel gets it: 204 with the id that stands in the
    notification (CH-116, CH-5)."""
    async with daemon(tmp_path) as running:
        channel, other = await running.open_channel(), await running.open_channel()
        await running.subscribe(other)
        async with connected(running, channel) as client:
            answer = await call(running, channel)
            assert (answer.status, answer.body) == (204, b"")
            assert "content-type" not in answer.headers
            assert await client.ids(1) == [answer.headers["x-notification-id"]]
            named = {"chatMessageNotification": {"id": "M1"}}
            answer = await call(running, channel, named)
            assert answer.headers["x-notification-id"] == "M1"
            assert await client.ids(1) == ["M1"]
        assert sum((await running.stored())[2].values()) == 2


async def test_it_outlives_the_process(tmp_path: Path) -> None:
    """What was answered 204 is on disk; the query's priority orders it (CH-22, CH-116)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        for id_, query in (("a", ""), ("b", "?priority=urgent&order_key=o")):
            body = {"chatMessageNotification": {"id": id_}}
            assert (await call(running, channel, body, query)).status == 204
    async with daemon(tmp_path) as running, connected(running, channel) as client:
        assert await client.ids(2) == ["b", "a"]


async def test_a_root_key_nobody_knows(tmp_path: Path) -> None:
    """Its service stands in the query (CH-116)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        async with connected(running, channel) as client:
            answer = await call(running, channel, {"x": {"id": "a"}}, "?service=sms&expires_in=60")
            assert answer.status == 204
            assert await client.message() | {"x": None} == {"x": None}
            answer = await call(running, channel, {"x": {}}, "?service=fax")
            assert answer.refusal == (
                400,
                "SVC0003",
                ["service", "sms, chat, call, presence, account"],
            )


async def test_which_service_on_which_channel(tmp_path: Path) -> None:
    """Every cell of CH-93's table, by the root key's service (T10)."""
    async with daemon(tmp_path, push=PUSH_APPS) as running:
        channels = {
            "websockets": await running.open_channel(),
            "LongPolling": await running.open_channel(channelType="LongPolling"),
            "OMAPush": await device(running, "com.example.app"),
            "Webhooks": await running.open_webhook(),
        }
        sms: Item = {"inboundSMSMessageNotification": {}}
        for body in (sms, MESSAGE, INVITATION):
            for kind, channel in channels.items():
                assert (await call(running, channel, body)).status == 204, kind
        for body, carriers in ((PRESENCE, {*channels} - {"OMAPush"}), (ACCOUNT, {"Webhooks"})):
            for kind, channel in channels.items():
                answer = await call(running, channel, body)
                if kind in carriers:
                    assert answer.status == 204, (kind, body)
                else:
                    refused = (403, "POL0001", ["service_not_on_channel"])
                    assert answer.refusal == refused, (kind, body)


async def test_a_pushkit_channel_gets_only_what_shows_a_call(tmp_path: Path) -> None:
    """A push that shows no call makes the system stop delivering (CH-73)."""
    async with daemon(tmp_path, push=PUSH_APPS) as running:
        channel = await device(running, "com.example.app.voip")
        assert (await call(running, channel, INVITATION)).status == 204
        before = await running.stored()
        events: list[Item] = [MESSAGE, {"wrtcsEventNotification": {}}, {"gone": {}}]
        for body in events:
            answer = await call(running, channel, body)
            assert answer.refusal == (403, "POL0001", ["service_not_on_channel"]), body
        assert await running.stored() == before


async def test_who_may(tmp_path: Path) -> None:
    """Scope publish, for any user; the channel's own user may not (CH-12, CH-116)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        assert (await call(running, channel, bearer=token("bob", "publish"))).status == 204
        answer = await call(running, channel, scope="channels")
        assert answer.refusal == (403, "POL0001", ["scope_missing"])
        answer = await call(running, channel, bearer=None)
        assert answer.refusal == (401, "POL0001", ["token_missing"])


async def test_channels_that_are_not_there(tmp_path: Path) -> None:
    """Unknown, deleted and another user's are the same 404, before the body is looked at (CH-20,
    CH-13)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        others = CHANNELS.replace(USER, "bob@example.com")
        target = f"{others}/{channel['callbackURL']}/callback"
        answers = [await running.post(target, MESSAGE, scope="publish")]
        answers.append(await call(running, {"callbackURL": "ws-0"}, b"no JSON"))
        await running.delete(channel["resourceURL"])
        answers.append(await call(running, channel))
        for answer in answers:
            assert answer.refusal == (404, "SVC0004", ["channelId"])
        answer = await running.get(f"{CHANNELS}/{channel['callbackURL']}/callback", scope="publish")
        assert answer.refusal == (405, "SVC0001", ["method"])


async def test_what_is_refused(tmp_path: Path) -> None:
    """The HTTP error itself, nothing is stored, and it is counted (CH-116, CH-121)."""
    bad: list[tuple[object, str, tuple[int, str, list[str]]]] = [
        (b"", "", (400, "SVC0002", ["body"])),
        ([MESSAGE], "", (400, "SVC0002", ["body"])),
        ({}, "", (400, "SVC0002", ["notification"])),
        ({"a": {}, "b": {}}, "", (400, "SVC0002", ["notification"])),
        ({"connAck": {}}, "", (400, "SVC0002", ["notification"])),
        ({"x": {}}, "", (400, "SVC0002", ["service"])),
        (MESSAGE, "?expires_in=0", (400, "SVC0002", ["expires_in"])),
        (MESSAGE, "?ttl=5", (400, "SVC0002", ["ttl"])),
        (
            MESSAGE,
            "?priority=high",
            (400, "SVC0003", ["priority", "urgent, normal, low"]),
        ),
        ({"chat": {"t": "x" * 65_536}}, "", (413, "SVC0001", ["too_large"])),
    ]
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        before = await running.stored()
        for body, query, refusal in bad:
            assert (await call(running, channel, body, query)).refusal == refusal, (body, query)
        kind = [("Content-Type", "application/cloudevents+json")]
        answer = await call(running, channel, headers=kind)
        assert answer.refusal == (415, "SVC0001", ["media_type"])
        assert await running.stored() == before
        counter = 'tocsin_notifications_rejected_total{reason="invalid_value"}'
        assert await running.metric(counter) == 8


async def test_backlog(tmp_path: Path) -> None:
    """At the bound it is 503 with Retry-After and nothing is stored (CH-117)."""
    async with daemon(tmp_path, limits={"backlog": 1}) as running:
        channel = await running.open_channel()
        assert (await call(running, channel)).status == 204
        answer = await call(running, channel)
        assert answer.refusal == (503, "SVC1000", [])
        assert sum((await running.stored())[2].values()) == 1


async def test_a_repeated_id(tmp_path: Path) -> None:
    """The same id of the same producer is answered as the first time and sent once; for another
    service it is a mistake (CH-115, CH-116)."""
    body = {"chatMessageNotification": {"id": "M1"}}
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        for _ in range(2):
            answer = await call(running, channel, body)
            assert (answer.status, answer.headers["x-notification-id"]) == (204, "M1")
        assert await running.metric("tocsin_notifications_repeated_total") == 1
        answer = await call(running, channel, body, "?service=sms")
        assert answer.refusal == (409, "SVC0005", ["M1", "id"])
        assert sum((await running.stored())[2].values()) == 1
        counter = 'tocsin_notifications_rejected_total{reason="duplicate"}'
        assert await running.metric(counter) == 1


async def test_idempotency_key(tmp_path: Path) -> None:
    """The first answer again, its id too, however the path is written and though the channel has
    gone; another channel is another path (CH-114, CH-116)."""
    headers = [("Idempotency-Key", "k1")]
    async with daemon(tmp_path) as running:
        channel, other = await running.open_channel(), await running.open_channel()
        first = await call(running, channel, headers=headers)
        elsewhere = await call(running, other, headers=headers)
        assert {first.status, elsewhere.status} == {204}
        ids = [one.headers["x-notification-id"] for one in (first, elsewhere)]
        assert len(set(ids)) == 2
        assert "idempotency-replayed" not in first.headers
        path = f"{CHANNELS}/{channel['callbackURL']}/callback/".replace("@", "%40")
        again = await running.post(path, MESSAGE, scope="publish", headers=headers)
        assert (again.status, again.headers["idempotency-replayed"]) == (204, "true")
        assert again.headers["x-notification-id"] == ids[0]
        assert sum((await running.stored())[2].values()) == 2
        await running.delete(channel["resourceURL"])
        again = await call(running, channel, headers=headers)
        assert (again.status, again.headers["x-notification-id"]) == (204, ids[0])


async def test_both_dialects(tmp_path: Path) -> None:
    """`oma` has a callbackURL that is one, for the same channel (CH-1, CH-116)."""
    async with daemon(tmp_path, public_base_url="https://push.example.com") as running:
        base = f"/notificationchannel/v1/{USER}/channels"
        wanted = {"notificationChannel": {"channelType": "websockets", "clientCorrelator": "t"}}
        made = json.loads((await running.post(base, wanted)).body)["notificationChannel"]
        target = made["callbackURL"].removeprefix("https://push.example.com")
        assert target.endswith("/callback")
        for path in (target, f"/cpaas{target}"):
            assert (await running.post(path, MESSAGE, scope="publish")).status == 204
        assert sum((await running.stored())[2].values()) == 2
