"""Channel resources over HTTP: the netapi dialect, its refusals, what survives."""

import re
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.fakes.daemon import CHANNELS, CHAT, HOOK, USER, Answer, Daemon, daemon, token
from tests.fakes.notification_socket import connected, handshake

SOCKET = {"channelType": "websockets", "clientCorrelator": "tab"}
WEBHOOK = {"channelType": "Webhooks", "clientCorrelator": "crm"}
TYPES = "websockets, OMAPush, Webhooks, LongPolling"


def body(channel: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"notificationChannel": {**channel, **members}}


def hook(**data: Any) -> dict[str, Any]:
    return body(WEBHOOK, channelData={"x-webhookURL": HOOK, **data})


async def test_the_example(tmp_path: Path) -> None:
    """Section 3's example gives exactly the documented answer, ids and paths aside (CH-7, T3)."""
    async with daemon(tmp_path) as running:
        wanted = body(
            SOCKET,
            channelType="Websockets",
            channelLifetime=3600,
            applicationTag="app",
            **{"x-connCheckRole": "client"},
        )
        answer = await running.post(CHANNELS, wanted)
        assert answer.status == 201
        channel_id = answer.json["notificationChannel"]["callbackURL"]
        assert re.fullmatch(
            r"ws-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", channel_id
        )
        resource = f"{CHANNELS}/{channel_id}"
        assert answer.headers["location"] == resource
        assert answer.json == {
            "notificationChannel": {
                "callbackURL": channel_id,
                "channelData": {"channelURL": f"{resource}/websocket"},
                "channelLifetime": 3600,
                "channelType": "websockets",
                "clientCorrelator": "tab",
                "applicationTag": "app",
                "x-connCheckRole": "client",
                "resourceURL": resource,
            }
        }
        assert (await running.get(resource)).json == answer.json


@pytest.mark.parametrize("spelling", ["websockets", "Websockets", "WEBSOCKETS"])
async def test_type_is_answered_in_one_spelling(tmp_path: Path, spelling: str) -> None:
    """However a type is spelled, answers and lists say `websockets` (CH-30, T1)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(channelType=spelling)
        assert channel["channelType"] == "websockets"
        listed = (await running.get(CHANNELS)).json["notificationChannelList"]
        assert [one["channelType"] for one in listed["notificationChannel"]] == ["websockets"]


@pytest.mark.parametrize(
    ("wanted", "granted"),
    [
        (1, 60),
        (60, 60),
        (86_400, 86_400),
        (86_401, 86_400),
        ("120", 120),
        (10**30, 86_400),
        ("9" * 40, 86_400),
        ("0" * 40 + "90", 90),
    ],
)
async def test_lifetime_is_clamped(tmp_path: Path, wanted: Any, granted: int) -> None:
    """Too long or too short is no error, a string of digits is a number (CH-4, CH-40)."""
    async with daemon(tmp_path) as running:
        assert (await running.open_channel(channelLifetime=wanted))["channelLifetime"] == granted


REFUSED = [
    ({}, "SVC0002", ["notificationChannel"]),
    ({"notificationChannel": []}, "SVC0002", ["notificationChannel"]),
    ([], "SVC0002", ["body"]),
    (body({"clientCorrelator": "tab"}), "SVC0002", ["channelType"]),
    (body(SOCKET, channelType="Carrier{Pigeon}"), "SVC0003", ["channelType", TYPES]),
    (body(SOCKET, channelType=1), "SVC0003", ["channelType", TYPES]),
    (body({"channelType": "websockets"}), "SVC0002", ["clientCorrelator"]),
    (body(SOCKET, clientCorrelator=""), "SVC0002", ["clientCorrelator"]),
    (body(SOCKET, clientCorrelator="c" * 257), "SVC0002", ["clientCorrelator"]),
    (body(SOCKET, clientCorrelator=7), "SVC0002", ["clientCorrelator"]),
    (body(SOCKET, applicationTag={}), "SVC0002", ["applicationTag"]),
    (body(SOCKET, channelLifetime=0), "SVC0002", ["channelLifetime"]),
    (body(SOCKET, channelLifetime=None), "SVC0002", ["channelLifetime"]),
    (body(SOCKET, channelLifetime=-5), "SVC0002", ["channelLifetime"]),
    (body(SOCKET, channelLifetime=1.5), "SVC0002", ["channelLifetime"]),
    (body(SOCKET, channelLifetime=True), "SVC0002", ["channelLifetime"]),
    (body(SOCKET, channelLifetime="soon"), "SVC0002", ["channelLifetime"]),
    (body(SOCKET, channelLifetime="0" * 30), "SVC0002", ["channelLifetime"]),
    (
        body(SOCKET, **{"x-connCheckRole": "both"}),
        "SVC0003",
        ["x-connCheckRole", "client, server"],
    ),
    (body(WEBHOOK), "SVC0002", ["channelData"]),
    (body(WEBHOOK, channelData={}), "SVC0002", ["channelData.x-webhookURL"]),
    *(
        (hook(**{"x-webhookURL": url}), "SVC0002", ["channelData.x-webhookURL"])
        for url in (
            *("http://example.com/", "ftp://127.0.0.1/", "https://u:p@127.0.0.1/", "hook", 7),
            *(
                "https://10.0.0.1/",
                "https://[::1]:x/",
                "https://a.invalid/",
                "https://169.254.1.1/",
            ),
            *(f"{HOOK}#f", f"{HOOK}/{'x' * 2048}"),
        )
    ),
    *(
        (hook(**{"x-authorization": value}), "SVC0002", ["channelData.x-authorization"])
        for value in ("a\r\nX: y", "a\nb", "\x7f", "", "ü", "a" * 4097, 7)
    ),
    *(
        (hook(**{"x-webhookSecret": value}), "SVC0002", ["channelData.x-webhookSecret"])
        for value in ("short", "whsec_", "whsec_AAAA", 7)
    ),
]


async def test_what_is_refused(tmp_path: Path) -> None:
    """Each bad member of a POST gets its row of section 13 and stores nothing (CH-120, CH-121)."""
    async with daemon(tmp_path) as running:
        before = await running.stored()
        for wanted, message_id, variables in REFUSED:
            answer = await running.post(CHANNELS, wanted)
            assert answer.refusal == (400, message_id, variables), wanted
        assert await running.stored() == before
        assert (await listed(running)) == []


async def test_the_first_bad_member_is_named(tmp_path: Path) -> None:
    """Of several mistakes the one that stands first in section 4 is told (CH-121)."""
    wrong: dict[str, Any] = {
        "channelType": "x",
        "clientCorrelator": "",
        "applicationTag": "",
        "channelLifetime": 0,
        "x-connCheckRole": "x",
    }
    right = {**SOCKET, "applicationTag": "a", "channelLifetime": 60}
    async with daemon(tmp_path) as running:
        for member in list(wrong):
            answer = await running.post(CHANNELS, {"notificationChannel": wrong})
            assert answer.refusal[2][0] == member
            wrong[member] = right.get(member, "client")


async def test_quota(tmp_path: Path) -> None:
    """The channel beyond the user's quota is refused, another user's is not (section 15)."""
    async with daemon(tmp_path, limits={"channels_per_user": 2}) as running:
        first = await running.open_channel()
        await running.open_channel()
        before = await running.stored()
        answer = await running.post(CHANNELS, body(SOCKET))
        assert answer.refusal == (403, "POL0001", ["quota_channels"])
        assert await running.stored() == before
        bob = CHANNELS.replace(USER, "bob")
        assert (await running.post(bob, body(SOCKET), bearer=token("bob"))).status == 201
        await running.delete(first["resourceURL"])
        assert (await running.post(CHANNELS, body(SOCKET))).status == 201


async def test_quota_holds_in_a_race(tmp_path: Path) -> None:
    """Requests at the same time share one quota (SE-5)."""
    statuses: list[int] = []
    async with daemon(tmp_path, limits={"channels_per_user": 3}) as running:

        async def create() -> None:
            statuses.append((await running.post(CHANNELS, body(SOCKET))).status)

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(create)
        assert sorted(statuses) == [201] * 3 + [403] * 5
        assert len(await listed(running)) == 3


async def test_list_and_its_filters(tmp_path: Path) -> None:
    """The list is always there; filters are exact, the type's without regard to case."""
    async with daemon(tmp_path) as running:
        empty = (await running.get(CHANNELS)).json
        assert empty == {
            "notificationChannelList": {"notificationChannel": [], "resourceURL": CHANNELS}
        }
        one = (await running.open_channel(correlator="a+b"))["callbackURL"]
        two = (await running.open_channel(correlator="c"))["callbackURL"]
        three = (await running.open_webhook())["callbackURL"]
        for query, found in (
            ("", [one, two, three]),
            ("?clientCorrelator=a+b", [one]),
            ("?clientCorrelator=A%2Bb", []),
            ("?channelType=WebHooks", [three]),
            ("?channelType=web", []),
            ("?clientCorrelator=c&channelType=websockets", [two]),
        ):
            assert [c["callbackURL"] for c in await listed(running, query)] == found, query


async def test_no_such_channel(tmp_path: Path) -> None:
    """Unknown, malformed, deleted and another user's are one and the same 404 (CH-20)."""
    async with daemon(tmp_path) as running:
        gone = (await running.open_channel())["callbackURL"]
        bobs = CHANNELS.replace(USER, "bob")
        bob = await running.post(bobs, body(SOCKET), bearer=token("bob"))
        assert (await running.delete(f"{CHANNELS}/{gone}")).status == 204
        other = bob.json["notificationChannel"]["callbackURL"]
        for channel_id in (gone, other, "ws-00000000-0000-4000-8000-000000000000", "x", "%00"):
            for method in ("GET", "DELETE"):
                answer = await running.ask(method, f"{CHANNELS}/{channel_id}")
                assert answer.refusal == (404, "SVC0004", ["channelId"]), channel_id


async def test_an_expired_channel_is_gone_at_once(tmp_path: Path) -> None:
    """From the instant its clock has run out it is nowhere to be found, whether or not anybody
    has cleaned up yet, and gets nothing (CH-20, CH-43, CH-91)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        subscription = await running.subscribe(channel)
        account = await running.app._parts.directory.account(USER)
        account.channels[channel["callbackURL"]].expires_at = 1
        assert await listed(running) == []
        for method in ("GET", "DELETE"):
            answer = await running.ask(method, channel["resourceURL"])
            assert answer.refusal == (404, "SVC0004", ["channelId"])
            answer = await running.ask(method, subscription["resourceURL"])
            assert answer.refusal == (404, "SVC0004", ["subscriptionId"])
        reference = {"callbackReference": {"notifyURL": channel["callbackURL"]}}
        answer = await running.post(CHAT, {"chatNotificationSubscription": reference})
        assert answer.refusal == (400, "SVC0002", ["callbackReference.notifyURL"])
        refused = await handshake(running, channel["callbackURL"])
        assert isinstance(refused, Answer)
        assert refused.status == 404
        assert [one["status"] for one in await running.publish("a")] == ["no_channel"]
        listed_too = (await running.get(CHAT)).json["chatNotificationSubscriptionList"]
        assert listed_too["chatNotificationSubscription"] == []


@pytest.mark.parametrize("user", [USER, "alice%40example.com", "%61lice@example.com"])
async def test_user_in_the_path(tmp_path: Path, user: str) -> None:
    """A segment means the same raw or percent-encoded; case counts (CH-3, T17)."""
    async with daemon(tmp_path) as running:
        path = CHANNELS.replace(USER, user)
        answer = await running.post(f"{path}/", body(SOCKET))
        assert answer.headers["location"].startswith(f"{CHANNELS}/ws-")
        shouted = await running.get(CHANNELS.replace(USER, USER.upper()))
        assert shouted.refusal == (403, "POL0001", ["user_mismatch"])


@pytest.mark.parametrize("user", ["+16135550100", "tel:+1", "a/b?c#d e%", "ünï", "{user}", "a;b"])
async def test_any_user_id_round_trips(tmp_path: Path, user: str) -> None:
    """Whatever a token calls its user, the URLs we answer lead back to the resource (CH-3, T17)."""
    escaped = "".join(f"%{byte:02X}" for byte in user.encode())
    async with daemon(tmp_path) as running:
        mine = token(user)
        path = CHANNELS.replace(USER, escaped)
        made = (await running.post(path, body(SOCKET), bearer=mine)).json["notificationChannel"]
        assert (await running.get(made["resourceURL"], bearer=mine)).status == 200
        assert "+" not in user or "+" in made["resourceURL"]


async def test_secrets_of_a_webhook_are_not_shown(tmp_path: Path) -> None:
    """Authorization and secret are stars in every answer (CH-31, SE-7)."""
    secrets = {"x-authorization": "Bearer planted", "x-webhookSecret": f"whsec_{'A' * 32}"}
    async with daemon(tmp_path) as running:
        made = await running.open_webhook(**secrets)
        assert made["channelData"] == {"x-webhookURL": HOOK, **dict.fromkeys(secrets, "*****")}
        assert "channelLifetime" not in made
        for path in (CHANNELS, made["resourceURL"]):
            answer = (await running.get(path)).body
            assert b"planted" not in answer
            assert b"whsec_" not in answer


async def test_secrets_are_echoed_on_request_of_the_operator(tmp_path: Path) -> None:
    """With `webhooks.echo_secrets` they stand in the channel's answer, never in a list (CH-31)."""
    async with daemon(tmp_path, webhooks={"echo_secrets": True}) as running:
        made = await running.open_webhook(**{"x-authorization": "Bearer planted"})
        assert made["channelData"]["x-authorization"] == "Bearer planted"
        assert b"planted" not in (await running.get(CHANNELS)).body


async def test_same_webhook_again(tmp_path: Path) -> None:
    """Same URL, authorization and correlator answer 201 with the existing id, all else a new one;
    at the quota too (CH-80)."""
    async with daemon(tmp_path, limits={"channels_per_user": 2}) as running:
        first = await running.open_webhook()
        again = await running.post(CHANNELS, hook() | body(WEBHOOK, clientCorrelator="tab"))
        assert again.refusal[2] == ["channelData"]
        assert await running.open_webhook() == first
        other = await running.open_webhook(**{"x-authorization": "Bearer t"})
        assert other["callbackURL"] != first["callbackURL"]
        assert await running.open_webhook() == first
        assert len(await listed(running)) == 2


@pytest.mark.parametrize(
    "steps",
    [
        ["unsubscribe", "close", "delete"],
        ["close", "unsubscribe", "delete"],
        ["close", "delete", "unsubscribe"],
        ["delete", "close", "unsubscribe"],
        ["delete", "unsubscribe", "close"],
        ["unsubscribe", "delete", "close"],
    ],
)
async def test_leaving_in_any_order(tmp_path: Path, steps: list[str]) -> None:
    """A client's subscriptions, socket and channel end in whatever order it chooses (CH-21)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        subscription = await running.subscribe(channel)
        async with connected(running, channel) as client:
            await running.publish("waiting")
            closed = False
            for step in steps:
                match step:
                    case "unsubscribe":
                        gone = await running.delete(subscription["resourceURL"])
                        after = steps.index("delete") < steps.index("unsubscribe")
                        assert gone.status == (404 if after else 204)
                    case "close" if not closed:
                        await trio.aclose_forcefully(client.stream)
                        closed = True
                    case "delete":
                        assert (await running.delete(channel["resourceURL"])).status == 204
                        if not closed:
                            assert await client.closed() == 1000
                            closed = True
        assert (await running.delete(channel["resourceURL"])).status == 404
        assert (await running.get(channel["resourceURL"])).status == 404
        assert [sum(counts.values()) for counts in await running.stored()] == [0, 0, 0, 0]


async def test_delete_takes_its_subscriptions_only(tmp_path: Path) -> None:
    """DELETE ends what points to the channel and what waits for it, nothing else (CH-21)."""
    async with daemon(tmp_path) as running:
        gone, kept = await running.open_channel(), await running.open_channel()
        await running.subscribe(gone)
        left = await running.subscribe(kept)
        assert [one["channels"] for one in await running.publish("a")] == [2]
        assert (await running.delete(gone["resourceURL"])).status == 204
        listed = (await running.get(CHAT)).json["chatNotificationSubscriptionList"]
        assert listed["chatNotificationSubscription"] == [left]
        async with connected(running, kept) as client:
            assert await client.ids(1) == ["a"]


async def test_channels_outlive_the_process(tmp_path: Path) -> None:
    """What was answered 201 outlives the process, deleted ones stay deleted (CH-22)."""
    async with daemon(tmp_path) as running:
        socket = await running.open_channel()
        webhook = await running.open_webhook(**{"x-authorization": "Bearer t"})
        gone = await running.open_channel()
        await running.delete(gone["resourceURL"])
    async with daemon(tmp_path) as running:
        assert await listed(running) == [socket, webhook]
        assert await running.open_webhook(**{"x-authorization": "Bearer t"}) == webhook


async def listed(running: Daemon, query: str = "") -> list[dict[str, Any]]:
    answer = await running.get(CHANNELS + query)
    assert answer.status == 200
    channels: list[dict[str, Any]] = answer.json["notificationChannelList"]["notificationChannel"]
    return channels
