"""What each verb of the gateway is and where it may go (push.md, A.3)."""

import pytest

from tocsin.model.notification import Priority
from tocsin.wire.push.app import App
from tocsin.wire.push.verbs import VERBS, Need, find

ALERT = App("com.example.app", "apns", topic="com.example.app", call_ttl=30)
VOIP = App("com.example.app.voip", "apns", kind="voip", topic="com.example.app.voip", call_ttl=30)
ANDROID = App("com.example.android", "fcm", call_ttl=30)
REFUSING = App("com.example.app", "apns", topic="com.example.app", call_without_voip="refuse")
DAY = 86_400


@pytest.mark.parametrize(
    ("name", "priority", "seconds", "selector"),
    [
        ("NotifyIncomingCall", Priority.URGENT, 30, Need.REQUIRED),
        ("NotifyIncomingCallMissed", Priority.URGENT, DAY, Need.REQUIRED),
        ("NotifyIncomingCallAnsweredElsewhere", Priority.URGENT, 60, Need.REQUIRED),
        ("NotifyTextMessage", Priority.NORMAL, 7 * DAY, Need.EXPECTED),
        ("NotifyGenericTextMessage", Priority.NORMAL, 7 * DAY, Need.IDLE),
        ("NotifyReprovision", Priority.NORMAL, 7 * DAY, Need.EXPECTED),
    ],
)
def test_rows(name: str, priority: Priority, seconds: int, selector: Need) -> None:
    """Priority, deadline and Selector are those of the tables of A.2 and A.3."""
    verb = VERBS[name]
    assert (verb.name, verb.priority, verb.selector) == (name, priority, selector)
    assert verb.seconds(ALERT) == seconds


def test_message_and_calls() -> None:
    """One verb needs a Message, and three are about a call (A.2)."""
    assert [name for name, verb in VERBS.items() if verb.needs_message] == [
        "NotifyGenericTextMessage"
    ]
    assert [name for name, verb in VERBS.items() if verb.is_call] == [
        "NotifyIncomingCall",
        "NotifyIncomingCallMissed",
        "NotifyIncomingCallAnsweredElsewhere",
    ]


def test_a_voip_token_gets_calls_and_nothing_else() -> None:
    """A PushKit token takes an incoming call and, tolerated, NotifyReprovision (PU-35)."""
    suiting = {name for name, verb in VERBS.items() if verb.suits(VOIP)}
    assert suiting == {"NotifyIncomingCall", "NotifyReprovision"}


def test_an_alert_app_may_refuse_calls() -> None:
    """`call_without_voip` decides on incoming calls of an alert app, on nothing else (PU-36)."""
    assert all(verb.suits(ALERT) for verb in VERBS.values())
    refused = {name for name, verb in VERBS.items() if not verb.suits(REFUSING)}
    assert refused == {"NotifyIncomingCall"}


def test_an_fcm_app_takes_every_verb() -> None:
    """The kinds of APNs apps mean nothing to FCM (A.3)."""
    assert all(verb.suits(ANDROID) for verb in VERBS.values())


def test_passed_verbs() -> None:
    """A verb of `push.pass_verbs` is known, never on a PushKit token; any other is not (PU-11)."""
    passed = find("NotifyDoor", ["NotifyDoor"])
    assert passed is not None
    assert passed.name == "NotifyDoor"
    assert passed.suits(ALERT)
    assert not passed.suits(VOIP)
    assert find("NotifyDoor") is None
    assert find("NotifyTextMessage") is VERBS["NotifyTextMessage"]
