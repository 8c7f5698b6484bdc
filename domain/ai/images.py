"""Pictures that a model draws: asked for by a person, drawn by a job, kept as that job's result.

The job's file and the row of the picture go together, KEPT_FOR after it was drawn.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID

from domain.adapters.language_model import Image, LanguageModel, Usage, estimated_tokens
from domain.adapters.model_errors import ModelRefused
from domain.adapters.storage import Storage
from domain.adapters.throttle import Throttle
from domain.ai import budget, image_queries
from domain.ai.image_queries import GeneratedImageRow
from domain.ai.models import GeneratedImage
from domain.base.actor import Actor, ActorKind, ActorRef
from domain.base.clock import new_id, now
from domain.base.database import fetch_value, tx
from domain.base.errors import Faults, FeatureDisabled, Unavailable
from domain.base.permissions import Permission
from domain.base.sql import sql
from domain.organizations import callers
from domain.work import queries as jobs
from domain.work import results
from domain.work import service as work
from domain.work.models import JobKind
from domain.work.queries import JobRow
from domain.work.running import Progress, Result

HANDLER = "images.draw"
LONGEST_PROMPT = 4_000
KEPT_FOR = timedelta(days=90)
# The adapter gives a picture four minutes.
LONGEST_S = 300.0
_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


async def create(
    actor: Actor, org_id: UUID, *, prompt: str, model: LanguageModel | None, throttle: Throttle
) -> GeneratedImageRow:
    """Have a picture drawn of what the prompt says; the picture, whose job is QUEUED.

    Raises Unauthenticated for an API key; what `budget.admit` raises; UserErrors (prompt); LimitReached (open_jobs).
    """
    user_id = actor.require_person()
    await budget.admit(actor, org_id, model, throttle)
    faults = Faults()
    faults.text(prompt, "prompt", least=1, most=LONGEST_PROMPT)
    faults.check()
    image_id = new_id()
    async with tx():
        job = await work.ask(actor, org_id, JobKind.IMAGE, Permission.AI_USE, HANDLER, {})
        await GeneratedImage.create(id=image_id, org_id=org_id, user_id=user_id, prompt=prompt.strip(), job_id=job.id)
        return await image_queries.by_ids.get(actor, image_id)


async def draw(job: JobRow, progress: Progress, *, model: LanguageModel | None) -> Result:
    """The picture that the job was asked for, in the name of whoever asked.

    It is charged before it is asked for, since a job that is canceled, or whose process dies, has used it; where the
    service says that there is none, it is given back.

    Raises NotFound for who has left; Forbidden (AI_USE); FeatureDisabled; LimitReached (ai_tokens_month); ModelRefused;
    Unavailable, after which it is drawn anew.
    """
    actor = await callers.of_ref(ActorRef(ActorKind(job.asked_by_kind), job.asked_by_id), job.org_id)
    actor.require(Permission.AI_USE, org_id=job.org_id)
    if model is None:
        raise FeatureDisabled("This deployment has no OPENAI_API_KEY any more.")
    await budget.require(job.org_id)
    prompt: str = await fetch_value(sql("SELECT prompt FROM generated_image WHERE job_id = {}", job.id))
    progress.tell(0.0, "drawing")
    usage = Usage(estimated_tokens(prompt), budget.IMAGE_TOKENS, is_estimated=True)
    await budget.charge(job.org_id, usage)
    try:
        image = await model.image(prompt)
    except (ModelRefused, Unavailable):
        await budget.give_back(job.org_id, usage)
        raise
    name = f"image-{now():%Y-%m-%d}.{_ENDINGS[image.content_type]}"
    return Result(name, image.content_type, _whole(image), kept_for=KEPT_FOR)


async def addresses(actor: Actor, job_ids: Sequence[UUID], storage: Storage) -> dict[UUID, str]:
    """Job -> where its picture can be seen for five minutes; one without a picture for the caller is left out.

    Raises Unavailable.
    """
    found = {}
    for job in (await jobs.by_ids(actor, job_ids, ("id", *results.NEEDED))).values():
        # Its type was found in its bytes, and is one that browsers draw.
        if (address := await results.address(actor, job, storage, inline=True)) is not None:
            found[job.id] = address
    return found


async def _whole(image: Image) -> AsyncIterator[bytes]:
    yield image.content
