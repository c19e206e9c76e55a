"""`POST /v1/notifications`: where platforms hand notifications in."""

import attrs

from tocsin.model.option import option


@attrs.frozen
class PublishSettings:
    """`[publish]`"""

    body: int = option(8_388_608, "Bytes of one publish request's body.", minimum=1024)
    max_items: int = option(1000, "Notifications in one list.", minimum=1, maximum=100_000)
    rate: float = option(
        0,
        "Publish requests per second and producer, with a burst of three times as many; 0 is off.",
        minimum=0,
    )
