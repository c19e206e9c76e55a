"""Users that nobody is: whose channels the pushes of the gateway go to (push.md, PU-23).

There is one for each app and device token. No token names one (`wire/jwt`) and no request may
(`Principal.is_user`, CH-110), so nothing of them shows on the faces of the channels API.
"""

import hashlib
from typing import Final

MARK: Final = "\x01"


def gateway_user(app_id: str, token: str) -> str:
    """The user of the channel for this app and normalised token; the token does not show."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    return f"{MARK}{app_id}{MARK}{digest[:32]}"


def app_of(user: str) -> str | None:
    """The app whose pushes such a user is for, as operators may see it; None for a real user."""
    return user[1:].rpartition(MARK)[0] if user.startswith(MARK) else None


def is_reserved(name: str) -> bool:
    """Whether a name is kept for such users: it begins with a control character."""
    return name != "" and name[0] < " "
