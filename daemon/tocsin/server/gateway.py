"""`/pnm2`: pushes by HTTP, for callers that name the device (push.md, A.1 to A.6).

Whatever is refused here, by whomever, is answered with a reply object (PU-5).
"""

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

import attrs
import orjson
import trio

from tocsin.delivery.gateway import Asked, Gateway
from tocsin.delivery.submissions import Remembered, Submission, Submissions
from tocsin.model.errors import RequestError, rate_limited, unavailable
from tocsin.model.principal import Principal
from tocsin.ops.metrics import Metrics
from tocsin.server.auth import Authenticator
from tocsin.server.idempotency import answer_once, producer_of
from tocsin.server.limits import Buckets
from tocsin.server.peers import Networks, Proxies, counted_as
from tocsin.server.router import ANY, Router
from tocsin.server.trusted import is_trusted
from tocsin.wire.push.element import Apps, Push, parse_element
from tocsin.wire.push.pnm2 import (
    BAD_REQUEST,
    MOST_BYTES,
    Endpoint,
    GatewayError,
    Reply,
    elements_of,
    reply_to,
)
from tocsin.wire.request import Request
from tocsin.wire.response import Response

SCOPE: Final = "push"
SLICE: Final = 100
DRAIN_RETRY: Final = 1


def tokenless(peer: str) -> Principal:
    """A caller known by its address alone. No token can name a producer that begins with a control
    character."""
    return Principal("", frozenset({SCOPE}), f"\x01{peer}", "", "", math.inf)


@attrs.frozen
class Admission:
    """Who may push: a token with the scope `push`, or none from `networks` (PU-9)."""

    tokens: Authenticator
    networks: Networks
    proxies: Proxies

    async def authorize(self, request: Request) -> Principal:
        """Who is asking; without a token, its address is. Raises 401, 503 as for any token."""
        if is_trusted(request.tcp_peer, request.headers, self.networks, self.proxies):
            await trio.lowlevel.checkpoint()
            return tokenless(request.peer)
        return await self.tokens.authenticate(
            authorization=request.headers.get("authorization"), query_token=None
        )


class GatewayFace:
    """The gateway's three endpoints."""

    def __init__(
        self,
        gateway: Gateway,
        submissions: Submissions,
        apps: Apps,
        admission: Admission,
        *,
        pass_verbs: Collection[str] = (),
        rate_per_caller: float = 0,
        is_draining: Callable[[], bool],
        metrics: Metrics,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self._gateway = gateway
        self._submissions = submissions
        self._apps = apps
        self._admission = admission
        self._pass_verbs = frozenset(pass_verbs)
        self._buckets = Buckets(rate_per_caller)
        self._is_draining = is_draining
        self._metrics = metrics
        self._now = now

    def add_routes(self, router: Router) -> None:
        """Declare the routes; a method that is not POST gets a reply object, too (PU-4)."""
        for endpoint in Endpoint:
            refuse = partial(self._refuse, endpoint)
            router.add(
                "POST",
                endpoint.path,
                partial(self.serve, endpoint),
                scope=SCOPE,
                body_limit=MOST_BYTES,
                json=False,
                authorize=self._admission.authorize,
                refuse=refuse,
            )
            router.add(ANY, endpoint.path, _wrong_method, scope=None, json=False, refuse=refuse)

    async def serve(self, endpoint: Endpoint, request: Request) -> Response:
        """A reply for each push, once it is settled or nobody wants to wait for it any more."""
        if self._is_draining():
            raise unavailable("drain", retry_after=DRAIN_RETRY)
        push = partial(self._push, endpoint)
        return await answer_once(self._submissions, request, endpoint.path, push)

    async def _push(
        self, endpoint: Endpoint, request: Request, submission: Submission | None
    ) -> Remembered:
        elements = await self._read(endpoint, request)
        replies = await self._gateway.push(
            Asked(endpoint, elements, producer_of(request), submission)
        )
        for reply in replies:
            self._metrics.push_gateway_replies[endpoint.value, reply.code].inc()
        return Remembered(200, endpoint.render(replies))

    async def _read(self, endpoint: Endpoint, request: Request) -> Sequence[Push | Reply]:
        """Raises what is wrong with the request as a whole."""
        items = elements_of(endpoint, request.headers.get("content-type"), request.body)
        self._charge(request, len(items))
        elements: list[Push | Reply] = []
        for number, item in enumerate(items, 1):
            elements.append(parse_element(item, self._apps, self._pass_verbs))
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()
        return elements

    def _charge(self, request: Request, elements: int) -> None:
        principal = request.principal
        token_id = "" if principal is None else principal.token_id
        caller = f"token {token_id}" if token_id else f"address {counted_as(request.peer)}"
        wait = self._buckets.take(caller, self._now(), max(1, elements))
        if wait:
            raise rate_limited(retry_after=math.ceil(wait))

    def _refuse(self, endpoint: Endpoint, error: RequestError) -> Response:
        reply = reply_to(error)
        self._metrics.push_gateway_replies[endpoint.value, reply.code].inc()
        return Response(error.status, orjson.dumps(reply.as_dict()), error.headers)


async def _wrong_method(_request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    raise GatewayError(400, BAD_REQUEST)
