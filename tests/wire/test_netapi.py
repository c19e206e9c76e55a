"""Channel requests and answers of the netapi dialect, without I/O."""

from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.channel import Channel, ChannelType, Webhook
from tocsin.model.errors import RequestError
from tocsin.wire.netapi import ChannelRequest, NetApi, escaped, parse_channel
from tocsin.wire.request import split_path

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=5,
)
MEMBERS = {
    "channelType": JSON | st.sampled_from(["websockets", "WEBHOOKS", "OMAPush", "LongPolling"]),
    "clientCorrelator": JSON | st.just("c"),
    "applicationTag": JSON | st.just("t"),
    "channelLifetime": JSON | st.just("60"),
    "x-connCheckRole": JSON | st.sampled_from(["client", "server"]),
    "channelData": JSON
    | st.fixed_dictionaries(
        {},
        optional={
            "x-webhookURL": JSON | st.just("https://a/"),
            "x-authorization": JSON | st.text(max_size=10),
            "x-webhookSecret": JSON | st.just("good"),
        },
    ),
}
CHANNEL = Channel("ws-1", "u", ChannelType.WEBSOCKETS, 0, "c", lifetime=60)
HOOKED = attrs.evolve(
    CHANNEL,
    type=ChannelType.WEBHOOKS,
    lifetime=None,
    webhook=Webhook("https://a/", "https://a:443", "Bearer t", "whsec_x"),
)


def check_secret(secret: str) -> None:
    if secret != "good":
        raise ValueError(secret)


def parse(**members: Any) -> ChannelRequest:
    return parse_channel({"notificationChannel": members}, check_secret=check_secret)


def judged(**members: Any) -> ChannelRequest | RequestError:
    try:
        return parse(**members)
    except RequestError as error:
        return error


@given(st.fixed_dictionaries({}, optional=MEMBERS) | st.dictionaries(st.text(), JSON))
def test_any_document(members: dict[str, Any]) -> None:
    """Whatever is sent is a request within all bounds or a 400 that names a member (SE-6)."""
    request = judged(**members)
    if isinstance(request, RequestError):
        assert request.status == 400
        assert request.variables[0].partition(".")[0] in MEMBERS
        return
    assert 1 <= len(request.client_correlator) <= 256
    assert request.lifetime is None or request.lifetime > 0
    assert request.check_role in {None, "client", "server"}
    assert (request.webhook is not None) == (request.type is ChannelType.WEBHOOKS)
    authorization = request.webhook.authorization if request.webhook else None
    assert authorization is None or (authorization.isascii() and authorization.isprintable())


@pytest.mark.parametrize("document", [None, 1, [], {}, {"notificationChannel": 1}])
def test_no_envelope(document: object) -> None:
    """Without its envelope it is no channel (CH-121)."""
    with pytest.raises(RequestError) as caught:
        parse_channel(document, check_secret=check_secret)
    assert caught.value.variables == ("notificationChannel",)


def test_members_of_other_types_are_ignored() -> None:
    """A webhook has neither lifetime nor role, a socket no webhook; they are not even judged
    (section 4, CH-4)."""
    data = {"x-webhookURL": "https://a/"}
    noise = {"channelLifetime": "x", "x-connCheckRole": 7}
    hook = parse(channelType="Webhooks", clientCorrelator="c", channelData=data, **noise)
    assert (hook.lifetime, hook.check_role) == (None, None)
    socket = parse(channelType="websockets", clientCorrelator="c", channelData=7, callbackURL=[])
    assert socket.webhook is None


@pytest.mark.parametrize("kind", ["OMAPush", "LongPolling"])
def test_types_of_later_releases(kind: str) -> None:
    """A type that is not served yet is told with those that are (CH-30)."""
    with pytest.raises(RequestError) as caught:
        parse(channelType=kind, clientCorrelator="c")
    assert caught.value.variables == ("channelType", "websockets, Webhooks")


@given(st.text())
def test_escaped_segments(segment: str) -> None:
    """Any text is one path segment that reads back the same, `+` and `@` unescaped (CH-3)."""
    path = f"/x/{escaped(segment)}/y"
    assert path.isascii()
    assert path.isprintable()
    assert " " not in path
    assert split_path(path) == ("x", segment, "y")
    assert escaped("+1@x") == "+1@x"


@pytest.mark.parametrize("prefix", ["", "/cpaas", "/a/b"])
def test_paths(prefix: str) -> None:
    """resourceURL contains `/channels/{id}`, the socket's path stands below it (T3)."""
    [channel] = NetApi(prefix, echo_secrets=False).channel(CHANNEL).values()
    resource = f"{prefix}/notificationchannel/v1/u/channels/ws-1"
    assert channel["resourceURL"] == resource
    assert channel["channelData"] == {"channelURL": f"{resource}/websocket"}
    assert channel["callbackURL"] == "ws-1"


@pytest.mark.parametrize("echo", [True, False])
def test_secrets(echo: bool) -> None:
    """Stars, or in a single channel's answer the truth where the operator wants that (CH-31)."""
    netapi = NetApi("", echo_secrets=echo)
    data = netapi.channel(HOOKED)["notificationChannel"]["channelData"]
    shown = ["Bearer t", "whsec_x"] if echo else ["*****"] * 2
    assert [data["x-authorization"], data["x-webhookSecret"]] == shown
    listed = orjson.dumps(netapi.channel_list("u", [HOOKED]))
    assert b"Bearer t" not in listed
    assert b"whsec_x" not in listed


def test_what_has_no_value_is_left_out() -> None:
    """Optional members that were never given are not answered as null (section 4)."""
    members = NetApi("", echo_secrets=False).channel(HOOKED)["notificationChannel"]
    assert None not in members.values()
    assert not {"channelLifetime", "applicationTag", "x-connCheckRole"} & set(members)
