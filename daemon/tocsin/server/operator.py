"""The operator API: channels and lanes (operations.md, OP-3, OP-18). Admin listener only."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import orjson

from tocsin.delivery.directory import Account, Directory
from tocsin.delivery.lanecontrol import LaneControl, LaneStatus
from tocsin.delivery.sessions import Sessions
from tocsin.model.channel import Channel, ChannelType, type_of_lane
from tocsin.model.errors import invalid, not_found
from tocsin.server.operatorquery import before_of, channel_type_of, lane_of, limit_of
from tocsin.server.operatorview import Members, channel_view, lane_view, subscription_view
from tocsin.server.router import Router
from tocsin.store.archive import Archive
from tocsin.wire.request import Request
from tocsin.wire.response import Response

PREFIX: Final = "/admin/v1"
ADMIN: Final = "admin"
LOOK = 20_000
MOST_COUNTED = 10_000


class OperatorFace:
    """Handlers for looking after channels and lanes."""

    def __init__(
        self,
        archive: Archive,
        directory: Directory,
        sessions: Sessions,
        lanes: Mapping[ChannelType, LaneControl],
        *,
        hasten: Callable[[str], Awaitable[None]],
        clock: Callable[[], int],
    ) -> None:
        """`lanes` has the queue that serves each type's. `hasten(lane)` makes due what waits there
        for its next attempt."""
        self._archive = archive
        self._directory = directory
        self._sessions = sessions
        self._lanes = lanes
        self._hasten = hasten
        self._clock = clock

    def add_routes(self, router: Router) -> None:
        """Declare the routes."""
        channel, lane = f"{PREFIX}/channels/{{channelId}}", f"{PREFIX}/lanes/{{lane}}"
        for method, pattern, handler in (
            ("GET", f"{PREFIX}/channels", self.list_channels),
            ("GET", channel, self.get_channel),
            ("DELETE", channel, self.delete_channel),
            ("POST", f"{channel}/suspend", self.suspend_channel),
            ("POST", f"{channel}/resume", self.resume_channel),
            ("GET", f"{PREFIX}/lanes", self.list_lanes),
            ("POST", f"{lane}/pause", self.pause_lane),
            ("POST", f"{lane}/resume", self.resume_lane),
        ):
            router.add(method, pattern, handler, scope=ADMIN, cors=False)

    # -- channels --------------------------------------------------------------------------

    async def list_channels(self, request: Request) -> Response:
        """GET: of one user all, else a page of everybody's, the youngest first."""
        kind = channel_type_of(request.params)
        user = request.params.get("user")
        if user is not None:
            account = await self._directory.account(user)
            wanted = [one for one in account.channels.values() if kind in {None, one.type}]
            return _answer({"channels": [self._view(one) for one in wanted]})
        page = await self._archive.all_channels(
            kind, before=before_of(request.params), limit=limit_of(request.params), look=LOOK
        )
        channels = [self._view(self._latest(one)) for one in page.items]
        return _answer({"channels": channels, "next": page.next})

    async def get_channel(self, request: Request) -> Response:
        """GET one, with the subscriptions in memory that point to it."""
        account, channel = await self._find(request)
        pointing = [subscription_view(one) for _, one in account.pointing_to(channel)]
        return _answer({"channel": {**self._view(channel), "subscriptions": pointing}})

    async def delete_channel(self, request: Request) -> Response:
        """DELETE one, as its owner would."""
        account, channel = await self._find(request)
        await self._directory.remove_channel(account, channel, outcome="refused")
        return Response(204)

    async def suspend_channel(self, request: Request) -> Response:
        """POST: what is for it waits until it is resumed, or POSTed again by its owner."""
        _, channel = await self._find(request)
        if channel.type.is_polled:
            raise invalid("channelType")
        await self._directory.suspend(channel)
        return _answer({"channel": self._view(channel)})

    async def resume_channel(self, request: Request) -> Response:
        """POST: what waits for it is due now."""
        _, channel = await self._find(request)
        await self._directory.resume(channel, at_once=True)
        return _answer({"channel": self._view(channel)})

    async def _find(self, request: Request) -> tuple[Account, Channel]:
        channel_id = request.path_values["channelId"]
        owner = (await self._archive.owners([channel_id])).get(channel_id)
        if owner is not None:
            account = await self._directory.account(owner)
            channel = account.channels.get(channel_id)
            if channel is not None:
                return account, channel
        raise not_found("channelId")

    def _latest(self, stored: Channel) -> Channel:
        """The channel in memory, where its clock and state are newer; nothing is loaded."""
        account = self._directory.cached(stored.user)
        return stored if account is None else account.channels.get(stored.id, stored)

    def _view(self, channel: Channel) -> Members:
        return channel_view(
            channel,
            connected=self._sessions.of(channel) is not None,
            throttled=self._is_throttled(channel),
        )

    def _is_throttled(self, channel: Channel) -> bool:
        """Its deliveries wait for its far side, or for all that is behind its lane (CH-75)."""
        control = self._lanes.get(channel.type)
        if control is None or channel.lane is None:
            return False
        return channel.held_for(self._clock()) > 0 or control.blocked(channel.lane) is not None

    # -- lanes -----------------------------------------------------------------------------

    async def list_lanes(self, request: Request) -> Response:
        """GET: lanes with work, or blocked, by name; `blocked=true` only those."""
        only_blocked = request.params.get("blocked") == "true"
        after, limit = request.params.get("after", ""), limit_of(request.params)
        found = sorted(
            (
                lane
                for control in self._lanes.values()
                for lane in control.lane_statuses()
                if lane.name > after and (lane.blocked is not None or not only_blocked)
            ),
            key=lambda lane: lane.name,
        )
        page = found[:limit]
        last = page[-1].name if len(found) > limit else None
        return _answer({"lanes": await self._lane_views(page), "next": last})

    async def pause_lane(self, request: Request) -> Response:
        """POST: nothing more is attempted there until it is resumed."""
        lane = lane_of(request.path_values["lane"])
        self._control(lane).pause(lane)
        return Response(204)

    async def resume_lane(self, request: Request) -> Response:
        """POST: what blocks it does so no longer, and what waits there is tried at once."""
        lane = lane_of(request.path_values["lane"])
        if not self._control(lane).resume(lane):
            raise not_found("lane")
        await self._hasten(lane)
        return Response(204)

    def _control(self, lane: str) -> LaneControl:
        """Who serves lanes of this kind."""
        return self._lanes[type_of_lane(lane)]

    async def _lane_views(self, lanes: Sequence[LaneStatus]) -> list[Members]:
        backlogs = await self._archive.lane_backlogs(
            [lane.name for lane in lanes], most=MOST_COUNTED
        )
        return [lane_view(lane, backlogs.get(lane.name, 0)) for lane in lanes]


def _answer(members: Members) -> Response:
    return Response(200, orjson.dumps(members))
