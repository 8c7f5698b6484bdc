"""The index: what can be found by its words, its passages and their vectors, and which model's vectors answer.

Columns whose types Tortoise does not know stand in migration 0017_search: `search_document.words`, and the whole of
`search_vector`, which has the embeddings.
"""

from enum import StrEnum

from tortoise import fields
from tortoise.models import Model

from domain.base.clock import new_id, now


class Subject(StrEnum):
    """What a search finds."""

    TASK = "TASK"
    COMMENT = "COMMENT"
    PROJECT = "PROJECT"


class ModelState(StrEnum):
    """SERVING: its vectors answer. BUILDING: they are being made. RETIRED: they are being removed."""

    BUILDING = "BUILDING"
    SERVING = "SERVING"
    RETIRED = "RETIRED"


class SearchDocument(Model):
    """The text of a task, a comment or a project, which triggers of their tables keep.

    `project_id` of a project is its own. A comment is archived with its task. `changed_at` is when the title or the
    body was changed, by the database's clock.
    """

    subject_id = fields.UUIDField(primary_key=True)
    org_id = fields.UUIDField()
    kind = fields.CharEnumField(Subject, max_length=16)
    project_id = fields.UUIDField()
    # Of a comment alone.
    task_id = fields.UUIDField(null=True)
    archived = fields.BooleanField(default=False)
    # Of a project its key; a comment has neither identifier nor title.
    identifier = fields.TextField()
    title = fields.TextField()
    body = fields.TextField()
    changed_at = fields.DatetimeField(default=now)

    class Meta:
        table = "search_document"


class SearchPending(Model):
    """That the document has other text than its passages. `since` is when the first change was that they lack."""

    subject_id = fields.UUIDField(primary_key=True)
    org_id = fields.UUIDField()
    since = fields.DatetimeField(default=now)

    class Meta:
        table = "search_pending"


class SearchPassage(Model):
    """A piece of a document that is embedded by itself. Its digest says whether it is the same as before."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    org_id = fields.UUIDField()
    subject_id = fields.UUIDField()
    # Its place in the document.
    ordinal = fields.IntField()
    text = fields.TextField()
    content_hash = fields.BinaryField()

    class Meta:
        table = "search_passage"


class SearchModel(Model):
    """A model whose vectors are kept. `name` is what `Embeddings.model` says. At most one is SERVING."""

    id = fields.SmallIntField(primary_key=True)
    name = fields.TextField()
    dimensions = fields.IntField()
    state = fields.CharEnumField(ModelState, max_length=16)

    class Meta:
        table = "search_model"


class SearchVersion(Model):
    """Raised by every transaction that writes to the index and has no event: a job's. What changes texts has events."""

    org_id = fields.UUIDField(primary_key=True)
    version = fields.BigIntField()

    class Meta:
        table = "search_version"
