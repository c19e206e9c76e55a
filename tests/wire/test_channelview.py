"""Channels as each dialect answers them, without I/O."""

import attrs
import orjson
import pytest

from tocsin.model.channel import Channel, ChannelType, Device, Webhook
from tocsin.wire.channelview import ChannelView, Members, echoed
from tocsin.wire.dialect import Dialect, netapi, oma

CHANNEL = Channel("ws-1", "u", ChannelType.WEBSOCKETS, 0, "c", lifetime=60)
HOOKED = attrs.evolve(
    CHANNEL,
    type=ChannelType.WEBHOOKS,
    lifetime=None,
    webhook=Webhook("https://a/", "https://a:443", "Bearer t", "whsec_x"),
)
POLLED = attrs.evolve(
    CHANNEL, id="lp-1", type=ChannelType.LONG_POLLING, max_notifications=15, application_tag="t"
)
PUSHED = attrs.evolve(
    CHANNEL, type=ChannelType.OMAPUSH, lifetime=None, device=Device("apns", "com.x", "ab")
)
EXTRAS = {"type": "t", "channelSubType": "s", "channelSubTypeVersion": "1"}
NATIVE = attrs.evolve(
    CHANNEL,
    type=ChannelType.OMAPUSH,
    device=Device("fcm", "droid", "token"),
    echoed={**EXTRAS, "channelType": "nativeChannel"},
)
NETAPI = netapi("/cpaas")
OMA = oma("https://x")


def members(channel: Channel, dialect: Dialect = NETAPI) -> Members:
    view = ChannelView(dialect, echo_secrets=False)
    found: Members = view.channel(channel)["notificationChannel"]
    assert found["resourceURL"] == view.url(channel)
    return found


@pytest.mark.parametrize("prefix", ["", "/cpaas", "/a/b"])
def test_netapi(prefix: str) -> None:
    """Relative URLs, resourceURL with `/channels/{id}`, the socket's path below it, and the bare
    id as callbackURL (CH-1, CH-7, T3)."""
    resource = f"{prefix}/notificationchannel/v1/u/channels/ws-1"
    assert members(CHANNEL, netapi(prefix)) == {
        "callbackURL": "ws-1",
        "channelData": {"channelURL": f"{resource}/websocket"},
        "channelLifetime": 60,
        "channelType": "websockets",
        "clientCorrelator": "c",
        "resourceURL": resource,
    }


def test_oma() -> None:
    """Absolute URLs, `wss` for the socket, callbackURL below resourceURL (CH-1)."""
    path = "/notificationchannel/v1/u/channels/ws-1"
    assert members(CHANNEL, OMA) == {
        "callbackURL": f"https://x{path}/callback",
        "channelData": {"channelURL": f"wss://x{path}/websocket"},
        "channelLifetime": 60,
        "channelType": "websockets",
        "clientCorrelator": "c",
        "resourceURL": f"https://x{path}",
    }


@pytest.mark.parametrize(("dialect", "base"), [(NETAPI, "/cpaas"), (OMA, "https://x")])
def test_long_polling(dialect: Dialect, base: str) -> None:
    """The poll's path, under http also where it is absolute, and a number (section 4)."""
    assert members(POLLED, dialect)["channelData"] == {
        "channelURL": f"{base}/notificationchannel/v1/u/channels/lp-1/notifications",
        "maxNotifications": 15,
    }
    assert members(POLLED, dialect)["applicationTag"] == "t"


@pytest.mark.parametrize("dialect", [NETAPI, OMA])
def test_push(dialect: Dialect) -> None:
    """App, provider and token come back, a lifetime never does; the token as it was sent, where
    that is not its normal form (section 4, PU-22)."""
    assert members(PUSHED, dialect)["channelData"] == {
        "appId": "com.x",
        "x-deviceToken": "ab",
        "x-provider": "apns",
    }
    assert "channelLifetime" not in members(PUSHED, dialect)
    sent = attrs.evolve(PUSHED, echoed={"x-deviceToken": "AB"})
    assert members(sent, dialect)["channelData"]["x-deviceToken"] == "AB"


def test_native() -> None:
    """What was asked for as NativeChannel is answered so in the strict dialect, with its lifetime
    and all its members; to the contract it is OMAPush (CH-30, CH-33)."""
    answer = members(NATIVE, OMA)
    assert answer["channelType"] == "nativeChannel"
    assert answer["channelLifetime"] == 60
    assert answer["channelData"] == {"registrationToken": "token", **EXTRAS}
    answer = members(NATIVE)
    assert answer["channelType"] == "OMAPush"
    assert "channelLifetime" not in answer
    assert answer["channelData"] == {
        "appId": "droid",
        "x-deviceToken": "token",
        "x-provider": "fcm",
    }


def test_extras_are_for_the_strict_dialect() -> None:
    """Members that mean nothing are echoed there only, with every type (CH-33)."""
    for channel in (CHANNEL, HOOKED, POLLED, PUSHED):
        kept = attrs.evolve(channel, echoed={**EXTRAS, "registrationToken": "r"})
        plain, strict = members(kept)["channelData"], members(kept, OMA)["channelData"]
        assert plain == members(channel)["channelData"]
        assert strict.items() > {**EXTRAS, "registrationToken": "r"}.items()


def test_spelling() -> None:
    """netapi says `websockets` whatever the client said, the strict dialect repeats it (CH-30,
    T1)."""
    spelled = attrs.evolve(CHANNEL, echoed={"channelType": "WebSockets"})
    assert members(spelled)["channelType"] == "websockets"
    assert members(spelled, OMA)["channelType"] == "WebSockets"


def test_a_correlator_nobody_gave() -> None:
    """Where the id stands for it, none is answered (section 4)."""
    assert "clientCorrelator" not in members(attrs.evolve(CHANNEL, client_correlator="ws-1"), OMA)


@pytest.mark.parametrize("echo", [True, False])
def test_secrets(echo: bool) -> None:
    """Stars; in a single channel's answer the Authorization itself where the operator wants it,
    the signing secret never (CH-31, SE-7)."""
    for dialect in (NETAPI, OMA):
        view = ChannelView(dialect, echo_secrets=echo)
        data = view.channel(HOOKED)["notificationChannel"]["channelData"]
        assert data["x-authorization"] == ("Bearer t" if echo else "*****")
        assert data["x-webhookSecret"] == "*****"
        listed = orjson.dumps(view.channel_list("u", [HOOKED]))
        assert b"Bearer t" not in listed
        assert b"whsec_x" not in listed


def test_lists() -> None:
    """A list has the form of its dialect and is there when empty (section 3)."""
    for dialect, base in ((NETAPI, "/cpaas"), (OMA, "https://x")):
        view = ChannelView(dialect, echo_secrets=False)
        for channels in ([], [CHANNEL, POLLED]):
            assert view.channel_list("u", channels) == {
                "notificationChannelList": {
                    "notificationChannel": [members(one, dialect) for one in channels],
                    "resourceURL": f"{base}/notificationchannel/v1/u/channels",
                }
            }


def test_what_has_no_value_is_left_out() -> None:
    """Optional members that were never given are not answered as null (section 4)."""
    answer = members(HOOKED)
    assert None not in answer.values()
    assert not {"channelLifetime", "applicationTag", "x-connCheckRole"} & set(answer)


def test_what_is_kept_to_be_echoed() -> None:
    """Only what the channel does not say itself: another spelling, another form of the token, the
    extras; so the token of a device is kept once (CH-30, CH-33)."""
    assert echoed("websockets", CHANNEL, {}, "") == {}
    assert echoed("WebSockets", CHANNEL, {"type": "t"}, "") == {
        "type": "t",
        "channelType": "WebSockets",
    }
    assert echoed("OMAPush", PUSHED, {"registrationToken": "r"}, "ab") == {"registrationToken": "r"}
    assert echoed("OMAPush", PUSHED, {}, "AB") == {"x-deviceToken": "AB"}
    native = {**EXTRAS, "registrationToken": "token"}
    assert echoed("nativeChannel", NATIVE, native, "token") == NATIVE.echoed
    native["registrationToken"] = "dG9rZW4="
    assert echoed("nativeChannel", NATIVE, native, "dG9rZW4=") == {
        **native,
        "channelType": "nativeChannel",
    }
