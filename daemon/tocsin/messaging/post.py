"""Where an act of a subscriber leaves memory for the store."""

from collections.abc import Callable, Sequence

from tocsin.delivery.ingest import Ingest
from tocsin.messaging.notices import Notices
from tocsin.model.conversation import Subscriber
from tocsin.model.errors import StoreError
from tocsin.store.mail import Mail
from tocsin.store.records import Acceptance


def _tells_nobody(_acceptance: Acceptance) -> None:
    """It shows in Logs only."""


class Post:
    """Stores Mails in the order in which they are brought."""

    def __init__(self, ingest: Ingest, notices: Notices) -> None:
        self._ingest = ingest
        self._notices = notices

    async def prepare(self, recipients: Sequence[Subscriber]) -> None:
        """Before anything is decided of which these are to be told: see `Notices.prepare`."""
        await self._notices.prepare(recipients)

    async def send(
        self,
        mail: Mail,
        *,
        notify: Callable[[Acceptance], None] = _tells_nobody,
        on_done: Callable[[StoreError | None], None] = lambda _error: None,
    ) -> None:
        """Store a Mail. Durable on return; raises 503 with nothing stored.

        The store is asked before anything is awaited, so Mails are stored as they were decided.
        `notify` adds what tells of it by other ways. `on_done` is called exactly once, cancelled
        or not: after the commit, when the Log entries have been handed over, or with why nothing
        was stored.
        """
        acceptance = Acceptance(mail=mail)
        notify(acceptance)
        await self._ingest.post(acceptance, on_done=on_done)
