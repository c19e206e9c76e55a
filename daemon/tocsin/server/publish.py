"""`POST /v1/notifications`: where platforms hand notifications in (channels.md, section 12)."""

from collections.abc import Callable, Sequence
from functools import partial

import attrs
import orjson
import trio

from tocsin.delivery.ingest import Ingest
from tocsin.delivery.submissions import Accepted, Remembered, Submission, Submissions, Verdict
from tocsin.model.errors import RequestError, service_error
from tocsin.model.notification import Notification
from tocsin.model.option import option
from tocsin.model.services import STANDARD, Services
from tocsin.ops.metrics import Metrics
from tocsin.server.idempotency import answer_once, producer_of
from tocsin.server.router import Router
from tocsin.server.settings import MOST_BODY
from tocsin.wire import formats
from tocsin.wire.published import Answer, accepted, own_id, rejected
from tocsin.wire.request import Request
from tocsin.wire.response import Response

PATH = "/v1/notifications"
SLICE = 100

Parse = Callable[[object], Notification]
Render = Callable[[Sequence[Verdict]], Remembered]


@attrs.frozen
class PublishSettings:
    """`[publish]`"""

    body: int = option(
        8_388_608,
        "Bytes of one publish request's body, held in memory until it is answered.",
        minimum=1024,
        maximum=MOST_BODY,
    )
    max_items: int = option(1000, "Notifications in one list.", minimum=1, maximum=100_000)
    rate: float = option(
        0,
        "Publish requests per second and producer, in bursts of three times as many; 0 is off.",
        minimum=0,
    )


@attrs.frozen
class _Batch:
    """What of a request can be accepted, and what the request is answered then.

    `render` is pure: it may be called in another thread, and twice.
    """

    notifications: list[Notification]
    render: Render
    is_list: bool = False


class PublishFace:
    """The publish API."""

    def __init__(
        self,
        ingest: Ingest,
        submissions: Submissions,
        settings: PublishSettings,
        *,
        most_bytes: int,
        services: Services = STANDARD,
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        self._ingest = ingest
        self._submissions = submissions
        self._settings = settings
        self._most_bytes = most_bytes
        self._services = services
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
        """One thing or a list of them; 202 once all that is accepted is on disk (CH-110)."""
        return await answer_once(self._submissions, request, PATH, self._publish)

    async def _publish(self, request: Request, submission: Submission | None) -> Remembered:
        try:
            batch = await self._read(request)
        except RequestError as error:
            self._refused(error)
            raise
        if submission is not None:
            submission.render = batch.render
        verdicts: Sequence[Verdict] = ()
        if batch.notifications or submission is not None:
            verdicts = await self._ingest.accept(batch.notifications, submission=submission)
        for verdict in verdicts:
            if isinstance(verdict, RequestError):
                self._refused(verdict)
        if not batch.is_list and isinstance(verdicts[0], RequestError):
            raise verdicts[0]
        return batch.render(verdicts)

    async def _read(self, request: Request) -> _Batch:
        """Raises what is wrong with the request as a whole, or with the only thing in it."""
        document, read = formats.read(request)
        parse = partial(
            read,
            now=self._clock(),
            producer=producer_of(request),
            most_bytes=self._most_bytes,
            services=self._services,
        )
        if isinstance(document, list):
            return await self._read_list(document, parse)
        notification = parse(document)
        return _Batch([notification], partial(_render_one, notification.id))

    async def _read_list(self, items: list[object], parse: Parse) -> _Batch:
        """Item by item: what is wrong with one does not touch the others (CH-111)."""
        if len(items) > self._settings.max_items:
            raise service_error(413, "too_many_items")
        answers: list[Answer | None] = []
        notifications: list[Notification] = []
        for number, item in enumerate(items, 1):
            try:
                notifications.append(parse(item))
                answers.append(None)
            except RequestError as error:
                self._refused(error)
                answers.append(rejected(own_id(item), error))
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()
        ids = [one.id for one in notifications]
        return _Batch(notifications, partial(_render_list, answers, ids), is_list=True)

    def _refused(self, error: RequestError) -> None:
        self._metrics.notifications_rejected[error.label].inc()


def _answer(id_: str, verdict: Verdict) -> Answer:
    if isinstance(verdict, Accepted):
        return accepted(id_, verdict.channels, duplicate=verdict.duplicate)
    return rejected(id_, verdict)


def _render_one(id_: str, verdicts: Sequence[Verdict]) -> Remembered:
    [verdict] = verdicts
    if isinstance(verdict, RequestError):
        return Remembered(verdict.status, verdict.body())
    return Remembered(202, orjson.dumps(_answer(id_, verdict)))


def _render_list(
    answers: Sequence[Answer | None], ids: Sequence[str], verdicts: Sequence[Verdict]
) -> Remembered:
    """The answers that stand already, and between them those of the verdicts."""
    judged = map(_answer, ids, verdicts)
    return Remembered(202, orjson.dumps([answer or next(judged) for answer in answers]))
