"""Subscriptions for sms and chat (channels.md, section 10)."""

from collections.abc import Awaitable, Callable
from functools import partial

import orjson

from tocsin.delivery.directory import Account, Directory
from tocsin.model.errors import invalid, not_found
from tocsin.model.ids import new_id
from tocsin.model.subscription import Subscription
from tocsin.server.http import json_body
from tocsin.server.router import Router
from tocsin.wire.integers import dumps
from tocsin.wire.request import Request
from tocsin.wire.response import Response
from tocsin.wire.subscriptions import KINDS, Kind, parse_subscription

KindHandler = Callable[[Kind, Request], Awaitable[Response]]


class SubscriptionFace:
    """Handlers for creating, reading and deleting subscriptions of every kind."""

    def __init__(self, directory: Directory, *, prefix: str, clock: Callable[[], int]) -> None:
        self._directory = directory
        self._prefix = prefix
        self._clock = clock

    def add_routes(self, router: Router) -> None:
        """Declare the routes of every kind."""
        for kind in KINDS:
            collection = f"{self._prefix}{kind.path}"
            one = f"{collection}/{{subscriptionId}}"
            self._add(router, "POST", collection, kind, self.create)
            self._add(router, "GET", collection, kind, self.list)
            self._add(router, "GET", one, kind, self.get)
            self._add(router, "DELETE", one, kind, self.delete)

    def _add(
        self, router: Router, method: str, pattern: str, kind: Kind, handler: KindHandler
    ) -> None:
        router.add(
            method,
            pattern,
            partial(handler, kind),
            scope="channels",
            own_user=True,
            rate="channels",
        )

    async def create(self, kind: Kind, request: Request) -> Response:
        """POST: durable before 201; the same again is the existing one (CH-90 to CH-93)."""
        wanted = parse_subscription(json_body(request), kind)
        account = await self._directory.account(request.path_values["user"])
        channel = account.channel(wanted.channel_id, self._clock())
        if channel is None:
            raise invalid("callbackReference.notifyURL")
        sender = request.path_values.get("sender")
        collection = kind.collection(self._prefix, account.user, sender)
        id_ = new_id()
        members = {"clientCorrelator": channel.client_correlator, **wanted.members}
        members["resourceURL"] = f"{collection}/{id_}"
        kept, body = await self._directory.subscribe(
            account,
            Subscription(id_, account.user, kind.service, channel, wanted.destination, sender),
            dumps(members),
        )
        return Response(
            201,
            orjson.dumps({kind.envelope: orjson.Fragment(body)}),
            headers=(("Location", f"{collection}/{kept.id}"),),
        )

    async def list(self, kind: Kind, request: Request) -> Response:
        """GET the collection; the list is always there."""
        account = await self._directory.account(request.path_values["user"])
        sender = request.path_values.get("sender")
        now = self._clock()
        ids = [
            one.id
            for one in account.subscriptions.values()
            if one.service == kind.service and one.sender == sender and not one.channel.is_over(now)
        ]
        bodies = await self._directory.bodies(ids)
        return Response(
            200,
            orjson.dumps(
                {
                    kind.list_envelope: {
                        kind.envelope: [orjson.Fragment(body) for body in bodies],
                        "resourceURL": kind.collection(self._prefix, account.user, sender),
                    }
                }
            ),
        )

    async def get(self, kind: Kind, request: Request) -> Response:
        """GET one."""
        _, subscription = await self._find(kind, request)
        bodies = await self._directory.bodies([subscription.id])
        if not bodies:
            raise not_found("subscriptionId")
        return Response(200, orjson.dumps({kind.envelope: orjson.Fragment(bodies[0])}))

    async def delete(self, kind: Kind, request: Request) -> Response:
        """DELETE one; a second time 404, which clients take for success (CH-90)."""
        account, subscription = await self._find(kind, request)
        await self._directory.unsubscribe(account, subscription)
        return Response(204)

    async def _find(self, kind: Kind, request: Request) -> tuple[Account, Subscription]:
        account = await self._directory.account(request.path_values["user"])
        found = account.subscriptions.get(request.path_values["subscriptionId"])
        if (
            found is None
            or found.service != kind.service
            or found.sender != request.path_values.get("sender")
            or found.channel.is_over(self._clock())
        ):
            raise not_found("subscriptionId")
        return account, found
