"""Channel requests in both dialects, without I/O."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.channel import ChannelType
from tocsin.model.errors import RequestError
from tocsin.wire.dialect import Dialect, netapi, oma
from tocsin.wire.netapi import ChannelRequest, parse_channel, parse_lifetime

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=5,
)
TYPES = ["websockets", "WEBHOOKS", "OMAPush", "LongPolling", "NativeChannel"]
MEMBERS = {
    "channelType": JSON | st.sampled_from(TYPES),
    "clientCorrelator": JSON | st.just("c"),
    "applicationTag": JSON | st.just("t"),
    "channelLifetime": JSON | st.just("60"),
    "x-connCheckRole": JSON | st.sampled_from(["client", "server"]),
    "channelData": JSON,
}
NETAPI = netapi("/cpaas")
OMA = oma("https://x", native_app_id="droid")
PLAIN_OMA = oma("https://x")


def parse(dialect: Dialect = NETAPI, **members: Any) -> ChannelRequest:
    return parse_channel({"notificationChannel": members}, dialect)


def judged(dialect: Dialect, **members: Any) -> ChannelRequest | RequestError:
    try:
        return parse(dialect, **members)
    except RequestError as error:
        return error


def refused(dialect: Dialect = NETAPI, **members: Any) -> tuple[str, ...]:
    with pytest.raises(RequestError) as caught:
        parse(dialect, **members)
    return caught.value.variables


@given(
    st.fixed_dictionaries({}, optional=MEMBERS) | st.dictionaries(st.text(), JSON),
    st.sampled_from([NETAPI, OMA, PLAIN_OMA]),
)
def test_any_document(members: dict[str, Any], dialect: Dialect) -> None:
    """Whatever is sent is a request within all bounds or a 400 that names a member (SE-6)."""
    request = judged(dialect, **members)
    if isinstance(request, RequestError):
        assert request.status == 400
        assert request.variables[0] in MEMBERS
        return
    assert request.client_correlator is None or 1 <= len(request.client_correlator) <= 256
    assert request.client_correlator is not None or not dialect.needs_correlator
    assert request.lifetime is None or (request.lifetime > 0 and request.expires)
    assert request.check_role in {None, "client", "server"}
    assert isinstance(request.data, dict)


@pytest.mark.parametrize("document", [None, 1, [], {}, {"notificationChannel": 1}])
def test_no_envelope(document: object) -> None:
    """Without its envelope it is neither; what is no object cannot have one (CH-121)."""
    is_object = isinstance(document, dict)
    with pytest.raises(RequestError) as caught:
        parse_channel(document, NETAPI)
    assert caught.value.variables == ("notificationChannel" if is_object else "body",)
    with pytest.raises(RequestError) as caught:
        parse_lifetime(document)
    assert caught.value.variables == ("notificationChannelLifetime" if is_object else "body",)


@pytest.mark.parametrize("dialect", [NETAPI, OMA])
@pytest.mark.parametrize("kind", list(ChannelType))
def test_types_in_any_case(kind: ChannelType, dialect: Dialect) -> None:
    """Each of the four types is known however it is spelled, and the spelling kept (CH-30)."""
    for spelled in (kind.lower(), kind.upper(), kind.value):
        wanted = parse(dialect, channelType=spelled, clientCorrelator="c", channelData={})
        assert (wanted.type, wanted.spelled, wanted.is_native) == (kind, spelled, False)


def test_types_that_are_not_known() -> None:
    """Another word is told with those that are; NativeChannel is one of them in the strict
    dialect where its app is configured (CH-30, CH-33, CH-121)."""
    known = "websockets, OMAPush, Webhooks, LongPolling"
    for wrong in ("NativeChannel", "pigeon", 1, "", " websockets"):
        assert refused(channelType=wrong) == ("channelType", known)
        assert refused(PLAIN_OMA, channelType=wrong) == ("channelType", known)
    assert refused(OMA, channelType="pigeon") == ("channelType", f"{known}, NativeChannel")
    assert refused(OMA) == ("channelType",)
    wanted = parse(OMA, channelType="nativechannel", channelData={})
    assert (wanted.type, wanted.is_native) == (ChannelType.OMAPUSH, True)


def test_only_netapi_wants_a_correlator() -> None:
    """clientCorrelator is required in the contract and optional elsewhere, but never bad there
    either (section 4)."""
    assert refused(channelType="websockets") == ("clientCorrelator",)
    assert parse(OMA, channelType="websockets").client_correlator is None
    assert parse(OMA, channelType="websockets", clientCorrelator=None).client_correlator is None
    for wrong in ("", "c" * 257, 7):
        assert refused(OMA, channelType="websockets", clientCorrelator=wrong) == (
            "clientCorrelator",
        )


@pytest.mark.parametrize(
    ("kind", "expires"),
    [
        ("websockets", True),
        ("LongPolling", True),
        ("NativeChannel", True),
        ("OMAPush", False),
        ("Webhooks", False),
    ],
)
def test_which_types_have_a_lifetime(kind: str, expires: bool) -> None:
    """Only what ends by itself has one; elsewhere it is not looked at (CH-33, CH-40, CH-42)."""
    wanted: dict[str, Any] = {"channelType": kind, "channelData": {}}
    request = parse(OMA, **wanted, channelLifetime="90")
    assert (request.expires, request.lifetime) == (expires, 90 if expires else None)
    assert parse(OMA, **wanted).lifetime is None
    for wrong in (0, -1, 1.5, True, None, "x", "", "-1", "0"):
        if expires:
            assert refused(OMA, **wanted, channelLifetime=wrong) == ("channelLifetime",)
        else:
            assert parse(OMA, **wanted, channelLifetime=wrong).lifetime is None


def test_only_sockets_have_a_role() -> None:
    """x-connCheckRole of another type is not even judged (section 4, CH-4)."""
    noise: dict[str, Any] = {"clientCorrelator": "c", "x-connCheckRole": 7, "channelData": {}}
    for kind in ("Webhooks", "OMAPush", "LongPolling"):
        assert parse(channelType=kind, **noise).check_role is None
    assert refused(channelType="websockets", **noise) == ("x-connCheckRole", "client, server")


def test_where_channel_data_is_due() -> None:
    """It must be an object where members of it are required, may be left out where they are
    optional, and is not judged where it means nothing (section 4)."""
    for kind in ("Webhooks", "OMAPush"):
        assert refused(channelType=kind, clientCorrelator="c") == ("channelData",)
        for wrong in (None, 7):
            assert refused(channelType=kind, clientCorrelator="c", channelData=wrong) == (
                "channelData",
            )
    assert parse(channelType="LongPolling", clientCorrelator="c").data == {}
    assert parse(channelType="LongPolling", clientCorrelator="c", channelData=None).data == {}
    assert refused(channelType="LongPolling", clientCorrelator="c", channelData=7) == (
        "channelData",
    )
    assert parse(channelType="websockets", clientCorrelator="c", channelData=7).data == {}
    assert refused(OMA, channelType="websockets", channelData=7) == ("channelData",)


@pytest.mark.parametrize(("value", "seconds"), [(1, 1), ("0090", 90), (10**30, 10**30)])
def test_a_lifetime_that_is_put(value: object, seconds: int) -> None:
    """Any positive integer, also as digits (CH-4, CH-40)."""
    document = {"notificationChannelLifetime": {"channelLifetime": value}}
    assert parse_lifetime(document) == seconds


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "x", "", "1.0", [], {}])
def test_what_is_no_lifetime(value: object) -> None:
    """Anything else is told, its absence too (CH-40)."""
    for members in ({"channelLifetime": value}, {}):
        with pytest.raises(RequestError) as caught:
            parse_lifetime({"notificationChannelLifetime": members})
        assert caught.value.variables == ("channelLifetime",)
