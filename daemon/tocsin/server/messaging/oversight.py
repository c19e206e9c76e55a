"""What an operator sees of messaging, and what he ends (messaging.md, section 11 and MS-66)."""

from collections import defaultdict
from typing import Final

import attrs

from tocsin.delivery.deliverylog import DeliveryLog
from tocsin.messaging.live import Live
from tocsin.messaging.presence import Presence
from tocsin.messaging.register import Register
from tocsin.server.http import json_body
from tocsin.server.messaging.resuming import read_page
from tocsin.server.messaging.revoke import Revoker
from tocsin.server.operatorview import Members, attempt_view
from tocsin.store.archive import LogQuery
from tocsin.store.mail import FoundMessage, LogState
from tocsin.store.messages import Messages
from tocsin.wire.messaging import rest
from tocsin.wire.messaging.cursor import cursor
from tocsin.wire.messaging.ids import notification_id
from tocsin.wire.messaging.refusals import NO_TOKEN, ErrorCode, MessageError, RestError
from tocsin.wire.messaging.rest import ConnectionView, LogView, RecipientView
from tocsin.wire.request import Request
from tocsin.wire.response import Response

MOST_LEGS: Final = 1_000


@attrs.frozen(kw_only=True)
class Oversight:
    """Handlers for tokens with the scope `admin`. `epoch` is that of all cursors.

    `only_domain` is the only one there is, None where tokens name theirs.
    """

    store: Messages
    register: Register
    live: Live
    presence: Presence
    log: DeliveryLog
    revoker: Revoker
    epoch: str
    only_domain: str | None = None

    async def subscriber(self, request: Request) -> Response:
        """GET `/subscribers/{id}`: as announced, connected how, and what his Log holds."""
        domain = rest.domain_of(request.params, self._own_domain(request))
        one = await self.register.subscriber(domain, request.path_values["subscriberId"])
        if not (one.is_known or one.is_stored):
            raise _not_found("no such subscriber")
        page = await read_page(self.store, one.key, after=0, limit=1)
        connections = [
            ConnectionView(link.transport, link.since, cursor(self.epoch, link.position))
            for link in self.live.of(one.key)
        ]
        view = self.presence.own_view(one)
        return Response(200, rest.subscriber_page(view, connections, self._log_view(page.state)))

    async def message(self, request: Request) -> Response:
        """GET `/messages/{message-id}`: what became of it for each recipient, and on each way that
        told him of it."""
        domain = rest.domain_of(request.params, self._own_domain(request))
        found = await self.store.find_message(domain, request.path_values["messageId"])
        if found is None:
            raise _not_found("no such message")
        legs = await self._legs(domain, found)
        recipients = [
            RecipientView(id_, status, legs.get(id_, ())) for id_, status in found.statuses
        ]
        return Response(200, rest.message_page(found.message_id, recipients))

    async def revoke(self, request: Request) -> Response:
        """POST `/revoke`: 204 once nobody gets in by it (MS-12)."""
        own = self._own_domain(request)
        await self.revoker.revoke(rest.revocation(json_body(request)), own, request.params)
        return Response(204)

    def _own_domain(self, request: Request) -> str | None:
        """The domain the operator's token is for, None where that is for all."""
        principal = request.principal
        if principal is None:
            raise NO_TOKEN.refused()
        return principal.domain if principal.names_domain else self.only_domain

    def _log_view(self, log: LogState) -> LogView:
        entries = log.last - log.trimmed
        if not entries:
            return LogView(None, None, 0)
        first, last = cursor(self.epoch, log.trimmed + 1), cursor(self.epoch, log.last)
        return LogView(first, last, entries)

    async def _legs(self, domain: str, found: FoundMessage) -> dict[str, list[Members]]:
        """Lines of the delivery log by recipient, the newest `MOST_LEGS`, newest first."""
        recipients = await self.register.subscribers(domain, [id_ for id_, _ in found.statuses])
        named = {(_notified_as(found, one.user), one.user): one.id for one in recipients}
        query = LogQuery(notification_ids=[name for name, _ in named])
        page = await self.log.read(query, before=None, limit=MOST_LEGS)
        legs: defaultdict[str, list[Members]] = defaultdict(list)
        for attempt in page.items:
            recipient = named.get((attempt.notification_id, attempt.user))
            if recipient is not None:
                legs[recipient].append(attempt_view(attempt))
        return legs


def _notified_as(found: FoundMessage, user: str) -> str:
    """The id of the notification that told a recipient (MS-52)."""
    if found.room_id is None:
        return found.message_id
    return notification_id(found.message_id, user)


def _not_found(text: str) -> RestError:
    return RestError(MessageError(ErrorCode.NOT_FOUND, text))
