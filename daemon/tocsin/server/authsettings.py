"""`[auth]`: whose tokens are accepted, and how they are read (channels.md, section 2)."""

import attrs

from tocsin.delivery.revocations import RevocationSettings
from tocsin.model.option import option, section
from tocsin.model.principal import SCOPES
from tocsin.server import introspection, issuer
from tocsin.server.introspection import IntrospectionSettings, is_address
from tocsin.server.issuer import BuiltinSettings, not_empty
from tocsin.wire.jwk import shared_secret


@attrs.frozen
class AuthSettings:
    """`[auth]`"""

    issuer: str | None = option(None, "The `iss` every token must have.")
    audience: str | None = option(None, "The `aud` every token must have, alone or in a list.")
    user_claim: str = option(
        "preferred_username", "The claim that names the user; without it `sub` does."
    )
    project_claim: str = option(
        "project", "The claim that names the project whose portal subscriptions a token may make."
    )
    default_scopes: list[str] = option(
        ["channels"], "Scopes of a token that has none of ours.", choices=SCOPES, check=not_empty
    )
    shared_secret: str | None = option(
        None, "Secret of tokens signed with HS256, 32 bytes or more.", secret=True
    )
    jwks_file: str | None = option(None, "File with a JWK set (RS256, ES256, EdDSA).")
    jwks_url: str | None = option(None, "Address of a JWK set, instead of a file.")
    jwks_refresh: float = option(
        3600, "Seconds between fetches of the set when nothing asks for one.", minimum=60
    )
    cache_size: int = option(
        10_000, "Verified tokens kept; beyond it the least recently used goes.", minimum=1
    )
    cache_seconds: float = option(
        300, "Seconds until a kept token is verified anew.", minimum=0, maximum=3600
    )
    builtin: BuiltinSettings = section(BuiltinSettings, "Tokens from our own endpoint.")
    introspection: IntrospectionSettings = section(
        IntrospectionSettings, "Tokens whose issuer is asked about them."
    )
    revocation: RevocationSettings = section(RevocationSettings, "Tokens revoked here.")

    @property
    def has_keys(self) -> bool:
        """Whether signed tokens can be verified here."""
        return any((self.shared_secret, self.jwks_file, self.jwks_url))

    @property
    def revocations(self) -> RevocationSettings:
        """`revocation`, which lasts at least as long as our own tokens live."""
        lifetime = self.builtin.lifetime if self.builtin.enabled else 0
        return attrs.evolve(self.revocation, lasts=max(self.revocation.lasts, lifetime))


def check(settings: AuthSettings) -> list[str]:
    """What is wrong with these settings as a whole, one line each, with the option's path."""
    problems = []
    if not settings.has_keys and settings.introspection.url is None:
        problems.append(
            "auth: set jwks_url, jwks_file or shared_secret, or introspection.url, or no token can "
            "be valid"
        )
    if settings.jwks_file and settings.jwks_url:
        problems.append("auth.jwks_file: cannot stand next to auth.jwks_url")
    if settings.jwks_url and not is_address(settings.jwks_url):
        problems.append("auth.jwks_url: must be an http or https address")
    if settings.shared_secret and (problem := _secret_problem(settings.shared_secret)):
        problems.append(f"auth.shared_secret: {problem}")
    if settings.builtin.enabled and not settings.shared_secret:
        problems.append("auth.builtin.enabled: needs auth.shared_secret")
    return problems + issuer.check(settings.builtin) + introspection.check(settings.introspection)


def _secret_problem(secret: str) -> str | None:
    try:
        shared_secret(secret)
    except ValueError as error:
        return str(error)
    return None
