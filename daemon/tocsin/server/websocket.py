"""`GET {channel}/websocket`: from an upgrade request to a live session (channels.md, section 6)."""

import socket
from collections.abc import Callable

import attrs
import trio

from tocsin.delivery.directory import Account, Directory
from tocsin.delivery.revocations import Revocations
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import (
    RequestError,
    forbidden,
    invalid,
    not_found,
    service_error,
    unauthorized,
    unavailable,
)
from tocsin.model.option import option
from tocsin.model.principal import Principal
from tocsin.server.auth import Authenticator
from tocsin.server.cors import Cors
from tocsin.server.engine import AnyEngine
from tocsin.server.handler import ConnectionLimits
from tocsin.server.limits import Rate
from tocsin.server.resuming import judge_since
from tocsin.server.router import Router
from tocsin.server.session import TOKEN_OVER, NotificationSession, SessionContext
from tocsin.wire.handshake import Refusal, answer
from tocsin.wire.position import Claim
from tocsin.wire.request import Request
from tocsin.wire.response import Upgrade

KeepLease = Callable[[], Callable[[], None]]
SPARE_OUTBOX = 131_072
DRAIN_RETRY = 5
FULL_RETRY = 30


@attrs.frozen
class WsSettings:
    """`[ws]`"""

    max_connections: int = option(50_000, "Sockets open at once; more are answered 503.", minimum=1)
    max_connections_per_user: int = option(
        20, "Sockets of one user open at once; more are answered 503.", minimum=1
    )
    ping_interval: float = option(
        30, "Seconds between Pings on a quiet socket.", minimum=0.1, maximum=3600
    )
    check_interval: float = option(
        30,
        "Seconds between connChecks to a client that asked for them (role server).",
        minimum=0.1,
        maximum=3600,
    )
    window: int = option(
        100, "Frames written to a socket and not yet receipted, at most.", minimum=1, maximum=10_000
    )
    client_frame_bytes: int = option(4096, "Bytes of one message from a client.", minimum=125)
    client_frames_per_second: int = option(50, "Frames from a client in one second.", minimum=1)
    outbox_bytes: int = option(
        1_048_576,
        "Bytes waiting for one slow reader; the rest waits in the store.",
        minimum=131_072,
    )
    expired_token_grace: float = option(
        0,
        "Seconds for which a token that has expired still opens a socket of a channel it made.",
        minimum=0,
    )
    cut_on_token_expiry: bool = option(
        default=False, help="Close a socket (4401) when its token has expired."
    )
    engine: str = option(
        "auto",
        "What serves the sockets; auto is the reactor where the kernel has epoll.",
        choices=("auto", "reactor", "trio-websocket"),
    )


@attrs.frozen
class _Accepted:
    """A handshake that was accepted."""

    account: Account
    channel: Channel
    since: Claim | None
    cut_at: float | None
    keep_lease: KeepLease | None
    principal: Principal


class _Bearer:
    """A socket as the bearer of the token that opened it, and what is given back at its end."""

    __slots__ = ("_release", "_revocations", "principal", "session")

    def __init__(
        self, revocations: Revocations, principal: Principal, release: Callable[[], None]
    ) -> None:
        self._revocations = revocations
        self.principal = principal
        self._release = release
        self.session: NotificationSession | None = None

    def token_revoked(self) -> None:
        """Close 4401."""
        if self.session is not None:
            self.session.end(TOKEN_OVER)

    def closed(self) -> None:
        """The socket is gone."""
        self.session = None
        self._revocations.let_go(self)
        self._release()


class WebSocketFace:
    """The handshake; everything refused is refused as HTTP, before the 101 (CH-50).

    `refusals` is the rate that those refused for a mistake count for, by token. What succeeds, or
    finds us full or draining, counts for nothing: a crowd that comes back comes all at once.
    """

    def __init__(
        self,
        directory: Directory,
        reactor: AnyEngine,
        context: SessionContext,
        *,
        tokens: Authenticator,
        revocations: Revocations,
        cors: Cors,
        refusals: Rate,
        is_draining: Callable[[], bool],
    ) -> None:
        self._refusals = refusals
        self._directory = directory
        self._tokens = tokens
        self._revocations = revocations
        self._reactor = reactor
        self._context = context
        self._cors = cors
        self._is_draining = is_draining
        settings = context.settings
        self._limits = ConnectionLimits(
            max_message=settings.client_frame_bytes,
            frames_per_second=settings.client_frames_per_second,
            outbox_bytes=settings.outbox_bytes + SPARE_OUTBOX,
        )

    def add_routes(self, router: Router, prefix: str) -> None:
        """Declare the route."""
        router.add(
            "GET",
            f"{prefix}/notificationchannel/v1/{{user}}/channels/{{channelId}}/websocket",
            self.upgrade,
            scope="channels",
            own_user=True,
            json=False,
        )

    async def upgrade(self, request: Request) -> Upgrade:
        """Judge the handshake; the session begins when the 101 has been written."""
        principal = request.principal
        if principal is None:
            raise unauthorized("token_missing")
        try:
            return await self._judge(request, principal)
        except RequestError as error:
            if error.status < 500:
                self._refusals.check(principal, self._context.now())
            raise

    async def _judge(self, request: Request, principal: Principal) -> Upgrade:
        if not self._cors.allows(request.headers.get("origin")):
            raise forbidden("origin_denied")
        account = await self._directory.account(request.path_values["user"])
        channel = account.channel(request.path_values["channelId"], self._context.clock())
        if channel is None or channel.type is not ChannelType.WEBSOCKETS:
            raise not_found("channelId")
        self._check_token(principal, channel)
        accept = answer(request.method, request.headers, http_version=request.http_version)
        if isinstance(accept, Refusal):
            raise _refused(accept)
        since = request.params.get("since")
        claim = judge_since(since, channel) if since is not None else None
        self._check_room(channel)
        accepted = _Accepted(
            account, channel, claim, self._cut_at(principal), request.keep_lease, principal
        )
        headers = (
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept),
        )
        return Upgrade(headers, lambda sock, left: self._begin(accepted, sock, left))

    def _check_token(self, principal: Principal, channel: Channel) -> None:
        """One that has expired, but not for long, only opens what it has made (CH-61)."""
        if self._tokens.expired(principal) and principal.subject != channel.creator:
            raise unauthorized("token_expired")

    def _cut_at(self, principal: Principal) -> float | None:
        """When the token is over that an open socket must not outlive, `trio.current_time()`."""
        settings = self._context.settings
        if not settings.cut_on_token_expiry:
            return None
        left = self._tokens.seconds_left(principal)
        if left <= 0:
            left += settings.expired_token_grace
        return self._context.now() + left

    def _check_room(self, channel: Channel) -> None:
        """A socket that only replaces an older one of its channel needs no new place."""
        if self._is_draining():
            raise unavailable("drain", retry_after=DRAIN_RETRY)
        settings, sessions = self._context.settings, self._context.sessions
        if sessions.of(channel) is not None:
            return
        if (
            sessions.sockets >= settings.max_connections
            or sessions.count(channel.user) >= settings.max_connections_per_user
        ):
            raise unavailable("connections", retry_after=FULL_RETRY)

    def _begin(self, accepted: _Accepted, sock: socket.socket, received: bytes) -> None:
        account, channel = accepted.account, accepted.channel
        release = accepted.keep_lease() if accepted.keep_lease is not None else _nothing
        bearer = _Bearer(self._revocations, accepted.principal, release)
        session = NotificationSession(
            self._context,
            account,
            channel,
            since=accepted.since,
            cut_at=accepted.cut_at,
            on_closed=bearer.closed,
        )
        bearer.session = session
        is_valid = self._revocations.bear(bearer)
        try:
            self._reactor.adopt(sock, session, self._limits, received=received)
        except (trio.ClosedResourceError, OSError):
            bearer.closed()
            sock.close()
            return
        # What happened while the 101 was on its way: the client is told on the socket.
        if not is_valid:
            session.end(TOKEN_OVER)
        elif account.channels.get(channel.id) is not channel:
            session.end(1000)
        elif self._is_draining():
            session.end(1012)


def _refused(refusal: Refusal) -> RequestError:
    if refusal.status == 426:
        return service_error(426, "upgrade_required", headers=refusal.headers)
    return invalid("Sec-WebSocket-Key")


def _nothing() -> None:
    """Nothing to give back."""
