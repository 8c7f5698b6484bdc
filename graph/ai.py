"""Conversations with a language model: threads, messages, and answers as they are written."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, ClassVar

import strawberry

from domain.ai import chat, context, queries, streams, threads
from domain.ai.chat import LONGEST_QUESTION, Exchange
from domain.ai.models import AiMessageStatus, AiRole
from domain.ai.queries import MessageRow, ThreadRow
from domain.ai.streams import Delta
from domain.ai.threads import LONGEST_TITLE
from domain.base.paging import PageRequest
from domain.organizations import queries as organization_queries
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import column, computed, pages, subscription, to_one
from graph.base.ids import global_id, parse_id
from graph.base.live import own_of
from graph.base.nodes import Node
from graph.base.paging import Connection
from graph.base.payloads import DeletePayload
from graph.organizations import Organization
from graph.search import SearchHit, kept_hits

strawberry.enum(AiRole, description="Who says it.")
strawberry.enum(
    AiMessageStatus,
    description="Where a message stands. A question is DONE at once; an answer is STREAMING until it is DONE, FAILED "
    "or CANCELED.",
)


def _message_id(root: Delta) -> strawberry.ID:
    return strawberry.ID(global_id("ai_message", root.message_id))


@strawberry.type
class AiMessage(Node):
    """A question or an answer. Seen by whoever asked, while they are in the organization."""

    row: ClassVar[type[Any]] = MessageRow
    read: ClassVar = queries.by_ids

    role: AiRole = column("Who says it.")
    content: str = column(
        "Markdown. Of an answer that is being written, what there is so far. An address that stands neither in what "
        "the answer was written from nor in the conversation is left out of it.",
        long=True,
    )
    status: AiMessageStatus = column("Where it stands.")
    sources: list[SearchHit] = computed(
        kept_hits,
        needs=("sources",),
        length=context.MOST_NAMED,
        description="What an answer names, at most 20: [1] in its text is the first of them, and so on. What the "
        "viewer does not see any more is left out.",
    )
    input_tokens: int | None = column(
        "What the answer was asked with came to; null until it has ended, and where it was canceled."
    )
    output_tokens: int | None = column(
        "What the model said came to; null until the answer has ended, and where it was canceled."
    )
    created_at: datetime = column("When it was asked, or asked for.")


def message_page(first: int | None = 50, after: str | None = None) -> PageRequest:
    """Messages, the oldest first."""
    return queries.asked(first=first, after=after)


@strawberry.type
class AiThread(Node):
    """A conversation with a language model about what an organization has. Seen by its maker alone."""

    row: ClassVar[type[Any]] = ThreadRow
    read: ClassVar = queries.threads_by_ids

    organization: Organization = to_one(organization_queries.by_ids, key="org_id", description="What it is about.")
    title: str = column("As it was given, else the beginning of the first question; empty until there is one.")
    created_at: datetime = column("When it was begun.")
    messages: Connection[AiMessage] = pages(
        queries.of_threads, arguments=message_page, description="What was said, the oldest first."
    )


@strawberry.type
class AiMessageDelta:
    """Text at `offset` UTF-16 code units into the message; the last one carries the finished message."""

    message_id: strawberry.ID = computed(_message_id, needs=(), description="The message's id.")
    offset: int = strawberry.field(description="Where in the message the text begins, in UTF-16 code units.")
    text: str = strawberry.field(description="What stands there. Empty in the last one where nothing was left to tell.")
    message: AiMessage | None = strawberry.field(description="The message once it has ended; null before.")


@strawberry.type
class AiThreadPayload:
    """The thread."""

    thread: AiThread | None = strawberry.field(default=None, description="The thread; null when it was refused.")
    errors: list[UserError] = no_errors()


@strawberry.type
class AiMessagePayload:
    """A question and an answer to it."""

    user_message: AiMessage | None = strawberry.field(
        default=None, description="The question; null when it was refused."
    )
    assistant_message: AiMessage | None = strawberry.field(
        default=None, description="The answer; null when it was refused."
    )
    errors: list[UserError] = no_errors()

    @classmethod
    def of(cls, exchange: Exchange) -> "AiMessagePayload":
        """Both, as the payload shows them."""
        return cls(user_message=AiMessage.of(exchange.question), assistant_message=AiMessage.of(exchange.answer))


@strawberry.type
class AiMutations:
    """Changes of the viewer's conversations. None of them takes an API key."""

    @mutation
    async def ai_thread_create(
        self,
        info: Info,
        organization_id: strawberry.ID,
        title: Annotated[
            str | None,
            strawberry.argument(
                description=f"1 to {LONGEST_TITLE} characters. Without it the first question becomes the title."
            ),
        ] = None,
    ) -> AiThreadPayload | None:
        """Begin a conversation. Needs AI_USE."""
        org_id = parse_id(organization_id, "organization", "organizationId")
        return AiThreadPayload(thread=AiThread.of(await threads.create(info.context.actor, org_id, title=title)))

    @mutation
    async def ai_thread_delete(self, info: Info, id: strawberry.ID) -> DeletePayload | None:
        """Delete one of the viewer's conversations with all that was said. An answer that is being written ends."""
        await threads.delete(info.context.actor, parse_id(id, "ai_thread"))
        return DeletePayload(deleted_id=id)

    @mutation
    async def ai_message_send(
        self,
        info: Info,
        thread_id: Annotated[strawberry.ID, strawberry.argument(description="One of the viewer's threads.")],
        content: Annotated[str, strawberry.argument(description=f"1 to {LONGEST_QUESTION:,} characters.")],
    ) -> AiMessagePayload | None:
        """Ask something. Returns at once; the answer streams to aiMessageStream. Needs AI_USE.

        It is written from what the viewer may see of the organization. CONFLICT while the last answer is being
        written, LIMIT_REACHED when the month's tokens are used up, FEATURE_DISABLED without a language model;
        RATE_LIMITED after 20 in a minute.
        """
        exchange = await chat.send(
            info.context.actor, parse_id(thread_id, "ai_thread", "threadId"), content=content, **_model(info)
        )
        return AiMessagePayload.of(exchange)

    @mutation
    async def ai_message_cancel(self, info: Info, id: strawberry.ID) -> AiMessagePayload | None:
        """End an answer with what there is of it. CONFLICT when it is not being written any more."""
        return AiMessagePayload.of(await chat.cancel(info.context.actor, parse_id(id, "ai_message")))

    @mutation
    async def ai_message_retry(self, info: Info, id: strawberry.ID) -> AiMessagePayload | None:
        """A new answer to the same question, after FAILED or CANCELED. Refused as aiMessageSend is; else CONFLICT."""
        exchange = await chat.retry(info.context.actor, parse_id(id, "ai_message"), **_model(info))
        return AiMessagePayload.of(exchange)


@strawberry.type
class AiSubscriptions:
    """Answers as they are written."""

    @subscription
    async def ai_message_stream(
        self,
        info: Info,
        message_id: Annotated[strawberry.ID, strawberry.argument(description="One of the viewer's messages.")],
        after_offset: Annotated[
            int | None,
            strawberry.argument(
                description="How much of it the client has, in UTF-16 code units: the end of the last delta. In the "
                "midst of a character it begins with that character."
            ),
        ] = 0,
    ) -> AsyncIterator[AiMessageDelta]:
        """From `afterOffset` on, what has been written already first, then live; ends with the finished message.

        Nothing is left out or told twice, also by another process after a reconnect. NOT_FOUND for what is no message
        of the viewer's, and an API key has none; BAD_USER_INPUT for an offset beyond its end.
        """
        offset, answers = after_offset or 0, info.context.live.answers
        # Refused before it begins.
        begun = await streams.at(info.context.actor, parse_id(message_id, "ai_message", "messageId"), offset)
        found: Any = own_of(info, lambda actor, recheck: answers.deltas(actor, begun, offset, recheck))
        return found  # type: ignore[no-any-return]


def _model(info: Info) -> dict[str, Any]:
    adapters = info.context.adapters
    return {"model": adapters.language_model, "throttle": adapters.throttle}
