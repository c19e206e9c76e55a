"""Fetching an access token: one errand, one client (push.md, PU-82)."""

import ssl
from collections.abc import Mapping

import httpx
import trio

from tocsin.model.errors import TocsinError
from tocsin.wire.push.assertion import refusal

STEP_TIMEOUT = 10.0
FETCH_TIMEOUT = 30.0
REPLY_BYTES = 1024 * 1024


class TokenFetchError(TocsinError):
    """There was no token; the message says why, without address, assertion or answer."""


async def post_form(url: str, form: Mapping[str, str], *, tls: ssl.SSLContext) -> bytes:
    """What is answered to a form, without redirects or proxies; TokenFetchError if that is no 200.

    The client lives for this call only, so nothing that goes wrong in it is left behind.
    """
    try:
        status, body = await _post(url, form, tls)
    except httpx.HTTPError as error:
        raise TokenFetchError(type(error).__name__) from None
    if status != httpx.codes.OK:
        raise TokenFetchError(f"answered {status} {refusal(body)}".rstrip())
    return body


async def _post(url: str, form: Mapping[str, str], tls: ssl.SSLContext) -> tuple[int, bytes]:
    """Status and body; the body as it is on the wire, so that no compression outgrows the bound.

    Each step has the client's own timeout. The scope is for what those cannot end: an answer that
    never does, and leaving the loop, which would leave httpx's generators open.
    """
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    client = httpx.AsyncClient(
        verify=tls, trust_env=False, follow_redirects=False, timeout=STEP_TIMEOUT, headers=headers
    )
    status, body = 0, bytearray()
    with trio.move_on_after(FETCH_TIMEOUT) as scope:
        async with client, client.stream("POST", url, data=dict(form)) as response:
            status = response.status_code
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > REPLY_BYTES:
                    scope.cancel()
    if len(body) > REPLY_BYTES:
        raise TokenFetchError(f"answered more than {REPLY_BYTES} bytes")
    if scope.cancelled_caught:
        raise TokenFetchError(f"not complete within {FETCH_TIMEOUT:g} s")
    return status, bytes(body)
