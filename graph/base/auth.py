"""Credentials of a request or socket -> Actor. Below this line nobody sees a request."""

from dataclasses import dataclass

from domain.base.actor import Actor
from domain.base.errors import Unauthenticated
from domain.organizations import api_keys, callers
from graph.base.context import Context

COOKIE = "planwire_session"


@dataclass(frozen=True)
class Credentials:
    """What the other end sent: a token, and whether it is a browser's cookie, which is sent without being asked."""

    token: str
    is_cookie: bool


def credentials_of(context: Context) -> Credentials | None:
    """The Authorization header, else connection_init's `authorization`, else the cookie. None when nothing was sent."""
    params = {str(name).lower(): value for name, value in (context.connection_params or {}).items()}
    for sent in (context.headers.get("authorization"), params.get("authorization")):
        if sent is not None:
            scheme, _, token = str(sent).partition(" ")
            return Credentials(token.strip() if scheme.lower() == "bearer" else "", is_cookie=False)
    cookie = context.connection.cookies.get(COOKIE)
    return Credentials(cookie, is_cookie=True) if cookie else None


async def actor_of(credentials: Credentials | None) -> Actor | None:
    """The caller, or None when no credentials were sent.

    Raises Unauthenticated when a token does not hold. A cookie that ended counts as none: a browser cannot drop it.
    """
    if credentials is None:
        return None
    if person := await callers.signed_in(credentials.token):
        return person
    if credentials.is_cookie:
        return None
    if actor := await api_keys.authenticate(credentials.token):
        return actor
    raise Unauthenticated("The token is unknown or has ended.")
