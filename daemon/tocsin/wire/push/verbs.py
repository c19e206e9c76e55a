"""What a caller of the gateway may ask for, by its verb (push.md, A.2, A.3, PU-11, PU-35).

    verb                                  on APNs        priority  seconds     Selector
    NotifyIncomingCall                    voip or alert  urgent    `call_ttl`  required
    NotifyIncomingCallMissed              alert          urgent    1 day       required
    NotifyIncomingCallAnsweredElsewhere   alert          urgent    60          required
    NotifyTextMessage                     alert          normal    7 days      expected
    NotifyGenericTextMessage              alert          normal    7 days      idle
    NotifyReprovision                     alert, voip    normal    7 days      expected

A device that gets a PushKit push has to show a call, or iOS delivers no more to the app; so a
PushKit token is for calls. NotifyReprovision is the one exception: its call screen flashes.
"""

import enum
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

import attrs

from tocsin.model.notification import Priority
from tocsin.wire.push.app import App

INCOMING_CALL: Final = "NotifyIncomingCall"
MISSED_CALL: Final = "NotifyIncomingCallMissed"
ANSWERED_ELSEWHERE: Final = "NotifyIncomingCallAnsweredElsewhere"
TEXT_MESSAGE: Final = "NotifyTextMessage"
GENERIC_TEXT_MESSAGE: Final = "NotifyGenericTextMessage"
REPROVISION: Final = "NotifyReprovision"

DAY: Final = 86_400
TTL_ZERO_SECONDS: Final = 10
"""How long a push lives that its caller gave a `Ttl` of 0."""


class Need(enum.Enum):
    """What a verb makes of the attribute `Selector`."""

    REQUIRED = enum.auto()
    """Without it the push is refused."""

    EXPECTED = enum.auto()
    """Without it the push is accepted and counted."""

    IDLE = enum.auto()
    """It says nothing that the verb has a use for."""


@attrs.frozen
class Verb:
    """One verb; its name is the root key of the notification.

    `is_call`: it is about a call, which its `Id` names; unknown attributes ride along (PU-34).
    `default_seconds` is None where the app says it. `on_voip`: it may go to PushKit tokens.
    """

    name: str
    priority: Priority = Priority.NORMAL
    default_seconds: int | None = 7 * DAY
    selector: Need = Need.EXPECTED
    needs_message: bool = False
    is_call: bool = False
    on_voip: bool = False

    def seconds(self, app: App) -> int:
        """How long a push of this verb lives if its caller does not say."""
        return app.call_ttl if self.default_seconds is None else self.default_seconds

    def suits(self, app: App) -> bool:
        """Whether this verb may go to an app; if not, the push is refused (PU-35, PU-36).

        FCM apps take every verb.
        """
        if app.provider != "apns":
            return True
        if app.is_voip:
            return self.on_voip
        return self.name != INCOMING_CALL or app.call_without_voip == "alert"


def _call(name: str, seconds: int | None, *, on_voip: bool = False) -> Verb:
    return Verb(name, Priority.URGENT, seconds, Need.REQUIRED, is_call=True, on_voip=on_voip)


VERBS: Final[Mapping[str, Verb]] = {
    verb.name: verb
    for verb in (
        _call(INCOMING_CALL, None, on_voip=True),
        _call(MISSED_CALL, DAY),
        _call(ANSWERED_ELSEWHERE, 60),
        Verb(TEXT_MESSAGE),
        Verb(GENERIC_TEXT_MESSAGE, selector=Need.IDLE, needs_message=True),
        Verb(REPROVISION, on_voip=True),
    )
}


def find(name: str, passed: Collection[str] = ()) -> Verb | None:
    """The verb of this name; one of `passed` (`push.pass_verbs`) is a silent push (PU-11)."""
    return VERBS.get(name) or (_passed(name) if name in passed else None)


@lru_cache(maxsize=256)
def _passed(name: str) -> Verb:
    return Verb(name)
