"""What `tocsin serve --welcome` prints: everything needed to try the daemon at once."""

import time

from tocsin.config import Config
from tocsin.wire.jwk import shared_secret
from tocsin.wire.jwt import mint

USER = "alice@example.com"
LIFETIME = 8 * 3600

TEXT = """
tocsin is ready.

  REST, WebSockets   {public}
  metrics, health    {admin}/metrics  {admin}/readyz

Tokens, good for eight hours (user {user}):

  export TOCSIN={public}
  export CHANNELS={channels}
  export PUBLISH={publish}
  export ADMIN={operator}

{chat}Paste these lines into another terminal, then try:

1. A channel and a subscription:

  CHANNEL=$(curl -s $TOCSIN{prefix}/notificationchannel/v1/{user}/channels \\
    -H "Authorization: Bearer $CHANNELS" -H 'Content-Type: application/json' \\
    -d '{{"notificationChannel":{{"channelType":"websockets","clientCorrelator":"tab-1"}}}}' \\
    | tee /dev/stderr | grep -o 'ws-[0-9a-f-]*' | head -1)

  curl -s $TOCSIN{prefix}/chat/v1/{user}/subscriptions \\
    -H "Authorization: Bearer $CHANNELS" -H 'Content-Type: application/json' \\
    -d '{{"chatNotificationSubscription":{{"callbackReference":{{"notifyURL":"'$CHANNEL'"}}}}}}'

2. In a third terminal, with the same variables, a socket that listens:

  .venv/bin/tocsin listen --url $TOCSIN --token $CHANNELS $CHANNEL

3. A notification:

  curl -s $TOCSIN/v1/notifications -H "Authorization: Bearer $PUBLISH" \\
    -H 'Content-Type: application/json' \\
    -d '{{"user":"{user}","service":"chat",
         "notification":{{"chatMessageNotification":{{"chatMessage":{{"text":"hello"}}}}}}}}'

Stop with Ctrl-C, or kill it: what was answered 202 is delivered after the next start.
"""

CHAT = """Messages: open one of these in a browser, the other in a second window:

  alice  {alice}
  bob    {bob}

"""


def welcome(config: Config, public: str, admin: str) -> str:
    """The text, with fresh tokens; needs `auth.shared_secret`."""
    return TEXT.format(
        public=f"http://{public}",
        admin=f"http://{admin}",
        prefix=config.netapi.prefix,
        user=USER,
        channels=_token(config, scope="channels", sub=USER, preferred_username=USER),
        publish=_token(config, scope="publish", sub=USER, preferred_username=USER),
        operator=_token(config, scope="admin", sub=USER, preferred_username=USER),
        chat=_chat(config, admin) if config.messaging.chat_page else "",
    )


def _chat(config: Config, admin: str) -> str:
    """Links that a browser is somebody by."""
    links = {
        name: f"http://{admin}/chat#token={_subscriber_token(config, name)}"
        for name in ("alice", "bob")
    }
    return CHAT.format(**links)


def _subscriber_token(config: Config, name: str) -> str:
    messaging = config.messaging
    domain = messaging.default_domain
    claims = {
        "sub": name,
        "preferred_username": messaging.user_template.format(subscriber=name, domain=domain),
        messaging.subscriber_claim: name,
    }
    return _token(config, scope="messaging", **claims)


def _token(config: Config, **claims: str) -> str:
    if config.auth.shared_secret is None:
        return "(set auth.shared_secret to have tokens made here)"
    ours = {"client_id": "welcome", "iss": config.auth.issuer, "aud": config.auth.audience}
    given = {name: value for name, value in ours.items() if value is not None}
    return mint(
        given | claims,
        shared_secret(config.auth.shared_secret),
        now=time.time(),
        lifetime=LIFETIME,
    )
