"""Messages and invitations told of by other ways: as notifications of the service `chat`, stored
with what they tell of (messaging.md, MS-45, MS-49, MS-52)."""

from collections.abc import Callable, Collection, Sequence

import structlog

from tocsin.delivery.account import Account
from tocsin.delivery.directory import Directory
from tocsin.delivery.ingest import Ingest
from tocsin.model.conversation import Subscriber
from tocsin.model.notification import Notification
from tocsin.store.records import Acceptance
from tocsin.wire.messaging.chatnotification import SERVICE, Heading

log = structlog.get_logger()


class Notices:
    """Finds out who is to be told where; who has no subscription to `chat` costs nothing."""

    def __init__(
        self,
        directory: Directory,
        ingest: Ingest,
        *,
        is_silenced: Callable[[int], bool],
        enabled: bool = True,
        prefix: str = "/cpaas",
    ) -> None:
        """`is_silenced` says of a Subscriber's key that he wants no pushes now
        (`Presence.is_silenced`); `prefix` is that of the channels API, for links."""
        self._directory = directory
        self._ingest = ingest
        self._is_silenced = is_silenced
        self._enabled = enabled
        self._prefix = prefix
        self._prepared: Sequence[Account] = ()

    async def prepare(self, recipients: Sequence[Subscriber]) -> None:
        """Have the accounts of these in memory, asking the store once at most. They are there for
        `add` until the caller awaits something else."""
        if self._enabled:
            users = [one.user for one in recipients]
            self._prepared = await self._directory.accounts(users)

    def are_prepared(self, recipients: Collection[Subscriber]) -> bool:
        """Whether `add` can be called for all of these now."""
        return not self._enabled or all(
            self._directory.cached(one.user) is not None for one in recipients
        )

    async def reaches(self, subscriber: Subscriber) -> bool:
        """Whether he has a subscription to `chat`, and so is somebody (MS-26)."""
        return _takes_chat(await self._directory.account(subscriber.user))

    def add(
        self,
        acceptance: Acceptance,
        recipient: Subscriber,
        make: Callable[[Heading], Notification],
        *,
        sender: Subscriber,
        at: int,
    ) -> int | None:
        """Have a recipient told along with the mail of an acceptance; the position there of what
        tells him, for `Posted.notification`, None where he cannot be told."""
        if not self._enabled:
            return None
        account = self._directory.cached(recipient.user)
        if account is None:
            log.error("notice.unprepared", subscriber=recipient.id, domain=recipient.domain)
            return None
        if not _takes_chat(account):
            acceptance.premises |= account.premises()
            return None
        notification = make(Heading(sender.user, recipient.user, at, self._prefix))
        pushes = not self._is_silenced(recipient.key)
        return self._ingest.add_message(acceptance, notification, account, pushes=pushes)


def _takes_chat(account: Account) -> bool:
    return any(one.service == SERVICE for one in account.subscriptions.values())
