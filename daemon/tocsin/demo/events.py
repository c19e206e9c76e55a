"""What the demo publishes, and what it subscribes to it."""

from typing import Any
from uuid import uuid4

import attrs

USER = "alice@example.com"
PREFIX = "/cpaas"
SESSIONS = f"{PREFIX}/webrtcsignaling/v1/{USER}/sessions"
THREADS = f"{PREFIX}/chat/v1/{USER}/oneToOne"

# By service: below the prefix where a user subscribes, and the envelope of it (channels.md, 9).
SUBSCRIPTIONS = {
    "sms": (f"/smsmessaging/v1/{USER}/inbound/subscriptions", "subscription"),
    "chat": (f"/chat/v1/{USER}/subscriptions", "chatNotificationSubscription"),
    "call": (f"/webrtcsignaling/v1/{USER}/subscriptions", "wrtcsNotificationSubscription"),
    "presence": (
        f"/presence/v1/{USER}/subscriptions/presenceListSubscriptions/friends",
        "presenceListSubscription",
    ),
}


@attrs.frozen
class Event:
    """One notification to `USER`; those of one `key` must arrive in the order they are published
    in. The daemon finds the same keys in them (channels.md, CH-101)."""

    service: str
    key: str
    text: str
    notification: dict[str, Any]
    id: str = attrs.field(factory=lambda: str(uuid4()))

    @property
    def item(self) -> dict[str, Any]:
        """As a platform publishes it."""
        return {
            "user": USER,
            "service": self.service,
            "id": self.id,
            "notification": self.notification,
        }


def sms(number: str, text: str) -> Event:
    """A text message from a number."""
    message = {"message": text, "senderAddress": number, "destinationAddress": "+16135550100"}
    root = {"inboundSMSMessageNotification": {"inboundSMSMessage": message}}
    return Event("sms", f"sms {number}", text, root)


def chat(peer: str, text: str) -> Event:
    """A chat message from somebody."""
    body = {"chatMessage": {"text": text}, "link": _link("chat", f"{THREADS}/{peer}")}
    return Event("chat", f"chat {peer}", text, {"chatMessageNotification": body})


def call(session: str, caller: str) -> Event:
    """It rings."""
    link = _link("wrtcsSession", f"{SESSIONS}/{session}")
    body = {"originatorName": caller, "link": link}
    root = {"wrtcsSessionInvitationNotification": body}
    return Event("call", f"call {session}", f"{caller} is calling", root)


def presence(who: str, activity: str) -> Event:
    """Somebody is somewhere else, or doing something else."""
    state = {"person": {"activities": {"activityValue": activity}}}
    body = {"presentityUserId": who, "presence": state}
    return Event(
        "presence", f"presence {who}", f"{who} is {activity}", {"presenceNotification": body}
    )


def _link(rel: str, href: str) -> list[dict[str, str]]:
    return [{"rel": rel, "href": href}]
