"""The channel resources of the `netapi` dialect (channels.md, section 3)."""

from collections.abc import Awaitable, Callable

import orjson

from tocsin.delivery.directory import Account, Directory
from tocsin.model.channel import Channel, ChannelType, Webhook
from tocsin.model.errors import invalid, not_found
from tocsin.server.http import json_body
from tocsin.server.router import Router
from tocsin.wire.netapi import ChannelRequest, NetApi, WebhookRequest, parse_channel
from tocsin.wire.request import Request
from tocsin.wire.response import Response

Judge = Callable[[str], Awaitable[str]]


class ChannelFace:
    """Handlers for creating, reading and deleting channels."""

    def __init__(
        self,
        directory: Directory,
        netapi: NetApi,
        *,
        judge_url: Judge,
        check_secret: Callable[[str], None],
        clock: Callable[[], int],
    ) -> None:
        """`judge_url` returns a webhook URL's origin, or raises ValueError (CH-81)."""
        self._directory = directory
        self._netapi = netapi
        self._judge_url = judge_url
        self._check_secret = check_secret
        self._clock = clock

    def add_routes(self, router: Router) -> None:
        """Declare the routes."""
        collection = f"{self._netapi.prefix}/notificationchannel/v1/{{user}}/channels"
        one = f"{collection}/{{channelId}}"
        for method, pattern, handler in (
            ("POST", collection, self.create),
            ("GET", collection, self.list),
            ("GET", one, self.get),
            ("DELETE", one, self.delete),
        ):
            router.add(method, pattern, handler, scope="channels", own_user=True, rate="channels")

    async def create(self, request: Request) -> Response:
        """POST: a new channel, durable before 201 (CH-22); the same webhook again is the same
        channel (CH-80)."""
        wanted = parse_channel(json_body(request), check_secret=self._check_secret)
        webhook = None if wanted.webhook is None else await self._webhook(wanted.webhook)
        account = await self._directory.account(request.path_values["user"])
        channel = await self._directory.open_channel(
            account, self._channel(request, account, wanted, webhook)
        )
        location = self._netapi.channel_path(channel)
        body = orjson.dumps(self._netapi.channel(channel))
        return Response(201, body, headers=(("Location", location),))

    async def _webhook(self, wanted: WebhookRequest) -> Webhook:
        try:
            origin = await self._judge_url(wanted.url)
        except ValueError:
            raise invalid("channelData.x-webhookURL") from None
        return Webhook(wanted.url, origin, wanted.authorization, wanted.secret)

    def _channel(
        self, request: Request, account: Account, wanted: ChannelRequest, webhook: Webhook | None
    ) -> Channel:
        now = self._clock()
        channel = Channel(
            id=Channel.new_id(wanted.type),
            user=account.user,
            type=wanted.type,
            created_at=now,
            client_correlator=wanted.client_correlator,
            application_tag=wanted.application_tag,
            creator=request.principal.subject if request.principal else None,
            check_role=wanted.check_role,
            webhook=webhook,
        )
        if wanted.type is ChannelType.WEBSOCKETS:
            channel.lifetime = self._directory.grant_lifetime(wanted.lifetime)
            channel.restart_clock(now)
        return channel

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
            and (correlator is None or one.client_correlator == correlator)
            and (kind is None or one.type.lower() == kind.lower())
        ]
        return Response(200, orjson.dumps(self._netapi.channel_list(account.user, channels)))

    async def get(self, request: Request) -> Response:
        """GET one."""
        _, channel = await self._find(request)
        return Response(200, orjson.dumps(self._netapi.channel(channel)))

    async def delete(self, request: Request) -> Response:
        """DELETE one, with its subscriptions and what waits for it (CH-21)."""
        account, channel = await self._find(request)
        await self._directory.remove_channel(account, channel, outcome="refused")
        return Response(204)

    async def _find(self, request: Request) -> tuple[Account, Channel]:
        """Unknown, expired, deleted and another user's are all the same 404 (CH-20)."""
        account = await self._directory.account(request.path_values["user"])
        channel = account.channel(request.path_values["channelId"], self._clock())
        if channel is None:
            raise not_found("channelId")
        return account, channel
