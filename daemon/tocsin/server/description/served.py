"""What of the faces is on, as far as the descriptions tell of it."""

from collections.abc import Mapping, Sequence

import attrs

from tocsin.delivery.pushsettings import ReporterSettings
from tocsin.server.messaging.settings import MessagingSettings
from tocsin.wire.dialect import Dialect
from tocsin.wire.subscriptions import Kind


@attrs.frozen(kw_only=True)
class Served:
    """One daemon.

    `base_url` is where clients reach it, None if only its operator knows; `secure`: over TLS.
    `token_path` is the token endpoint's, None without one. `messaging` is None when it is off.
    `publish_items`, `notification_bytes` bound what is published. `pass_verbs` are the gateway's
    further verbs. `tells_operator`: events are POSTed somewhere. `chat_page`: it is there.
    """

    dialects: Sequence[Dialect]
    kinds: Sequence[Kind]
    services: Sequence[str]
    base_url: str | None
    secure: bool
    publish_items: int
    notification_bytes: int
    pass_verbs: Sequence[str]
    reporters: Mapping[str, ReporterSettings]
    token_path: str | None
    messaging: MessagingSettings | None
    tells_operator: bool
    chat_page: bool
