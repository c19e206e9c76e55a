"""TLS on the public listener: its certificate, and who shakes hands (OP-7, OP-8)."""

import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import attrs
import trio
from cryptography import x509

from tocsin.model.errors import StartupError
from tocsin.model.option import option
from tocsin.server.limits import Lease
from tocsin.server.tlssocket import PLAIN, TlsSocket

Handler = Callable[[socket.socket, str, Lease], Coroutine[Any, Any, None]]


@attrs.frozen
class TlsSettings:
    """`[tls]`"""

    certificate: str = option(
        "",
        "The public listener's certificate with those of who signed it, PEM; set, it speaks TLS. "
        'Say { file = "/path" }.',
    )
    key: str = option("", "The private key of the certificate, PEM, not encrypted.", secret=True)
    minimum: str = option("1.2", "The oldest version of TLS spoken.", choices=("1.2", "1.3"))


def check(settings: TlsSettings) -> list[str]:
    """What is wrong with these settings as a whole, one line each."""
    if bool(settings.certificate) != bool(settings.key):
        missing = "key" if settings.certificate else "certificate"
        return [f"tls.{missing}: must be set, too"]
    problems = [*_not_what_it_says(settings)]
    try:
        if settings.certificate and not problems:
            tls_context(settings)
            validity(settings)
    except StartupError as error:
        problems = [str(error)]
    return problems


def _not_what_it_says(settings: TlsSettings) -> Iterator[str]:
    """Texts that cannot be what they are given for: files that were mixed up, mostly."""
    for name, text, label, other in (
        ("certificate", settings.certificate, "CERTIFICATE-----", "tls.key"),
        ("key", settings.key, "PRIVATE KEY-----", "tls.certificate"),
    ):
        if text and "-----BEGIN " not in text:
            yield f'tls.{name}: is no PEM text; of a file, say {{ file = "/path" }}'
        elif text and label not in text:
            yield f"tls.{name}: holds no {label.rstrip('-').lower()}; is it mixed up with {other}?"
    if "-----BEGIN TRUSTED CERTIFICATE" in settings.certificate:
        yield "tls.certificate: is in OpenSSL's trusted form; write it without -trustout"
    if "ENCRYPTED" in settings.key:
        yield "tls.key: is encrypted; write it with openssl pkey, without a passphrase"


def tls_context(settings: TlsSettings) -> ssl.SSLContext | None:
    """What connections are wrapped in; None where they are plain. `StartupError` for a
    certificate and a key that are none, or are not each other's."""
    if not settings.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if settings.minimum == "1.3" else ssl.TLSVersion.TLSv1_2
    )
    context.set_alpn_protocols(["http/1.1"])
    try:
        _load(context, f"{settings.certificate}\n{settings.key}\n".encode())
    except ssl.SSLError as error:
        reason = {
            "KEY_VALUES_MISMATCH": "the key is not that of the first certificate, the server's own",
            "EE_KEY_TOO_SMALL": "the key is too short to be safe; RSA needs 2048 bits",
        }.get(error.reason or "", error.reason or "certificate and key cannot be read")
        raise StartupError(f"tls: {reason}") from None
    except (OSError, ValueError) as error:
        raise StartupError(f"tls: {error}") from None
    return context


def validity(settings: TlsSettings) -> tuple[float, float] | None:
    """From when until when the certificate counts, epoch seconds. `StartupError` if it is none."""
    if not settings.certificate:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(settings.certificate.encode())
    except ValueError:
        raise StartupError("tls.certificate: cannot be read") from None
    return (
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """OpenSSL reads certificates and keys from files alone; this one is never on a disk."""
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_no_password)
    finally:
        os.close(descriptor)


def _no_password() -> str:
    """OpenSSL would ask at the terminal."""
    return ""


class TlsFront:
    """Stands before what serves connections, and shakes hands where a certificate is configured.

    `context` may be replaced at any time; connections go on with what they began with. Sockets of
    files are plain: what connects there is on this machine.
    """

    def __init__(
        self,
        serve: Handler,
        context: ssl.SSLContext | None,
        *,
        timeout: float,
        on_failure: Callable[[str], None],
    ) -> None:
        """`timeout` is seconds for a handshake; `on_failure(reason)` hears of each that failed."""
        self.context = context
        self._serve = serve
        self._timeout = timeout
        self._on_failure = on_failure

    async def serve_connection(self, sock: socket.socket, peer: str, lease: Lease) -> None:
        """Serve a connection that was accepted; see `HttpServer.serve_connection`."""
        if self.context is None or sock.family == socket.AF_UNIX:
            await self._serve(sock, peer, lease)
            return
        wrapped = TlsSocket(sock, self.context)
        is_ready = False
        try:
            with trio.move_on_after(self._timeout) as scope:
                await wrapped.handshake()
                is_ready = True
            if scope.cancelled_caught:
                self._on_failure("timeout")
        except ssl.SSLError as error:
            self._on_failure("plain_http" if PLAIN in error.args else "protocol")
        except OSError:
            self._on_failure("hangup")
        finally:
            if not is_ready:
                wrapped.close()
                lease.finish()
        if is_ready:
            await self._serve(wrapped, peer, lease)
