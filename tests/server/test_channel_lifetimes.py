"""Lifetimes over HTTP: what is granted, prolonged, left, and refused (channels.md, section 5)."""

from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import CHANNELS, USER, Daemon, daemon, token
from tests.fakes.pushkeys import push_section

from tocsin.model.channel import Channel

APPS = push_section({"com.x": {"provider": "apns"}, "droid": {"provider": "fcm"}})
PUSH = {"appId": "com.x", "x-provider": "apns", "x-deviceToken": "ab" * 32}
STRICT: dict[str, Any] = {
    "push": APPS,
    "public_base_url": "https://x",
    "netapi": {"native_app_id": "droid"},
}


def lifetime(seconds: object) -> dict[str, Any]:
    return {"notificationChannelLifetime": {"channelLifetime": seconds}}


async def held(running: Daemon, channel: dict[str, Any]) -> Channel:
    """The channel's object in the daemon."""
    account = await running.app._parts.directory.account(USER)
    return account.channels[channel["resourceURL"].rpartition("/")[2]]


@pytest.mark.parametrize("kind", ["websockets", "LongPolling"])
@pytest.mark.parametrize("path", ["", "/", "/channelLifetime", "/channelLifetime/"])
async def test_put(tmp_path: Path, kind: str, path: str) -> None:
    """PUT on either path answers what is granted, which counts from now on and outlives the
    process (CH-40, CH-41, CH-22)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(channelType=kind, channelLifetime=60)
        for wanted, granted in ((120, 120), ("240", 240), (10**30, 86_400), (1, 60), (300, 300)):
            (await held(running, channel)).expires_at = running.app._clock() + 1_500
            answer = await running.ask("PUT", channel["resourceURL"] + path, lifetime(wanted))
            assert (answer.status, answer.json) == (200, lifetime(granted))
            left = await running.get(f"{channel['resourceURL']}/channelLifetime")
            assert granted - 10 < left.json["notificationChannelLifetime"]["channelLifetime"]
            assert (await running.get(channel["resourceURL"])).json["notificationChannel"] == {
                **channel,
                "channelLifetime": granted,
            }
    async with daemon(tmp_path) as running:
        answer = await running.get(channel["resourceURL"])
        assert answer.json["notificationChannel"]["channelLifetime"] == 300


async def test_what_is_left(tmp_path: Path) -> None:
    """GET tells the seconds that remain, a begun one counted; a channel that has none is gone
    (CH-20, section 3)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(channelLifetime=60)
        path = f"{channel['resourceURL']}/channelLifetime"
        whole = await running.get(path)
        assert whole.status == 200
        assert whole.json in [lifetime(60), lifetime(59)]
        mine = await held(running, channel)
        mine.expires_at = running.app._clock() + 10_000_000
        assert (await running.get(path)).json in [lifetime(10_000), lifetime(9_999)]
        mine.expires_at = running.app._clock() + 900
        assert (await running.get(path)).json == lifetime(1)
        mine.expires_at = running.app._clock()
        for method in ("GET", "PUT"):
            answer = await running.ask(method, path, lifetime(60))
            assert answer.refusal == (404, "SVC0004", ["channelId"])


async def test_permanent_channels(tmp_path: Path) -> None:
    """What does not end by itself has no lifetime to read or to change (CH-42, CH-121)."""
    async with daemon(tmp_path, push=APPS) as running:
        for channel in (
            await running.open_webhook(),
            await running.open_channel(channelType="OMAPush", channelData=PUSH),
        ):
            before = await running.get(channel["resourceURL"])
            for method, path in (
                ("GET", "/channelLifetime"),
                ("PUT", "/channelLifetime"),
                ("PUT", ""),
            ):
                answer = await running.ask(method, channel["resourceURL"] + path, lifetime(60))
                assert answer.refusal == (400, "SVC0002", ["channelLifetime"])
            assert (await running.get(channel["resourceURL"])).body == before.body


async def test_a_native_channel_is_not_permanent(tmp_path: Path) -> None:
    """A NativeChannel has a lifetime, in every dialect's path (CH-33)."""
    async with daemon(tmp_path, **STRICT) as running:
        wanted = {
            "channelType": "NativeChannel",
            "channelData": {"registrationToken": "t"},
            "channelLifetime": 90_000,
        }
        strict = CHANNELS.removeprefix("/cpaas")
        made = await running.post(strict, {"notificationChannel": wanted})
        channel = made.json["notificationChannel"]
        assert channel["channelLifetime"] == 86_400
        path = channel["resourceURL"].removeprefix("https://x")
        for prefix in ("", "/cpaas"):
            answer = await running.ask("PUT", f"{prefix}{path}/channelLifetime", lifetime(90))
            assert (answer.status, answer.json) == (200, lifetime(90))


@pytest.mark.parametrize(
    ("body", "status", "variables"),
    [
        (b"[", 400, ["body"]),
        ([], 400, ["body"]),
        ({"channelLifetime": 60}, 400, ["notificationChannelLifetime"]),
        ({"notificationChannelLifetime": {}}, 400, ["channelLifetime"]),
        *((lifetime(one), 400, ["channelLifetime"]) for one in (0, -1, 1.5, True, None, "x", "0")),
    ],
)
async def test_what_is_refused(
    tmp_path: Path, body: object, status: int, variables: list[str]
) -> None:
    """A bad value is told and changes nothing (CH-40, CH-121)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(channelLifetime=90)
        for path in ("", "/channelLifetime"):
            answer = await running.ask("PUT", channel["resourceURL"] + path, body)
            assert answer.refusal == (status, "SVC0002", variables)
        assert (await running.get(channel["resourceURL"])).json["notificationChannel"] == channel


async def test_the_channel_is_looked_for_before_the_body(tmp_path: Path) -> None:
    """No such channel is told whatever the body, media type included (CH-13, CH-20)."""
    async with daemon(tmp_path) as running:
        bobs = CHANNELS.replace(USER, "bob")
        wanted = {"channelType": "websockets", "clientCorrelator": "tab"}
        bob = await running.post(bobs, {"notificationChannel": wanted}, bearer=token("bob"))
        other = bob.json["notificationChannel"]["callbackURL"]
        for channel_id in (other, "ws-00000000-0000-4000-8000-000000000000", "x"):
            for path in ("", "/channelLifetime"):
                answer = await running.ask(
                    "PUT",
                    f"{CHANNELS}/{channel_id}{path}",
                    b"[",
                    headers=[("Content-Type", "text/plain")],
                )
                assert answer.refusal == (404, "SVC0004", ["channelId"])
        mine = await running.open_channel()
        answer = await running.ask(
            "PUT", mine["resourceURL"], lifetime(60), headers=[("Content-Type", "text/plain")]
        )
        assert answer.refusal == (415, "SVC0001", ["media_type"])
