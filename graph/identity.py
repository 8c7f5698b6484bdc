"""People: the viewer with what only they see, everybody whom they may see, and who did what."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import urlsplit
from uuid import UUID

import orjson
import strawberry

from domain.ai import image_queries, search_queries
from domain.ai import queries as ai_queries
from domain.base.actor import Actor as Caller
from domain.base.database import act_for, after_commit
from domain.base.paging import PageRequest, request
from domain.base.permissions import Permission, Role
from domain.base.setting_values import is_loopback
from domain.identity import accounts, queries, sessions
from domain.identity.queries import PreferencesRow, SessionRow, UserRow
from domain.identity.sessions import Started
from domain.invitations import signing_up
from domain.notifications import queries as notification_queries
from domain.organizations import actors, memberships
from domain.organizations import queries as org_queries
from domain.organizations.api_keys import MOST_KEYS
from domain.tasks import queries as task_queries
from domain.work import queries as job_queries
from graph.base.auth import COOKIE
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import (
    changes,
    column,
    computed,
    count,
    found,
    itself,
    optional,
    pages,
    required,
    to_many,
    to_one,
)
from graph.base.ids import global_id, parse_id
from graph.base.nodes import FromRow, Node
from graph.base.outcomes import shown_once
from graph.base.paging import Connection
from graph.base.payloads import DeletePayload, DonePayload
from graph.base.scalars import JSON
from graph.base.selection import columns
from graph.task_filters import task_page

if TYPE_CHECKING:
    from graph.ai import AiThread
    from graph.ai_images import GeneratedImage
    from graph.api_keys import ApiKey
    from graph.notifications import Notification
    from graph.organizations import Organization
    from graph.search_summaries import SearchQuery
    from graph.tasks import Task
    from graph.work import Job

# Strawberry wants an enum registered before the first type that uses it; every file that does imports this one.
strawberry.enum(Permission, description="What a role or a key allows inside one organization.")
strawberry.enum(Role, description="What a member is in an organization.")

MailedToken = Annotated[str, strawberry.argument(description="The token in the mailed link.")]


@strawberry.type
class User(Node):
    """A person."""

    row: ClassVar[type[Any]] = UserRow
    read: ClassVar = queries.by_ids

    name: str = column("As the person writes it.")
    email: str | None = column("Null unless it is the viewer or a member of one of the viewer's organizations.")
    avatar_url: str | None = column("An https address.")
    created_at: datetime = column("When the account was made.")


def _api_key_id(root: Any) -> strawberry.ID:
    return strawberry.ID(global_id("api_key", root.id))


@strawberry.type
class ApiKeyActor(FromRow):
    """An API key as the doer of something; it keeps its name when it is revoked."""

    row: ClassVar[type[Any]] = actors.ApiKeyActorRow

    id: strawberry.ID = computed(_api_key_id, needs=("id",), description="The key's id.")
    name: str = column("The key's name.")


@strawberry.type
class SystemActor(FromRow):
    """The product itself."""

    row: ClassVar[type[Any]] = actors.SystemActor

    name: str = column("What to call it.")


Actor = Annotated[
    User | ApiKeyActor | SystemActor,
    strawberry.union("Actor", description="Who did it: a person, an API key or the system itself."),
]


def _is_current(root: Any, info: Info) -> bool:
    return bool(root.id == info.context.actor.session_id)


@strawberry.type
class Session(Node):
    """A sign-in on one device."""

    row: ClassVar[type[Any]] = SessionRow
    read: ClassVar = queries.sessions_by_ids

    user_agent: str | None = column("What the browser or program called itself at sign-in.")
    created_at: datetime = column("When it began.")
    last_used_at: datetime = column("The last use, to the minute.")
    expires_at: datetime = column("When it ends unless it is used before.")
    is_current: bool = computed(_is_current, needs=("id",), description="Whether this request came with it.")


def _settings(root: Any) -> Any:
    return orjson.loads(root.settings)


@strawberry.type
class Preferences(FromRow):
    """What the viewer chose. The switches say which kinds are mailed too; all kinds reach the inbox."""

    row: ClassVar[type[Any]] = PreferencesRow

    locale: str = column("A BCP 47 language tag.")
    time_zone: str = column("A name of the IANA time zone database.")
    email_on_assignment: bool = column("A task was assigned to me.")
    email_on_mention: bool = column("A comment mentions me.")
    email_on_invitation: bool = column("An invitation I sent was accepted.")
    settings: JSON = computed(_settings, needs=("settings",), description="Whatever a client keeps here.", long=True)
    updated_at: datetime = column("The last change.")


async def _api_key(info: Info) -> Any:
    key_id = info.context.actor.api_key_id
    return None if key_id is None else await info.context.load(org_queries.api_keys_by_ids, key_id, columns(info))


def notification_page(
    first: int | None = 20,
    after: str | None = None,
    unread_only: Annotated[bool | None, strawberry.argument(description="Leave out what was read.")] = False,
) -> PageRequest:
    """Notifications, the newest first."""
    return notification_queries.asked(first=first, after=after, unread_only=bool(unread_only))


def organization_page(first: int | None = 20, after: str | None = None) -> PageRequest:
    """Organizations A to Z."""
    return request(org_queries.BY_NAME, first=first, after=after)


def job_page(first: int | None = 20, after: str | None = None) -> PageRequest:
    """Jobs, the newest first."""
    return job_queries.asked(first=first, after=after)


def ai_thread_page(organization_id: strawberry.ID, first: int | None = 20, after: str | None = None) -> PageRequest:
    """Threads of one organization, the newest first."""
    org_id = parse_id(organization_id, "organization", "organizationId")
    return ai_queries.asked_threads(org_id, first=first, after=after)


def search_query_page(first: int | None = 20, after: str | None = None) -> PageRequest:
    """Searches, the newest first."""
    return search_queries.asked(first=first, after=after)


def image_page(first: int | None = 20, after: str | None = None) -> PageRequest:
    """Pictures, the newest first."""
    return image_queries.asked(first=first, after=after)


@strawberry.type
class Viewer(FromRow):
    """The account behind the request."""

    # Its rows are read with every column: there is one, and `user` is the same row.
    row: ClassVar[type[Any]] = UserRow
    read: ClassVar = queries.by_ids

    user: User = itself(
        "With an API key: whoever made it. The key's rights are never more than its maker's rights today."
    )
    api_key: Annotated["ApiKey", strawberry.lazy("graph.api_keys")] | None = computed(
        _api_key, needs=("id",), description="Set when the request came with an API key."
    )
    email: str = column("The address to sign in with.")
    email_verified: bool = column("Whether the address is known to be the viewer's.")
    organizations: Connection[Annotated["Organization", strawberry.lazy("graph.organizations")]] = pages(
        org_queries.of_users,
        arguments=organization_page,
        description="Those that the viewer is a member of, A to Z.",
    )
    assigned_tasks: Connection[Annotated["Task", strawberry.lazy("graph.tasks")]] = pages(
        task_queries.of_assignees,
        arguments=task_page,
        description="What the viewer is to do, across its organizations: by state and rank, or as asked.",
    )
    sessions: list[Session] = to_many(
        queries.sessions_of,
        length=queries.MOST_SESSIONS,
        description="The last used first, at most 100; none for an API key.",
    )
    api_keys: list[Annotated["ApiKey", strawberry.lazy("graph.api_keys")]] = to_many(
        org_queries.api_keys_of_users,
        length=MOST_KEYS,
        description="Those that the viewer made and nobody revoked; at most 100 for each organization.",
    )
    notifications: Connection[Annotated["Notification", strawberry.lazy("graph.notifications")]] = pages(
        notification_queries.of_users,
        arguments=notification_page,
        description="The viewer's inbox, the newest first, without organizations that the viewer has left; "
        "none for an API key.",
    )
    unread_notification_count: int = count(
        notification_queries.unread_of_users, description="How many of these are unread."
    )
    jobs: Connection[Annotated["Job", strawberry.lazy("graph.work")]] = pages(
        job_queries.of_users,
        arguments=job_page,
        description="What the viewer has asked for that takes long, the newest first, without organizations that the "
        "viewer has left. An API key has its own.",
    )
    ai_threads: Connection[Annotated["AiThread", strawberry.lazy("graph.ai")]] = pages(
        ai_queries.threads_of_users,
        arguments=ai_thread_page,
        description="The viewer's conversations with a language model, the newest first; none for an API key, nor in "
        "an organization that the viewer is not in.",
    )
    search_queries: Connection[Annotated["SearchQuery", strawberry.lazy("graph.search_summaries")]] = pages(
        search_queries.of_users,
        arguments=search_query_page,
        description="Searches that the viewer had summarized, the newest first, without organizations that the viewer "
        "has left; none for an API key.",
    )
    generated_images: Connection[Annotated["GeneratedImage", strawberry.lazy("graph.ai_images")]] = pages(
        image_queries.of_users,
        arguments=image_page,
        description="Pictures that the viewer had drawn, the newest first, without organizations that the viewer has "
        "left; none for an API key.",
    )
    preferences: Preferences = to_one(queries.preferences_of, key="id", description="What the viewer chose.")


@strawberry.input
class SignUpInput:
    """A new account."""

    email: str = required("Compared trimmed and lower-cased; one account each.")
    password: str = required("10 to 200 characters.")
    name: str = required("1 to 100 characters.")
    invitation_token: str | None = optional("Of an invitation to this address, which is accepted along with it.")


@strawberry.input
class SignInInput:
    """Credentials."""

    email: str = required("The account's address.")
    password: str = required("Its password.")


@strawberry.input
class ProfileUpdateInput:
    """Changes of the viewer's profile."""

    name: str | None = optional("1 to 100 characters.")
    avatar_url: str | None = optional("An https address; null removes it.")


@strawberry.input
class PreferencesUpdateInput:
    """Changes of the viewer's preferences."""

    locale: str | None = optional("A BCP 47 language tag.")
    time_zone: str | None = optional("A name of the IANA time zone database.")
    email_on_assignment: bool | None = optional("Mail when a task was assigned to me.")
    email_on_mention: bool | None = optional("Mail when a comment mentions me.")
    email_on_invitation: bool | None = optional("Mail when an invitation I sent was accepted.")
    settings: JSON | None = optional("Any JSON of at most 16 KiB and 20 levels; null empties it.")


@strawberry.type
class AuthPayload:
    """A session that has just begun."""

    viewer: Viewer | None = strawberry.field(default=None, description="Who signed in; null when it was refused.")
    token: str | None = shown_once("Bearer token; shown once.")
    session: Session | None = strawberry.field(default=None, description="The session.")
    errors: list[UserError] = no_errors()


@strawberry.type
class ViewerPayload:
    """The viewer after the change."""

    viewer: Viewer | None = strawberry.field(default=None, description="The viewer; null when it was refused.")
    errors: list[UserError] = no_errors()


def _viewer_id(info: Info) -> UUID | None:
    operation = info.context.operation
    if operation.caller is None and operation.refusal is None:
        return None
    return operation.actor.user_id


@strawberry.type
class IdentityQueries:
    """Reads of the viewer's account."""

    viewer: Viewer | None = found(
        queries.by_ids, key=_viewer_id, whole=True, description="Who asks. Null when no credentials were sent."
    )


@strawberry.type
class IdentityMutations:
    """Changes of the viewer's account. None of them takes an API key."""

    @mutation(credential=True)
    async def sign_up(self, info: Info, input: SignUpInput) -> AuthPayload | None:
        """Make an account and sign in; a link to verify the address is mailed. A browser gets a cookie too.

        With the token of a pending invitation to this address, the address counts as verified and the invitation is
        accepted in the same transaction.
        """
        started = await signing_up.sign_up(info.context.settings, **changes(input), **origin_of(info))
        return await _begun(info, started)

    @mutation(credential=True)
    async def sign_in(self, info: Info, input: SignInInput) -> AuthPayload | None:
        """Begin a session. A browser gets it as a cookie too."""
        return await _begun(info, await accounts.sign_in(**changes(input), **origin_of(info)))

    @mutation(credential=True)
    async def sign_out(self, info: Info) -> DonePayload | None:
        """End the present session."""
        await sessions.sign_out(info.context.actor)
        signed_out(info)
        return DonePayload(done=True)

    @mutation
    async def session_revoke(self, info: Info, id: strawberry.ID) -> DeletePayload | None:
        """End one of the viewer's sessions."""
        session_id, actor = parse_id(id, "session"), info.context.actor
        await sessions.revoke(actor, session_id)
        if session_id == actor.session_id:
            # Under a key the session has not ended before the commit, and may live on.
            after_commit(partial(signed_out, info))
        return DeletePayload(deleted_id=id)

    @mutation
    async def sessions_revoke_others(self, info: Info) -> DonePayload | None:
        """End all of the viewer's sessions but the present one."""
        await sessions.revoke_others(info.context.actor)
        return DonePayload(done=True)

    @mutation
    async def profile_update(self, info: Info, input: ProfileUpdateInput) -> ViewerPayload | None:
        """Change the viewer's name or picture."""
        return ViewerPayload(viewer=Viewer.of(await accounts.profile_update(info.context.actor, **changes(input))))

    @mutation
    async def preferences_update(self, info: Info, input: PreferencesUpdateInput) -> ViewerPayload | None:
        """Change the viewer's preferences."""
        actor = info.context.actor
        await accounts.preferences_update(actor, **changes(input))
        return ViewerPayload(viewer=Viewer.of(await own_row(actor)))


async def own_row(actor: Caller) -> UserRow:
    """The viewer's row, with every column."""
    return await queries.by_ids.get(actor, actor.user_id)


def counted(info: Info) -> dict[str, Any]:
    """Where a mailed token or an address comes from, and what counts it."""
    return {"client_address": info.context.client_address, "throttle": info.context.adapters.throttle}


def origin_of(info: Info) -> dict[str, Any]:
    """Where a password or a sign-up comes from, and what counts it."""
    return {**counted(info), "user_agent": info.context.headers.get("user-agent")}


async def _begun(info: Info, started: Started) -> AuthPayload:
    """Who has just signed in is the caller for the rest of the operation."""
    standings = await memberships.standings_of(started.user_id)
    actor = Caller.of_user(started.user_id, standings, session_id=started.session_id)
    _run_as(info, actor)
    if (response := info.context.response) is not None:
        lifetime_s = int(sessions.LIFETIME.total_seconds())
        response.set_cookie(COOKIE, started.token, max_age=lifetime_s, **_cookie(info))
    session = await queries.sessions_by_ids.get(actor, started.session_id)
    return AuthPayload(viewer=Viewer.of(await own_row(actor)), token=started.token, session=Session.of(session))


def signed_out(info: Info) -> None:
    """Nobody is signed in for the rest of the operation."""
    _run_as(info, None)
    if (response := info.context.response) is not None:
        response.delete_cookie(COOKIE, **_cookie(info))


def _run_as(info: Info, caller: Caller | None) -> None:
    operation = info.context.operation
    operation.caller, operation.refusal = caller, None
    operation.forget()
    act_for(caller.standings if caller else {})


def _cookie(info: Info) -> dict[str, Any]:
    """How the cookie is sent: out of reach for scripts, not with other sites' requests, encrypted but on loopback."""
    host = urlsplit(info.context.settings.public_url).hostname or ""
    return {"path": "/", "httponly": True, "samesite": "lax", "secure": not is_loopback(host)}
