"""The channel resources (channels.md, sections 3 and 5)."""

from collections.abc import Callable

import orjson

from tocsin.delivery.directory import Account, Directory
from tocsin.model.channel import Channel
from tocsin.model.errors import invalid, not_found
from tocsin.server.http import json_body
from tocsin.server.newchannel import ChannelMaker, stand_in
from tocsin.server.router import Router
from tocsin.wire.channelview import ChannelView, Members
from tocsin.wire.dialect import Dialect
from tocsin.wire.netapi import parse_lifetime
from tocsin.wire.request import Request
from tocsin.wire.response import Headers, Response


class ChannelFace:
    """Handlers for creating, reading, prolonging and deleting channels in one dialect."""

    def __init__(
        self,
        directory: Directory,
        dialect: Dialect,
        maker: ChannelMaker,
        *,
        echo_secrets: bool,
        clock: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._dialect = dialect
        self._maker = maker
        self._view = ChannelView(dialect, echo_secrets=echo_secrets)
        self._clock = clock

    def add_routes(self, router: Router) -> None:
        """Declare the routes."""
        collection = self._dialect.channels_pattern
        one = f"{collection}/{{channelId}}"
        lifetime = f"{one}/channelLifetime"
        for method, pattern, handler in (
            ("POST", collection, self.create),
            ("GET", collection, self.list),
            ("GET", one, self.get),
            ("PUT", one, self.put_lifetime),
            ("DELETE", one, self.delete),
            ("GET", lifetime, self.get_lifetime),
            ("PUT", lifetime, self.put_lifetime),
        ):
            router.add(method, pattern, handler, scope="channels", own_user=True, rate="channels")

    async def create(self, request: Request) -> Response:
        """POST: a new channel, durable before its answer (CH-22); the same webhook or device
        again is the same channel (CH-74, CH-80)."""
        user = request.path_values["user"]
        creator = request.principal.subject if request.principal else None
        wanted = await self._maker.make(
            json_body(request), self._dialect, user=user, creator=creator
        )
        account = await self._directory.account(user)
        if not wanted.client_correlator:
            wanted.client_correlator = stand_in(account, wanted)
        channel = await self._directory.open_channel(account, wanted)
        return _answer(
            self._view.channel(channel),
            status=self._dialect.created,
            headers=(("Location", self._view.url(channel)),),
        )

    async def list(self, request: Request) -> Response:
        """GET the collection; both filters exact, the type without regard to case."""
        account = await self._directory.account(request.path_values["user"])
        correlator = request.params.get("clientCorrelator")
        kind = request.params.get("channelType")
        now = self._clock()
        channels = [
            one
            for one in account.channels.values()
            if not one.is_over(now)
            and (correlator is None or self._view.correlator_of(one) == correlator)
            and (kind is None or self._view.type_of(one).lower() == kind.lower())
        ]
        return _answer(self._view.channel_list(account.user, channels))

    async def get(self, request: Request) -> Response:
        """GET one."""
        _, channel = await self._find(request)
        return _answer(self._view.channel(channel))

    async def delete(self, request: Request) -> Response:
        """DELETE one, with its subscriptions and what waits for it (CH-21)."""
        account, channel = await self._find(request)
        await self._directory.remove_channel(account, channel, outcome="refused")
        return Response(204)

    async def get_lifetime(self, request: Request) -> Response:
        """GET how many seconds are left, begun ones counted: never 0 while it lives."""
        _, channel = await self._find(request)
        if channel.lifetime is None or channel.expires_at is None:
            raise invalid("channelLifetime")
        left = channel.expires_at - self._clock()
        return _answer(self._view.lifetime(max(-(-left // 1000), 1)))

    async def put_lifetime(self, request: Request) -> Response:
        """PUT: the lifetime granted starts now; a permanent channel has none (CH-41, CH-42)."""
        _, channel = await self._find(request)
        if channel.lifetime is None:
            raise invalid("channelLifetime")
        granted = await self._directory.renew(channel, parse_lifetime(json_body(request)))
        return _answer(self._view.lifetime(granted))

    async def _find(self, request: Request) -> tuple[Account, Channel]:
        """Unknown, expired, deleted and another user's are all the same 404 (CH-20)."""
        account = await self._directory.account(request.path_values["user"])
        channel = account.channel(request.path_values["channelId"], self._clock())
        if channel is None:
            raise not_found("channelId")
        return account, channel


def _answer(members: Members, *, status: int = 200, headers: Headers = ()) -> Response:
    return Response(status, orjson.dumps(members), headers=headers)
