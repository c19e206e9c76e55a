"""The name of the page's function that htmlfile and jsonp call (sockjs.md, SJ-21)."""

import re
from collections.abc import Mapping
from typing import Final

from tocsin.wire.sockjs.refusals import Refusal

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")


def callback_name(params: Mapping[str, str]) -> str | Refusal:
    """The name in a query's parameters, `c` or else `callback`; nothing else may be in it."""
    name = params.get("c", params.get("callback"))
    if name is None:
        return Refusal.CALLBACK_REQUIRED
    return name if _NAME.fullmatch(name) else Refusal.CALLBACK_INVALID
