"""The operator API: the delivery log and dead letters (delivery.md, delivery log)."""

from typing import Final

import orjson

from tocsin.delivery.deadletters import DeadLetters
from tocsin.delivery.deliverylog import DeliveryLog
from tocsin.model.errors import not_found
from tocsin.server.http import json_body
from tocsin.server.operator import ADMIN, PREFIX
from tocsin.server.operatorquery import (
    before_of,
    delivery_id_of,
    letter_order,
    letter_query,
    limit_of,
    log_query,
    place_of,
)
from tocsin.server.operatorview import (
    Members,
    attempt_view,
    letter_view,
    path_view,
    place_text,
    progress_view,
)
from tocsin.server.router import Router
from tocsin.store.archive import LetterQuery
from tocsin.wire.request import Request
from tocsin.wire.response import Response

LETTERS: Final = f"{PREFIX}/deadletters"


class OperatorLogFace:
    """Handlers for what was attempted and what was given up."""

    def __init__(self, log: DeliveryLog, letters: DeadLetters) -> None:
        self._log = log
        self._letters = letters

    def add_routes(self, router: Router) -> None:
        """Declare the routes."""
        for method, pattern, handler in (
            ("GET", f"{PREFIX}/deliveries", self.list_deliveries),
            ("GET", f"{PREFIX}/notifications/{{id}}", self.get_notification),
            ("GET", LETTERS, self.list_letters),
            ("GET", f"{LETTERS}/{{id}}", self.get_letter),
            ("POST", f"{LETTERS}/replay", self.replay),
            ("POST", f"{LETTERS}/purge", self.purge),
        ):
            router.add(method, pattern, handler, scope=ADMIN, cors=False)

    async def list_deliveries(self, request: Request) -> Response:
        """GET: the log of a channel, user or notification, newest first. A page may be short
        though more follow; `next` tells."""
        page = await self._log.read(
            log_query(request.params),
            before=before_of(request.params),
            limit=limit_of(request.params),
        )
        attempts = [attempt_view(one) for one in page.items]
        return _answer({"attempts": attempts, "next": page.next})

    async def get_notification(self, request: Request) -> Response:
        """GET: a notification's whole way, with every attempt."""
        path = await self._log.path(request.path_values["id"])
        if path.is_empty and path.complete:
            raise not_found("notificationId")
        return _answer(path_view(request.path_values["id"], path))

    async def list_letters(self, request: Request) -> Response:
        """GET: dead letters, the latest first."""
        limit = limit_of(request.params)
        letters = await self._letters.list(
            letter_query(request.params), after=place_of(request.params), limit=limit
        )
        full = len(letters) == limit
        place = place_text((letters[-1].died_at, letters[-1].id)) if full else None
        return _answer({"dead_letters": [letter_view(one) for one in letters], "next": place})

    async def get_letter(self, request: Request) -> Response:
        """GET: one, with its notification."""
        id_ = delivery_id_of(request.path_values["id"])
        query = LetterQuery(ids=() if id_ is None else (id_,))
        for letter in await self._letters.list(query, after=None, limit=1):
            return _answer({"dead_letter": letter_view(letter, whole=True)})
        raise not_found("deadLetterId")

    async def replay(self, request: Request) -> Response:
        """POST: deliver these again; an answer with `resume` wants to be asked again with it."""
        order = letter_order(json_body(request))
        progressed = await self._letters.replay(order.query, after=order.after)
        return _answer(progress_view("replayed", progressed))

    async def purge(self, request: Request) -> Response:
        """POST: forget these; `resume` as in a replay."""
        progressed = await self._letters.purge(letter_order(json_body(request)).query)
        return _answer(progress_view("purged", progressed))


def _answer(members: Members) -> Response:
    return Response(200, orjson.dumps(members))
