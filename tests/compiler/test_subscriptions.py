"""Every event of a subscription through the compiler and through graphql-core, replayed from one place of the log."""

from contextlib import aclosing
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from domain.adapters.wiring import Adapters
from domain.base import clock
from domain.base.settings import Settings
from domain.notifications import cursors
from graph.base.context import Context
from graph.base.live import Live
from graph.base.requests import Asked
from graph.execution import Engine
from tests.client import GraphQL, engine
from tests.compiler.referee import Outcome, disagreement, reference, unpropagated
from tests.isolation.calls import SCHEMA
from tests.isolation.selections import selection
from tests.isolation.world import make_world
from tests.notifications.telling import tell_all

FIELDS = {"events": ("organizationId", 12), "membershipChanged": ("organizationId", 1), "taskChanged": ("projectId", 8)}
"""What each follows, and how many of its events are looked at."""


async def replayed(by: Engine, who: GraphQL, document: str, variables: dict[str, Any], context: Any, most: int) -> Any:
    """The first events that the subscription gives."""
    settings, adapters, live = context
    scope = {"type": "websocket", "headers": [(b"x-request-id", b"referee")], "client": ("192.0.2.1", 50000)}
    params = {"authorization": f"Bearer {who.token}"}
    given = Context(settings, adapters, HTTPConnection(scope), None, live, connection_params=params)
    request = Asked(document, variables=variables)
    found: list[Outcome] = []
    async with aclosing(by.follow(await by.found(request), request, given)) as answers:
        async for answer in answers:
            found.append(Outcome.of(answer))
            if len(found) == most or found[-1].data is None:
                break
    return found


@pytest.mark.parametrize("field", FIELDS)
async def test_events_are_shown_alike(settings: Settings, adapters: Adapters, field: str) -> None:
    world = await make_world("gibbon", "GIB")
    data = await world.admin.client.ok(
        "query ($id: ID!) { changes(organizationId: $id, first: 1) { pageInfo { endCursor } } }",
        id=world.id("organization"),
    )
    await world.admin.client.ok(
        "mutation ($id: ID!) { membershipUpdate(id: $id, role: MEMBER) { errors { message } } }",
        id=world.id("membership"),
    )
    # The first use of the key is told to the minute, so it comes before both runs.
    await GraphQL(world.secret).ok("{ __typename }")
    kind, most = FIELDS[field]
    assert SCHEMA.subscription_type is not None
    picked = selection(SCHEMA, SCHEMA.subscription_type.fields[field].type, 2)
    document = f"subscription ($id: ID!, $after: String) {{ {field}({kind}: $id, after: $after) {picked} }}"
    variables = {
        "id": world.id(kind.removesuffix("Id")),
        "after": data["changes"]["pageInfo"]["endCursor"],
    }

    live = Live.of(adapters)
    async with live.running():
        with clock.frozen(clock.now()):
            runs = [
                await replayed(executor, who, document, variables, (settings, adapters, live), most)
                for executor in (engine, reference(), unpropagated())
                for who in (world.admin.client, GraphQL(world.secret))
            ]

    mine, theirs, possible = (runs[n] + runs[n + 1] for n in (0, 2, 4))
    assert len(mine) == len(theirs) == 2 * most
    for answers in zip(mine, theirs, possible, strict=True):
        assert disagreement(answers[0], answers[1], answers[2].errors) is None, answers


INBOX = {"notificationAdded": "(after: $after)", "unreadNotificationCount": ""}


@pytest.mark.parametrize("field", INBOX)
async def test_an_inbox_is_shown_alike(settings: Settings, adapters: Adapters, field: str) -> None:
    world = await make_world("gibbon", "GIB")
    await tell_all(world.tenant.org_id)
    assert SCHEMA.subscription_type is not None
    picked = selection(SCHEMA, SCHEMA.subscription_type.fields[field].type, 2)
    declared = "($after: String)" if INBOX[field] else ""
    document = f"subscription {declared} {{ {field}{INBOX[field]} {picked} }}"
    variables = {"after": cursors.write(settings, world.admin.user_id, 0)} if INBOX[field] else {}

    live = Live.of(adapters)
    async with live.running():
        with clock.frozen(clock.now()):
            mine, theirs, possible = [
                await replayed(by, world.admin.client, document, variables, (settings, adapters, live), 1)
                for by in (engine, reference(), unpropagated())
            ]

    assert len(mine) == len(theirs) == 1
    assert mine[0].data is not None
    assert disagreement(mine[0], theirs[0], possible[0].errors) is None, (mine, theirs)


async def test_an_answer_is_shown_alike(settings: Settings, adapters: Adapters) -> None:
    world = await make_world("galago", "GAL")
    assert SCHEMA.subscription_type is not None
    picked = selection(SCHEMA, SCHEMA.subscription_type.fields["aiMessageStream"].type, 3)
    document = f"subscription ($id: ID!) {{ aiMessageStream(messageId: $id) {picked} }}"
    variables = {"id": world.id("failed ai_message")}

    live = Live.of(adapters)
    async with live.running():
        with clock.frozen(clock.now()):
            mine, theirs, possible = [
                await replayed(by, world.admin.client, document, variables, (settings, adapters, live), 1)
                for by in (engine, reference(), unpropagated())
            ]

    assert len(mine) == len(theirs) == 1
    assert mine[0].data is not None
    assert disagreement(mine[0], theirs[0], possible[0].errors) is None, (mine, theirs)
