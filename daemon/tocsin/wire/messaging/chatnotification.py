"""Messages and invitations as notifications of the service `chat` (messaging.md, MS-49, MS-52).

One for each recipient. Their shapes are those that deployed clients know (channels.md, CH-100),
with the defaults of their root keys (CH-101): priority normal, 7 days, in order by thread.
"""

from typing import Any, Final

import attrs
import orjson

from tocsin.model.notification import Notification
from tocsin.model.services import STANDARD
from tocsin.wire.dialect import escaped
from tocsin.wire.messaging.clientmessages import Text
from tocsin.wire.messaging.ids import notification_id

TEXT_BYTES: Final = 4096
MESSAGE: Final = "chatMessageNotification"
INVITATION: Final = "groupChatSessionInvitationNotification"
SERVICE: Final = "chat"


@attrs.frozen
class Heading:
    """From whom to whom, as core users (MS-3), and when, epoch milliseconds.

    `prefix` is that of the channels API, for the link.
    """

    sender: str
    recipient: str
    at: int
    prefix: str = "/cpaas"

    @property
    def chat(self) -> str:
        """Where the recipient's conversations are."""
        return f"{self.prefix}/chat/v1/{escaped(self.recipient)}"


def direct(text: Text, heading: Heading, *, message_id: str) -> Notification:
    """A message to one subscriber: its id is the message's."""
    link = f"{heading.chat}/oneToOne/{escaped(heading.sender)}/adhoc/messages/{message_id}"
    return _message(message_id, text, heading, link)


def to_room(text: Text, heading: Heading, *, message_id: str, room_id: str) -> Notification:
    """A message to a Room, for one of its members."""
    link = f"{heading.chat}/group/{escaped(room_id)}/messages/{message_id}"
    return _message(notification_id(message_id, heading.recipient), text, heading, link)


def invitation(name: str, heading: Heading, *, invitation_id: str, room_id: str) -> Notification:
    """An invitation to the Room of that name; `invitation_id` is a fresh UUID."""
    link = f"{heading.chat}/group/{escaped(room_id)}"
    id_ = notification_id(invitation_id, heading.recipient)
    body = {
        "id": id_,
        "dateTime": heading.at,
        "x-name": name,
        "link": [{"rel": "groupChatSessionInformation", "href": link}],
    }
    return _notification(INVITATION, body, id_, heading)


def _message(id_: str, text: Text, heading: Heading, link: str) -> Notification:
    shown = cut(text.content)
    chat_message = {
        "text": shown,
        "x-type": "inbound",
        "x-content-type": text.content_type,
        "dateTime": heading.at,
        "senderAddress": heading.sender,
        "x-destinationAddress": heading.recipient,
    }
    if len(shown) < len(text.content):
        chat_message["x-truncated"] = True
    body = {
        "id": id_,
        "dateTime": heading.at,
        "chatMessage": chat_message,
        "link": [{"rel": "chatMessage", "href": link}],
    }
    return _notification(MESSAGE, body, id_, heading)


def _notification(root_key: str, body: dict[str, Any], id_: str, heading: Heading) -> Notification:
    defaults = STANDARD.defaults(SERVICE, root_key, body)
    return Notification(
        id=id_,
        user=heading.recipient,
        service=SERVICE,
        root_key=root_key,
        body=orjson.dumps({root_key: body}),
        priority=defaults.priority,
        accepted_at=heading.at,
        expires_at=heading.at + defaults.expires_in * 1000,
        order_key=(defaults.order_key(body) or f"{SERVICE} {heading.recipient}")[:256],
    )


def cut(text: str) -> str:
    """As many whole characters of a text as have room in `TEXT_BYTES` of UTF-8."""
    return text[:TEXT_BYTES].encode()[:TEXT_BYTES].decode(errors="ignore")
