"""From a request to a channel: every member in its place, without network and store."""

from typing import Any

import pytest
import trio

from tocsin.delivery.directory import Account
from tocsin.delivery.pushapps import AppRegistry, PushAppSettings
from tocsin.model.channel import Channel, ChannelType, Webhook
from tocsin.model.errors import RequestError
from tocsin.server.newchannel import ChannelMaker, stand_in
from tocsin.store.records import AccountRecord
from tocsin.wire.dialect import Dialect, netapi, oma

NOW = 1_700_000_000_000
TOKEN = "ab" * 32
NETAPI = netapi("/cpaas")
OMA = oma("https://x", native_app_id="droid")
HOOK = "https://hook/"
PUSH = {"appId": "com.x", "x-provider": "apns", "x-deviceToken": TOKEN}
EXTRAS = {"type": "t", "channelSubType": "s", "channelSubTypeVersion": "1"}


async def judge_url(url: str) -> str:
    await trio.lowlevel.checkpoint()
    if url != HOOK:
        raise ValueError(url)
    return f"{url.rstrip('/')}:443"


def check_secret(secret: str) -> None:
    if secret != "good":
        raise ValueError(secret)


MAKER = ChannelMaker(
    judge_url=judge_url,
    check_secret=check_secret,
    apps=AppRegistry({"com.x": PushAppSettings("apns"), "droid": PushAppSettings("fcm")}),
    grant=lambda requested: min(requested or 3600, 86_400),
    clock=lambda: NOW,
)


async def make(dialect: Dialect, kind: str, data: object = None, **members: Any) -> Channel:
    wanted = {"channelType": kind, "clientCorrelator": "c", "channelData": data, **members}
    document = {"notificationChannel": wanted}
    return await MAKER.make(document, dialect, user="u", creator="sub")


async def refused(dialect: Dialect, kind: str, data: object, **members: Any) -> tuple[str, ...]:
    with pytest.raises(RequestError) as caught:
        await make(dialect, kind, data, **members)
    return caught.value.variables


@pytest.mark.parametrize("dialect", [NETAPI, OMA])
async def test_a_socket(dialect: Dialect) -> None:
    """Lifetime, role and tag are its own, the clock runs from now on (CH-40, CH-41)."""
    channel = await make(
        dialect,
        "websockets",
        channelLifetime="90",
        applicationTag="t",
        **{"x-connCheckRole": "client"},
    )
    assert channel.id.startswith("ws-")
    assert (channel.user, channel.creator, channel.created_at) == ("u", "sub", NOW)
    assert (channel.lifetime, channel.expires_at) == (90, NOW + 90_000)
    assert (channel.client_correlator, channel.application_tag) == ("c", "t")
    assert channel.check_role == "client"
    assert (channel.device, channel.webhook, channel.echoed) == (None, None, None)
    assert channel.max_notifications is None


async def test_long_polling() -> None:
    """A lifetime like a socket, and how much one answer may hold (section 4)."""
    channel = await make(NETAPI, "longpolling", {"maxNotifications": "15"})
    assert (channel.type, channel.id[:3]) == (ChannelType.LONG_POLLING, "lp-")
    assert (channel.lifetime, channel.max_notifications) == (3600, 15)
    assert channel.echoed == {"channelType": "longpolling"}
    assert (await make(NETAPI, "LongPolling")).max_notifications == 20
    assert await refused(NETAPI, "LongPolling", {"maxNotifications": "many"}) == (
        "channelData.maxNotifications",
    )


async def test_push() -> None:
    """Permanent, with the normal form of its token, registered now (CH-32, CH-42, PU-22)."""
    channel = await make(NETAPI, "OMAPush", {**PUSH, "x-deviceToken": TOKEN.upper()})
    assert channel.id.startswith("ps-")
    assert (channel.lifetime, channel.expires_at) == (None, None)
    assert channel.device is not None
    assert channel.lane == "apns/com.x"
    assert (channel.device.token, channel.device.registered_at) == (TOKEN, NOW)
    assert channel.echoed == {"x-deviceToken": TOKEN.upper()}
    assert (await make(NETAPI, "OMAPush", PUSH)).echoed is None


async def test_a_voip_push_channel() -> None:
    """The PushKit app of a registered app needs no entry of its own (CH-73, PU-21)."""
    channel = await make(NETAPI, "OMAPush", {**PUSH, "appId": "com.x.voip"})
    assert channel.device is not None
    assert channel.device.is_voip


async def test_a_native_channel() -> None:
    """A push channel of the configured app with a lifetime, its token not kept twice (CH-33)."""
    channel = await make(OMA, "NativeChannel", {**EXTRAS, "registrationToken": "tok"})
    assert (channel.type, channel.id[:3]) == (ChannelType.OMAPUSH, "ps-")
    assert channel.lane == "fcm/droid"
    assert channel.device is not None
    assert channel.device.token == "tok"
    assert (channel.lifetime, channel.expires_at) == (3600, NOW + 3_600_000)
    assert channel.echoed == {**EXTRAS, "channelType": "NativeChannel"}
    long = await make(OMA, "NativeChannel", {"registrationToken": "tok"}, channelLifetime=10**9)
    assert long.lifetime == 86_400


async def test_a_webhook() -> None:
    """Permanent, leads where the judge says, and remembers when it was asked for (CH-42)."""
    data = {"x-webhookURL": HOOK, "x-authorization": "Bearer t", "x-webhookSecret": "good"}
    channel = await make(NETAPI, "Webhooks", data)
    assert channel.webhook == Webhook(HOOK, "https://hook:443", "Bearer t", "good")
    assert (channel.lifetime, channel.used_at) == (None, NOW)


async def test_extras_are_for_the_strict_dialect() -> None:
    """They are kept with every type there; the contract neither keeps nor judges them (CH-33)."""
    token = {"registrationToken": "r"}
    for kind, data in (
        *(("websockets", {}), ("LongPolling", {}), ("OMAPush", PUSH)),
        ("Webhooks", {"x-webhookURL": HOOK}),
    ):
        assert (await make(OMA, kind, {**data, **EXTRAS, **token})).echoed == {**EXTRAS, **token}
        assert (await make(NETAPI, kind, {**data, **EXTRAS, **token, "type": 7})).echoed is None
        assert await refused(OMA, kind, {**data, **EXTRAS, "type": 7}) == ("channelData.type",)


FIRST = [
    *(("channelType", "pigeon"), ("clientCorrelator", ""), ("applicationTag", 7)),
    *(("channelLifetime", 0), ("x-connCheckRole", "both")),
]
BAD_DATA: dict[str, dict[str, Any]] = {
    "Webhooks": {
        "x-webhookURL": "https://elsewhere/",
        "x-authorization": "\n",
        "x-webhookSecret": "bad",
        "type": 7,
    },
    "OMAPush": {
        "appId": 7,
        "x-provider": "gcm",
        "x-deviceToken": "short",
        "type": 7,
        "registrationToken": "",
    },
    "LongPolling": {"maxNotifications": "x", "type": 7},
    "websockets": {
        "type": 7,
        "channelSubType": 7,
        "channelSubTypeVersion": 7,
        "registrationToken": 7,
    },
    "NativeChannel": {"type": 7, "channelSubType": 7, "registrationToken": "a b"},
}
GOOD: dict[str, Any] = {
    "applicationTag": "t",
    "channelLifetime": 60,
    "x-connCheckRole": "client",
    "clientCorrelator": "c",
    "x-webhookURL": HOOK,
    "x-authorization": "a",
    "x-webhookSecret": "good",
    **PUSH,
    "maxNotifications": 1,
    **EXTRAS,
    "registrationToken": "tok",
}


@pytest.mark.parametrize("kind", list(BAD_DATA))
async def test_the_first_bad_member_is_named(kind: str) -> None:
    """Of several mistakes the one that stands first in section 4 is told, a URL that leads
    nowhere too, though it takes a look at the network (CH-121)."""
    members: dict[str, Any] = dict(FIRST)
    data = dict(BAD_DATA[kind])
    kinds = {"channelType": kind}
    for name, _ in FIRST:
        if name not in {"channelLifetime", "x-connCheckRole"} or kind == "websockets":
            named = await refused(OMA, "x", data, **members)
            assert named[0] == name
        members[name] = kinds.get(name, GOOD.get(name))
    for name in list(data):
        assert (await refused(OMA, kind, data, **members))[0] == f"channelData.{name}"
        data[name] = GOOD[name]
    assert (await make(OMA, kind, data, **members)).client_correlator == "c"


def test_a_stand_in_pairs_with_nothing() -> None:
    """Where no correlator was given the id stands in; only the same webhook again gets that of
    the first (CH-80)."""

    def channel(id_: str, correlator: str = "", url: str | None = None) -> Channel:
        hook = None if url is None else Webhook(url, "o")
        return Channel(id_, "u", ChannelType.WEBHOOKS, 0, correlator, webhook=hook)

    channels = [channel("wh-1", "c", HOOK), channel("wh-2", "wh-2", HOOK), channel("ws-1", "ws-1")]
    account = Account(AccountRecord("u", channels, []))
    assert stand_in(account, channel("wh-3", url=HOOK)) == "wh-2"
    assert stand_in(account, channel("wh-3", url="https://other/")) == "wh-3"
    assert stand_in(account, channel("ws-3")) == "ws-3"
