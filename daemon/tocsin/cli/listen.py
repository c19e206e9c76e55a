"""`tocsin listen`: open a channel's WebSocket and print what arrives."""

import sys
from urllib.parse import urlsplit

import attrs
import click
import jwt
import trio
from trio_websocket import ConnectionClosed, HandshakeError, open_websocket_url
from wsproto.utilities import LocalProtocolError

from tocsin.cli.calling import check_url
from tocsin.wire.dialect import escaped

RETRY_SECONDS = 2.0
FINAL_CLOSE = 1000
# Leaving at once would leave the last message without its receipt, and it would come again.
RECEIPT_SECONDS = 0.3


@click.command()
@click.argument("channel_id")
@click.option("--url", envvar="TOCSIN_URL", required=True, help="Where the daemon is.")
@click.option("--token", envvar="TOCSIN_TOKEN", required=True, help="A token of the user.")
@click.option("--prefix", default="/cpaas", show_default=True, help="netapi.prefix of the daemon.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many notifications.")
def listen(channel_id: str, url: str, token: str, prefix: str, count: int | None) -> None:
    """Print what arrives on the WebSocket of CHANNEL_ID, one JSON object a line.

    Comes back to the same channel when the connection ends, as clients do; what was sent
    meanwhile arrives then.

    \b
    Example:
      tocsin listen --url http://127.0.0.1:8080 --token $CHANNELS ws-6f1e...
    """
    check_url(url)
    user = escaped(_user_of(token))
    path = f"{prefix}/notificationchannel/v1/{user}/channels/{channel_id}/websocket"
    base = urlsplit(url)
    scheme = "wss" if base.scheme == "https" else "ws"
    try:
        trio.run(Listener(f"{scheme}://{base.netloc}{path}", token, count).run)
    except KeyboardInterrupt:
        sys.exit(0)


def _user_of(token: str) -> str:
    """Whose token it says it is."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise click.UsageError("--token is no JWT: it must name the user of the channel") from None
    return str(claims.get("preferred_username") or claims.get("sub") or "")


@attrs.define
class Listener:
    """Prints what arrives, over as many connections as it takes, until `count` have come."""

    url: str
    token: str
    count: int | None
    seen: int = 0

    @property
    def has_all(self) -> bool:
        """Whether as many have come as were asked for."""
        return self.seen == self.count

    async def run(self) -> None:
        """Listen, and come back after every end that is not final."""
        while not self.has_all:
            try:
                if await self._once():
                    return
            except* (HandshakeError, OSError) as errors:
                click.echo(f"not connected: {errors.exceptions[0]!r}", err=True)
            except* LocalProtocolError:
                pass  # the library's, when a Ping crosses the end: it ends all the same
            if not self.has_all:
                await trio.sleep(RETRY_SECONDS)

    async def _once(self) -> bool:
        """One connection; whether it ended for good."""
        headers = [(b"Authorization", f"Bearer {self.token}".encode())]
        async with open_websocket_url(self.url, extra_headers=headers) as socket:
            click.echo(f"connected to {self.url}", err=True)
            try:
                while not self.has_all:
                    click.echo(await socket.get_message())
                    self.seen += 1
            except ConnectionClosed as closed:
                code = closed.reason.code if closed.reason else None
                click.echo(f"closed ({code})", err=True)
                return code == FINAL_CLOSE
            await trio.sleep(RECEIPT_SECONDS)
        return True
