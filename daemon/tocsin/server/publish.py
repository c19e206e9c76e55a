"""`POST /v1/notifications`: where platforms hand notifications in (channels.md, section 12)."""

from collections.abc import Callable

import attrs
import orjson
import trio

from tocsin.delivery.ingest import Ingest
from tocsin.model.errors import RequestError, service_error
from tocsin.model.notification import Notification
from tocsin.model.option import option
from tocsin.ops.metrics import Metrics
from tocsin.server.http import json_body
from tocsin.server.router import Router
from tocsin.wire.notification import parse_item
from tocsin.wire.published import own_id, rejected
from tocsin.wire.request import Request
from tocsin.wire.response import Response

PATH = "/v1/notifications"
SLICE = 100


@attrs.frozen
class PublishSettings:
    """`[publish]`"""

    body: int = option(8_388_608, "Bytes of one publish request's body.", minimum=1024)
    max_items: int = option(1000, "Notifications in one list.", minimum=1, maximum=100_000)
    rate: float = option(
        0,
        "Publish requests per second and producer, in bursts of three times as many; 0 is off.",
        minimum=0,
    )


class PublishFace:
    """The publish API."""

    def __init__(
        self,
        ingest: Ingest,
        settings: PublishSettings,
        *,
        most_bytes: int,
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        self._ingest = ingest
        self._settings = settings
        self._most_bytes = most_bytes
        self._metrics = metrics
        self._clock = clock

    def add_routes(self, router: Router) -> None:
        """Declare the route."""
        router.add(
            "POST",
            PATH,
            self.publish,
            scope="publish",
            rate="publish",
            body_limit=self._settings.body,
        )

    async def publish(self, request: Request) -> Response:
        """One object or a list; 202 once everything accepted is on disk (CH-110, CH-111)."""
        document = json_body(request)
        producer = request.principal.producer if request.principal else ""
        if isinstance(document, list):
            return await self._publish_list(document, producer)
        notification = self._parse(document, producer)
        [channels] = await self._ingest.accept([notification])
        return Response(202, orjson.dumps(_accepted(notification, channels)))

    async def _publish_list(self, items: list[object], producer: str) -> Response:
        if len(items) > self._settings.max_items:
            raise service_error(413, "too_many_items")
        answers: list[dict[str, object] | None] = []
        notifications: list[Notification] = []
        for number, item in enumerate(items, 1):
            try:
                notifications.append(self._parse(item, producer))
                answers.append(None)
            except RequestError as error:
                answers.append(rejected(own_id(item), error))
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()
        counts = await self._ingest.accept(notifications) if notifications else []
        accepted = iter(zip(notifications, counts, strict=True))
        return Response(
            202, orjson.dumps([answer or _accepted(*next(accepted)) for answer in answers])
        )

    def _parse(self, item: object, producer: str) -> Notification:
        try:
            return parse_item(
                item, now=self._clock(), producer=producer, most_bytes=self._most_bytes
            )
        except RequestError as error:
            self._metrics.notifications_rejected[error.label].inc()
            raise


def _accepted(notification: Notification, channels: int) -> dict[str, object]:
    return {
        "id": notification.id,
        "channels": channels,
        "status": "accepted" if channels else "no_channel",
    }
