"""What of an organization goes into an archive: each of its tables is in one of the two lists here, each of its
columns is a field or has the reason why it is none. A new table or column has to choose (tests/exports/test_laws.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

# Each declares the classes of its events, by which their changes are read.
import domain.attachments.events
import domain.billing.events
import domain.comments.events
import domain.invitations.events
import domain.labels.events
import domain.organizations.events
import domain.projects.events
import domain.tasks.events
import domain.work.events  # noqa: F401
from domain.base.actor import Actor
from domain.base.ids import global_id
from domain.base.permissions import Permission as P
from domain.base.reads import ForActor, Table
from domain.base.row_security import tenant_column
from domain.base.sql import TRUE, Row, Sql, sql
from domain.events import field_changes
from domain.events import queries as events
from domain.events.queries import EventRow
from domain.exports.fields import Field, camel, doer, named, plain, reference
from domain.invitations import queries as invitations
from domain.tasks.models import Priority

_OF_STRIPE = "names it at Stripe, which the API does not show"
_OF_TOKEN = "would let its holder in"  # noqa: S105
_PLUMBING = "is of use to the code alone"


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A file of the archive, with a line for each row of the table. Without the permission `needs` it is left out.

    `kind` is that of the rows' own ids, None where they have none. `left_out` says why a column is no field.
    """

    name: str
    table: Table[Row]
    needs: P
    kind: str | None = None
    fields: tuple[Field, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    """Joins what columns are read from besides."""
    visible: ForActor | None = None
    """Which of the rows, where it is not all."""
    order: str = "id"

    @property
    def path(self) -> str:
        """Where it lies in the archive."""
        return f"{self.name}.jsonl"

    def rows(self, actor: Actor, org_id: Any) -> Sql:
        """Reads the organization's rows, always in the same order."""
        columns = dict.fromkeys(column for each in self.fields for column in each.columns)
        listed = self.table.select(actor, columns)
        return sql(f"SELECT {{}} {{}} ORDER BY {self.table.name}.{self.order}", listed, self._from(actor, org_id))

    def count(self, actor: Actor, org_id: Any) -> Sql:
        """Counts them."""
        return sql("SELECT count(*) {}", self._from(actor, org_id))

    def line(self, row: Row) -> dict[str, Any]:
        """The row's fields by name."""
        return {each.name: each.of(row) for each in self.fields}

    def _from(self, actor: Actor, org_id: Any) -> Sql:
        table = self.table.name
        return sql(
            f"FROM {table} {self.source} WHERE {table}.{tenant_column(table)} = {{}} AND {{}}",
            org_id,
            TRUE if self.visible is None else self.visible(actor),
        )


def _table(name: str, **computed: str) -> Table[Row]:
    return Table(name, Row, dict(computed))


def _subject_id(row: Row) -> str:
    return global_id(row.subject_kind, row.subject_id)


def _changes(row: Row) -> list[dict[str, Any]]:
    return [
        {"field": camel(change.name), "before": change.shown(change.before), "after": change.shown(change.after)}
        for change in field_changes.of_event(cast(EventRow, row))
    ]


ENTITIES = (
    Entity(
        name="organization",
        table=_table("organization"),
        needs=P.ORG_READ,
        kind="organization",
        fields=(reference("id", "organization"), *plain("name", "slug", "version", "created_at", "updated_at")),
    ),
    Entity(
        name="memberships",
        # Who has left keeps their name in old work; their address is not the organization's any more.
        table=_table(
            "membership",
            user_name="users.name",
            user_avatar_url="users.avatar_url",
            user_email="CASE WHEN membership.ended_at IS NULL THEN users.email END",
        ),
        source="JOIN users ON users.id = membership.user_id",
        needs=P.MEMBERS_READ,
        kind="membership",
        fields=(
            *(reference("id", "membership"), reference("user_id", "user")),
            *plain("user_name", "user_email", "user_avatar_url", "role", "created_at", "updated_at", "ended_at"),
        ),
    ),
    Entity(
        name="subscription",
        table=_table("subscription"),
        needs=P.BILLING_READ,
        fields=plain(
            *("plan", "status", "current_period_end", "trial_ends_at", "past_due_since", "grace_ends_at"),
            *("cancel_at_period_end", "seats", "created_at", "updated_at"),
        ),
        left_out={
            "id": "nothing refers to it",
            "stripe_customer_id": _OF_STRIPE,
            "stripe_subscription_id": _OF_STRIPE,
            "grace_ended_at": _PLUMBING,
            "sync_begun": _PLUMBING,
            "sync_written": _PLUMBING,
        },
    ),
    Entity(
        name="api_keys",
        table=_table("api_key"),
        needs=P.API_KEYS_MANAGE,
        kind="api_key",
        fields=(
            *(reference("id", "api_key"), reference("user_id", "user")),
            *plain("name", "permissions", "created_at", "updated_at", "last_used_at", "expires_at", "revoked_at"),
        ),
        left_out={"secret_digest": _OF_TOKEN, "prefix": "is the beginning of the secret"},
    ),
    Entity(
        name="invitations",
        table=cast("Table[Row]", invitations.INVITATIONS),
        needs=P.INVITATIONS_MANAGE,
        kind="invitation",
        fields=(
            *(reference("id", "invitation"), reference("invited_by_id", "user")),
            *plain("email", "role", "status", "expires_at", "responded_at", "created_at", "updated_at"),
        ),
        left_out={"token_digest": _OF_TOKEN, "generation": _OF_TOKEN},
    ),
    Entity(
        name="projects",
        table=_table("project"),
        needs=P.PROJECT_READ,
        kind="project",
        fields=(
            *(reference("id", "project"), reference("lead_id", "user")),
            *plain("key", "name", "description", "status", "start_date", "target_date", "archived_at"),
            *plain("version", "created_at", "updated_at"),
        ),
    ),
    Entity(
        name="workflow_states",
        table=_table("workflow_state"),
        needs=P.PROJECT_READ,
        kind="workflow_state",
        fields=(
            *(reference("id", "workflow_state"), reference("project_id", "project")),
            *plain("name", "category", "color", "position", "restricted", "created_at", "updated_at"),
        ),
    ),
    Entity(
        name="workflow_transitions",
        table=_table("workflow_transition"),
        needs=P.PROJECT_READ,
        fields=(reference("from_id", "workflow_state"), reference("to_id", "workflow_state")),
        left_out={"id": "nothing refers to it"},
    ),
    Entity(
        name="labels",
        table=_table("label"),
        needs=P.PROJECT_READ,
        kind="label",
        fields=(reference("id", "label"), *plain("name", "color", "description", "created_at", "updated_at")),
    ),
    Entity(
        name="tasks",
        table=_table("task"),
        needs=P.TASK_READ,
        kind="task",
        fields=(
            *(reference("id", "task"), reference("project_id", "project"), reference("parent_id", "task")),
            *plain("number", "identifier", "title", "description"),
            *(reference("state_id", "workflow_state"), named("priority", Priority), reference("assignee_id", "user")),
            *(*plain("due_date", "estimate", "rank"), *doer("creator")),
            *plain("completed_at", "archived_at", "version", "created_at", "updated_at"),
        ),
    ),
    Entity(
        name="task_identifiers",
        table=_table("task_identifier"),
        needs=P.TASK_READ,
        fields=(reference("task_id", "task"), *plain("identifier")),
        left_out={"id": "nothing refers to it"},
    ),
    Entity(
        name="task_labels",
        table=_table("task_label"),
        needs=P.TASK_READ,
        fields=(reference("task_id", "task"), reference("label_id", "label")),
        left_out={"id": "nothing refers to it"},
    ),
    Entity(
        name="task_relations",
        table=_table("task_relation"),
        needs=P.TASK_READ,
        kind="task_relation",
        fields=(
            *(reference("id", "task_relation"), *plain("kind")),
            *(reference("from_id", "task"), reference("to_id", "task"), *plain("created_at", "updated_at")),
        ),
    ),
    Entity(
        name="comments",
        table=_table("comment"),
        needs=P.TASK_READ,
        kind="comment",
        fields=(
            *(reference("id", "comment"), reference("task_id", "task"), reference("reply_to_id", "comment")),
            *(*doer("author"), *plain("body", "edited_at", "version", "created_at", "updated_at")),
        ),
    ),
    Entity(
        name="comment_mentions",
        table=_table("comment_mention"),
        needs=P.TASK_READ,
        fields=(reference("comment_id", "comment"), reference("user_id", "user")),
        left_out={"id": "nothing refers to it"},
    ),
    Entity(
        name="attachments",
        table=_table("attachment"),
        needs=P.ATTACHMENT_READ,
        kind="attachment",
        fields=(
            *(reference("id", "attachment"), reference("task_id", "task")),
            *plain("filename", "content_type", "size_bytes", "sha256", "status", "rejection_reason"),
            *(*doer("uploaded_by"), *plain("created_at", "updated_at")),
        ),
        left_out={
            "claimed_type": "what its sender said, which nobody goes by",
            "has_thumbnail": "a small picture can be made of the file again",
            "completed_at": _PLUMBING,
        },
    ),
    Entity(
        name="events",
        table=cast("Table[Row]", events.EVENTS),
        needs=P.ORG_READ,
        visible=events.visible,
        order="seq",
        kind="event",
        fields=(
            *(reference("id", "event"), *plain("seq", "type", "occurred_at"), *doer("actor")),
            *(reference("project_id", "project"), Field("subjectId", ("subject_kind", "subject_id"), _subject_id)),
            Field("changes", ("type", "data", "erasable"), _changes),
        ),
        left_out={
            "digest": "proves that nobody changed the log, together with what is not in the archive",
            "values_digest": "as digest",
        },
    ),
)

NOT_EXPORTED = {
    "event_values": "the events' values before and after, which are in events.jsonl",
    "event_counter": "the number of the last event, which is in the manifest",
    "project_counter": "the number of a project's last task, which its log tells",
    "job": "what a person has asked for is theirs, and its result ends after some days",
    "task_subscription": "what a person wants to hear of is theirs, not the organization's",
    "notification": "what a person was told is theirs, and follows from the events",
    "ai_thread": "a person's conversation with a language model is theirs",
    "ai_message": "what was said in one, as ai_thread",
    "search_query": "what a person has searched for is theirs",
    "generated_image": "what a person had drawn is theirs, and goes with its job",
    "ai_usage": "counts of tokens, by month",
    "due_reminder": "of what somebody was reminded, which the events tell",
    "delivery": "what is to be done for events, and was",
    "relay_position": "how far the log was looked at",
    "organization_metrics": "counts of what is in the archive",
    "search_document": "the texts of tasks, comments and projects once more, to be found by",
    "search_pending": "which texts are still to be indexed",
    "search_passage": "pieces of the texts that are in the archive",
    "search_vector": "what a model made of the texts, which any can make again",
    "search_version": "how often the index was written to",
}
"""The other tables of an organization, and why they are not in its archive."""
