"""Pushes of the gateway as a store sees them, in a test's few words."""

from tests.fakes.deliveries import T0, notification
from tests.fakes.stores import LEASE, Reports

from tocsin.model.channel import Channel
from tocsin.model.notification import Notification
from tocsin.store.interface import Store
from tocsin.store.records import Acceptance, Claimed, PushIdentity

LANE = "apns/com.example.app"
A, B = PushIdentity(1, 2), PushIdentity(4, 5)


def push(id_: str | None = None, **members: object) -> Notification:
    """A push of the gateway."""
    return notification(id_, service="push", root_key="NotifyTextMessage", **members)  # type: ignore[arg-type]


def pushes(
    *entries: tuple[Channel, PushIdentity | None],
    at: int = T0,
    withdrawing: list[int] | None = None,
) -> Acceptance:
    """One request: where its pushes go, and what they are known by."""
    made = Acceptance(withdrawing=withdrawing or [])
    for position, (channel, identity) in enumerate(entries):
        made.add(push(accepted_at=at), [channel])
        if identity is not None:
            made.pushes[position] = identity
    return made


async def accept(store: Store, acceptance: Acceptance) -> Acceptance:
    """Store a request."""
    await store.accept(acceptance, Reports())
    return acceptance


async def claim(store: Store, now: int = T0) -> list[Claimed]:
    """What is due."""
    return (await store.claim(LANE, now=now, limit=99, provisional=LEASE)).deliveries


def ids(acceptance: Acceptance) -> list[int]:
    """The deliveries of a request."""
    return [leg.id for legs in acceptance.deliveries for leg in legs]
