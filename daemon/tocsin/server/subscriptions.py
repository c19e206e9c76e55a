"""Subscriptions of every service (channels.md, section 10)."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import orjson

from tocsin.delivery.directory import Account, Directory
from tocsin.model.channel import ChannelType
from tocsin.model.errors import forbidden, not_found
from tocsin.model.ids import new_id
from tocsin.model.subscription import Subscription
from tocsin.server.http import json_body
from tocsin.server.router import Router
from tocsin.wire.request import Request
from tocsin.wire.response import Response
from tocsin.wire.subscriptions import (
    KINDS,
    Kind,
    Place,
    SubscriptionRequest,
    correlator_of,
    located,
    parse_subscription,
    render,
)

LONGEST_DURATION = 100 * 366 * 86_400

KindHandler = Callable[[Kind, Request], Awaitable[Response]]


class SubscriptionFace:
    """Handlers for creating, reading and deleting subscriptions, in one dialect.

    `prefix` stands before every path, `base` before every path in an answer.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        prefix: str,
        clock: Callable[[], int],
        base: str = "",
        kinds: Iterable[Kind] = KINDS,
    ) -> None:
        self._directory = directory
        self._prefix = prefix
        self._root = base + prefix
        self._kinds = tuple(kinds)
        self._clock = clock

    def add_routes(self, router: Router) -> None:
        """Declare the routes of every kind."""
        for kind in self._kinds:
            collection = f"{self._prefix}{kind.path}"
            one = f"{collection}/{{subscriptionId}}"
            self._add(router, "GET", collection, kind, self.list)
            if not kind.spans:
                self._add(router, "POST", collection, kind, self.create)
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
            own_user=not kind.is_project,
            rate="channels",
        )

    async def create(self, kind: Kind, request: Request) -> Response:
        """POST: durable before 201; the same again is the existing one (CH-90 to CH-98)."""
        place = self._place(kind, request)
        document = json_body(request)
        account = await self._directory.account(place.user)
        owner = await self._owner(place, request, account)
        now = self._clock()
        alive = {one.id: one for one in owner.living(now)}
        wanted = parse_subscription(document, kind, alive)
        id_ = new_id()
        kept, text = await self._directory.subscribe(
            account,
            Subscription(
                id_,
                place.user,
                kind.service,
                wanted.channel,
                wanted.destination,
                place.sender,
                place.listing,
                wanted.policy,
                _end(wanted, now),
            ),
            render(place, id_, wanted.members),
        )
        return Response(
            201,
            orjson.dumps({kind.envelope: self._located(text)}),
            headers=(("Location", f"{self._root}{place.path}/{kept.id}"),),
        )

    async def list(self, kind: Kind, request: Request) -> Response:
        """GET the collection; the list is always there."""
        place = self._place(kind, request)
        account = await self._directory.account(place.user)
        now = self._clock()
        texts = await self._directory.bodies(
            [
                one.id
                for one in account.subscriptions.values()
                if place.holds(one) and not one.is_over(now)
            ]
        )
        correlator = request.params.get("clientCorrelator") if kind.by_correlator else None
        if correlator is not None:
            texts = [text for text in texts if correlator_of(text) == correlator]
        members = {
            kind.envelope: [self._located(text) for text in texts],
            "resourceURL": self._root + place.path,
        }
        return Response(200, orjson.dumps({kind.list_envelope: members}))

    async def get(self, kind: Kind, request: Request) -> Response:
        """GET one."""
        _, subscription = await self._find(kind, request)
        texts = await self._directory.bodies([subscription.id])
        if not texts:
            raise not_found("subscriptionId")
        return Response(200, orjson.dumps({kind.envelope: self._located(texts[0])}))

    async def delete(self, kind: Kind, request: Request) -> Response:
        """DELETE one; a second time 404, which clients take for success (CH-90)."""
        account, subscription = await self._find(kind, request)
        await self._directory.unsubscribe(account, subscription)
        return Response(204)

    def _place(self, kind: Kind, request: Request) -> Place:
        """The collection asked for, if the token may act for its project (CH-96)."""
        if kind.is_project:
            self._check_project(request)
        return kind.place(request.path_values)

    def _check_project(self, request: Request) -> None:
        """`acct/proj` names one project only as long as neither has a slash in it."""
        account, project = request.path_values["acct"], request.path_values["proj"]
        who = request.principal
        is_theirs = who is not None and (who.may("admin") or who.project == project)
        if not is_theirs or "/" in account + project:
            raise forbidden("project_mismatch")

    async def _owner(self, place: Place, request: Request, account: Account) -> Account:
        """Whose channels may be pointed to: the user's; of a project, the token's user (CH-96)."""
        if not place.kind.is_project or request.principal is None:
            return account
        return await self._directory.account(request.principal.user)

    async def _find(self, kind: Kind, request: Request) -> tuple[Account, Subscription]:
        place = self._place(kind, request)
        account = await self._directory.account(place.user)
        found = account.subscriptions.get(request.path_values["subscriptionId"])
        if found is None or not place.holds(found) or found.is_over(self._clock()):
            raise not_found("subscriptionId")
        return account, found

    def _located(self, text: bytes) -> orjson.Fragment:
        return orjson.Fragment(located(text, self._root))


def _end(wanted: SubscriptionRequest, now: int) -> int | None:
    """When a subscription ends by itself: a webhook's after its duration (CH-95)."""
    if wanted.duration is None or wanted.channel.type is not ChannelType.WEBHOOKS:
        return None
    return now + min(wanted.duration, LONGEST_DURATION) * 1000
