"""`tocsin listen`: open a channel's WebSocket and print what arrives."""

import sys
from urllib.parse import urlsplit

import attrs
import click
import httpx
import jwt
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError, open_websocket_url
from wsproto.utilities import LocalProtocolError

from tocsin.cli.calling import check_url, explained, token_option
from tocsin.wire.dialect import escaped

RETRY_SECONDS = 2.0
FINAL_CLOSE = 1000
FINAL_STATUS = frozenset({400, 401, 403, 404, 410})
# Leaving at once would leave the last message without its receipt, and it would come again.
RECEIPT_SECONDS = 0.3


@click.command()
@click.argument("channel_id")
@click.option(
    "--url", envvar="TOCSIN_URL", show_envvar=True, required=True, help="Where the daemon is."
)
@token_option("A token of the user.", required=True)
@click.option("--prefix", default="/cpaas", show_default=True, help="netapi.prefix of the daemon.")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    help="Stop after so many notifications. If more came along with them, all come again.",
)
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
    path = f"{prefix}/notificationchannel/v1/{user}/channels/{escaped(channel_id)}/websocket"
    base = urlsplit(url)
    scheme = "wss" if base.scheme == "https" else "ws"
    listener = Listener(f"{scheme}://{base.netloc}{path}", token, count)
    try:
        trio.run(listener.run)
    except KeyboardInterrupt:
        sys.exit(0)
    if listener.failure is not None:
        raise listener.failure


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
    failure: Exception | None = None

    @property
    def is_done(self) -> bool:
        """Whether as many have come as were asked for, or no more will."""
        return self.seen == self.count or self.failure is not None

    async def run(self) -> None:
        """Listen, and come back after every end that is not final; `failure` says why it is."""
        while not self.is_done:
            try:
                if await self._once():
                    return
            except* ConnectionRejected as errors:
                self._note_refusal(errors.exceptions[0])
            except* (HandshakeError, OSError) as errors:
                click.echo(f"not connected: {errors.exceptions[0]!r}", err=True)
            except* LocalProtocolError:
                pass  # the library's, when a Ping crosses the end: it ends all the same
            if not self.is_done:
                await trio.sleep(RETRY_SECONDS)

    def _note_refusal(self, error: BaseException) -> None:
        """To ask again for what is not there, or with a token that is void, is no use."""
        if isinstance(error, ConnectionRejected):
            answer = httpx.Response(error.status_code, content=error.body or b"")
            told = explained(answer, "public listener")
            if answer.status_code in FINAL_STATUS:
                self.failure = click.ClickException(told)
            else:
                click.echo(f"not connected: {told}", err=True)

    def _show(self, message: str | bytes) -> None:
        """An error that is a full disk's is none of the connection's, to be come back to."""
        try:
            click.echo(message)
            self.seen += 1
        except OSError as error:
            self.failure = error

    async def _once(self) -> bool:
        """One connection; whether it ended for good."""
        headers = [(b"Authorization", f"Bearer {self.token}".encode())]
        with trio.CancelScope() as connection:
            async with open_websocket_url(self.url, extra_headers=headers) as socket:
                click.echo(f"connected to {self.url}", err=True)
                try:
                    while not self.is_done:
                        self._show(await socket.get_message())
                except ConnectionClosed as closed:
                    code = closed.reason.code if closed.reason else None
                    click.echo(f"closed ({code})", err=True)
                    return code == FINAL_CLOSE
                await trio.sleep(RECEIPT_SECONDS)
                # With a Close of its own the library would stumble over what still comes.
                connection.cancel()
        return True
