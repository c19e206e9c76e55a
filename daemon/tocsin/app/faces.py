"""The two HTTP servers: everything the daemon answers, route by route."""

from collections.abc import Awaitable, Callable

from tocsin import __version__
from tocsin.app.descriptions import dialects, served, token_path
from tocsin.app.messaging import Messaging
from tocsin.app.parts import Parts
from tocsin.config import Config
from tocsin.delivery.lanecontrol import LaneControl
from tocsin.delivery.reporters import Reporter
from tocsin.model.channel import ChannelType
from tocsin.model.principal import Principal
from tocsin.ops.metrics import Metrics
from tocsin.server.admin import AdminFace
from tocsin.server.auth import Authenticator, builtin_issuer
from tocsin.server.callback import CallbackFace
from tocsin.server.channels import ChannelFace
from tocsin.server.chatpage import ChatPageFace
from tocsin.server.cors import Cors
from tocsin.server.description import document
from tocsin.server.description.asyncapi import asyncapi
from tocsin.server.descriptions import DescriptionFace
from tocsin.server.gateway import Admission, GatewayFace
from tocsin.server.http import CHANNELS, Authorize, HttpPolicy, HttpServer
from tocsin.server.jwks import KeySource
from tocsin.server.limits import FailedAuthentications, Rate
from tocsin.server.longpoll import LongPollFace
from tocsin.server.newchannel import ChannelMaker
from tocsin.server.operator import OperatorFace
from tocsin.server.operatorlog import OperatorLogFace
from tocsin.server.operatorpush import OperatorPushFace
from tocsin.server.operatortokens import OperatorTokenFace
from tocsin.server.peers import Networks, Proxies
from tocsin.server.publish import PublishFace
from tocsin.server.reporter import ReporterFace
from tocsin.server.requestlog import RequestLog
from tocsin.server.router import Route, Router
from tocsin.server.services import subscription_kinds
from tocsin.server.subscriptions import SubscriptionFace
from tocsin.server.websocket import WebSocketFace
from tocsin.wire.claims import SubscriberClaims
from tocsin.wire.dialect import Dialect
from tocsin.wire.request import Request
from tocsin.wire.webhook import Signer

Words = Callable[[], dict[str, str]]


def public_server(
    config: Config,
    parts: Parts,
    keys: KeySource,
    *,
    messaging: Messaging | None,
    metrics: Metrics,
    clock: Callable[[], int],
    is_draining: Callable[[], bool],
) -> HttpServer:
    """REST and the sockets' handshakes, in every dialect (CH-1)."""
    router = Router()
    policy = _policy(config, public=True)
    tokens = authenticator(config, parts, keys)
    callbacks = CallbackFace(
        parts.directory,
        parts.ingest,
        parts.submissions,
        most_bytes=config.limits.delivery.notification,
        services=parts.services,
        reach=parts.pushing.reach,
        metrics=metrics,
        clock=clock,
    )
    for dialect in dialects(config):
        _add_dialect(
            router,
            dialect,
            config,
            parts,
            tokens=tokens,
            refusals=policy.rates[CHANNELS],
            clock=clock,
            is_draining=is_draining,
        )
        callbacks.add_routes(router, dialect.prefix)
    PublishFace(
        parts.ingest,
        parts.submissions,
        config.publish,
        most_bytes=config.limits.delivery.notification,
        services=parts.services,
        metrics=metrics,
        clock=clock,
    ).add_routes(router)
    if messaging is not None:
        asking = authenticator(config, parts, keys, asks_again=config.messaging.introspect_jwt)
        messaging.serve(router, config, asking)
    _add_gateway(router, config, parts, tokens=tokens, metrics=metrics, is_draining=is_draining)
    _add_reporters(router, config, parts, tokens=tokens, failures=policy.failures, clock=clock)
    if config.auth.builtin.enabled:
        issuer = builtin_issuer(config.auth, addresses=policy.failures)
        router.add("POST", token_path(config), issuer.token_endpoint, scope=None)
    told = served(config)
    DescriptionFace(
        {document.OPENAPI: document.public(told), document.ASYNCAPI: asyncapi(told)}, cors=True
    ).add_routes(router)
    return _server(router, _authorize(tokens, config.ws.expired_token_grace), policy, metrics)


def _add_gateway(
    router: Router,
    config: Config,
    parts: Parts,
    *,
    tokens: Authenticator,
    metrics: Metrics,
    is_draining: Callable[[], bool],
) -> None:
    GatewayFace(
        parts.gateway,
        parts.submissions,
        parts.pushing.apps,
        _admission(config, tokens),
        pass_verbs=config.push.pass_verbs,
        rate_per_caller=config.push.rate_per_caller,
        is_draining=is_draining,
        metrics=metrics,
    ).add_routes(router)


def _add_reporters(
    router: Router,
    config: Config,
    parts: Parts,
    *,
    tokens: Authenticator,
    failures: FailedAuthentications,
    clock: Callable[[], int],
) -> None:
    reporters = {
        name: (
            settings,
            Reporter(
                parts.directory,
                parts.pushing.apps,
                subscribe=settings.subscribe,
                kinds=subscription_kinds(config.services),
                services=parts.services,
                clock=clock,
            ),
        )
        for name, settings in config.push.reporters.items()
    }
    ReporterFace(
        reporters, admit=_admission(config, tokens).authorize, failures=failures
    ).add_routes(router)


def _admission(config: Config, tokens: Authenticator) -> Admission:
    return Admission(
        tokens, Networks(config.push.trusted_networks), Proxies(Networks(config.trusted_proxies))
    )


def _add_dialect(
    router: Router,
    dialect: Dialect,
    config: Config,
    parts: Parts,
    *,
    tokens: Authenticator,
    refusals: Rate,
    clock: Callable[[], int],
    is_draining: Callable[[], bool],
) -> None:
    """Everything that is there once for each dialect."""
    maker = ChannelMaker(
        judge_url=_judge(parts),
        check_secret=_check_secret,
        apps=parts.pushing.apps,
        grant=parts.directory.grant_lifetime,
        clock=clock,
    )
    ChannelFace(
        parts.directory,
        dialect,
        maker,
        echo_secrets=config.webhooks.echo_secrets,
        clock=clock,
    ).add_routes(router)
    SubscriptionFace(
        parts.directory,
        prefix=dialect.prefix,
        base=dialect.base,
        kinds=subscription_kinds(config.services),
        clock=clock,
    ).add_routes(router)
    WebSocketFace(
        parts.directory,
        parts.reactor,
        parts.context,
        tokens=tokens,
        revocations=parts.revocations,
        cors=Cors(config.cors),
        refusals=refusals,
        is_draining=is_draining,
    ).add_routes(router, dialect.prefix)
    LongPollFace(
        parts.directory,
        parts.polls,
        config.longpoll,
        revocations=parts.revocations,
        is_draining=is_draining,
    ).add_routes(router, dialect.prefix)


def admin_server(
    config: Config,
    parts: Parts,
    keys: KeySource,
    *,
    metrics: Metrics,
    failing: Words,
    status: Words,
    public_address: Callable[[], str],
) -> HttpServer:
    """Health and metrics, for loopback; and the operator API, for tokens with scope `admin`."""
    router = Router()
    OperatorFace(
        parts.store,
        parts.directory,
        parts.sessions,
        _lanes(parts),
        hasten=parts.hasten,
        clock=parts.clock,
    ).add_routes(router)
    OperatorLogFace(parts.log, parts.letters).add_routes(router)
    OperatorPushFace(parts.pushing.apps, parts.pushing.devices).add_routes(router)
    AdminFace(metrics, failing=failing, status=status, version=__version__).add_routes(router)
    if config.messaging.enabled and config.messaging.chat_page:
        ChatPageFace(public_address, prefix=config.messaging.prefix).add_routes(router)
    tokens = authenticator(config, parts, keys)
    OperatorTokenFace(parts.revocations, tokens).add_routes(router)
    told = {document.OPENAPI: document.admin(served(config))}
    DescriptionFace(told, cors=False).add_routes(router)
    return _server(router, _authorize(tokens, 0), _policy(config, public=False), metrics)


def _lanes(parts: Parts) -> dict[ChannelType, LaneControl]:
    return dict(parts.queues)


def _policy(config: Config, *, public: bool) -> HttpPolicy:
    return HttpPolicy.of(
        config.limits.http,
        cors=config.cors if public else None,
        trusted_proxies=config.trusted_proxies,
        publish_rate=config.publish.rate,
    )


def _server(
    router: Router, authorize: Authorize, policy: HttpPolicy, metrics: Metrics
) -> HttpServer:
    requests = RequestLog(metrics)
    return HttpServer(
        router,
        authorize=authorize,
        policy=policy,
        on_request=requests.answered,
        on_error=requests.crashed,
    )


def authenticator(
    config: Config, parts: Parts, keys: KeySource, *, asks_again: bool = False
) -> Authenticator:
    """What is revoked, and who is asked, is the same for both servers; for `asks_again` see
    there."""
    return Authenticator(
        config.auth,
        keys,
        revocations=parts.revocations,
        introspector=parts.introspector,
        claims=SubscriberClaims(
            config.messaging.subscriber_claim,
            config.messaging.domain_claim,
            config.messaging.default_domain,
        ),
        asks_again=asks_again,
    )


def _authorize(authenticator: Authenticator, socket_grace: float) -> Authorize:
    async def authorize(request: Request, route: Route) -> Principal:
        """The token in the header; on the socket also in the query (CH-10), and there one that
        has expired for no longer than the grace may pass (CH-61)."""
        in_query = route.pattern.endswith("/websocket")
        return await authenticator.authenticate(
            authorization=request.headers.get("authorization"),
            query_token=request.params.get("access_token") if in_query else None,
            grace=socket_grace if in_query else 0,
        )

    return authorize


def _judge(parts: Parts) -> Callable[[str], Awaitable[str]]:
    async def judge(url: str) -> str:
        return (await parts.guard.judge(url)).origin

    return judge


def _check_secret(secret: str) -> None:
    Signer(secret)
