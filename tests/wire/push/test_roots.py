"""Which root keys go where, and how (push.md, B.4, PU-38)."""

from typing import Any

import attrs
import pytest
from tests.fakes.pushes import ALERT, ANDROID, APPLE, RULES, VOIP, WEB

from tocsin.wire.push.app import App, PushRules
from tocsin.wire.push.roots import Row, is_for, natural_key, row, text_at

INVITATION = "wrtcsSessionInvitationNotification"
CHAT = "chatMessageNotification"
EVENT = "wrtcsEventNotification"
SMS = "inboundSMSMessageNotification"


@pytest.mark.parametrize(
    ("root_key", "app", "expected"),
    [
        (INVITATION, ALERT, True),
        (INVITATION, VOIP, True),
        (INVITATION, ANDROID, True),
        (INVITATION, attrs.evolve(ALERT, call_without_voip="refuse"), False),
        (INVITATION, attrs.evolve(VOIP, call_without_voip="refuse"), True),
        (INVITATION, attrs.evolve(ANDROID, call_without_voip="refuse"), True),
        (EVENT, ALERT, True),
        (EVENT, VOIP, False),
        (CHAT, ALERT, True),
        (CHAT, VOIP, False),
        ("whateverNotification", ALERT, True),
        ("whateverNotification", VOIP, False),
        ("presenceNotification", ALERT, False),
        ("presenceNotification", ANDROID, False),
        ("userStatusNotification", WEB, False),
        ("aps", ALERT, False),
        ("aps", APPLE, False),
        ("aps", ANDROID, True),
        ("from", ANDROID, False),
        ("message_type", WEB, False),
        ("from", APPLE, True),
        ("aps", attrs.evolve(ALERT, payload_key="tocsin"), True),
        ("gone", attrs.evolve(ALERT, payload_key="aps"), False),
    ],
)
def test_for_whom(root_key: str, app: App, expected: bool) -> None:
    """The cells of B.4 that say "-" or "never", and names that are the providers' own."""
    assert is_for(root_key, app, RULES) is expected


def test_an_operator_opens_the_voip_column() -> None:
    """`push.voip_root_keys` says what PushKit channels get, all of it and nothing else (PU-38)."""
    rules = PushRules(voip_root_keys=frozenset({EVENT}))
    assert is_for(EVENT, VOIP, rules)
    assert not is_for(INVITATION, VOIP, rules)


def test_an_operator_has_root_keys_skipped() -> None:
    """`skip` holds for every app, and no word of an operator pushes presence (PU-38)."""
    rules = PushRules(roots={INVITATION: "skip", "presenceNotification": "alert"})
    assert not any(is_for(INVITATION, app, rules) for app in (ALERT, VOIP, ANDROID))
    assert not is_for("presenceNotification", ANDROID, rules)


@pytest.mark.parametrize(
    ("root_key", "is_alert", "is_high"),
    [
        (INVITATION, True, True),
        (SMS, True, True),
        ("groupChatSessionInvitationNotification", True, True),
        ("voicemailNotification", True, True),
        ("doorEventNotification", True, True),
        (EVENT, False, True),
        ("wrtcsAcceptanceNotification", False, False),
        ("gone", False, False),
        ("deliveryInfoNotification", False, False),
        ("smsEventNotification", False, False),
        ("smsSubscriptionCancellationNotification", False, False),
        ("voicemailSubscriptionCancellationNotification", False, False),
        ("chatEventNotification", False, False),
        ("chatParticipantStatusNotification", False, False),
        ("chatMessageStatusNotification", False, False),
        (CHAT, False, False),
    ],
)
def test_rows(root_key: str, is_alert: bool, is_high: bool) -> None:
    """Whether a root key is shown to a person, and whether FCM wakes the device (B.4)."""
    found = row(root_key, {}, RULES)
    assert (found.is_alert, found.is_high) == (is_alert, is_high)


MESSAGE = {"chatMessage": {"text": "hi"}}
TYPING = {"isComposing": {"state": "active"}}


@pytest.mark.parametrize(
    ("rules", "root_key", "body", "is_alert"),
    [
        (PushRules(roots={SMS: "background"}), SMS, {}, False),
        (PushRules(roots={"gone": "alert"}), "gone", {}, True),
        (PushRules(alert_root_keys=frozenset({"gone"})), "gone", {}, True),
        (
            PushRules(alert_root_keys=frozenset({"gone"}), roots={"gone": "background"}),
            *("gone", {}, False),
        ),
        (PushRules(roots={CHAT: "background"}), CHAT, MESSAGE, False),
        (PushRules(roots={CHAT: "alert"}), CHAT, MESSAGE, True),
        (PushRules(roots={CHAT: "alert"}), CHAT, TYPING, False),
        (PushRules(alert_root_keys=frozenset({CHAT})), CHAT, TYPING, False),
    ],
)
def test_an_operator_decides(
    rules: PushRules, root_key: str, body: dict[str, Any], is_alert: bool
) -> None:
    """`push.roots` and `push.alert_root_keys` override rows; typing is never shown (PU-38)."""
    found = row(root_key, body, rules)
    assert found.is_alert is is_alert
    assert found.is_high is is_alert


def test_what_stays_of_an_overridden_row() -> None:
    """An alert keeps its own text, a call event collapses still, others get words (PU-38)."""
    assert row(SMS, {}, PushRules(roots={SMS: "alert"})) == row(SMS, {}, RULES)
    assert row(EVENT, {}, PushRules(roots={EVENT: "background"})).collapses
    assert row(EVENT, {}, PushRules(roots={EVENT: "alert"})) == Row(
        is_alert=True, is_high=True, is_described=True
    )


def test_texts() -> None:
    """The first path with a text at its end counts; crooked bodies have none."""
    body = {"a": "", "b": {"c": "x"}, "d": 1, "e": ["x"]}
    assert text_at(body, ("a",), ("b", "c")) == "x"
    assert text_at(body, ("d",), ("e", "c"), ("b",), ("missing", "c")) is None


def test_natural_keys() -> None:
    """A call event belongs to its session, a message to its conversation (CH-101)."""
    session = {"link": [{"rel": "wrtcsSession", "href": "/x/sessions/S1"}]}
    group = {"link": [{"href": "/x/group/G1/messages/M1"}]}
    assert natural_key(EVENT, session) == "S1"
    assert natural_key(CHAT, group) == "group/G1"
    assert natural_key("voicemailNotification", group) is None
