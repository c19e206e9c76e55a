"""Which service may use which channel, and services an operator has declared, over HTTP."""

from pathlib import Path
from typing import Any

import pytest
import trio
from tests.fakes import receiver
from tests.fakes.daemon import CHAT, HOOK, INBOUND, PUBLISH, RECEIPTS, USER, Daemon, daemon, token
from tests.fakes.notification_socket import connected
from tests.fakes.subscriptions import (
    CALL,
    ENVELOPES,
    PRESENCE,
    PUSH,
    SERVICES,
    Opener,
    ask_for,
    listed,
    open_poll,
    open_push,
    subscribe,
)

from tocsin.model.errors import TEXTS

PUSHED = {"sms", "chat", "call"}
TICKETS = f"/cpaas/tickets/v1/{USER}/subscriptions"
DECLARED: dict[str, Any] = {
    "services": {
        "tickets": {
            "envelope": "ticketSubscription",
            "channel_types": ["websockets"],
            "root_keys": ["ticketNotification"],
            "expires_in": 60,
        },
        "fax": {"path": "/telephony/v2/{user}/fax/subscriptions"},
    }
}


async def open_socket(running: Daemon) -> dict[str, Any]:
    return await running.open_channel()


async def open_hook(running: Daemon) -> dict[str, Any]:
    return await running.open_webhook()


async def open_voip(running: Daemon) -> dict[str, Any]:
    return await open_push(running, "app.voip")


OPENERS: list[tuple[Opener, set[str]]] = [
    (open_socket, {"sms", "chat", "call", "presence"}),
    (open_poll, {"sms", "chat", "call", "presence"}),
    (open_push, {"sms", "chat", "call"}),
    (open_voip, {"call"}),
    (open_hook, {"sms", "chat", "call", "presence", "account"}),
]


@pytest.mark.parametrize(("opener", "services"), OPENERS)
async def test_every_cell_of_the_service_table(
    tmp_path: Path, opener: Opener, services: set[str]
) -> None:
    """Yes is 201; no is 403 with nothing stored, for a PushKit app too (CH-73, CH-93, T10)."""
    async with daemon(tmp_path, push=PUSH) as running:
        channel = await opener(running)
        for path in ENVELOPES:
            before = await running.stored()
            answer = await ask_for(running, path, channel)
            if SERVICES[path] in services:
                assert answer.status == 201
            else:
                assert answer.refusal == (403, "POL0001", ["service_not_on_channel"])
                assert await running.stored() == before
                assert await listed(running, path) == []


async def test_a_bad_member_comes_before_the_table_and_that_before_the_quota(
    tmp_path: Path,
) -> None:
    """Where several things are wrong, the first of CH-121 is told."""
    async with daemon(tmp_path, push=PUSH, limits={"subscriptions_per_user": 1}) as running:
        channel = await open_push(running)
        await subscribe(running, CHAT, channel)
        answer = await ask_for(running, PRESENCE, channel, duration=0)
        assert answer.refusal == (400, "SVC0002", ["duration"])
        answer = await ask_for(running, PRESENCE, channel)
        assert answer.refusal == (403, "POL0001", ["service_not_on_channel"])
        answer = await ask_for(running, CALL, channel)
        assert answer.refusal == (403, "POL0001", ["quota_subscriptions"])


async def test_a_hundred_webhook_subscribes_leave_one_channel(tmp_path: Path) -> None:
    """Deployed clients create the channel each time and delete only the subscription (CH-80,
    CH-92, T13)."""
    async with daemon(tmp_path) as running:
        seen = set()
        for _ in range(100):
            channel = await running.open_webhook()
            made = await subscribe(running, CHAT, channel)
            assert await subscribe(running, CHAT, channel) == made
            assert (await running.delete(made["resourceURL"])).status == 204
            seen.add((channel["callbackURL"], made["resourceURL"]))
        assert len({channel for channel, _ in seen}) == 1
        assert len(seen) == 100
        assert await running.stored() == [{"Webhooks": 1}, {}, {}, {}]


@pytest.mark.parametrize("path", [INBOUND, RECEIPTS, CHAT, CALL])
async def test_one_text_for_hooks_and_sockets(tmp_path: Path, path: str) -> None:
    """Each service reaches a socket and a webhook with the same bytes (CH-82, CH-100)."""
    root_key = {
        INBOUND: "inboundSMSMessageNotification",
        RECEIPTS: "deliveryInfoNotification",
        CHAT: "chatEventNotification",
        CALL: "wrtcsEventNotification",
    }[path]
    item = {"user": USER, "service": SERVICES[path], "notification": {root_key: {"x": 2**64}}}
    async with trio.open_nursery() as nursery, daemon(tmp_path) as running:
        hook = await receiver.start(nursery, answers=[receiver.reply(200, "Connection: close")])
        arrived = trio.Event()
        hook.on_request = lambda _request: arrived.set()
        url = f"http://127.0.0.1:{hook.port}/hook"
        await subscribe(running, path, await running.open_webhook(url))
        channel = await running.open_channel()
        await subscribe(running, path, channel)
        async with connected(running, channel) as client:
            answer = await running.post(PUBLISH, item, scope="publish")
            assert answer.json["channels"] == 2
            frame = await client.frame()
        with trio.fail_after(30):
            await arrived.wait()
        assert hook.requests[0].body.decode() == frame[1]
        nursery.cancel_scope.cancel()


async def declared(running: Daemon, path: str, envelope: str, channel: dict[str, Any]) -> Any:
    """A subscription to a declared service, as it is answered."""
    reference = {"callbackReference": {"notifyURL": channel["callbackURL"]}}
    return await running.post(path, {envelope: reference})


async def test_a_declared_service(tmp_path: Path) -> None:
    """Its path, envelope, channel types and defaults hold from POST to socket, and it is counted
    under its name (CH-97)."""
    async with daemon(tmp_path, **DECLARED) as running:
        channel = await running.open_channel()
        answer = await declared(running, TICKETS, "ticketSubscription", channel)
        assert answer.status == 201
        resource = answer.headers["location"]
        assert resource.startswith(f"{TICKETS}/")
        made = answer.json["ticketSubscription"]
        assert made == {
            "callbackReference": {"notifyURL": channel["callbackURL"]},
            "clientCorrelator": "tab",
            "resourceURL": resource,
        }
        assert (await running.get(resource)).json == answer.json
        assert (await running.get(TICKETS)).json == {
            "ticketSubscriptionList": {"ticketSubscription": [made], "resourceURL": TICKETS}
        }
        notification = {"ticketNotification": {"id": "t1"}}
        item = {"user": USER, "service": "tickets", "notification": notification}
        async with connected(running, channel) as client:
            answer = await running.post(PUBLISH, item, scope="publish")
            assert answer.json == {"id": "t1", "channels": 1, "status": "accepted"}
            assert await client.ids(1) == ["t1"]
        assert await running.metric('tocsin_subscriptions{service="tickets"}') == 1
        accepted = 'tocsin_notifications_accepted_total{service="tickets"}'
        assert await running.metric(accepted) == 1
        refusal = await declared(running, TICKETS, "ticketSubscription", await open_hook(running))
        assert refusal.refusal == (403, "POL0001", ["service_not_on_channel"])
        assert (await running.delete(resource)).status == 204


async def test_a_declared_path(tmp_path: Path) -> None:
    """Behind the prefix, with an envelope of its own by default, and like any other for other
    users (CH-12, CH-97)."""
    path = f"/cpaas/telephony/v2/{USER}/fax/subscriptions"
    async with daemon(tmp_path, **DECLARED) as running:
        hook = await running.open_webhook(HOOK)
        answer = await declared(running, path, "subscription", hook)
        assert answer.headers["location"].startswith(f"{path}/")
        answer = await running.get(path, bearer=token("bob"))
        assert answer.refusal == (403, "POL0001", ["user_mismatch"])


async def test_what_is_not_declared_is_unknown(tmp_path: Path) -> None:
    """Its paths to a client, its name to a publisher (CH-97, CH-110)."""
    async with daemon(tmp_path) as running:
        answer = await running.get(TICKETS)
        assert answer.refusal == (404, "SVC0001", ["unknown_path"])
        item = {"user": USER, "service": "tickets", "notification": {"x": {}}}
        answer = await running.post(PUBLISH, item, scope="publish")
        valid = "sms, chat, call, presence, account"
        assert answer.refusal == (400, "SVC0003", ["service", valid])
        assert answer.json["requestError"]["serviceException"]["text"] == TEXTS["SVC0003"]


async def test_a_declaration_that_was_taken_back(tmp_path: Path) -> None:
    """What was subscribed under it stays in the store, harms nothing, and is there again once it
    is declared again (CH-97)."""
    async with daemon(tmp_path, **DECLARED) as running:
        channel = await running.open_channel()
        answer = await declared(running, TICKETS, "ticketSubscription", channel)
        resource = answer.headers["location"]
    async with daemon(tmp_path) as running:
        await running.subscribe(channel)
        assert [one["channels"] for one in await running.publish("a")] == [1]
        assert (await running.get(resource)).status == 404
    async with daemon(tmp_path, **DECLARED) as running:
        assert (await running.get(resource)).status == 200
