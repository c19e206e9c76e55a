"""Device tokens of the two push providers, in the one spelling that is stored (push.md, PU-22)."""

import base64
import binascii
import re

PROVIDERS = ("apns", "fcm")
ENCODINGS = ("auto", "hex", "base64", "raw")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){32,100}")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]+|[A-Za-z0-9_-]+)={0,2}")
_APNS_BYTES = range(32, 101)
_FCM = re.compile(r"[!-~]{1,4096}")


def normal_apns(token: str, encoding: str) -> str:
    """The token in lower-case hex, fit for a path, whether it came as hex or as base64.

    Raises ValueError if it is malformed; never shows it.
    """
    if encoding in {"auto", "hex"} and _HEX.fullmatch(token):
        return token.lower()
    if encoding in {"auto", "base64"}:
        raw = _from_base64(token)
        if len(raw) in _APNS_BYTES:
            return raw.hex()
    raise ValueError("malformed device token")


def normal_fcm(token: str, encoding: str) -> str:
    """The registration token, printable ASCII without space; `base64` is taken off.

    Raises ValueError if it is malformed; never shows it.
    """
    plain = _from_base64(token).decode("latin-1") if encoding == "base64" else token
    if not _FCM.fullmatch(plain):
        raise ValueError("malformed device token")
    return plain


def _from_base64(text: str) -> bytes:
    """Both alphabets, but not in one text; the padding may be missing, not be wrong."""
    bare = text.rstrip("=")
    if not _BASE64.fullmatch(text) or (bare != text and len(text) % 4):
        raise ValueError("malformed device token")
    standard = bare.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except binascii.Error:
        raise ValueError("malformed device token") from None
