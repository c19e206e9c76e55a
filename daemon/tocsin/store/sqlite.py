"""The embedded store."""

import attrs

from tocsin.model.option import option


@attrs.frozen
class StoreSettings:
    """`[store]`"""

    path: str = option("state/tocsin.db", "The store's file.")
    batch: int = option(512, "Requests that may share one commit.", minimum=1, maximum=10_000)
    checkpoint_pages: int = option(
        4000, "Pages of write-ahead log after which it is moved into the file.", minimum=100
    )
