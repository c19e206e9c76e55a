"""The members of channelData, without I/O."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.errors import RequestError
from tocsin.wire.channeldata import (
    PushApp,
    extras,
    max_notifications,
    native_device,
    push_device,
    webhook_secrets,
    webhook_url,
)

JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())
EXTRAS = {"type": "t", "channelSubType": "s", "channelSubTypeVersion": "1"}


class App:
    """An app whose tokens are words, in lower case."""

    def normalise(self, token: str) -> str:
        if not token.isalpha():
            raise ValueError(token)
        return token.lower()


def find(app_id: str, provider: str) -> PushApp | None:
    return App() if (app_id, provider) in {("com.x", "apns"), ("droid", "fcm")} else None


def refused(parse: Callable[[dict[str, Any]], object], **members: Any) -> tuple[str, ...]:
    with pytest.raises(RequestError) as caught:
        parse(members)
    assert caught.value.status == 400
    return caught.value.variables


def device(data: dict[str, Any]) -> object:
    return push_device(data, find, now=5)


def test_a_device() -> None:
    """App, provider and the normal form of the token, with the token as it was sent (PU-22)."""
    data = {"appId": "com.x", "x-provider": "apns", "x-deviceToken": "ABC"}
    registration = push_device(data, find, now=5)
    found = registration.device
    assert (found.app, found.provider, found.token, found.registered_at) == (
        *("com.x", "apns", "abc"),
        5,
    )
    assert registration.token == "ABC"
    assert "abc" not in repr(registration).lower()


def test_bad_devices() -> None:
    """The first bad member is named, a pair nobody registered by its appId (CH-32, CH-121)."""
    data: dict[str, Any] = {"appId": "com.x", "x-provider": "apns", "x-deviceToken": "abc"}
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({}, ("channelData.appId",)),
        ({"appId": 7}, ("channelData.appId",)),
        ({"appId": "a" * 257}, ("channelData.appId",)),
        ({**data, "appId": ""}, ("channelData.appId",)),
        ({"appId": "com.x"}, ("channelData.x-provider",)),
        ({**data, "x-provider": "APNS"}, ("channelData.x-provider", "apns, fcm")),
        ({**data, "x-provider": 7}, ("channelData.x-provider", "apns, fcm")),
        ({**data, "appId": "com.y"}, ("channelData.appId",)),
        ({**data, "x-provider": "fcm"}, ("channelData.appId",)),
        ({**data, "appId": "com.y", "x-deviceToken": ""}, ("channelData.appId",)),
        *(
            ({**data, "x-deviceToken": token}, ("channelData.x-deviceToken",))
            for token in (None, "", 7, "a" * 4097, "a1", ["a"])
        ),
    ]
    for members, variables in cases:
        assert refused(device, **members) == variables


def test_a_native_device() -> None:
    """Its token alone is asked of the client, the app is the operator's (CH-33)."""
    registration = native_device({"registrationToken": "ABC"}, "droid", find, now=5)
    assert registration.device.lane == "fcm/droid"
    assert (registration.device.token, registration.token) == ("abc", "ABC")
    for members in ({}, {"registrationToken": "1"}, {"registrationToken": None}):
        parse = lambda data: native_device(data, "droid", find, now=5)  # noqa: E731
        assert refused(parse, **members) == ("channelData.registrationToken",)
    with pytest.raises(RequestError):
        native_device({"registrationToken": "abc"}, "com.x", find, now=5)


@pytest.mark.parametrize(
    ("value", "most"),
    [
        *((None, 20), (1, 1), (100, 100), (101, 100), (0, 1), (-5, 1), (10**30, 100)),
        *(("15", 15), ("0", 1), ("007", 7), ("9" * 50, 100)),
    ],
)
def test_max_notifications(value: object, most: int) -> None:
    """Clamped to 1 to 100, 20 without; deployed clients send a string (section 4, CH-4)."""
    assert max_notifications({"maxNotifications": value}) == most


@pytest.mark.parametrize("value", [True, 1.5, "", "x", "-1", "1.0", [], {}, " 1"])
def test_what_is_no_number_of_notifications(value: object) -> None:
    """Neither booleans nor fractions nor other strings are numbers (CH-4, CH-121)."""
    assert refused(max_notifications, maxNotifications=value) == ("channelData.maxNotifications",)


def test_a_webhook() -> None:
    """The URL as it is, authorization and secret where given (CH-31)."""
    data = {"x-webhookURL": "u", "x-authorization": "Bearer t", "x-webhookSecret": "good"}
    assert webhook_url(data) == "u"
    assert webhook_secrets(data, _check) == ("Bearer t", "good")
    assert webhook_secrets({}, _check) == (None, None)


@given(JSON | st.text(st.characters(max_codepoint=0x7F)))
def test_authorizations(value: Any) -> None:
    """What would break the request's head is never taken (CH-31)."""
    data = {"x-authorization": value}
    is_fit = isinstance(value, str) and re.fullmatch("[ -~]{1,4096}", value)
    if value is None or is_fit:
        assert webhook_secrets(data, _check) == (value, None)
    else:
        parse = lambda data: webhook_secrets(data, _check)  # noqa: E731
        assert refused(parse, **data) == ("channelData.x-authorization",)


def test_bad_webhooks() -> None:
    """Each member by its name, authorization before secret (CH-121)."""
    assert refused(webhook_url) == ("channelData.x-webhookURL",)
    assert refused(webhook_url, **{"x-webhookURL": 7}) == ("channelData.x-webhookURL",)
    wrong = {"x-authorization": "\n", "x-webhookSecret": "bad"}
    for name in list(wrong):
        parse = lambda data: webhook_secrets(data, _check)  # noqa: E731
        assert refused(parse, **wrong) == (f"channelData.{name}",)
        del wrong[name]


def test_extras() -> None:
    """Kept as they are where they are strings of a sensible size, else told (CH-33, CH-121)."""
    data = {**EXTRAS, "registrationToken": "r" * 4096, "unknown": 1}
    assert extras(data) == {**EXTRAS, "registrationToken": "r" * 4096}
    assert extras({}) == {}
    wrong: dict[str, Any] = {
        "type": 7,
        "channelSubType": "",
        "channelSubTypeVersion": "v" * 257,
        "registrationToken": "r" * 4097,
    }
    for name in list(wrong):
        assert refused(extras, **wrong) == (f"channelData.{name}",)
        del wrong[name]


def _check(secret: str) -> None:
    if secret != "good":
        raise ValueError(secret)
