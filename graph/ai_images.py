"""Pictures that the language model's service draws."""

from collections.abc import Hashable
from datetime import datetime
from typing import Annotated, Any, ClassVar, cast

import strawberry

from domain.ai import image_queries, images
from domain.ai.image_queries import GeneratedImageRow
from domain.work import queries as job_queries
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import column, computed, to_one
from graph.base.ids import parse_id
from graph.base.nodes import Node
from graph.work import Job


async def _url(root: GeneratedImageRow, info: Info) -> str | None:
    # All of an operation's go into one batch.
    storage = cast(Hashable, info.context.adapters.storage)
    found: str | None = await info.context.load(images.addresses, root.job_id, storage)
    return found


@strawberry.type
class GeneratedImage(Node):
    """A picture that the viewer had drawn. It lasts 90 days, and its job with it."""

    row: ClassVar[type[Any]] = GeneratedImageRow
    read: ClassVar = image_queries.by_ids

    prompt: str = column("What it was to show.", long=True)
    url: str | None = computed(
        _url,
        needs=("job_id",),
        description="Signed for this viewer, good for five minutes, and shown in place by browsers; null until its job "
        "has succeeded, and without AI_USE.",
        long=True,
    )
    job: Job = to_one(job_queries.by_ids, key="job_id", description="What draws it.")
    created_at: datetime = column("When it was asked for.")


@strawberry.type
class AiImagePayload:
    """The picture."""

    image: GeneratedImage | None = strawberry.field(
        default=None, description="Not drawn yet; null when it was refused."
    )
    errors: list[UserError] = no_errors()


@strawberry.type
class AiImageMutations:
    """Pictures asked for."""

    @mutation
    async def ai_image_create(
        self,
        info: Info,
        organization_id: strawberry.ID,
        prompt: Annotated[str, strawberry.argument(description="What to show, in 1 to 4,000 characters.")],
    ) -> AiImagePayload | None:
        """Have a picture drawn, by a job. Needs AI_USE, and a person: API keys have no pictures.

        It counts as 4,000 tokens of the plan's. FEATURE_DISABLED where no language model is set up.
        """
        adapters = info.context.adapters
        image = await images.create(
            info.context.actor,
            parse_id(organization_id, "organization", "organizationId"),
            prompt=prompt,
            model=adapters.language_model,
            throttle=adapters.throttle,
        )
        return AiImagePayload(image=GeneratedImage.of(image))
