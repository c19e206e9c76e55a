"""`POST` and `GET {channel}/notifications`: long polling (channels.md, section 7)."""

from collections.abc import Callable

import attrs
import trio

from tocsin.delivery.directory import Account, Directory
from tocsin.delivery.revocations import Revocations
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import StoreError, invalid, not_found, unauthorized, unavailable
from tocsin.model.option import option
from tocsin.model.principal import Principal
from tocsin.server.pollsession import Batch, PollContext, PollSession
from tocsin.server.resuming import judge_since
from tocsin.server.router import Router
from tocsin.wire.longpoll import POSITION, check_body, notification_list
from tocsin.wire.position import position
from tocsin.wire.request import Request
from tocsin.wire.response import Response

# Beside what every answer exposes (CH-6): a page that polls cannot read its position otherwise.
READABLE = ("Access-Control-Expose-Headers", POSITION)


@attrs.frozen
class LongPollSettings:
    """`[longpoll]`"""

    # Less than the shortest lifetime of a channel, which starts again with each poll (CH-41).
    hold: float = option(
        30,
        "Seconds a poll is held when there is nothing to deliver.",
        minimum=0,
        maximum=55,
    )


class _HeldPoll:
    """A poll as the bearer of its token."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.scope = trio.CancelScope()

    def token_revoked(self) -> None:
        """It is not to be answered."""
        self.scope.cancel()


class LongPollFace:
    """Polls of all channels."""

    def __init__(
        self,
        directory: Directory,
        context: PollContext,
        settings: LongPollSettings,
        *,
        revocations: Revocations,
        is_draining: Callable[[], bool],
    ) -> None:
        self._directory = directory
        self._context = context
        self._settings = settings
        self._revocations = revocations
        self._is_draining = is_draining

    def add_routes(self, router: Router, prefix: str) -> None:
        """Declare the routes."""
        path = f"{prefix}/notificationchannel/v1/{{user}}/channels/{{channelId}}/notifications"
        for method in ("POST", "GET"):
            router.add(
                method,
                path,
                self.poll,
                scope="channels",
                own_user=True,
                rate="channels",
                ends_with_client="close",
            )

    async def poll(self, request: Request) -> Response:
        """Held until there is something to deliver; the empty list when the time is over.

        While draining it is not held. A client that hangs up takes nothing with it (CH-68), nor
        does one whose token is revoked: that one gets 401.
        """
        account = await self._directory.account(request.path_values["user"])
        channel = account.channel(request.path_values["channelId"], self._context.clock())
        if channel is None or channel.type is not ChannelType.LONG_POLLING:
            raise not_found("channelId")
        check_body(request)
        claim = _claim(request, channel)
        try:
            batch = await self._batch(account, channel, claim, request.principal)
        except StoreError:
            raise unavailable("store", retry_after=1) from None
        return Response(
            200,
            notification_list(batch.bodies),
            headers=((POSITION, position(channel.epoch, batch.position)), READABLE),
            receipt=batch.receipt,
        )

    async def _batch(
        self, account: Account, channel: Channel, claim: int | None, principal: Principal | None
    ) -> Batch:
        """What the poll is answered; raises 401 as soon as its token is void."""
        if principal is None:
            raise unauthorized("token_missing")
        held = _HeldPoll(principal)
        if not self._revocations.bear(held):
            raise unauthorized("token_invalid")
        try:
            with held.scope:
                session = self._session(account, channel)
                batch = await session.poll(claim, hold=self._hold)
        finally:
            self._revocations.let_go(held)
        if held.scope.cancel_called:
            raise unauthorized("token_invalid")
        return batch

    @property
    def _hold(self) -> float:
        return 0 if self._is_draining() else self._settings.hold

    def _session(self, account: Account, channel: Channel) -> PollSession:
        session = self._context.sessions.of(channel)
        if isinstance(session, PollSession):
            return session
        session = PollSession(self._context, account, channel)
        session.start()
        return session


def _claim(request: Request, channel: Channel) -> int | None:
    """The seq a client says it has; one of another numbering means nothing here, and there is no
    word to tell it so but 400."""
    since = request.params.get("since")
    if since is None:
        return None
    claim = judge_since(since, channel)
    if claim.epoch != channel.epoch and not claim.is_question:
        raise invalid("since")
    return claim.seq
