"""Pages to the byte."""

from tocsin.wire.sockjs.pages import GREETING, etag, htmlfile, iframe

IFRAME = b"""<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="/sockjs.js"></script>
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
HTMLFILE = b"""<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.%b;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""


def test_greeting() -> None:
    """The line that says that a service is here (section 1)."""
    assert GREETING == b"Welcome to SockJS!\n"


def test_iframe() -> None:
    """Exactly the page, no newline at its end (SJ-37)."""
    assert iframe("/sockjs.js") == IFRAME


def test_iframe_escapes_the_url() -> None:
    """A configured URL stays inside its attribute (SJ-37)."""
    page = iframe("""/a?b=1&c="><script>'""")
    assert b'<script src="/a?b=1&amp;c=&quot;&gt;&lt;script&gt;&#x27;"></script>' in page


def test_etag() -> None:
    """Strong, the same after a restart, another for another page (SJ-38)."""
    assert etag(IFRAME) == etag(iframe("/sockjs.js")) == '"fd4e8987e1734748c147f04ba534b063"'
    assert etag(IFRAME) != etag(iframe("/other.js"))


def test_htmlfile() -> None:
    """The page, spaces to more than 1,024 bytes, an empty line (SJ-39)."""
    for callback in ("c", "x" * 32):
        page = htmlfile(callback)
        assert page.rstrip() == HTMLFILE % callback.encode()
        assert page.endswith(b" \r\n\r\n")
        assert len(page.removesuffix(b"\r\n\r\n")) > 1024
