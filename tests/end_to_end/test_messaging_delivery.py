"""Whoever is not connected gets messages his other ways, and devices agree (messaging.md, 9)."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import orjson
import pytest
import trio
from tests.end_to_end.clients import ROOT, Platform, User, chat, id_of, text_of
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.notification_socket import open_socket
from tests.end_to_end.provider import PHONE, Provider, device, waiting
from tests.end_to_end.talkers import (
    Rest,
    core_user,
    device_of,
    direct,
    join,
    open_room,
    pass_of,
    send,
    talk,
    to_room,
)
from tests.fakes import receiver
from tests.fakes.messaging_client import STREAMING, TRANSPORTS, MessagingClient

from tocsin.wire.messaging.ids import notification_id

pytestmark = pytest.mark.end_to_end

NEVER = 3600
PATIENT = {"sockjs.prove_within": NEVER}
INVITATION = "groupChatSessionInvitationNotification"


def settings(provider: Provider, **more: object) -> dict[str, object]:
    """A daemon that pushes only what nobody has."""
    return {
        **provider.settings(),
        "delivery.escalate_after": NEVER,
        "messaging.resume_hold": 0,
        **{f"messaging.{name}": value for name, value in more.items()},
    }


async def phone(daemon: Daemon, name: str = "bob", correlator: str = "phone") -> User:
    """A device of his that takes pushes of messages."""
    user = device_of(daemon, name)
    channel = await user.push_channel(PHONE, device(correlator), clientCorrelator=correlator)
    await user.subscribe(channel)
    return user


def unproving(
    daemon: Daemon, correlator: str | None = None
) -> AbstractAsyncContextManager[MessagingClient]:
    """A connection of his that proves nothing of what it has, for as long as it takes: a stream
    that does not end, in a daemon that is `PATIENT`."""
    return talk(daemon, "bob", transport=STREAMING, correlator=correlator)


async def is_told(daemon: Daemon) -> bool:
    """Whether no webhook is left to be called."""
    return await daemon.metric("tocsin_queue_depth", type="Webhooks") == 0


async def polled(user: User, channel: str) -> list[dict[str, Any]]:
    """What a poll answers."""
    answer = await user.call("GET", f"{user.channels}/{channel}/notifications")
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.json()["notificationList"]
    return found


async def keep_polling(user: User, channel: str) -> None:
    """Polls that are held until there is something, again and again."""
    while True:
        await polled(user, channel)


async def test_who_is_not_connected_is_told_every_way(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """MS-46, MS-49, MS-50, MS-52: a direct message to one without a connection is at his webhook,
    his notification socket, his poll and his phone straight away, in one form, byte for byte; and
    in his Log."""
    provider = await Provider.start(nursery, tmp_path)
    hook = await receiver.start(nursery)
    async with Daemon(tmp_path, settings(provider)) as daemon:
        bob = await phone(daemon)
        await bob.webhook_channel(hook.port)
        poll = await bob.open_channel("LongPolling", clientCorrelator="poll")
        await bob.subscribe(poll)
        socket = await bob.socket_channel(clientCorrelator="browser")
        async with talk(daemon, "alice") as alice, open_socket(bob, socket) as browser:
            long = "é" * 2049
            reply = await alice.ask(direct("bob", long, content_type="text/x"))
            [frame] = await browser.texts(1)
            [push] = await provider.pushes(1)
            await until(lambda: hook.requests, "the webhook is called")
            [from_poll] = await polled(bob, poll)
        at = orjson.loads(frame)[ROOT]["dateTime"]
        message_id = reply.one["message-id"]
        wanted = {
            ROOT: {
                "id": message_id,
                "dateTime": at,
                "chatMessage": {
                    "text": "é" * 2048,
                    "x-type": "inbound",
                    "x-content-type": "text/x",
                    "dateTime": at,
                    "senderAddress": "alice@local",
                    "x-destinationAddress": "bob@local",
                    "x-truncated": True,
                },
                "link": [
                    {
                        "rel": "chatMessage",
                        "href": "/cpaas/chat/v1/bob@local/oneToOne/alice@local/adhoc/messages/"
                        + message_id,
                    }
                ],
            }
        }
        assert frame.encode() == hook.requests[0].body == orjson.dumps(wanted)
        assert from_poll == wanted
        assert (push.body[ROOT]["id"], push.is_for("phone")) == (message_id, True)
        log = await Rest(daemon, pass_of("bob")).found("/log")
        assert [one["content"] for one in log["messages"]] == [long]


async def test_rooms_and_invitations(tmp_path: Path, nursery: trio.Nursery) -> None:
    """MS-49, MS-52: whoever is invited, and each member but the sender, is told once, under ids and
    links of his own, byte for byte."""
    hooks = {name: await receiver.start(nursery) for name in ("alice", "bob", "carol")}
    async with Daemon(tmp_path) as daemon:
        for name, hook in hooks.items():
            await device_of(daemon, name).webhook_channel(hook.port)
        async with talk(daemon, "alice") as alice:
            room = await open_room(alice, 'Night "shift"', "bob", "carol")
            for name in ("bob", "carol"):
                async with talk(daemon, name) as client:
                    await join(client, room)
            message_id = await send(alice, to_room(room, "hello"))
        await until(lambda: is_told(daemon), "everybody is told")
    assert [len(hook.requests) for hook in hooks.values()] == [0, 2, 2]
    invited = [orjson.loads(hooks[name].requests[0].body) for name in ("bob", "carol")]
    told = [orjson.loads(hooks[name].requests[1].body) for name in ("bob", "carol")]
    assert invited[0][INVITATION]["id"] != invited[1][INVITATION]["id"]
    for name, invitation, message in zip(("bob", "carol"), invited, told, strict=True):
        user = core_user(name)
        group = f"/cpaas/chat/v1/{user}/group/{room}"
        link = [{"rel": "groupChatSessionInformation", "href": group}]
        body = invitation[INVITATION]
        wanted = {"id": body["id"], "dateTime": body["dateTime"], "x-name": 'Night "shift"'}
        assert hooks[name].requests[0].body == orjson.dumps({INVITATION: {**wanted, "link": link}})
        at = message[ROOT]["dateTime"]
        chat_message = {
            "text": "hello",
            "x-type": "inbound",
            "x-content-type": "text/plain",
            "dateTime": at,
            "senderAddress": "alice@local",
            "x-destinationAddress": user,
        }
        wanted = {
            "id": notification_id(message_id, user),
            "dateTime": at,
            "chatMessage": chat_message,
            "link": [{"rel": "chatMessage", "href": f"{group}/messages/{message_id}"}],
        }
        assert hooks[name].requests[1].body == orjson.dumps({ROOT: wanted})


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_connection_of_a_device_comes_first(
    tmp_path: Path, nursery: trio.Nursery, transport: str
) -> None:
    """MS-50, MS-54, MS-55: what the connection of a device proves to have is never pushed to it,
    and the sender is told; webhooks do not wait for that; what it has not when it goes is pushed
    at once, and so is what comes when it is gone."""
    provider = await Provider.start(nursery, tmp_path)
    hook = await receiver.start(nursery)
    quick = {"sockjs.prove_within": 0.1}
    async with Daemon(tmp_path, settings(provider, **quick)) as daemon:
        bob = await phone(daemon)
        await bob.webhook_channel(hook.port)
        async with talk(daemon, "alice") as alice:
            async with talk(daemon, "bob", transport=transport, correlator="phone") as attentive:
                proven = await send(alice, direct("bob", "proven"))
                assert (await attentive.next("direct-message"))["message-id"] == proven
                await alice.until("delivery", message_id=proven, status="received")
                await until(lambda: waiting(daemon, 0), "the push is cancelled")
                await until(lambda: len(hook.requests) == 1, "the webhook is called")
            await send(alice, direct("bob", "away"))
            [push] = await provider.pushes(1)
            assert text_of(push.text) == "away"
            async with talk(daemon, "bob", correlator="phone") as mute:
                mute.wire.answers_pings = False
                await send(alice, direct("bob", "unread"))
                await mute.until("direct-message", content="unread")
                await until(lambda: waiting(daemon, 1), "the push waits, alone")
            pushes = await provider.pushes(2)
        assert [text_of(one.text) for one in pushes] == ["away", "unread"]


async def test_a_push_follows_when_nothing_is_proven(tmp_path: Path, nursery: trio.Nursery) -> None:
    """MS-50: after `escalate_after` the device is pushed to though its connection is there."""
    provider = await Provider.start(nursery, tmp_path)
    changed = settings(provider) | {"delivery.escalate_after": 0.3}
    async with Daemon(tmp_path, changed) as daemon:
        await phone(daemon)
        async with talk(daemon, "alice") as alice, talk(daemon, "bob", correlator="phone") as mute:
            mute.wire.answers_pings = False
            sent = await send(alice, direct("bob", "hello"))
            [push] = await provider.pushes(1)
        assert push.body[ROOT]["id"] == sent


@pytest.mark.parametrize("uncorrelated", ["none", "all"])
async def test_whom_a_connection_silences(
    tmp_path: Path, nursery: trio.Nursery, uncorrelated: str
) -> None:
    """MS-50, MS-51: a connection that names another device silences no push, nor does one that
    names none; with `uncorrelated` as "all" that counts for each device until it goes."""
    provider = await Provider.start(nursery, tmp_path)
    async with Daemon(tmp_path, settings(provider, **PATIENT, uncorrelated=uncorrelated)) as daemon:
        await phone(daemon)
        await phone(daemon, correlator="pad")
        async with talk(daemon, "alice") as alice:
            async with talk(daemon, "bob", correlator="browser"):
                await send(alice, direct("bob", "one"))
                await provider.pushes(2)
            async with unproving(daemon) as nameless:
                await send(alice, direct("bob", "two"))
                if uncorrelated == "none":
                    await provider.pushes(4)
                else:
                    await nameless.until("direct-message", content="two")
                    await until(lambda: waiting(daemon, 2), "both pushes wait, alone")
                    assert len(await provider.pushes()) == 2
            assert len(await provider.pushes(4)) == 4
            async with unproving(daemon, "phone"):
                await send(alice, direct("bob", "three"))
                pushes = await provider.pushes(5)
                assert pushes[4].is_for("pad")
                await until(lambda: waiting(daemon, 1), "the answer for the other is known")


async def mark(client: MessagingClient, message_id: str, status: str) -> None:
    """A receipt, which must be taken."""
    asked = {"type": "delivery", "message-id": message_id, "status": status}
    assert (await client.ask(asked)).is_ok


async def test_read_anywhere_cancels_everywhere(tmp_path: Path, nursery: trio.Nursery) -> None:
    """MS-55, MS-59: `received` or `displayed` on another device leaves a phone's push waiting,
    `read` cancels it; a look into the Log over REST that names the phone does, too, up to where it
    has come."""
    provider = await Provider.start(nursery, tmp_path)
    async with Daemon(tmp_path, settings(provider, **PATIENT)) as daemon:
        await phone(daemon)
        async with (
            talk(daemon, "alice") as alice,
            unproving(daemon, "phone") as mute,
            talk(daemon, "bob") as browser,
        ):
            message_id = await send(alice, direct("bob", "one"))
            await browser.until("direct-message", message_id=message_id)
            await alice.until("delivery", status="received")
            await mark(browser, message_id, "displayed")
            assert await waiting(daemon, 1)
            await mark(browser, message_id, "read")
            await until(lambda: waiting(daemon, 0), "the push is cancelled")
            told = (await mute.until("delivery", status="read"))[-1]
            assert (told["message-id"], told["subscriber-id"]) == (message_id, "bob")

            await send(alice, direct("bob", "two"))
            await send(alice, direct("bob", "three"))
            read = Rest(daemon, pass_of("bob"))
            log = await read.found("/log", correlator="phone")
            place = {one.get("content"): one["cursor"] for one in log["messages"]}
            assert await waiting(daemon, 1 + 1)
            await read.found("/log", correlator="phone", after=place["two"])
            await until(lambda: waiting(daemon, 1), "one push is cancelled")
            await read.found("/log", after=place["three"])
            assert await waiting(daemon, 1)
            await read.found("/log", correlator="phone", after=place["three"])
            await until(lambda: waiting(daemon, 0), "the other is, too")
            assert await provider.pushes() == []


async def test_receipts_of_channels_count(tmp_path: Path, nursery: trio.Nursery) -> None:
    """MS-54: what a notification socket or a poll of the recipient receipts was received; what a
    webhook or a provider takes was not."""
    provider = await Provider.start(nursery, tmp_path)
    hook = await receiver.start(nursery)
    async with Daemon(tmp_path, settings(provider)) as daemon:
        people = {name: device_of(daemon, name) for name in ("socket", "poll", "hook", "push")}
        socket = await people["socket"].socket_channel()
        poll = await people["poll"].open_channel("LongPolling")
        await people["poll"].subscribe(poll)
        await people["hook"].webhook_channel(hook.port)
        await phone(daemon, "push")
        async with talk(daemon, "alice") as alice:
            ids = {name: await send(alice, direct(name, "hello")) for name in people}
            async with open_socket(people["socket"], socket) as browser:
                [frame] = await browser.texts(1)
                assert id_of(frame) == ids["socket"]
                await browser.ping()
                await browser.pong()
                await alice.until("delivery", message_id=ids["socket"], status="received")
            nursery.start_soon(keep_polling, people["poll"], poll)
            await alice.until("delivery", message_id=ids["poll"], status="received")
            await until(lambda: is_told(daemon), "the webhook is called")
            await provider.pushes(1)
            await until(lambda: waiting(daemon, 0), "the push is settled")
            last = await send(alice, direct("poll", "the last"))
            await alice.until("delivery", message_id=last, status="received")
        told = [one["message-id"] for one in alice.log if one.get("status") == "received"]
        assert told == [ids["socket"], ids["poll"], last]
        nursery.cancel_scope.cancel()


async def test_do_not_disturb(tmp_path: Path, nursery: trio.Nursery) -> None:
    """MS-45: while he is `dnd`, whichever device said it, nothing is pushed to him; his webhook is
    called and his Log has it. Once he is not, he is pushed to again."""
    provider = await Provider.start(nursery, tmp_path)
    hook = await receiver.start(nursery)
    async with Daemon(tmp_path, settings(provider)) as daemon:
        bob = await phone(daemon)
        await bob.webhook_channel(hook.port)
        async with talk(daemon, "alice") as alice, talk(daemon, "bob", correlator="x") as browser:
            await browser.ask({"type": "announce", "availability": "dnd"})
            await send(alice, direct("bob", "silent"))
            assert (await browser.next("direct-message"))["content"] == "silent"
            await until(lambda: len(hook.requests) == 1, "the webhook is called")
            await browser.ask({"type": "announce", "availability": "busy"})
            await send(alice, direct("bob", "loud"))
            [push] = await provider.pushes(1)
            await until(lambda: len(hook.requests) == 2, "the webhook is called again")
        assert text_of(push.text) == "loud"
        log = await Rest(daemon, pass_of("bob")).found("/log")
        assert [one["content"] for one in log["messages"]] == ["silent", "loud"]


async def test_without_notifications(tmp_path: Path, nursery: trio.Nursery) -> None:
    """MS-49, section 14: with `notify` off messages are in Logs only, and other notifications of
    the service go out as ever."""
    hook = await receiver.start(nursery)
    changed = {"messaging.notify": False, "messaging.resume_hold": 0}
    async with Daemon(tmp_path, changed) as daemon:
        await device_of(daemon, "bob").webhook_channel(hook.port)
        async with talk(daemon, "alice") as alice, talk(daemon, "bob") as bob:
            await send(alice, direct("bob", "only here"))
            assert (await bob.next("direct-message"))["content"] == "only here"
            await Platform(daemon).publish(chat(core_user("bob"), "elsewhere"))
            await until(lambda: is_told(daemon), "the webhook is called")
            assert [text_of(one.body) for one in hook.requests] == ["elsewhere"]
            assert [one["type"] for one in bob.log] == ["welcome", "direct-message"]
