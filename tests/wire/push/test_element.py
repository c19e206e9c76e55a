"""One push as a caller describes it (push.md, A.2, A.3)."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.gatewayapps import ANDROID, APP, APPS, TOKEN, VOIP, call, text

from tocsin.model.gatewayuser import gateway_user
from tocsin.model.notification import Notification, Priority
from tocsin.wire.push.element import Push, call_key, parse_element
from tocsin.wire.push.pnm2 import (
    ATTRIBUTES,
    MALFORMED_TOKEN,
    NOT_AN_OBJECT,
    TOO_LARGE,
    UNKNOWN_APP,
    UNKNOWN_VERB,
    VERB_NOT_ALLOWED,
    Reply,
    bad,
    missing,
)

NOW = 1_700_000_000_000
DAY = 86_400
PN = {"pn-provider": "apns", "pn-param": f"ABCDE12345.{APP}", "pn-prid": TOKEN}


def push(element: object, *passed: str) -> Push:
    found = parse_element(element, APPS, passed)
    assert isinstance(found, Push), found
    return found


def note(element: object) -> Notification:
    return push(element).notification("n1", now=NOW, producer="p")


def body(element: object, *passed: str) -> dict[str, Any]:
    """The attributes that are stored."""
    one = push(element, *passed)
    stored = orjson.loads(one.notification("n", now=NOW, producer="p").body)
    assert list(stored) == [one.verb.name]
    found = stored[one.verb.name]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("element", [None, 1, "x", True, [], [{}], 1.5])
def test_what_is_no_object(element: object) -> None:
    """Says so (A.4)."""
    assert parse_element(element, APPS) == NOT_AN_OBJECT


@pytest.mark.parametrize(
    ("element", "reply"),
    [
        *((text(**{name: None}), missing(name)) for name in ("verb", "AppId", "DeviceToken")),
        *((text(**{name: ""}), missing(name)) for name in ("verb", "AppId", "DeviceToken")),
        *((text(**{name: 1}), bad(name)) for name in ("verb", "AppId", "DeviceToken")),
        ({}, missing("verb")),
        ({"verb": None, "AppId": 1}, missing("verb")),
        (text(Message=None), missing("Message")),
        (text(Message=""), missing("Message")),
        (call(Selector=None), missing("Selector")),
        (call(Selector=""), missing("Selector")),
        (call("NotifyIncomingCallMissed", Selector=None), missing("Selector")),
        (call("NotifyIncomingCallAnsweredElsewhere", Selector=None), missing("Selector")),
        (text(verb="NotifyNothing"), UNKNOWN_VERB),
        (text(verb="notifytextmessage"), UNKNOWN_VERB),
        (text(AppId="unknown"), UNKNOWN_APP),
        (text(AppId=f"{ANDROID}.voip"), UNKNOWN_APP),
        (text(AppId=APP.upper()), UNKNOWN_APP),
        (text("no token"), MALFORMED_TOKEN),
        (text("ab cd" * 20), MALFORMED_TOKEN),
        (text("t o", AppId=ANDROID), MALFORMED_TOKEN),
        (text(AppId=VOIP), VERB_NOT_ALLOWED),
        (call(AppId="refusing.app"), VERB_NOT_ALLOWED),
        *((text(Message=one), bad("Message")) for one in (1, True, [], {}, 1.0)),
        *(
            (text(Badge=one), bad("Badge"))
            for one in (-1, "-1", "x", "", 1.0, True, 2**31, "9" * 30)
        ),
        *((text(Ttl=one), bad("Ttl")) for one in (-1, 2_419_201, 1.5, "30", True)),
        *((text(Id=one), bad("Id")) for one in (1.5, True, [], "i" * 257, 10**257)),
        *((text(Selector=one), bad("Selector")) for one in (1, "s" * 257, False)),
        *(
            (text(**{name: 1}), bad(name))
            for name in ("Sound", "UserName", "UserDisplayName", "ContentType", "ThreadId")
        ),
        (text(Message="x" * 66_000), TOO_LARGE),
        (text(unknown="é" * 33_000), TOO_LARGE),
    ],
)
def test_what_is_wrong(element: object, reply: Reply) -> None:
    """The rows of A.4 that concern attributes, in their order (PU-10, PU-11, PU-21, PU-22,
    PU-35, PU-36)."""
    assert parse_element(element, APPS) == reply


def test_what_is_coerced() -> None:
    """Digits to a number for Badge, a number to text for Id, and nothing else (PU-10)."""
    assert body(text(Badge="07", Id=7)) == {"Message": "Some message", "Badge": 7, "Id": "7"}
    assert body(text(Badge=0, Id=-5))["Badge"] == 0
    assert body(text(Id=2**70))["Id"] == str(2**70)


def test_what_is_absent() -> None:
    """null and empty texts are; so is Badge, which is not 0; nothing unknown is kept (PU-10)."""
    empty = {"Sound": "", "Selector": None, "Id": "", "ThreadId": "", "Badge": None, "x": 1}
    assert body(text(**empty)) == {"Message": "Some message"}


def test_limits_are_reached_exactly() -> None:
    """256 characters, however many bytes; 28 days; 64 KiB (A.2, PU-5)."""
    long = "é" * 256
    assert body(text(Id=long, Selector=long, Ttl=2_419_200))["Id"] == long
    size = len(orjson.dumps(text(Message="")))
    assert push(text(Message="x" * (65_536 - size)))
    assert parse_element(text(Message="x" * (65_537 - size)), APPS) == TOO_LARGE


@pytest.mark.parametrize(
    ("element", "priority", "seconds"),
    [
        (call(), Priority.URGENT, 45),
        (call(AppId="quick.app"), Priority.URGENT, 7),
        (call("NotifyIncomingCallMissed"), Priority.URGENT, DAY),
        (call("NotifyIncomingCallAnsweredElsewhere"), Priority.URGENT, 60),
        (text(verb="NotifyTextMessage"), Priority.NORMAL, 7 * DAY),
        (text(), Priority.NORMAL, 7 * DAY),
        (text(verb="NotifyReprovision"), Priority.NORMAL, 7 * DAY),
        (text(verb="NotifyReprovision", AppId=VOIP), Priority.NORMAL, 7 * DAY),
        (text(Ttl=5), Priority.NORMAL, 5),
        (call(Ttl=0), Priority.URGENT, 10),
    ],
)
def test_verbs(element: object, priority: Priority, seconds: int) -> None:
    """Priority and deadline of each, unless the caller gives one (A.3, Ttl in A.2)."""
    one = note(element)
    assert (one.priority, one.expires_at - one.accepted_at) == (priority, seconds * 1000)


def test_what_is_stored() -> None:
    """A notification of service push for the gateway's user, its verb the root key (PU-23)."""
    one = note(text(TOKEN.upper(), Ttl=0, Selector="s"))
    assert (one.id, one.user, one.service) == ("n1", gateway_user(APP, TOKEN), "push")
    assert (one.root_key, one.producer, one.is_named) == ("NotifyGenericTextMessage", "p", False)
    assert json.loads(one.body) == {
        "NotifyGenericTextMessage": {"Selector": "s", "Message": "Some message", "Ttl": 0}
    }


def test_order_keys() -> None:
    """A call's Id, else the thread, else the account, else none; one space for each (PU-12)."""
    keys = [
        note(element).order_key
        for element in (
            call(Id="x"),
            call("NotifyIncomingCallMissed", Id="x"),
            call(Id=None, ThreadId="x"),
            text(ThreadId="x", Id="y"),
            call(Id=None, Selector="x"),
            text(Selector="x", Id="y"),
            text(Id="x"),
        )
    ]
    assert keys[0] == keys[1] == call_key("x")
    assert keys[2] == keys[3]
    assert keys[4] == keys[5]
    assert len(set(keys)) == 4
    first, second = (push(text()).notification(id_, now=NOW, producer="") for id_ in "ab")
    assert first.order_key != second.order_key


@pytest.mark.parametrize("name", ["t" * 5000, "a\0b", "a\nb"])
def test_unwieldy_order_keys(name: str) -> None:
    """Long or odd names are told apart by a digest, so that the store's keys stay plain."""
    key = note(text(ThreadId=name)).order_key
    assert len(key) < 100
    assert key.isprintable()
    assert key != note(text(ThreadId=name + "x")).order_key


def test_collapse_keys() -> None:
    """Reprovisioning of one account replaces what is not sent yet; nothing else does (PU-12)."""
    keys = [note(text(verb="NotifyReprovision", Selector=one)).collapse_key for one in (None, "a")]
    assert None not in keys
    assert len(set(keys)) == 2
    assert note(call()).collapse_key is None
    assert note(text(Selector="a")).collapse_key is None


@pytest.mark.parametrize(
    ("element", "lacks"),
    [
        (text(), False),
        (text(verb="NotifyTextMessage"), True),
        (text(verb="NotifyTextMessage", Selector="s"), False),
        (text(verb="NotifyReprovision"), True),
    ],
)
def test_a_selector_that_should_be_there(element: object, *, lacks: bool) -> None:
    """Verbs but the calls' and the generic one go out without, and are counted (A.2)."""
    assert push(element).lacks_selector is lacks


def test_what_rides_along() -> None:
    """Unknown scalars of calls and of passed verbs; of texts nothing does (PU-11, PU-34)."""
    unknown = {"a": 1, "b": "x", "c": True, "d": 1.5, "e": None, "f": [], "g": {}, "h": 2**64}
    assert body(call(**unknown))["Extra"] == {"a": 1, "b": "x", "c": True, "d": 1.5}
    assert "Extra" not in body(text(**unknown))
    assert parse_element(text(verb="Ours"), APPS) == UNKNOWN_VERB
    assert body(text(verb="Ours", a=1), "Ours")["Extra"] == {"a": 1}


def test_by_sip_parameters() -> None:
    """RFC 8599 parameters in place of ours; of two targets a call takes PushKit's, and what else
    is about a call does not (PU-27, PU-28)."""
    plain = {**PN, "verb": "NotifyTextMessage"}
    assert (push(plain).app.id, push(plain).token) == (APP, TOKEN)
    both = {**PN, "pn-param": f"ABCDE12345.{APP}.remote&voip", "Selector": "s"}
    both["pn-prid"] = f"{TOKEN}:remote&{'cd' * 32}:voip"
    assert push({**both, "verb": "NotifyIncomingCall"}).app.id == VOIP
    assert push({**both, "verb": "NotifyIncomingCall"}).token == "cd" * 32
    assert push({**both, "verb": "NotifyIncomingCallMissed"}).app.id == APP
    google = {"pn-provider": "fcm", "pn-param": "project-1", "pn-prid": "tok"}
    assert push({**google, "verb": "NotifyTextMessage"}).app.id == ANDROID


@pytest.mark.parametrize(
    ("more", "reply"),
    [
        ({"AppId": APP}, bad("pn-provider")),
        ({"DeviceToken": TOKEN}, bad("pn-provider")),
        ({"pn-provider": "carrier-pigeon"}, bad("pn-provider")),
        ({"pn-provider": 1}, bad("pn-provider")),
        ({"pn-param": None}, bad("pn-param")),
        ({"pn-param": "short.x"}, bad("pn-param")),
        ({"pn-prid": None}, bad("pn-prid")),
        ({"pn-prid": f"{TOKEN}&{TOKEN}"}, bad("pn-prid")),
        ({"pn-prid": "odd"}, MALFORMED_TOKEN),
        ({"pn-param": "ABCDE12345.other.app"}, UNKNOWN_APP),
        ({"verb": None}, missing("verb")),
    ],
)
def test_wrong_sip_parameters(more: dict[str, Any], reply: Reply) -> None:
    """Both forms at once are refused, and every mistake names a parameter (A.2, PU-28)."""
    element = {"verb": "NotifyTextMessage", **PN, **more}
    assert parse_element(element, APPS) == reply


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from([TOKEN, APP, VOIP, "NotifyIncomingCall", "NotifyTextMessage", "404"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*ATTRIBUTES, "x"]), anything), st.booleans())
def test_any_attributes(bent: dict[str, Any], is_call: bool) -> None:
    """A reply of the closed list, or a push whose text can be stored and read again (PU-6)."""
    good = call() if is_call else text()
    found = parse_element({**good, **bent}, APPS)
    if isinstance(found, Push):
        one = found.notification("n", now=NOW, producer="p")
        assert orjson.loads(one.body)[found.verb.name] == found.attributes
        assert one.expires_at > NOW
        assert len(one.order_key) <= 300
    else:
        assert found.code == 400
