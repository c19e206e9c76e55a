"""Who may push without a token (push.md, PU-9)."""

from collections.abc import Mapping
from typing import Final

from tocsin.server.peers import Networks, Proxies

FORWARDING: Final = ("x-forwarded-for", "forwarded", "x-real-ip")
CREDENTIALS: Final = "authorization"
# Scripts and forms send the first, links and pictures only the second (to loopback they do).
OF_BROWSERS: Final = ("origin", "sec-fetch-site")


def is_trusted(peer: str, headers: Mapping[str, str], networks: Networks, proxies: Proxies) -> bool:
    """Whether a request needs no token, for it comes from one of `networks`.

    `peer` is the address at the other end of the connection, `Request.tcp_peer`, never what
    somebody says of it. Whoever hands a request on counts only if it is one of `proxies`, and
    then each header that names an address has to name one inside: a proxy that writes one of
    them passes the others through as the client sent them. A token that is there is to be
    checked, and a page in a browser always needs one, since it can reach the loopback of those
    who read it.
    """
    if CREDENTIALS in headers or any(name in headers for name in OF_BROWSERS):
        return False
    forwarded = [name for name in FORWARDING if name in headers]
    if not forwarded:
        return peer in networks
    named = [proxies.named(peer, {name: headers[name]}) for name in forwarded]
    return peer in proxies and all(one is not None and one in networks for one in named)
