"""Subscriptions over HTTP: sms in, sms receipts and chat, and what goes through each."""

from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import (
    CHANNELS,
    CHAT,
    INBOUND,
    PUBLISH,
    RECEIPTS,
    USER,
    Daemon,
    daemon,
    token,
)
from tests.fakes.notification_socket import connected

KINDS = {
    INBOUND: "subscription",
    RECEIPTS: "deliveryReceiptSubscription",
    CHAT: "chatNotificationSubscription",
}
UNKNOWN = "ws-00000000-0000-4000-8000-000000000000"


async def subscribe(
    running: Daemon, path: str, channel: dict[str, Any], **members: Any
) -> dict[str, Any]:
    reference = {"notifyURL": channel["callbackURL"]}
    wanted = {KINDS[path]: {"callbackReference": reference, **members}}
    answer = await running.post(path, wanted)
    assert answer.status == 201, answer
    made: dict[str, Any] = answer.json[KINDS[path]]
    return made


async def listed(running: Daemon, path: str) -> list[dict[str, Any]]:
    answer = await running.get(path)
    assert set(answer.json) == {f"{KINDS[path]}List"}
    content = answer.json[f"{KINDS[path]}List"]
    assert content["resourceURL"] == path
    found: list[dict[str, Any]] = content[KINDS[path]]
    return found


@pytest.mark.parametrize("path", KINDS)
async def test_from_post_to_delete(tmp_path: Path, path: str) -> None:
    """POST echoes the request plus resourceURL; GET, list and DELETE know it, then 404 (CH-90)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        members = {
            "callbackReference": {
                "notifyURL": channel["callbackURL"],
                "callbackData": "d",
                "notificationFormat": "JSON",
            },
            "clientCorrelator": "acc-1",
            "filterCriteria": "f",
            "duration": 86400,
            "unknown": {"x": [1.5, None]},
        }
        answer = await running.post(path, {KINDS[path]: members})
        assert answer.status == 201
        resource = answer.headers["location"]
        assert resource.startswith(f"{path}/")
        assert "/subscriptions/" in resource
        assert answer.json == {KINDS[path]: {**members, "resourceURL": resource}}
        assert (await running.get(resource)).body == answer.body
        assert await listed(running, path) == [answer.json[KINDS[path]]]
        assert (await running.delete(resource)).status == 204
        for method in ("GET", "DELETE"):
            gone = await running.ask(method, resource)
            assert gone.refusal == (404, "SVC0004", ["subscriptionId"])
        assert await listed(running, path) == []


async def test_kinds_do_not_see_each_other(tmp_path: Path) -> None:
    """A subscription is found under its own path only, the sender's number included (CH-90)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        ids = {
            path: (await subscribe(running, path, channel))["resourceURL"].rpartition("/")[2]
            for path in KINDS
        }
        paths = [*KINDS, RECEIPTS.replace("+1613", "+1614")]
        for path in paths:
            for home, id_ in ids.items():
                status = (await running.get(f"{path}/{id_}")).status
                assert status == (200 if path == home else 404)
        encoded = RECEIPTS.replace("+", "%2B")
        assert (await running.get(f"{encoded}/{ids[RECEIPTS]}")).status == 200
        bobs = CHAT.replace(USER, "bob")
        assert (await running.get(f"{bobs}/{ids[CHAT]}", bearer=token("bob"))).status == 404


@pytest.mark.parametrize(
    "spelling",
    ["{}", "/channels/{}", "https://x/a/channels/{}/callback", "/channels/{}?a=b", "U{}"],
)
async def test_notify_url(tmp_path: Path, spelling: str) -> None:
    """A channel id, or any URL or path with `/channels/{id}` in it, names the channel (CH-91)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(correlator="from-channel")
        url = spelling.format(channel["callbackURL"])
        wanted = {"subscription": {"callbackReference": {"notifyURL": url}}}
        answer = await running.post(INBOUND, wanted)
        if spelling.startswith("U"):
            assert answer.refusal == (400, "SVC0002", ["callbackReference.notifyURL"])
        else:
            assert answer.json["subscription"]["clientCorrelator"] == "from-channel"
            assert answer.json["subscription"]["callbackReference"]["notifyURL"] == url


def refused(channel_id: str, envelope: str) -> list[tuple[Any, str, list[str]]]:
    """Bodies and how they are refused, in the order of section 10's members."""

    def body(reference: Any = None, **members: Any) -> dict[str, Any]:
        reference = {"notifyURL": channel_id} if reference is None else reference
        return {envelope: {"callbackReference": reference, **members}}

    url, form = "callbackReference.notifyURL", "callbackReference.notificationFormat"
    rows: list[tuple[Any, str, list[str]]] = [
        ({}, "SVC0002", [envelope]),
        ({"wrong": {}}, "SVC0002", [envelope]),
        ({envelope: 1}, "SVC0002", [envelope]),
        ({envelope: {}}, "SVC0002", [url]),
        *(
            (body(reference), "SVC0002", [url])
            for reference in (
                *({}, 1, {"notifyURL": None}, {"notifyURL": 1}, {"notifyURL": ""}),
                *({"notifyURL": UNKNOWN}, {"notifyURL": f"{channel_id}x"}),
            )
        ),
        (body({"notifyURL": channel_id, "notificationFormat": "XML"}), "SVC0003", [form, "JSON"]),
        (body({"notifyURL": channel_id, "notificationFormat": 1}), "SVC0003", [form, "JSON"]),
        *((body(clientCorrelator=v), "SVC0002", ["clientCorrelator"]) for v in (1, "", "c" * 257)),
        *(
            (body(**{"x-deliveryPolicy": v}), "SVC0003", ["x-deliveryPolicy", "all, escalate"])
            for v in ("zz", 1, ["all"])
        ),
        *((body(duration=v), "SVC0002", ["duration"]) for v in (0, -1, 1.5, True, "x", "0")),
    ]
    if envelope != "chatNotificationSubscription":
        wrong: list[Any] = [1, "", [], "9" * 257]
        rows += [(body(destinationAddress=v), "SVC0002", ["destinationAddress"]) for v in wrong]
    return rows


@pytest.mark.parametrize("path", KINDS)
async def test_what_is_refused(tmp_path: Path, path: str) -> None:
    """Each bad member is told as section 13 has it, and nothing is stored (CH-91, CH-121)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        before = await running.stored()
        for wanted, message_id, variables in refused(channel["callbackURL"], KINDS[path]):
            answer = await running.post(path, wanted)
            assert answer.refusal == (400, message_id, variables), wanted
        assert await running.stored() == before
        assert await listed(running, path) == []


async def test_channels_of_others_and_of_the_past(tmp_path: Path) -> None:
    """Another user's channel and a deleted one are not to be pointed at (CH-91)."""
    async with daemon(tmp_path) as running:
        wanted = {"notificationChannel": {"channelType": "websockets", "clientCorrelator": "c"}}
        bobs = CHANNELS.replace(USER, "bob")
        bob = (await running.post(bobs, wanted, bearer=token("bob"))).json["notificationChannel"]
        gone = await running.open_channel()
        await running.delete(gone["resourceURL"])
        before = await running.stored()
        for channel in (bob, gone):
            reference = {"callbackReference": {"notifyURL": channel["callbackURL"]}}
            answer = await running.post(INBOUND, {"subscription": reference})
            assert answer.refusal == (400, "SVC0002", ["callbackReference.notifyURL"])
        assert await running.stored() == before


async def test_quota(tmp_path: Path) -> None:
    """The subscription beyond the quota is refused; the same one again is not (section 15)."""
    async with daemon(tmp_path, limits={"subscriptions_per_user": 2}) as running:
        channel = await running.open_channel()
        first = await subscribe(running, INBOUND, channel)
        await subscribe(running, CHAT, channel)
        before = await running.stored()
        reference = {"callbackReference": {"notifyURL": channel["callbackURL"]}}
        answer = await running.post(RECEIPTS, {"deliveryReceiptSubscription": reference})
        assert answer.refusal == (403, "POL0001", ["quota_subscriptions"])
        assert await running.stored() == before
        assert await subscribe(running, INBOUND, channel) == first


async def test_the_same_again(tmp_path: Path) -> None:
    """Same service, channel and filter answer 201 with the existing subscription (CH-92)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        first = await subscribe(running, INBOUND, channel, destinationAddress="+1613")
        again = await subscribe(running, INBOUND, channel, destinationAddress="tel:+1613")
        assert again == first
        other = await subscribe(running, INBOUND, channel, destinationAddress="+1614")
        assert other["resourceURL"] != first["resourceURL"]
        elsewhere = await running.open_channel()
        assert (await subscribe(running, INBOUND, elsewhere))["resourceURL"]
        assert len(await listed(running, INBOUND)) == 3


async def test_integers_are_echoed_exactly(tmp_path: Path) -> None:
    """Members beyond 64 bits come back as they were sent, whatever they are (CH-90, SE-6)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        made = await subscribe(running, CHAT, channel, duration=10**30, unknown=2**64)
        assert (made["duration"], made["unknown"]) == (10**30, 2**64)
        assert await listed(running, CHAT) == [made]


@pytest.mark.parametrize("kind", ["websockets", "Webhooks"])
@pytest.mark.parametrize("path", KINDS)
async def test_service_table(tmp_path: Path, path: str, kind: str) -> None:
    """sms and chat may use both channel types this release serves (CH-93, T10)."""
    async with daemon(tmp_path) as running:
        channel = await (running.open_channel() if kind == "websockets" else running.open_webhook())
        assert (await subscribe(running, path, channel))["resourceURL"]


def inbound(id_: str, **members: Any) -> dict[str, Any]:
    message = {"message": "hi", "senderAddress": "+1", **members.pop("message", {})}
    notification = {"inboundSMSMessageNotification": {"inboundSMSMessage": message}}
    return {"user": USER, "service": "sms", "id": id_, "notification": notification, **members}


def receipt(id_: str, **members: Any) -> dict[str, Any]:
    notification = {"deliveryInfoNotification": {"deliveryInfo": {"address": "+1613"}}}
    return {"user": USER, "service": "sms", "id": id_, "notification": notification, **members}


async def test_what_an_sms_subscription_lets_through(tmp_path: Path) -> None:
    """Inbound ones get every sms that fits the filter or has no address, receipt ones only
    receipts, and a channel gets each once, however many match (CH-92, CH-94)."""
    async with daemon(tmp_path) as running:
        all_, filtered, receipts = [await running.open_channel() for _ in range(3)]
        await subscribe(running, INBOUND, all_)
        await subscribe(running, INBOUND, all_, destinationAddress="+7")
        await subscribe(running, RECEIPTS, all_)
        await subscribe(running, INBOUND, filtered, destinationAddress="tel:+7")
        await subscribe(running, RECEIPTS, receipts)
        items = [
            inbound("none"),
            inbound("seven", message={"destinationAddress": "+7"}),
            inbound("tel", message={"destinationAddress": "tel:+7"}),
            inbound("eight", message={"destinationAddress": "+8"}),
            inbound("named", message={"destinationAddress": "+8"}, destination_address="+7"),
            receipt("receipt"),
            receipt("other-receipt", destination_address="+8"),
        ]
        async with (
            connected(running, all_) as one,
            connected(running, filtered) as two,
            connected(running, receipts) as three,
        ):
            answer = await running.post(PUBLISH, items, scope="publish")
            assert [item["channels"] for item in answer.json] == [2, 2, 2, 1, 2, 3, 2]
            assert await one.ids(7) == [item["id"] for item in items]
            assert await two.ids(5) == ["none", "seven", "tel", "named", "receipt"]
            assert await three.ids(2) == ["receipt", "other-receipt"]


async def test_services_do_not_mix(tmp_path: Path) -> None:
    """A chat message does not go to an sms subscription."""
    async with daemon(tmp_path) as running:
        await subscribe(running, INBOUND, await running.open_channel())
        assert [one["status"] for one in await running.publish("a")] == ["no_channel"]


async def test_after_a_restart(tmp_path: Path) -> None:
    """Subscriptions answered 201 are there after the process was cut off (CH-22)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        made = [await subscribe(running, path, channel) for path in KINDS]
        await running.delete(made[0]["resourceURL"])
    async with daemon(tmp_path) as running:
        assert await listed(running, INBOUND) == []
        assert await listed(running, RECEIPTS) == made[1:2]
        assert await listed(running, CHAT) == made[2:]
        assert [one["channels"] for one in await running.publish("a")] == [1]
