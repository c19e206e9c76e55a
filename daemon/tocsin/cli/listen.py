"""`tocsin listen`: open a channel's WebSocket and print what arrives."""

import itertools
import sys
from urllib.parse import urlsplit

import click
import jwt
import trio
from trio_websocket import ConnectionClosed, HandshakeError, open_websocket_url

from tocsin.wire.netapi import escaped

RETRY_SECONDS = 2.0
FINAL_CLOSE = 1000


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
    claims = jwt.decode(token, options={"verify_signature": False})
    user = claims.get("preferred_username") or claims.get("sub") or ""
    path = f"{prefix}/notificationchannel/v1/{escaped(str(user))}/channels/{channel_id}/websocket"
    base = urlsplit(url)
    scheme = "wss" if base.scheme == "https" else "ws"
    try:
        trio.run(_listen, f"{scheme}://{base.netloc}{path}", token, count)
    except KeyboardInterrupt:
        sys.exit(0)


async def _listen(url: str, token: str, count: int | None) -> None:
    seen = itertools.count(1)
    while True:
        try:
            async with open_websocket_url(
                url, extra_headers=[(b"Authorization", f"Bearer {token}".encode())]
            ) as socket:
                click.echo(f"connected to {url}", err=True)
                while True:
                    click.echo(await socket.get_message())
                    if next(seen) == count:
                        return
        except ConnectionClosed as closed:
            code = closed.reason.code if closed.reason else None
            click.echo(f"closed ({code})", err=True)
            if code == FINAL_CLOSE:
                return
        except (HandshakeError, OSError) as error:
            click.echo(f"not connected: {error!r}", err=True)
        await trio.sleep(RETRY_SECONDS)
