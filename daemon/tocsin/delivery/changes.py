"""Changes of memory that the store may still refuse (see `delivery/directory`)."""

from collections.abc import Awaitable, Callable, Mapping

import attrs
import structlog
import trio

from tocsin.model.errors import StoreError

log = structlog.get_logger()


@attrs.define
class _Chain:
    """The changes of one object that are under way: how many, what they change as it is stored,
    and as the last of them made it."""

    under_way: int = 0
    stored: dict[str, object] = attrs.field(factory=dict)
    made: dict[str, object] = attrs.field(factory=dict)


class Changes:
    """Makes changes at once, and takes back those that are not stored.

    Of changes of one object that overlap each stores the whole object, so a later one stores what
    an earlier one made. Nothing is taken back while another one is under way; after the last one
    the object is what was stored last, never what a refused one made of it.
    """

    def __init__(self) -> None:
        self._chains: dict[object, _Chain] = {}

    def __len__(self) -> int:
        return len(self._chains)

    def make(self, one: object, **values: object) -> Callable[[StoreError | None], None]:
        """Set these attributes; returns what is to be told whether the store took them.

        To be handed to the store at once, and to be called exactly once. What somebody else sets
        meanwhile stays.
        """
        chain = self._chains.setdefault(one, _Chain())
        for name, value in values.items():
            chain.stored.setdefault(name, getattr(one, name))
            setattr(one, name, value)
        made = chain.made = {name: getattr(one, name) for name in chain.stored}
        chain.under_way += 1

        def reported(error: StoreError | None) -> None:
            chain.under_way -= 1
            if error is None:
                chain.stored.update(made)
            if not chain.under_way:
                del self._chains[one]
                _settle(one, chain)

        return reported


def _settle(one: object, chain: _Chain) -> None:
    for name, value in chain.stored.items():
        if getattr(one, name) == chain.made[name]:
            setattr(one, name, value)


async def side_by_side(event: str, work: Mapping[str, Callable[[], Awaitable[object]]]) -> int:
    """Do independent pieces of work at once, so that they share their commits; how many the store
    did not take. Each of those is logged as `event` with its key as the `id`."""
    failed = 0

    async def do(id_: str, piece: Callable[[], Awaitable[object]]) -> None:
        nonlocal failed
        try:
            await piece()
        except StoreError as error:
            failed += 1
            log.warning(event, id=id_, reason=str(error))

    async with trio.open_nursery() as nursery:
        for id_, piece in work.items():
            nursery.start_soon(do, id_, piece)
    return failed
