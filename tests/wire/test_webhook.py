"""Tests of a webhook on the wire: the request, its signature, the meaning of an answer."""

import base64
import hashlib
import hmac

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign, Word
from tocsin.wire.endpoint import Endpoint, parse_url
from tocsin.wire.webhook import (
    RequestTemplate,
    Signer,
    authorization_problem,
    outcome,
    secret_problem,
    webhook_id,
)

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OLD_SECRET = "whsec_" + base64.b64encode(KEY[::-1]).decode()
THROTTLED = frozenset({Word.THROTTLE})
SUSPEND = frozenset({Word.SUSPEND})


def endpoint(url: str = "https://a.example/hook?x=1") -> Endpoint:
    return parse_url(url, allow_http=())


def received(data: bytes) -> tuple[h11.Request, dict[str, str], bytes]:
    """The request as an independent parser reads it; exactly one, and nothing after it."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    request, body = server.next_event(), b""
    assert isinstance(request, h11.Request)
    while isinstance(event := server.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert server.trailing_data == (b"", False)
    headers = {name.decode(): value.decode() for name, value in request.headers}
    assert len(headers) == len(list(request.headers))
    return request, headers, body


def test_the_request() -> None:
    """CH-82, PU-70: method, target, headers and the body byte for byte."""
    template = RequestTemplate.of(endpoint(), user_agent="tocsin/1", authorization="Bearer t")
    request, headers, body = received(
        template.render(notification_id="n-1", timestamp=1_700_000_000, body=b'{"a": 1 }')
    )
    assert (request.method, request.target) == (b"POST", b"/hook?x=1")
    assert body == b'{"a": 1 }'
    assert headers == {
        "host": "a.example",
        "user-agent": "tocsin/1",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "authorization": "Bearer t",
        "content-length": "9",
        "webhook-id": "n-1",
        "webhook-timestamp": "1700000000",
    }


def test_the_signature_of_the_specification() -> None:
    """PU-75, SE-9: the example that the Standard Webhooks libraries are tested with."""
    signer = Signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    content = b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}'
    assert signer.sign(content) == b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.text(st.characters(codec="utf-8")), st.binary(max_size=300), st.integers(0, 2**40))
def test_what_is_signed_is_what_is_sent(notification_id: str, body: bytes, timestamp: int) -> None:
    """PU-75: for any id and body, HMAC-SHA256 of id.timestamp.body as a receiver computes it."""
    template = RequestTemplate.of(endpoint(), user_agent="tocsin/1", signers=[Signer(SECRET)])
    data = template.render(notification_id=notification_id, timestamp=timestamp, body=body)
    _request, headers, got = received(data)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + got
    digest = hmac.new(KEY, signed, hashlib.sha256).digest()
    assert got == body
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert "." not in headers["webhook-id"]


@pytest.mark.parametrize("plain", ["n", "6f1e0a34-6d1b-4a55-9a3e-9c8f5d1c0001", "a:b/c~!"])
def test_plain_ids_are_kept(plain: str) -> None:
    """CH-82: webhook-id is the notification id."""
    assert webhook_id(plain) == plain


@pytest.mark.parametrize("other", ["a.b", ".", "a b", "a\r\nb", "é", "", "\x7f", "\ud800"])
def test_other_ids_become_a_digest(other: str) -> None:
    """CH-82, PU-75: an id with a dot, or none that could be a header, goes as its digest."""
    digest = hashlib.sha256(other.encode("utf-8", "surrogatepass")).hexdigest()
    assert webhook_id(other) == "h-" + digest[:40]


@pytest.mark.parametrize("bad", ["", "a\r\nX: y", "a\nb", "a\x00", "a\tb", "é", "x" * 4097])
def test_nothing_slips_in_with_an_authorization(bad: str) -> None:
    """CH-31: line breaks, controls, other characters and lengths are refused, unrepeated."""
    with pytest.raises(ValueError, match="visible ASCII") as caught:
        RequestTemplate.of(endpoint(), user_agent="tocsin/1", authorization=bad)
    assert authorization_problem(bad) == str(caught.value)
    assert authorization_problem("Basic a b=") is None


def encoded(size: int) -> str:
    return base64.b64encode(bytes(size)).decode()


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_that_sign(size: int) -> None:
    """PU-76: whsec_ and base64 of 24 to 64 bytes."""
    assert secret_problem("whsec_" + encoded(size)) is None


@pytest.mark.parametrize(
    "bad",
    [
        "",
        encoded(32),
        "WHSEC_" + encoded(32),
        "whsec_" + encoded(23),
        "whsec_" + encoded(65),
        "whsec_" + encoded(32)[:-1],
        "whsec_" + "-_" + encoded(30),
        "whsec_ " + encoded(32),
        "whsec_é" + encoded(32),
    ],
)
def test_secrets_that_do_not(bad: str) -> None:
    """PU-76: anything else is refused, without being shown."""
    with pytest.raises(ValueError, match="must be whsec_") as caught:
        Signer(bad)
    assert encoded(20) not in str(caught.value)
    assert secret_problem(bad) is not None


def test_secrets_are_not_shown() -> None:
    """SE-7: neither authorization nor key is in what a log might print."""
    template = RequestTemplate.of(
        endpoint(), user_agent="tocsin/1", authorization="hunter2", signers=[Signer(SECRET)]
    )
    assert "hunter2" not in repr(template)
    assert repr(KEY)[2:20] not in repr(template)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Delivered(200)),
        (204, Delivered(204)),
        (299, Delivered(299)),
        (301, Deferred("http_3xx", status=301)),
        (307, Deferred("http_3xx", status=307)),
        (400, Deferred("http_4xx", status=400)),
        (401, Deferred("http_4xx", status=401)),
        (404, Deferred("http_4xx", status=404)),
        (408, Deferred("http_408", status=408)),
        (410, Gone("http_410", 410)),
        (425, Deferred("http_425", status=425)),
        (429, Deferred("http_429", status=429, sign=Sign.CONTACT, words=THROTTLED)),
        (500, Deferred("http_5xx", status=500)),
        (502, Deferred("http_5xx", status=502, words=THROTTLED)),
        (503, Deferred("http_5xx", status=503, words=THROTTLED)),
        (504, Deferred("http_5xx", status=504, words=THROTTLED)),
        (600, Deferred("http_other", status=600)),
        (999, Deferred("http_other", status=999)),
    ],
)
def test_what_an_answer_means(status: int, expected: Outcome) -> None:
    """CH-83, PU-81: the table, row by row; who is asked to slow down has not failed (PU-52)."""
    assert outcome(status, {}, now=0) == expected


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 503])
def test_retry_after_counts_on_every_failure(status: int) -> None:
    """PU-79: on any non-2xx, clamped, garbage ignored."""
    waits = [
        outcome(status, {b"retry-after": retry}, now=0) for retry in (b"30", b"999999", b"soon")
    ]
    assert [w.retry_after for w in waits if isinstance(w, Deferred)] == [30, 86_400, None]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (429, {Word.THROTTLE, Word.HOLD}),
        (503, {Word.THROTTLE, Word.HOLD}),
        (502, {Word.THROTTLE}),
        (500, set()),
        (404, set()),
    ],
)
def test_who_else_waits_for_a_retry_after(status: int, words: set[Word]) -> None:
    """PU-81: after 429 and 503 the channel's other deliveries, after others this one only."""
    assert outcome(status, {b"retry-after": b"30"}, now=0).words == words


@pytest.mark.parametrize(
    ("status", "control", "expected"),
    [
        (200, b"disable", Delivered(200, SUSPEND)),
        (200, b"abort-message", Delivered(200)),
        (200, b"", Delivered(200)),
        (500, b"disable", Deferred("http_5xx", status=500, words=SUSPEND)),
        (500, b"abort-message", Refused("receiver_abort", 500)),
        (400, b" Abort-Message , foo", Refused("receiver_abort", 400)),
        (404, b"foo,, abort-message,disable", Refused("receiver_abort", 404, words=SUSPEND)),
        (410, b"abort-message", Refused("receiver_abort", 410, words=SUSPEND)),
        (500, b"disabled, abort", Deferred("http_5xx", status=500)),
        (500, b"\xff,\x00", Deferred("http_5xx", status=500)),
    ],
)
def test_a_receiver_may_stop_a_channel_or_a_message(
    status: int, control: bytes, expected: Outcome
) -> None:
    """PU-80: `webhook-delivery` is a list of two known words; a 2xx is Delivered all the same."""
    assert outcome(status, {b"webhook-delivery": control}, now=0) == expected


def test_two_secrets_give_two_signatures() -> None:
    """PU-77: while a secret is being rotated, the new one's first, separated by one space."""
    signers = [Signer(SECRET), Signer(OLD_SECRET)]
    template = RequestTemplate.of(endpoint(), user_agent="tocsin/1", signers=signers)
    request = template.render(notification_id="n-1", timestamp=7, body=b"{}")
    both = b" ".join(signer.sign(b"n-1.7.{}") for signer in signers)
    assert b"\r\nwebhook-signature: " + both + b"\r\n" in request
