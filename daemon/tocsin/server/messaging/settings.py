"""Options of the messaging face: `[messaging]` (messaging.md, section 14)."""

import string
from itertools import pairwise
from typing import Final

import attrs

from tocsin.messaging.settings import MessagingLimits, check_limits
from tocsin.model.option import not_empty, option, section
from tocsin.server.settings import check_origins, check_prefix
from tocsin.server.sockjs import settings as sockjs
from tocsin.server.sockjs.settings import SockJsSettings
from tocsin.wire.messaging.limits import SHORT_CHARACTERS

KEEP, REFUSE = "keep", "refuse"
NOBODY, ALL = "none", "all"
FIELDS: Final = frozenset({"subscriber", "domain"})
UNPRINTABLE: Final = "must be printable characters"


def _check_template(template: str) -> str | None:
    try:
        parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError:
        return "has a brace that stands alone"
    if any(spec or conversion for _, _, spec, conversion in parts):
        return "must contain its fields plain, as in {subscriber}"
    named = {name for _, name, _, _ in parts}
    if named - FIELDS or "subscriber" not in named:
        return "must contain {subscriber} and may contain {domain}"
    if any(a[1] != b[1] and not b[0] for a, b in pairwise(parts)):
        return "must have something between its fields, or two subscribers could be one user"
    return None if template.isprintable() else UNPRINTABLE


def _check_claim(name: str) -> str | None:
    return not_empty(name) or _check_printable(name)


def _check_printable(name: str) -> str | None:
    return None if name.isprintable() else UNPRINTABLE


def _check_domain(name: str) -> str | None:
    if len(name) > SHORT_CHARACTERS:
        return f"must be at most {SHORT_CHARACTERS} characters"
    return _check_printable(name)


@attrs.frozen
class MessagingSettings:
    """`[messaging]`"""

    enabled: bool = option(default=True, help="Serve messages between subscribers.")
    prefix: str = option(
        "/messaging", "What its SockJS and WebSocket URLs begin with.", check=check_prefix
    )
    introspect_jwt: bool = option(
        default=False,
        help="Ask the issuer about JWTs of connections, too; needs auth.introspection.url.",
    )
    subscriber_claim: str = option(
        "sub", "The claim of a token that names the subscriber.", check=_check_claim
    )
    domain_claim: str = option(
        "domain",
        'The claim that names the domain; "" if there is one domain only.',
        check=_check_printable,
    )
    default_domain: str = option(
        "local", "The domain of tokens that name none.", check=_check_domain
    )
    user_template: str = option(
        "{subscriber}@{domain}",
        "The user of channels and pushes that a subscriber is.",
        check=_check_template,
    )
    unknown_recipients: str = option(
        KEEP, "What becomes of messages to subscribers never seen.", choices=(KEEP, REFUSE)
    )
    welcome: bool = option(default=True, help="Begin each connection with a welcome message.")
    allowed_origins: list[str] | None = option(
        None, "Whose pages may connect; not set, those of cors.origins.", check=check_origins
    )
    recheck: float = option(
        60, "Seconds between questions about the tokens of live connections.", minimum=1
    )
    cut_on_token_expiry: bool = option(
        default=True, help="Close a connection when its token has expired."
    )
    notify: bool = option(
        default=True, help="Tell of messages over channels subscribed to the service chat, too."
    )
    uncorrelated: str = option(
        NOBODY,
        "Which devices of the user a connection counts for that names none.",
        choices=(NOBODY, ALL),
    )
    resume_hold: float = option(
        2, "Seconds a new connection has for its first message before it is sent any.", minimum=0
    )
    presence_grace: float = option(
        5,
        "Seconds beyond messaging.sockjs.disconnect_delay after which one who left is invisible.",
        minimum=0,
    )
    presence_room_limit: int = option(
        200, "Members up to which a Room is told of presence and composing.", minimum=0
    )
    receipt_room_limit: int = option(
        32, "Members up to which receipts are told in a Room.", minimum=0
    )
    chat_page: bool = option(
        default=False, help="Serve a page to try messages with, at /chat of the admin listener."
    )
    limits: MessagingLimits = section(MessagingLimits, "What one subscriber may cost.")
    sockjs: SockJsSettings = section(SockJsSettings, "The transports.")


def check(settings: MessagingSettings) -> list[str]:
    """What is wrong with these settings as a whole, one line each."""
    problems = [*check_limits(settings.limits), *sockjs.check(settings.sockjs)]
    if settings.domain_claim and "{domain}" not in settings.user_template:
        problems.append(
            "messaging.user_template: must contain {domain}, or messaging.domain_claim be empty"
        )
    if not settings.domain_claim and not settings.default_domain:
        problems.append(
            "messaging.default_domain: must not be empty, or messaging.domain_claim name a claim"
        )
    return problems
