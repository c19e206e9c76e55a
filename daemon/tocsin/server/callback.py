"""`POST {channel}/callback`: one notification straight to one channel (channels.md, CH-116)."""

from collections.abc import Callable, Collection

from tocsin.delivery.directory import Directory
from tocsin.delivery.ingest import Ingest
from tocsin.delivery.reach import STANDARD as STANDARD_REACH
from tocsin.delivery.reach import Reach
from tocsin.delivery.submissions import Remembered, Submission, Submissions, Verdict
from tocsin.model.channel import Channel
from tocsin.model.errors import RequestError, forbidden, not_found
from tocsin.model.notification import Notification
from tocsin.model.services import STANDARD, Services
from tocsin.ops.metrics import Metrics
from tocsin.server.http import json_body
from tocsin.server.idempotency import answer_once, producer_of
from tocsin.server.router import Router
from tocsin.wire.callback import parse_callback
from tocsin.wire.request import Request
from tocsin.wire.response import Response


class CallbackFace:
    """What stands behind the callbackURL of every channel, in every dialect."""

    def __init__(
        self,
        directory: Directory,
        ingest: Ingest,
        submissions: Submissions,
        *,
        most_bytes: int,
        services: Services = STANDARD,
        reach: Reach = STANDARD_REACH,
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._ingest = ingest
        self._submissions = submissions
        self._most_bytes = most_bytes
        self._services = services
        self._reach = reach
        self._metrics = metrics
        self._clock = clock

    def add_routes(self, router: Router, prefix: str) -> None:
        """Declare the route of the dialect with this prefix."""
        router.add(
            "POST",
            f"{prefix}/notificationchannel/v1/{{user}}/channels/{{channelId}}/callback",
            self.call,
            scope="publish",
            rate="publish",
            body_limit=self._most_bytes,
        )

    async def call(self, request: Request) -> Response:
        """204 with the notification's id once it is on disk.

        A repeat is answered as the first was, though the channel may be gone by now (CH-114).
        """
        values = request.path_values
        path = f"{values['user']}/{values['channelId']}/callback"
        try:
            return await answer_once(self._submissions, request, path, self._call)
        except RequestError as error:
            self._metrics.notifications_rejected[error.label].inc()
            raise

    async def _call(self, request: Request, submission: Submission | None) -> Remembered:
        channel = await self._channel(request)
        notification = self._parse(request, channel)
        if not self._carries(channel, notification):
            raise forbidden("service_not_on_channel")

        def render(verdicts: Collection[Verdict]) -> Remembered:
            [verdict] = verdicts
            if isinstance(verdict, RequestError):
                return Remembered(verdict.status, verdict.body())
            return Remembered(204, b"", notification.id)

        if submission is not None:
            submission.render = render
        verdict = await self._ingest.accept_for(channel, notification, submission=submission)
        if isinstance(verdict, RequestError):
            raise verdict
        return render([verdict])

    async def _channel(self, request: Request) -> Channel:
        """Unknown, expired, deleted and another user's are all the same 404 (CH-20)."""
        account = await self._directory.account(request.path_values["user"])
        channel = account.channel(request.path_values["channelId"], self._clock())
        if channel is None:
            raise not_found("channelId")
        return channel

    def _parse(self, request: Request, channel: Channel) -> Notification:
        return parse_callback(
            json_body(request),
            request.params,
            user=channel.user,
            now=self._clock(),
            producer=producer_of(request),
            most_bytes=self._most_bytes,
            services=self._services,
        )

    def _carries(self, channel: Channel, notification: Notification) -> bool:
        """The table of CH-93; a device's channel gets what is for its app (CH-73)."""
        return self._services.allows(notification.service, channel) and self._reach.carries(
            channel, notification
        )
