"""Who was let in, as the guard gives it to SockJS and SockJS to the application."""

import attrs

from tocsin.model.principal import Principal


@attrs.frozen(eq=False)
class Admitted:
    """A subscriber by a token that was found good.

    `correlator` is the clientCorrelator of the device, as the query names it (MS-50). `token` is
    kept to ask its issuer again (MS-11).
    """

    principal: Principal
    subscriber_id: str
    domain: str
    correlator: str | None = None
    token: str = attrs.field(default="", repr=False)
