"""The texts a SockJS service shows, to the byte (sockjs.md, SJ-37 to SJ-39)."""

import hashlib
import html
from typing import Final

GREETING: Final = b"Welcome to SockJS!\n"

# A browser shows nothing of a page before it has this much of it.
HTMLFILE_BYTES: Final = 1025

_IFRAME: Final = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="SOCKJS_URL"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"""

_HTMLFILE: Final = """<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.CALLBACK;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""


def iframe(sockjs_url: str) -> bytes:
    """The page that a foreign page loads the client's script into (SJ-37)."""
    return _IFRAME.replace("SOCKJS_URL", html.escape(sockjs_url)).encode()


def etag(page: bytes) -> str:
    """A strong tag that depends on the page alone (SJ-38)."""
    return f'"{hashlib.sha256(page).hexdigest()[:32]}"'


def htmlfile(callback: str) -> bytes:
    """How an htmlfile response starts, for a name that has been checked (SJ-21, SJ-39)."""
    page = _HTMLFILE.replace("CALLBACK", callback).encode("ascii")
    return page.ljust(HTMLFILE_BYTES) + b"\r\n\r\n"
