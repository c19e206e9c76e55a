"""The URL of a webhook: what is accepted, and where it leads (CH-81, PU-71).

Parsers disagree on crooked URLs, and a guard that reads one differently from the client behind
it is no guard. So there is one strict reading, everything else is refused, and the connection
is made from its parts, never from the text.
"""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import quote

import attrs
import idna

URL_LIMIT = 2048
_DEFAULT_PORTS = {"https": 443, "http": 80}
_URL = re.compile(
    r"(?P<scheme>[A-Za-z]+)://"
    r"(?P<host>\[[^\]@/?#]*\]|[^\[\]@/?#:]*)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?].*)?"
)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\\#]")
_MORE_THAN_HOST = re.compile(
    r"(?:[A-Za-z]+://)?(?P<host>\[[^\]]*\]|[^\[\]@/?#:]+)(?::[0-9]*)?(?:[/?#].*)?"
)
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


@attrs.frozen
class Endpoint:
    """One webhook URL, taken apart.

    `host` is a lower-case ASCII name or an IP address without brackets; `origin` is
    `scheme://host:port`, always with the port; `target` and `host_header` are what the request
    line and the `Host` header say.
    """

    origin: str
    scheme: str
    host: str
    port: int
    target: str
    host_header: str


def parse_url(url: str, *, allow_http: Collection[str]) -> Endpoint:
    """The endpoint a URL names; ValueError says in words what is wrong with it.

    `https` only, plain `http` for hosts in `allow_http` (as `normal_host` spells them).
    """
    match = _URL.fullmatch(url) if len(url) <= URL_LIMIT and not _UNPRINTABLE.search(url) else None
    if match is None:
        raise ValueError("not a URL of the form https://host[:port]/path")
    scheme = match["scheme"].lower()
    host = normal_host(match["host"])
    if scheme not in _DEFAULT_PORTS:
        raise ValueError("must be https")
    if scheme == "http" and host not in allow_http:
        raise ValueError("must be https, http is not allowed for this host")
    port = _port(match["port"], scheme)
    shown = f"[{host}]" if ":" in host else host
    return Endpoint(
        origin=f"{scheme}://{shown}:{port}",
        scheme=scheme,
        host=host,
        port=port,
        target=_target(match["target"] or ""),
        host_header=shown if port == _DEFAULT_PORTS[scheme] else f"{shown}:{port}",
    )


def normal_host(text: str) -> str:
    """The one spelling of a host: an A-label name in lower case, or an IP address.

    Raises ValueError for anything else, IPv4 in other forms than dotted-quad included.
    """
    if ":" in text:
        return _ipv6(text)
    host = _ascii(text).removesuffix(".")
    if not _NAME.fullmatch(host):
        raise ValueError("not a host name")
    if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        return _ipv4(host)
    return host


def host_of(origin: str) -> str:
    """The host of an `Endpoint.origin`."""
    return origin.partition("://")[2].rpartition(":")[0].strip("[]")


def hosts_problem(texts: list[str]) -> str | None:
    """What is wrong with a list of hosts, in words for the operator, or None."""
    for text in texts:
        try:
            normal_host(text)
        except ValueError as error:
            whole = _MORE_THAN_HOST.fullmatch(text)
            if whole is not None and whole["host"] != text:
                return f"{text!r}: write the host alone, without scheme, port and path: " + repr(
                    whole["host"]
                )
            return f"{text!r}: {error}"
    return None


def _ipv6(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.IPv6Address(bare)
    except ValueError:
        raise ValueError("not an IPv6 address") from None
    if address.scope_id is not None:
        raise ValueError("an IPv6 address may not name a zone")
    return str(address)


def _ipv4(host: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise ValueError("an IPv4 address is written as four decimal numbers") from None


def _ascii(text: str) -> str:
    if text.isascii():
        return text.lower()
    try:
        return idna.encode(text, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:
        raise ValueError("not a host name") from None


def _port(text: str | None, scheme: str) -> int:
    port = int(text) if text else _DEFAULT_PORTS[scheme]
    if port not in {80, 443} and not 1024 <= port <= 65535:
        raise ValueError("the port must be 443, 80 or 1024 and above")
    return port


def _target(text: str) -> str:
    """Path and query as the request line takes them: everything unusual percent-encoded."""
    rooted = text if text.startswith("/") else f"/{text}"
    return quote(rooted, safe="/?%:@!$&'()*+,;=-._~[]")
