"""What the operator API shows of channels, attempts, letters, lanes, apps: no secret, no token.

Times are epoch milliseconds. What has no value is left out.
"""

from typing import Any

import orjson

from tocsin.delivery.deadletters import Progressed
from tocsin.delivery.deliverylog import Path
from tocsin.delivery.events import OPERATOR
from tocsin.delivery.lanecontrol import LaneStatus
from tocsin.model.channel import Channel
from tocsin.model.gatewayuser import is_reserved
from tocsin.model.notification import Notification
from tocsin.model.subscription import Subscription
from tocsin.store.archive import Pending, Place
from tocsin.store.records import Attempt, DeadLetter
from tocsin.wire.push.app import App

Members = dict[str, Any]


def channel_view(channel: Channel, *, connected: bool, throttled: bool = False) -> Members:
    """A channel; its device token and its webhook's secrets only as whether they are there.
    `throttled`: nothing is attempted for now, though it is not suspended."""
    webhook, device = channel.webhook, channel.device
    return _present(
        id=channel.id,
        user=_owner(channel.user),
        type=channel.type.value,
        state="throttled" if throttled and not channel.state else channel.state.name.lower(),
        connected=connected if channel.type.is_polled else None,
        created_at=channel.created_at,
        expires_at=channel.expires_at,
        lifetime=channel.lifetime,
        client_correlator=channel.client_correlator,
        application_tag=channel.application_tag,
        creator=channel.creator,
        failing_since=channel.failing_since,
        last_seq=channel.last_seq if channel.type.is_polled else None,
        lane=channel.lane,
        url=webhook.url if webhook else None,
        authorized=webhook.authorization is not None if webhook else None,
        signed=webhook.secret is not None if webhook else None,
        provider=device.provider if device else None,
        app=device.app if device else None,
    )


def subscription_view(subscription: Subscription) -> Members:
    """A subscription, as far as it concerns its channel."""
    return _present(
        id=subscription.id,
        user=subscription.user,
        service=subscription.service,
        expires_at=subscription.expires_at,
    )


def attempt_view(attempt: Attempt) -> Members:
    """A line of the delivery log."""
    return _present(
        delivery=attempt.delivery,
        notification=attempt.notification_id,
        user=_owner(attempt.user),
        channel=attempt.channel_id,
        type=attempt.type.value,
        at=attempt.at,
        number=attempt.number,
        result=attempt.result,
        latency_ms=attempt.latency_ms,
        status=attempt.status,
        reason=attempt.reason,
        excerpt=attempt.excerpt.decode("utf-8", "replace") if attempt.excerpt else None,
    )


def letter_view(letter: DeadLetter, *, whole: bool = False) -> Members:
    """A dead letter; `whole` with what it says."""
    notification = letter.notification
    return _present(
        id=letter.id,
        notification=notification_view(notification) if whole else notification.id,
        user=_owner(notification.user),
        service=notification.service,
        channel=letter.channel_id,
        type=letter.type.value,
        died_at=letter.died_at,
        attempts=letter.attempts,
        reason=letter.reason,
        status=letter.status,
    )


def notification_view(notification: Notification) -> Members:
    """A notification with its text as it is on the wire."""
    return _present(
        id=notification.id,
        user=_owner(notification.user),
        service=notification.service,
        priority=notification.priority.name.lower(),
        accepted_at=notification.accepted_at,
        expires_at=notification.expires_at,
        order_key=notification.order_key,
        collapse_key=notification.collapse_key,
        producer=notification.producer,
        body=orjson.Fragment(notification.body),
    )


def path_view(notification_id: str, path: Path) -> Members:
    """The whole way of one notification."""
    known = [one.notification for one in path.dead] + [one.notification for one in path.pending]
    return _present(
        id=notification_id,
        notification=notification_view(known[-1]) if known else None,
        pending=[_pending_view(one) for one in path.pending],
        attempts=[attempt_view(one) for one in path.attempts],
        dead_letters=[letter_view(one) for one in path.dead],
        complete=path.complete,
    )


def app_view(app: App, *, guarded: bool) -> Members:
    """A registered app. `guarded`: its tokens are not removed for now (PU-49)."""
    return _present(
        id=app.id,
        provider=app.provider,
        key=app.key,
        kind=app.kind if app.provider == "apns" else None,
        lane=app.lane,
        guarded=guarded,
    )


def lane_view(lane: LaneStatus, backlog: int) -> Members:
    """A lane; `backlog` are deliveries that could be claimed."""
    return {
        "name": lane.name,
        "type": lane.type.value,
        "blocked": lane.blocked,
        "width": lane.width,
        "under_way": lane.under_way,
        "held": lane.held,
        "backlog": backlog,
        "due_at": lane.due_at,
    }


def progress_view(done: str, progressed: Progressed) -> Members:
    """How far a replay or a purge has come; `resume` is there when it is not through."""
    at = progressed.next
    return _present(
        **{done: progressed.done},
        skipped=progressed.skipped,
        resume=None if at is None else f"{place_text(at)}-{progressed.until}",
    )


def place_text(place: Place) -> str:
    """A place among the dead letters as a cursor."""
    return f"{place[0]}-{place[1]}"


def _pending_view(pending: Pending) -> Members:
    return _present(
        delivery=pending.id,
        channel=pending.channel_id,
        type=pending.type.value,
        lane=pending.lane,
        due_at=pending.due_at,
        attempts=pending.attempts,
        held=pending.held,
        seq=pending.seq,
    )


def _owner(user: str) -> str | None:
    """Users that nobody is are not shown: those of the gateway's pushes and of our own events."""
    return None if user == OPERATOR or is_reserved(user) else user


def _present(**members: Any) -> Members:
    return {name: value for name, value in members.items() if value is not None}
