"""Pushes of channels: devices beside sockets and webhooks, and tokens that end (channels.md, 8)."""

import base64
import hashlib
import hmac
from pathlib import Path

import orjson
import pytest
import trio
from tests.end_to_end.clients import Platform, User, chat, id_of, text_of
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.http_connection import Answer
from tests.end_to_end.notification_socket import open_socket
from tests.end_to_end.provider import PHONE, VOIP, Provider, apns, device, waiting
from tests.end_to_end.services import CALL, CHAT, Face, item
from tests.fakes import receiver

pytestmark = pytest.mark.end_to_end

KEY = b"what signs webhooks, of 32 bytes"
NEVER = 3600


def invitation(user: str) -> dict[str, object]:
    """A call begins."""
    return item(user, "call", {"wrtcsSessionInvitationNotification": {"originatorName": "Bob"}})


def ringing(user: str) -> dict[str, object]:
    """A call goes on."""
    return item(user, "call", {"wrtcsEventNotification": {"eventType": "Ringing"}})


async def subscribe(user: User, channel: str, face: Face) -> Answer:
    """Subscribe a channel to one of the user's services."""
    return await user.call("POST", face.collection(user.name), face.wanted(channel))


async def test_a_device_over_its_life(tmp_path: Path, nursery: trio.Nursery) -> None:
    """CH-32, CH-71, CH-72, CH-74: POSTed, subscribed, pushed to; a POST with another token
    keeps the channel and its subscriptions; deleted, nothing is pushed."""
    provider = await Provider.start(nursery, tmp_path)
    async with Daemon(tmp_path, provider.settings()) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        with pytest.raises(AssertionError, match=r"channelData\.appId"):
            await user.push_channel("com.example.nobody", device("first"))
        channel = await user.push_channel(PHONE, device("first"))
        await user.subscribe(channel)
        [first_id] = await platform.publish(chat("alice", "one"))
        [first] = await provider.pushes(1)
        assert first.is_for("first")
        assert {name: first.headers[name] for name in ("apns-topic", "apns-push-type")} == {
            "apns-topic": PHONE,
            "apns-push-type": "alert",
        }
        alert = first.body["aps"]["alert"]
        assert (alert["title-loc-key"], alert["body"]) == (
            "chatMessageNotification_title",
            "one",
        )
        assert (text_of(first.text), first.body["chatMessageNotification"]["id"]) == (
            "one",
            first_id,
        )

        assert await user.push_channel(PHONE, device("second")) == channel
        await platform.publish(chat("alice", "two"))
        assert (await provider.pushes(2))[1].is_for("second")

        assert await user.delete(channel) == 204
        answer = await platform.post(chat("alice", "three"))
        assert answer.json()["channels"] == 0


async def test_the_socket_of_a_device_comes_first(tmp_path: Path, nursery: trio.Nursery) -> None:
    """CH-70, delivery.md (escalation): what a device's socket receipts is never pushed; what it
    does not is pushed at once when it goes, and at once when there is none."""
    provider = await Provider.start(nursery, tmp_path)
    settings = provider.settings() | {"delivery.escalate_after": NEVER}
    async with Daemon(tmp_path, settings) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        await user.subscribe(await user.push_channel(PHONE, device("phone")))
        socket = await user.socket_channel()
        async with open_socket(user, socket) as attentive:
            await platform.publish(chat("alice", "receipted"))
            assert text_of(await attentive.receive()) == "receipted"
            await attentive.ping()
            await attentive.pong()
            await until(lambda: waiting(daemon, 0), "the push is cancelled")
        async with open_socket(user, socket, ponging=False) as mute:
            await platform.publish(chat("alice", "unread"))
            assert [text_of(one) for one in await mute.texts(1)] == ["unread"]
            assert await waiting(daemon, 1)
            assert await provider.pushes() == []
        assert text_of((await provider.pushes(1))[0].text) == "unread"
        await platform.publish(chat("alice", "away"))
        pushes = await provider.pushes(2)
        await until(lambda: waiting(daemon, 0), "all is settled")
        assert [text_of(one.text) for one in pushes] == ["unread", "away"]
        async with open_socket(user, socket) as back:
            assert [text_of(one) for one in await back.texts(2)] == ["unread", "away"]


async def test_a_push_follows_when_no_receipt_comes(tmp_path: Path, nursery: trio.Nursery) -> None:
    """CH-70: after `escalate_after` the device is pushed to though its socket is still there, by
    the same id; a receipt that comes later changes nothing."""
    provider = await Provider.start(nursery, tmp_path)
    settings = provider.settings() | {"delivery.escalate_after": 0.3}
    async with Daemon(tmp_path, settings) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        await user.subscribe(await user.push_channel(PHONE, device("phone")))
        socket = await user.socket_channel()
        async with open_socket(user, socket, ponging=False) as mute:
            [published] = await platform.publish(chat("alice", "hello"))
            assert id_of((await mute.texts(1))[0]) == published
            [push] = await provider.pushes(1)
            await mute.ping()
            await mute.pong()
        await until(lambda: waiting(daemon, 0), "the push is settled")
        assert len(await provider.pushes()) == 1
    assert push.body["chatMessageNotification"]["id"] == published


async def test_everybody_gets_what_is_for_all(tmp_path: Path, nursery: trio.Nursery) -> None:
    """CH-70, delivery.md (escalation): one notification, one id: the webhook, a browser's socket
    and the phone of one user each get it once, and none waits for another."""
    provider = await Provider.start(nursery, tmp_path)
    hook = await receiver.start(nursery)
    settings = provider.settings() | {"delivery.escalate_after": NEVER}
    async with Daemon(tmp_path, settings) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        await user.webhook_channel(hook.port)
        await user.subscribe(await user.push_channel(PHONE, device("phone"), clientCorrelator="p"))
        socket = await user.socket_channel(clientCorrelator="browser")
        async with open_socket(user, socket) as browser:
            [published] = await platform.publish(chat("alice", "hello"))
            assert id_of((await browser.texts(1))[0]) == published
        [push] = await provider.pushes(1)
        assert push.body["chatMessageNotification"]["id"] == published
        await until(lambda: hook.requests, "the webhook is called")
        await until(lambda: waiting(daemon, 0), "the push is settled")
        assert len(await provider.pushes()) == 1
    assert [id_of(one.body) for one in hook.requests] == [published]


async def test_a_token_that_is_gone(tmp_path: Path, nursery: trio.Nursery) -> None:
    """T15, CH-76, PU-48, PU-56: 410 removes the channels of a token, of every account, with their
    subscriptions; whoever keeps tokens is told, signed. Another device stays."""
    provider = await Provider.start(nursery, tmp_path)
    keeper = await receiver.start(nursery)
    settings = provider.settings(feedback_url=f"http://127.0.0.1:{keeper.port}/feedback") | {
        "webhooks.signing_secret": f"whsec_{base64.b64encode(KEY).decode()}"
    }
    async with Daemon(tmp_path, settings) as daemon:
        alice, bob, platform = User(daemon, "alice"), User(daemon, "bob"), Platform(daemon)
        paths: list[tuple[User, str]] = []
        for user in (alice, bob):
            gone = await user.push_channel(PHONE, device("lost"), clientCorrelator="old")
            subscribed = (await subscribe(user, gone, CHAT)).json()[CHAT.envelope]
            paths += [(user, f"{user.channels}/{gone}"), (user, subscribed["resourceURL"])]
        assert [(await user.call("GET", path)).status for user, path in paths] == [200] * 4
        stays = await alice.push_channel(PHONE, device("kept"), clientCorrelator="new")
        await alice.subscribe(stays)
        await provider.follow(apns("lost", 410, "Unregistered"))
        await platform.publish(chat("alice", "hello"))
        await until(lambda: keeper.requests, "the keeper is told")
        assert [(await user.call("GET", path)).status for user, path in paths] == [404] * 4
        listed = (await alice.call("GET", alice.channels)).json()["notificationChannelList"]
        assert [one["callbackURL"] for one in listed["notificationChannel"]] == [stays]
        answer = await platform.post([chat("alice", "again"), chat("bob", "again")])
        assert [one["channels"] for one in answer.json()] == [1, 0]

        back = await alice.push_channel(PHONE, device("lost"), clientCorrelator="old")
        assert f"{alice.channels}/{back}" not in [path for _, path in paths]
    [told] = keeper.requests
    body = orjson.loads(told.body)
    assert (body["type"], body["data"]["app_id"]) == ("push.token.removed", PHONE)
    assert body["data"]["token"] == device("lost")
    assert body["data"]["accounts"] == ["alice", "bob"]
    assert body["data"]["selectors"] == ["old"]
    stamp = f"{told.headers['webhook-id']}.{told.headers['webhook-timestamp']}."
    digest = hmac.new(KEY, stamp.encode() + told.body, hashlib.sha256).digest()
    assert told.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


async def test_calls_ring_by_the_token_for_calls(tmp_path: Path, nursery: trio.Nursery) -> None:
    """CH-73, PU-35 to PU-37: a device with a PushKit channel gets invitations there only, and
    everything else on the other; one without gets an alert. It takes only calls."""
    provider = await Provider.start(nursery, tmp_path)
    async with Daemon(tmp_path, provider.settings()) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        voip = await user.push_channel(VOIP, device("ringer"))
        for channel in (
            voip,
            await user.push_channel(PHONE, device("phone")),
            await user.push_channel(PHONE, device("pad"), clientCorrelator="pad"),
        ):
            assert (await subscribe(user, channel, CALL)).status == 201
        assert (await subscribe(user, voip, CHAT)).status == 403
        await platform.publish(invitation("alice"))
        rings = await provider.pushes(2)
        await platform.publish(ringing("alice"))
        events = (await provider.pushes(4))[2:]
        await until(lambda: waiting(daemon, 0), "all is settled")
        assert len(await provider.pushes()) == 4
    by_voip, by_alert = sorted(rings, key=lambda one: not one.is_for("ringer"))
    assert by_voip.is_for("ringer")
    assert by_alert.is_for("pad")
    wanted = ("apns-topic", "apns-push-type", "apns-priority")
    assert [by_voip.headers[name] for name in wanted] == [VOIP, "voip", "10"]
    assert [by_alert.headers[name] for name in wanted] == [PHONE, "alert", "10"]
    assert by_voip.body["aps"] == {}
    assert "apns-collapse-id" not in by_voip.headers
    assert all(one.is_for("phone") or one.is_for("pad") for one in events)
    assert {one.headers["apns-push-type"] for one in events} == {"background"}
