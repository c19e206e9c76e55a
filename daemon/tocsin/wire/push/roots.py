"""How the notifications of channels are pushed, by their root key (push.md, B.4; PU-38).

    root key                                APNs alert app    FCM
    wrtcsSessionInvitationNotification      alert             high
    inboundSMSMessageNotification           alert, text       high
    chatMessageNotification                 alert, text       high
      without a chatMessage (isComposing)   background        normal
    groupChatSessionInvitationNotification  alert             high
    wrtcsEventNotification                  background        high
    other wrtcs*, gone, receipts, events    background        normal
    any other                               alert             high
    presence, user management               never             never

An operator may have others shown (`push.alert_root_keys`), and decide on each row (`push.roots`).
PushKit apps take what `push.voip_root_keys` names and nothing else.
"""

import re
from functools import lru_cache
from typing import Any, Final

import attrs

from tocsin.model.errors import TocsinError
from tocsin.model.services import STANDARD
from tocsin.wire.push.app import App, PushRules

INVITATION: Final = "wrtcsSessionInvitationNotification"
CHAT_MESSAGE: Final = "chatMessageNotification"
APNS_RESERVED: Final = "aps"
_NEVER = frozenset({"presence", "account"})
_MESSAGING = frozenset({"sms", "chat"})
_SILENT = re.compile(r"gone|wrtcs.*|deliveryInfo.*|.*SubscriptionCancellation.*")
_SILENT_MESSAGING = re.compile(r".*(?:Composing|Event|Participant|Status|[Rr]eceipt).*")
_FCM_RESERVED = re.compile(r"from|message_type|google\..*|gcm\..*", re.DOTALL)

Object = dict[str, Any]
Path = tuple[str, ...]


class NotForAppError(TocsinError):
    """This notification is never pushed to this app."""


@attrs.frozen
class Row:
    """How one root key is pushed.

    `title` and `subject` lead to the arguments of the localised title and body: the first path
    with a text at its end counts. `text` leads to what is shown as it stands; an alert without a
    text has a localised body if `is_described`. `is_high`: FCM wakes the device for it.
    """

    is_alert: bool
    is_high: bool
    title: tuple[Path, ...] = ()
    subject: tuple[Path, ...] = ()
    text: Path = ()
    is_described: bool = False
    has_thread: bool = False
    collapses: bool = False


_DESCRIBED = Row(is_alert=True, is_high=True, is_described=True)
_BACKGROUND = Row(is_alert=False, is_high=False)
_ROWS = {
    INVITATION: Row(
        is_alert=True, is_high=True, title=(("originatorName",), ("originatorAddress",))
    ),
    "inboundSMSMessageNotification": Row(
        is_alert=True,
        is_high=True,
        title=(("inboundSMSMessage", "senderAddress"),),
        text=("inboundSMSMessage", "message"),
    ),
    CHAT_MESSAGE: Row(
        is_alert=True,
        is_high=True,
        title=(("chatMessage", "senderAddress"),),
        text=("chatMessage", "text"),
        has_thread=True,
    ),
    "groupChatSessionInvitationNotification": Row(
        is_alert=True, is_high=True, subject=(("x-name",),), is_described=True
    ),
    "wrtcsEventNotification": Row(is_alert=False, is_high=True, collapses=True),
}


def is_for(root_key: str, app: App, rules: PushRules) -> bool:
    """Whether notifications of this root key are pushed to an app at all (PU-35, PU-36, PU-38).

    Where they are not, they are skipped and counted when they are distributed; that a device
    with a PushKit channel gets invitations there only (PU-37), its channels have to tell.
    """
    if rules.roots.get(root_key) == "skip" or is_never(root_key):
        return False
    if app.is_voip:
        return root_key in rules.voip_root_keys
    if root_key == INVITATION and app.provider == "apns" and app.call_without_voip == "refuse":
        return False
    return not is_reserved(app.payload_key or root_key, has_aps=has_aps(app))


@lru_cache(maxsize=1024)
def is_never(root_key: str) -> bool:
    """Presence and user management are not for phones."""
    return STANDARD.of_root_key(root_key) in _NEVER


def has_aps(app: App) -> bool:
    """Whether its payloads are those of APNs, be it inside a message of FCM (PU-33)."""
    return app.provider == "apns" or app.platform == "apple"


def is_reserved(name: str, *, has_aps: bool) -> bool:
    """Whether a top-level name of a payload is the provider's own (PU-30, PU-33)."""
    return name == APNS_RESERVED if has_aps else _FCM_RESERVED.fullmatch(name) is not None


def row(root_key: str, body: Object, rules: PushRules) -> Row:
    """The row of a notification, whose object is `body`, after what the operator has decided.

    Whatever was decided on chat messages, that someone is typing is never shown.
    """
    if root_key == CHAT_MESSAGE and not isinstance(body.get("chatMessage"), dict):
        return _BACKGROUND
    return _row(root_key, rules.roots.get(root_key) or _listed(root_key, rules))


def _listed(root_key: str, rules: PushRules) -> str:
    return "alert" if root_key in rules.alert_root_keys else ""


@lru_cache(maxsize=1024)
def _row(root_key: str, decided: str) -> Row:
    standard = _ROWS.get(root_key) or (_BACKGROUND if _is_silent(root_key) else _DESCRIBED)
    if decided == "background":
        return attrs.evolve(_BACKGROUND, collapses=standard.collapses)
    if decided == "alert" and not standard.is_alert:
        return _DESCRIBED
    return standard


def _is_silent(root_key: str) -> bool:
    if _SILENT.fullmatch(root_key):
        return True
    is_messaging = STANDARD.of_root_key(root_key) in _MESSAGING
    return is_messaging and _SILENT_MESSAGING.fullmatch(root_key) is not None


def text_at(body: Object, *paths: Path) -> str | None:
    """The text at the end of the first path that leads to one."""
    for path in paths:
        value: object = body
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            return value
    return None


def natural_key(root_key: str, body: Object) -> str | None:
    """The conversation of a chat message, the session of a call event (CH-101)."""
    service = STANDARD.of_root_key(root_key) or "account"
    return STANDARD.defaults(service, root_key, body).order_key(body)
