"""Every subscription resource of Alice's, in a daemon of `tests.fakes.daemon`."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.fakes.daemon import CHAT, INBOUND, RECEIPTS, USER, Answer, Daemon, token
from tests.fakes.pushkeys import push_section

BASE = "https://api.example"
CALL = f"/cpaas/webrtcsignaling/v1/{USER}/subscriptions"
PRESENCE = f"/cpaas/presence/v1/{USER}/subscriptions/presenceListSubscriptions/L1"
PRESENCE_LISTS = f"/cpaas/presence/v1/{USER}/subscriptions"
ACCOUNT = f"/cpaas/account/v1/{USER}/subscriptions"
PROJECT = "/cpaas/portal/v1/accounts/acme/projects/shop/subscriptions"
ENVELOPES = {
    INBOUND: "subscription",
    RECEIPTS: "deliveryReceiptSubscription",
    CHAT: "chatNotificationSubscription",
    CALL: "wrtcsNotificationSubscription",
    PRESENCE: "presenceListSubscription",
    ACCOUNT: "projectSubscription",
    PROJECT: "projectSubscription",
}
SERVICES = {
    INBOUND: "sms",
    RECEIPTS: "sms",
    CHAT: "chat",
    CALL: "call",
    PRESENCE: "presence",
    ACCOUNT: "account",
    PROJECT: "account",
}
PUSH: dict[str, Any] = push_section(
    {
        "app": {"provider": "apns"},
        "app.voip": {"provider": "apns", "kind": "voip"},
        "droid": {"provider": "fcm"},
    }
)

Opener = Callable[[Daemon], Any]


def strict(path: str) -> str:
    """A path in the strict dialect (CH-1)."""
    return path.removeprefix("/cpaas")


def bearer() -> str:
    """Alice's token, good for her project too (CH-96)."""
    return token(USER, project="shop")


async def open_push(running: Daemon, app: str = "app") -> dict[str, Any]:
    """An OMAPush channel of Alice's, for one of `PUSH`."""
    data = {"appId": app, "x-provider": "apns", "x-deviceToken": "AB" * 32}
    return await running.open_channel(channelType="OMAPush", channelData=data)


async def open_poll(running: Daemon) -> dict[str, Any]:
    """A LongPolling channel of Alice's."""
    return await running.open_channel(channelType="LongPolling")


async def open_for(running: Daemon, path: str) -> dict[str, Any]:
    """A channel that may carry the service of this path."""
    if SERVICES[path] == "account":
        return await running.open_webhook()
    return await running.open_channel()


async def ask_for(
    running: Daemon, path: str, channel: dict[str, Any], *, at: str | None = None, **members: Any
) -> Answer:
    """POST a subscription to a channel; `at` is the path where it is not spelled as in
    `ENVELOPES`."""
    members = {"callbackReference": {"notifyURL": channel["callbackURL"]}, **members}
    return await running.post(at or path, {ENVELOPES[path]: members}, bearer=bearer())


async def subscribe(
    running: Daemon, path: str, channel: dict[str, Any], *, at: str | None = None, **members: Any
) -> dict[str, Any]:
    """The subscription as it is answered."""
    answer = await ask_for(running, path, channel, at=at, **members)
    assert answer.status == 201, answer
    assert set(answer.json) == {ENVELOPES[path]}
    made: dict[str, Any] = answer.json[ENVELOPES[path]]
    assert made["resourceURL"] == answer.headers["location"]
    return made


async def listed(
    running: Daemon, path: str, *, at: str | None = None, base: str = "", query: str = ""
) -> list[dict[str, Any]]:
    """The list at a path, whose envelopes are checked."""
    at = at or path
    answer = await running.get(at + query, bearer=bearer())
    assert answer.status == 200, answer
    envelope = ENVELOPES.get(path, "presenceListSubscription")
    assert set(answer.json) == {f"{envelope}List"}
    content = answer.json[f"{envelope}List"]
    assert set(content) == {envelope, "resourceURL"}
    assert content["resourceURL"] == base + at
    found: list[dict[str, Any]] = content[envelope]
    return found


def refused(channel_id: str, path: str) -> Iterator[tuple[Any, str, list[str]]]:
    """Bodies and how they are refused, in the order of section 10's members."""
    envelope = ENVELOPES[path]

    def body(reference: Any = None, **members: Any) -> dict[str, Any]:
        reference = {"notifyURL": channel_id} if reference is None else reference
        return {envelope: {"callbackReference": reference, **members}}

    url, form = "callbackReference.notifyURL", "callbackReference.notificationFormat"
    unknown = "ws-00000000-0000-4000-8000-000000000000"
    for wrong in ([], 5, None):
        yield wrong, "SVC0002", ["body"]
    for wrong in ({}, {"wrong": {}}, {envelope: 1}, {envelope: []}, {envelope: None}):
        yield wrong, "SVC0002", [envelope]
    yield {envelope: {}}, "SVC0002", [url]
    for reference in (
        *({}, 1, "x", [], {"notifyURL": None}, {"notifyURL": 1}, {"notifyURL": ""}),
        *({"notifyURL": unknown}, {"notifyURL": f"{channel_id}x"}, {"notifyURL": [channel_id]}),
        {"notifyURL": unknown, "notificationFormat": "XML"},
    ):
        yield body(reference), "SVC0002", [url]
    for value in ("XML", "json", 1, ["JSON"], True):
        reference = {"notifyURL": channel_id, "notificationFormat": value}
        yield body(reference), "SVC0003", [form, "JSON"]
    for value in (1, "", "c" * 257, ["c"], True):
        yield body(clientCorrelator=value), "SVC0002", ["clientCorrelator"]
    if SERVICES[path] == "sms":
        for value in (1, "", [], "9" * 257, "tel:"):
            yield body(destinationAddress=value), "SVC0002", ["destinationAddress"]
    for value in (0, -1, 1.5, True, False, "x", "0", "", "-1", "1.0", [1]):
        yield body(duration=value), "SVC0002", ["duration"]
    for value in ("zz", 1, ["all"], "ALL", ""):
        policy = {"x-deliveryPolicy": value}
        yield body(**policy), "SVC0003", ["x-deliveryPolicy", "all, escalate"]
