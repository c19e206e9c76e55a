"""What `/info` tells a client before it chooses a transport (sockjs.md, SJ-5, SJ-6)."""

import orjson


def info(*, websocket: bool, cookie_needed: bool, entropy: int, base_url: str = "") -> bytes:
    """The JSON text; `entropy` is 32 fresh random bits, `base_url` as `for_client` gives it."""
    members: dict[str, object] = {
        "websocket": websocket,
        "cookie_needed": cookie_needed,
        "origins": ["*:*"],
        "entropy": entropy,
    }
    if base_url:
        members["base_url"] = base_url
    return orjson.dumps(members)


def for_client(base_url: str, query: str) -> str:
    """The configured URL with the query of this request, without `t` (SJ-6).

    The client puts it in the place of its whole URL, token included; `t` is the client's own and
    new with each request.
    """
    kept = "&".join(pair for pair in query.split("&") if pair and pair.partition("=")[0] != "t")
    if not kept:
        return base_url
    return f"{base_url}{'&' if '?' in base_url else '?'}{kept}"
