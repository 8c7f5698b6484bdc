"""What people ask a language model for and what comes back, and what an organization has used of one.

All but the use is a person's own, and none of it is in the log of events.
"""

from enum import StrEnum

from tortoise import fields
from tortoise.models import Model

from domain.base.clock import new_id
from domain.base.models import OrgModel


class AiRole(StrEnum):
    """Who says it."""

    USER = "USER"
    ASSISTANT = "ASSISTANT"


class AiMessageStatus(StrEnum):
    """Where a message stands. A question is DONE at once."""

    STREAMING = "STREAMING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class AiThread(OrgModel):
    """A person's conversation. Its lock lets one message after the other be asked for."""

    user_id = fields.UUIDField()
    title = fields.TextField()

    class Meta:
        table = "ai_thread"


class AiMessage(OrgModel):
    """A question or an answer. A question may have several answers, one after the other; one at a time is STREAMING.

    `claim` names the attempt that writes an answer, from its first moment on; it is null before. `version` goes up with
    every change.
    """

    thread_id = fields.UUIDField()
    user_id = fields.UUIDField()
    question_id = fields.UUIDField(null=True)
    role = fields.CharEnumField(AiRole, max_length=16)
    status = fields.CharEnumField(AiMessageStatus, max_length=16)
    content = fields.TextField(default="")
    # What was found for it, as domain/search/hits.py keeps hits.
    sources = fields.JSONField(default=list)  # type: ignore[var-annotated]
    input_tokens = fields.IntField(null=True)
    output_tokens = fields.IntField(null=True)
    claim = fields.UUIDField(null=True)
    version = fields.IntField(default=1)
    finished_at = fields.DatetimeField(null=True)

    class Meta:
        table = "ai_message"


class SearchQuery(OrgModel):
    """A search that was summarized, for whoever asked. `is_generated` where a language model wrote the summary."""

    user_id = fields.UUIDField()
    text = fields.TextField()
    summary = fields.TextField(null=True)
    sources = fields.JSONField(default=list)  # type: ignore[var-annotated]
    is_generated = fields.BooleanField(default=False)

    class Meta:
        table = "search_query"


class GeneratedImage(OrgModel):
    """A picture that somebody asked for. What becomes of it is the job's, and it goes with the job."""

    user_id = fields.UUIDField()
    prompt = fields.TextField()
    job_id = fields.UUIDField()

    class Meta:
        table = "generated_image"


class AiUsage(Model):
    """What an organization's calls of a language model came to in a month, by the calendar of UTC; one a month."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    org_id = fields.UUIDField()
    # Its first day.
    month = fields.DateField()
    tokens = fields.BigIntField(default=0)

    class Meta:
        table = "ai_usage"
