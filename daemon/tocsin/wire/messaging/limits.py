"""What a client message may hold at most (messaging.md, 12)."""

import attrs

from tocsin.model.option import option

SHORT_CHARACTERS = 128


@attrs.frozen
class MessageLimits:
    """`[messaging.limits]`, as far as one message tells; its whole size is the transport's."""

    content_bytes: int = option(65_536, "UTF-8 bytes of a message's content.", minimum=1)
    attributes_bytes: int = option(4096, "Bytes of attributes as compact JSON.", minimum=2)
    short_characters: int = option(
        SHORT_CHARACTERS,
        "Characters of a name, id, dedupe-id, invite-token or content-type.",
        minimum=64,
        maximum=1024,
    )
    status_characters: int = option(256, "Characters of a status text.", minimum=0)
    list_ids: int = option(100, "Ids in one list of a client.", minimum=1)
    page: int = option(100, "Entries of a page, however many are asked for.", minimum=1)


STANDARD = MessageLimits()
