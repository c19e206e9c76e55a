"""Each service as its clients meet it: where they subscribe, and what they are told."""

from typing import Any

import attrs


@attrs.frozen
class Face:
    """Subscriptions of one kind; `path` is a format of `user`, the prefix left out."""

    service: str
    path: str
    envelope: str

    def collection(self, user: str, prefix: str = "/cpaas") -> str:
        """The path subscriptions are POSTed to."""
        return f"{prefix}{self.path.format(user=user)}"

    def wanted(self, channel: str | None = None, **members: object) -> dict[str, Any]:
        """The body of a POST."""
        callback = {} if channel is None else {"callbackReference": {"notifyURL": channel}}
        return {self.envelope: {**callback, **members}}


CALL = Face("call", "/webrtcsignaling/v1/{user}/subscriptions", "wrtcsNotificationSubscription")
CHAT = Face("chat", "/chat/v1/{user}/subscriptions", "chatNotificationSubscription")
SMS = Face("sms", "/smsmessaging/v1/{user}/inbound/subscriptions", "subscription")
RECEIPTS = Face(
    "sms",
    "/smsmessaging/v1/{user}/outbound/+16135550000/subscriptions",
    "deliveryReceiptSubscription",
)
PRESENCE = Face(
    "presence",
    "/presence/v1/{user}/subscriptions/presenceListSubscriptions/L1",
    "presenceListSubscription",
)
ACCOUNT = Face("account", "/account/v1/{user}/subscriptions", "projectSubscription")
FACES = (CALL, CHAT, SMS, RECEIPTS, PRESENCE, ACCOUNT)

# The notifications of channels.md, section 11, one of each root key.
_LINK = [{"rel": "groupChatSessionInformation", "href": "/cpaas/chat/v1/me/group/G1"}]
_SESSION = [{"rel": "wrtcsSession", "href": "/cpaas/webrtcsignaling/v1/me/sessions/S1"}]
_SMS = {"message": "hi", "senderAddress": "+16137001234", "destinationAddress": "+16139998877"}
EXAMPLES: dict[str, list[dict[str, dict[str, Any]]]] = {
    "sms": [
        {"inboundSMSMessageNotification": {"inboundSMSMessage": _SMS}},
        {"outboundSMSMessageNotification": {"outboundSMSMessage": _SMS}},
        {"smsEventNotification": {"eventType": "MessageDeleted", "link": []}},
        {"smsSubscriptionCancellationNotification": {"link": []}},
        {
            "deliveryInfoNotification": {
                "deliveryInfo": {
                    "address": "+16139998877",
                    "deliveryStatus": "DeliveredToTerminal",
                    "messageId": "O1",
                }
            }
        },
    ],
    "chat": [
        {"chatMessageNotification": {"chatMessage": {"text": "hello"}, "link": []}},
        {"chatMessageNotification": {"isComposing": {"state": "active", "refresh": 60}}},
        {"groupChatSessionInvitationNotification": {"x-name": "g", "link": _LINK}},
        {"chatParticipantStatusNotification": {"participant": [], "link": _LINK}},
        {"chatEventNotification": {"eventType": "SessionUpdated", "link": _LINK}},
    ],
    "presence": [
        {
            "presenceNotification": {
                "presentityUserId": "bob@example.com",
                "presence": {"person": {"activities": {"activityValue": "Busy", "other": None}}},
            }
        }
    ],
    "call": [
        {"wrtcsSessionInvitationNotification": {"offer": {"sdp": "v=0"}, "link": _SESSION}},
        {"wrtcsAcceptanceNotification": {"answer": {"sdp": "v=0"}, "link": _SESSION}},
        {"wrtcsAnswerNotification": {"answer": {"sdp": "v=0"}, "link": _SESSION}},
        {"wrtcsOfferNotification": {"offer": {"sdp": "v=0"}, "link": _SESSION}},
        {"wrtcsEventNotification": {"eventType": "Ringing", "link": _SESSION}},
    ],
}


def item(
    user: str, service: str, notification: dict[str, Any], **members: object
) -> dict[str, Any]:
    """A publish item."""
    return {"user": user, "service": service, "notification": notification, **members}
