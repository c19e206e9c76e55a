"""What the daemon counts and measures (OP-15).

Every label has a closed set of values, every series is there from the start, and a value
outside its set is counted as `other`. A family is a dict of its series, made once:
`metrics.deliveries["Webhooks", "delivered"].inc()` looks nothing up in the library.
"""

import itertools
import platform
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from tocsin import __version__
from tocsin.model.channel import ChannelType
from tocsin.model.services import STANDARD
from tocsin.wire.messaging.clientmessages import ClientMessage
from tocsin.wire.messaging.document import Reason
from tocsin.wire.messaging.refusals import ErrorCode
from tocsin.wire.messaging.words import MessageStatus

PREFIX = "tocsin"
OTHER = "other"

TYPES = tuple(kind.value for kind in ChannelType)
OUTCOMES = ("delivered", "expired", "refused", "dead", "collapsed", "overflow", "cancelled")
RESULTS = ("delivered", "deferred", "refused", "gone", "crashed")
BLOCKED = (
    *("breaker", "suspended", "paused", "full", "throttled"),
    *("key_paused", "app_paused", "oauth", "quota"),
)
EVENTS = (
    *("lane.blocked", "lane.unblocked", "channel.suspended", "channel.resumed"),
    *("delivery.dead", "store.failing", "store.working", "push.token.removed"),
    *("push.outcome", "push.key.paused", "push.key.resumed", "push.alarm"),
    *("push.guard.tripped", "push.guard.cleared", "push.credential.failing"),
    *("daemon.ready", "daemon.draining", "config.reloaded", "config.reload_failed"),
)
REMEMBERED = ("identity", "submission", "push", "removed")
LEGS = ("socket", "push", "cancelled")
PROVIDERS = ("apns", "fcm")
GATEWAY_ENDPOINTS = ("send", "multisend", "form")
GATEWAY_CODES = (200, 400, 404, 500)
PUSH_REASONS = (
    *("", "unregistered", "bad_token", "wrong_topic", "bad_request", "payload_too_large"),
    *("credential", "throttled_device", "quota", "shutdown", "unavailable", "unknown"),
    *("not_sent", "timeout", "connect", "expired", "oauth", "unknown_outcome", "unproven_app"),
    *("removal_guard", "stale", "rate", "app_unknown", "not_for_app"),
)
SOCKJS_HTTP = ("xhr-polling", "xhr-streaming", "eventsource", "htmlfile", "jsonp-polling")
SOCKJS_FRAMES = ("open", "heartbeat", "messages", "close")
MESSAGING_ENTRIES = ("direct-message", "channel-message", "delivery", "invitation", "membership")
MESSAGING_CLOSES = ("1000", "1006", "1008", "1012", "1013", "3000", "3003", "3008", "4000")
SOCKJS_REFUSALS = (
    *("unknown_path", "method", "origin_denied", "session", "closing", "body", "callback"),
    *("too_large", "full", "drain", "upgrade", "token_missing", "token_invalid"),
    *("token_expired", "scope_missing", "invalid_value", "rate_limited", "no_keys"),
    *("introspection", "memory"),
)
CLOSE_CODES = (1000, 1001, 1002, 1003, 1006, 1007, 1008, 1009, 1011, 1012, 4401)
RESUMES = ("fresh", "replayed", "recovered", "gap")
REJECTIONS = (
    *("body", "invalid_value", "not_one_of", "duplicate", "too_large", "too_many_items"),
    *("media_type", "cloudevents_binary", "not_found", "service_not_on_channel"),
    *("rate_limited", "backlog", "store", "drain", "memory"),
)
AUTH_FAILURES = (
    *("token_missing", "token_invalid", "token_expired", "scope_missing", "user_mismatch"),
    *("origin_denied", "invalid_client", "invalid_grant", "slow_down", "no_keys"),
    "introspection",
)
REVOKED_BY = ("token", "jti", "user", "client", "subscriber")
FETCHED = ("fetched", "failed")
INTROSPECTED = ("active", "inactive", "failed", "full")
CONNECTION_REFUSALS = ("connections", "connections_per_address", "drain", "descriptors")
UNDER_WAY = ("body", "answer")
RATE_LIMITED = ("token", "address", "producer")
TLS_FAILURES = ("timeout", "protocol", "plain_http", "hangup")
METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD")
STATUSES = (
    *(101, 200, 201, 202, 204, 400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 426, 429, 431),
    *(500, 503),
)

FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LATENCY = (*FAST, 30, 60, 300, 900, 3600)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

Series = TypeVar("Series", bound=MetricWrapperBase)
Labels = dict[str, Sequence[Hashable]]


class Family(dict[Any, Series], Generic[Series]):
    """Series by label value, or by a tuple of values where there are several labels."""

    def __init__(self, parent: Series, labels: Labels) -> None:
        self._allowed = [frozenset(values) for values in labels.values()]
        for values in itertools.product(*([*options, OTHER] for options in labels.values())):
            key = values[0] if len(values) == 1 else values
            self[key] = parent.labels(*values)

    def __missing__(self, key: Any) -> Series:
        if len(self._allowed) == 1:
            return self[OTHER]
        return self[
            tuple(v if v in known else OTHER for v, known in zip(key, self._allowed, strict=True))
        ]


class Registry(CollectorRegistry):
    """A registry whose counters do not come with a second series for their birth."""

    def collect(self) -> Iterable[Metric]:
        for metric in super().collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


class Metrics:
    """All metrics of one daemon, in a registry of its own.

    `services` are the labels of what is counted by service.
    """

    def __init__(self, services: Sequence[str] = STANDARD.names) -> None:
        self.registry = Registry()
        self._services = services
        self._samplers: list[Callable[[], None]] = []
        ProcessCollector(registry=self.registry)
        self._channels_and_sockets()
        self._notifications()
        self._queues()
        self._push()
        self._sockjs()
        self._messaging()
        self._http()
        self._tokens()
        self._health()

    def sample(self, sampler: Callable[[], None]) -> None:
        """Have a function called before each exposition, to set gauges to what is now."""
        self._samplers.append(sampler)

    def refresh(self) -> None:
        """Call the samplers; in the Trio thread, right before `exposition`."""
        for sampler in self._samplers:
            sampler()

    def exposition(self) -> bytes:
        """The text format; takes milliseconds, so let a worker thread do it."""
        return generate_latest(self.registry)

    def watch_task(self, name: str) -> tuple[Gauge, Counter]:
        """The series of one supervised task: its last progress and its restarts."""
        return self._task_progress.labels(name), self._task_restarts.labels(name)

    def _channels_and_sockets(self) -> None:
        self.channels = self._gauges("channels", "Channels.", type=TYPES)
        self.subscriptions = self._gauges("subscriptions", "Subscriptions.", service=self._services)
        self.ws_connections = self._gauge("ws_connections", "Sockets open.")
        self.ws_closed = self._counters(
            "ws_closed", "Sockets closed, by close code.", code=CLOSE_CODES
        )
        self.ws_queue_bytes = self._gauge("ws_queue_bytes", "Bytes waiting to be sent to sockets.")
        self.ws_slow_consumers = self._counter(
            "ws_slow_consumers", "Sockets closed for reading too slowly."
        )
        self.ws_resumes = self._counters(
            "ws_resumes", "Sockets attached, by what became of their backlog.", result=RESUMES
        )
        self.ws_frames_ignored = self._counter(
            "ws_frames_ignored", "Client messages that meant nothing."
        )

    def _notifications(self) -> None:
        self.notifications_accepted = self._counters(
            "notifications_accepted", "Notifications answered 2xx.", service=self._services
        )
        self.notifications_rejected = self._counters(
            "notifications_rejected", "Notifications refused.", reason=REJECTIONS
        )
        self.notifications_repeated = self._counter(
            "notifications_repeated", "Notifications that had been accepted before."
        )
        self.deliveries = self._counters(
            "deliveries", "Deliveries settled.", type=TYPES, outcome=OUTCOMES
        )
        self.escalations = self._counters(
            "escalations",
            "Deliveries held back for a socket of their device; attempted after all; cancelled.",
            leg=LEGS,
        )
        self.delivery_attempts = self._counters(
            "delivery_attempts", "Attempts.", type=TYPES, result=RESULTS
        )
        self.delivery_latency = self._histograms(
            "delivery_latency_seconds", "From accepted to settled.", LATENCY, type=TYPES
        )
        self.attempt_duration = self._histograms(
            "attempt_duration_seconds", "Time one attempt took.", FAST, type=TYPES
        )

    def _queues(self) -> None:
        self.queue_depth = self._gauges("queue_depth", "Deliveries not settled.", type=TYPES)
        self.queue_oldest_age = self._gauges(
            "queue_oldest_age_seconds", "Age of the oldest delivery not settled.", type=TYPES
        )
        self.dead_letters = self._gauges("dead_letters", "Dead letters kept.", type=TYPES)
        self.lanes_blocked = self._gauges(
            "lanes_blocked", "Lanes that attempt less than they could.", type=TYPES, reason=BLOCKED
        )
        self.operator_events = self._counters(
            "operator_events", "What an operator was told.", event=EVENTS
        )
        self.operator_events_dropped = self._counter(
            "operator_events_dropped", "Operator events that found no room on their way."
        )
        self.webhook_connections = self._gauge(
            "webhook_connections", "Connections to webhooks, open or being opened."
        )
        self.webhook_blocked_addresses = self._counter(
            "webhook_blocked_addresses", "Attempts at webhooks that led to a forbidden address."
        )
        self.webhook_unsigned_channels = self._gauge(
            "webhook_unsigned_channels", "Webhooks whose requests nobody can verify."
        )
        self.remembered = self._gauges(
            "remembered", "Rows kept to know again what was submitted or removed.", table=REMEMBERED
        )
        self.store_commit = self._histogram("store_commit_seconds", "Time of one commit.", FAST)
        self.store_bytes = self._gauge("store_bytes", "The store's file, with its log.")
        self.store_free_bytes = self._gauge(
            "store_free_bytes", "Left on the store's disk for who may not write to its reserve."
        )
        self.store_commit_batch_size = self._histogram(
            "store_commit_batch_size", "Requests that shared one commit.", BATCH
        )

    def _push(self) -> None:
        self.push_attempts = self._counters(
            "push_attempts",
            "Pushes answered by a provider, or not.",
            provider=PROVIDERS,
            outcome=RESULTS,
            reason=PUSH_REASONS,
        )
        self.push_attempt_duration = self._histograms(
            "push_attempt_duration_seconds", "Time one push took.", FAST, provider=PROVIDERS
        )
        self.push_gateway_replies = self._counters(
            "push_gateway_replies",
            "Replies of the push gateway.",
            endpoint=GATEWAY_ENDPOINTS,
            code=GATEWAY_CODES,
        )
        self.push_selector_missing = self._counter(
            "push_selector_missing", "Pushes taken without the Selector their verb should have."
        )
        self.push_skipped = self._counter(
            "push_skipped", "Notifications that are not for the app of a channel."
        )
        self.push_keys_paused = self._gauges(
            "push_keys_paused", "Credentials that are not used for now.", provider=PROVIDERS
        )
        self.push_guards_tripped = self._gauge(
            "push_guards_tripped", "Apps whose tokens are not removed for now."
        )
        self.push_tokens_removed = self._counters(
            "push_tokens_removed",
            "Channels removed for their device token.",
            provider=PROVIDERS,
            reason=PUSH_REASONS,
        )
        self.push_connections = self._gauges(
            "push_connections", "Connections to providers.", provider=PROVIDERS
        )
        self.push_streams = self._gauges(
            "push_streams", "Pushes on the wire, unanswered.", provider=PROVIDERS
        )
        self.push_goaways = self._counters(
            "push_goaways", "Connections that a provider asked to leave.", provider=PROVIDERS
        )
        self.provider_credential_expiry = self._gauges(
            "provider_credential_expiry_timestamp_seconds",
            "When the token made from a credential runs out.",
            provider=PROVIDERS,
        )

    def _sockjs(self) -> None:
        self.sockjs_sessions = self._gauges(
            "sockjs_sessions",
            "Sessions over HTTP, and WebSockets.",
            transport=(*SOCKJS_HTTP, "websocket", "websocket-raw"),
        )
        self.sockjs_refused = self._counters(
            "sockjs_refused", "Requests to SockJS services refused.", reason=SOCKJS_REFUSALS
        )
        self.sockjs_frames = self._counters(
            "sockjs_frames",
            "Frames sent.",
            transport=(*SOCKJS_HTTP, "websocket"),
            kind=SOCKJS_FRAMES,
        )
        self.sockjs_aborted = self._counters(
            "sockjs_aborted", "Responses that broke off.", transport=SOCKJS_HTTP
        )

    def _messaging(self) -> None:
        self.messaging_connections = self._gauges(
            "messaging_connections",
            "Messaging connections open.",
            transport=(*SOCKJS_HTTP, "websocket", "websocket-raw"),
        )
        self.messaging_client_messages = self._counters(
            "messaging_client_messages",
            "Messages of clients that were answered: done (ok), or why not.",
            type=tuple(one.type for one in get_args(ClientMessage)),
            result=("ok", *ErrorCode),
        )
        self.messaging_ignored = self._counters(
            "messaging_ignored", "Messages of clients that got no answer.", reason=tuple(Reason)
        )
        self.messaging_entries = self._counters(
            "messaging_entries", "Entries added to Logs.", type=MESSAGING_ENTRIES
        )
        self.messaging_statuses = self._counters(
            "messaging_statuses",
            "Times a sender was told of a status.",
            status=tuple(status.word for status in MessageStatus),
        )
        self.messaging_resumes = self._counters(
            "messaging_resumes", "Replays asked for.", complete=("true", "false")
        )
        self.messaging_log_trimmed = self._counter(
            "messaging_log_trimmed", "Entries that left a Log for age or number."
        )
        self.messaging_collapsed = self._counter(
            "messaging_collapsed", "Changes of presence a slow reader was spared."
        )
        self.messaging_closes = self._counters(
            "messaging_closes", "Messaging connections closed, by code.", code=MESSAGING_CLOSES
        )
        self.messaging_revoke = self._histogram(
            "messaging_revoke_seconds", "From a revocation to the last connection told.", FAST
        )
        self.messaging_handover = self._histogram(
            "messaging_handover_seconds", "From the commit of an entry to its being written.", FAST
        )

    def _http(self) -> None:
        self.http_requests = self._counters(
            "http_requests", "Requests answered.", method=METHODS, status=STATUSES
        )
        self.http_request_duration = self._histogram(
            "http_request_duration_seconds", "From a request's head to its answer.", FAST
        )
        self.http_connections = self._gauge("http_connections", "HTTP connections open.")
        self.http_bytes = self._gauge(
            "http_bytes", "Bytes of bodies and of answers not read yet, in memory for clients."
        )
        self.http_bytes_refused = self._counters(
            "http_bytes_refused", "Bodies and answers there was no memory for.", reason=UNDER_WAY
        )
        self.connections_refused = self._counters(
            "connections_refused", "Connections closed at accept.", reason=CONNECTION_REFUSALS
        )
        self.tls_handshakes_failed = self._counters(
            "tls_handshakes_failed", "TLS handshakes that did not come about.", reason=TLS_FAILURES
        )
        self.tls_certificate_expiry = self._gauge(
            "tls_certificate_expiry_timestamp_seconds",
            "When the certificate of the public listener is over; 0 without one.",
        )
        self.auth_failures = self._counters(
            "auth_failures", "Requests refused for their token.", reason=AUTH_FAILURES
        )
        self.rate_limited = self._counters(
            "rate_limited", "Requests refused for their rate.", by=RATE_LIMITED
        )

    def _tokens(self) -> None:
        self.revocations = self._counters(
            "revocations", "Times that tokens were revoked, by what was named.", by=REVOKED_BY
        )
        self.revocations_kept = self._gauge("revocations_kept", "Revocations in force.")
        self.token_keys_fetches = self._counters(
            "token_keys_fetches", "Attempts to fetch the keys of signed tokens.", result=FETCHED
        )
        self.token_keys_last_success = self._gauge(
            "token_keys_last_success_timestamp_seconds",
            "When the keys of signed tokens were last fetched; 0 if they never were.",
        )
        self.introspections = self._counters(
            "introspections",
            "Tokens that their issuer was asked about, or could not be.",
            result=INTROSPECTED,
        )

    def _health(self) -> None:
        build = Gauge(
            "build_info",
            "Always 1.",
            ["version", "python"],
            namespace=PREFIX,
            registry=self.registry,
        )
        build.labels(__version__, platform.python_version()).set(1)
        self.ready = self._gauge("ready", "1 while the daemon is ready to serve, else 0.")
        self.loop_lag = self._histogram(
            "loop_lag_seconds", "How late the event loop ran a task that was due.", FAST
        )
        self.config_reload_failures = self._counter(
            "config_reload_failures", "Reloads that kept the old configuration."
        )
        self.config_last_reload = self._gauge(
            "config_last_reload_success_timestamp_seconds", "When the configuration was taken over."
        )
        self._task_progress = Gauge(
            "task_last_progress_timestamp_seconds",
            "When a task last reported progress or that it waits for work.",
            ["task"],
            namespace=PREFIX,
            registry=self.registry,
        )
        self._task_restarts = Counter(
            "task_restarts",
            "Times a task crashed or got stuck and was started again.",
            ["task"],
            namespace=PREFIX,
            registry=self.registry,
        )

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, namespace=PREFIX, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, namespace=PREFIX, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, text, namespace=PREFIX, registry=self.registry, buckets=buckets)

    def _counters(self, name: str, text: str, **labels: Sequence[Hashable]) -> Family[Counter]:
        parent = Counter(name, text, list(labels), namespace=PREFIX, registry=self.registry)
        return Family(parent, labels)

    def _gauges(self, name: str, text: str, **labels: Sequence[Hashable]) -> Family[Gauge]:
        parent = Gauge(name, text, list(labels), namespace=PREFIX, registry=self.registry)
        return Family(parent, labels)

    def _histograms(
        self, name: str, text: str, buckets: Sequence[float], **labels: Sequence[Hashable]
    ) -> Family[Histogram]:
        parent = Histogram(
            name, text, list(labels), namespace=PREFIX, registry=self.registry, buckets=buckets
        )
        return Family(parent, labels)
