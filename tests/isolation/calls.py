"""Calls made from the schema: the least that an operation asks for, and one id in a chosen place.

A field that the tables below do not know is an error with its name: whoever adds one says here what goes into it.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from graphql import (
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    is_required_argument,
    is_required_input_field,
)

from domain.base.settings import DEFAULT_PUBLIC_URL
from graph.base.ids import global_id
from graph.schema import schema
from tests.factories import PASSWORD
from tests.isolation.selections import Seen, selection
from tests.isolation.world import World, kind_of

SCHEMA = schema

# What the world's thing is that goes into each argument (field.argument) and each input field (Input.field) of type ID.
THINGS = {
    "node.id": "task",
    "nodes.ids": "task",
    "organization.id": "organization",
    "project.id": "project",
    "task.id": "task",
    "tasks.organizationId": "organization",
    "changes.organizationId": "organization",
    "search.organizationId": "organization",
    "search.projectId": "project",
    "events.organizationId": "organization",
    "membershipChanged.organizationId": "organization",
    "taskChanged.projectId": "project",
    "EventFilter.projectId": "project",
    "EventFilter.subjectId": "task",
    "TaskFilter.id": "task",
    "TaskFilter.project": "project",
    "TaskFilter.state": "workflow_state",
    "TaskFilter.assignee": "user",
    "TaskFilter.creator": "own user",
    "TaskFilter.parent": "task",
    "TaskFilter.label": "label",
    "sessionRevoke.id": "other session",
    "ApiKeyCreateInput.organizationId": "organization",
    "apiKeyRevoke.id": "api_key",
    "organizationUpdate.id": "organization",
    "InvitationCreateInput.organizationId": "organization",
    "invitationResend.id": "invitation",
    "invitationRevoke.id": "invitation",
    "membershipUpdate.id": "membership",
    "membershipDelete.id": "membership",
    "organizationLeave.id": "organization",
    "ProjectCreateInput.organizationId": "organization",
    "ProjectCreateInput.leadId": "user",
    "projectUpdate.id": "project",
    "ProjectUpdateInput.leadId": "user",
    "projectArchive.id": "project",
    "projectUnarchive.id": "project",
    "projectDelete.id": "project",
    "WorkflowStateCreateInput.projectId": "project",
    "workflowStateUpdate.id": "workflow_state",
    "workflowStateDelete.id": "workflow_state",
    "workflowStateDelete.moveTasksToId": "next workflow_state",
    "workflowTransitionsSet.stateId": "workflow_state",
    "workflowTransitionsSet.allowedStateIds": "next workflow_state",
    "TaskCreateInput.projectId": "project",
    "TaskCreateInput.stateId": "next workflow_state",
    "TaskCreateInput.assigneeId": "user",
    "TaskCreateInput.parentId": "loose task",
    "TaskCreateInput.labelIds": "label",
    "taskUpdate.id": "task",
    "TaskUpdateInput.stateId": "next workflow_state",
    "TaskUpdateInput.assigneeId": "user",
    "TaskUpdateInput.parentId": "loose task",
    "TaskUpdateInput.addedLabelIds": "unused label",
    "TaskUpdateInput.removedLabelIds": "label",
    "TaskBulkUpdateItem.id": "task",
    "taskMove.id": "task",
    "TaskMoveInput.stateId": "next workflow_state",
    "TaskMoveInput.beforeId": "neighbor task",
    "TaskMoveInput.afterId": "neighbor task",
    "taskTransfer.id": "task",
    "taskTransfer.projectId": "other project",
    "taskTransfer.stateId": "other workflow_state",
    "taskArchive.id": "task",
    "taskUnarchive.id": "task",
    "taskDelete.id": "task",
    "taskRelationCreate.fromId": "task",
    "taskRelationCreate.toId": "loose task",
    "taskRelationDelete.id": "task_relation",
    "LabelCreateInput.organizationId": "organization",
    "labelUpdate.id": "label",
    "labelDelete.id": "label",
    "CommentCreateInput.taskId": "task",
    "CommentCreateInput.replyToId": "comment",
    "commentUpdate.id": "comment",
    "commentDelete.id": "comment",
    "AttachmentUploadCreateInput.taskId": "task",
    "attachmentUploadComplete.id": "sent attachment",
    "attachmentDelete.id": "attachment",
    "taskSubscribe.id": "task",
    "taskUnsubscribe.id": "task",
    "billingCheckoutCreate.organizationId": "organization",
    "billingPortalCreate.organizationId": "organization",
    "subscriptionCancel.organizationId": "organization",
    "subscriptionResume.organizationId": "organization",
    "notificationsMarkRead.ids": "notification",
    "notificationsMarkUnread.ids": "notification",
    "jobCancel.id": "job",
    "ReportCreateInput.organizationId": "organization",
    "ReportCreateInput.projectId": "project",
    "jobUpdated.id": "job",
    "organizationExport.organizationId": "organization",
    "aiThreads.organizationId": "organization",
    "aiThreadCreate.organizationId": "organization",
    "aiThreadDelete.id": "ai_thread",
    "aiMessageSend.threadId": "ai_thread",
    "aiMessageCancel.id": "ai_message",
    "aiMessageRetry.id": "failed ai_message",
    "aiMessageStream.messageId": "ai_message",
    "aiImageCreate.organizationId": "organization",
    "taskFilterSuggest.organizationId": "organization",
    "searchSummarize.organizationId": "organization",
    "searchSummarize.projectId": "project",
}

# The world's token that goes into each argument of type String that takes one.
TOKENS = {
    "invitationPreview.token": "invitation token",
    "invitationAccept.token": "acceptance token",
    "invitationDecline.token": "invitation token",
    "emailVerify.token": "verification token",
    "passwordReset.token": "reset token",
}

# What goes into the other arguments and input fields. One that is not required is given all the same when it is here.
VALUES: dict[str, Any] = {
    "SignUpInput.email": lambda: f"probe-{uuid4().hex}@example.test",
    "SignUpInput.password": "correct horse battery",
    "SignUpInput.name": "Probe",
    "SignInInput.email": "nobody@example.test",
    "SignInInput.password": "correct horse battery",
    "passwordResetRequest.email": lambda: f"probe-{uuid4().hex}@example.test",
    "passwordReset.newPassword": "another horse battery",
    "passwordChange.currentPassword": PASSWORD,
    "passwordChange.newPassword": "another horse battery",
    "emailChangeRequest.newEmail": lambda: f"probe-{uuid4().hex}@example.test",
    "emailChangeRequest.password": PASSWORD,
    "InvitationCreateInput.email": lambda: f"probe-{uuid4().hex}@example.test",
    "InvitationCreateInput.role": "MEMBER",
    "ProfileUpdateInput.name": "Probe",
    "PreferencesUpdateInput.locale": "de",
    "ApiKeyCreateInput.name": "Probe",
    "ApiKeyCreateInput.permissions": ["TASK_READ"],
    "OrganizationCreateInput.name": "Probe",
    "OrganizationCreateInput.slug": lambda: f"probe-{uuid4().hex[:20]}",
    "OrganizationUpdateInput.name": "Probe",
    "membershipUpdate.role": "MEMBER",
    "ProjectCreateInput.name": "Probe",
    "ProjectUpdateInput.name": "Probe",
    "WorkflowStateCreateInput.name": "Probe",
    "WorkflowStateCreateInput.category": "DONE",
    "WorkflowStateUpdateInput.name": "Probe",
    "TaskCreateInput.title": "Probe",
    "TaskUpdateInput.title": "Probe",
    "taskRelationCreate.kind": "RELATES_TO",
    "LabelCreateInput.name": "Probe",
    "LabelCreateInput.color": "#123456",
    "LabelUpdateInput.name": "Probe",
    "billingCheckoutCreate.plan": "PRO",
    "billingCheckoutCreate.successUrl": DEFAULT_PUBLIC_URL,
    "billingCheckoutCreate.cancelUrl": DEFAULT_PUBLIC_URL,
    "billingPortalCreate.returnUrl": DEFAULT_PUBLIC_URL,
    "CommentCreateInput.body": "Probe",
    "commentUpdate.body": "Probe",
    "AttachmentUploadCreateInput.filename": "probe.txt",
    "AttachmentUploadCreateInput.contentType": "text/plain",
    "AttachmentUploadCreateInput.sizeBytes": 5,
    "AttachmentUploadCreateInput.sha256": hashlib.sha256(b"Probe").hexdigest(),
    "ReportCreateInput.kind": "THROUGHPUT",
    "ReportCreateInput.format": "CSV",
    "ReportCreateInput.from": "2026-11-01",
    "ReportCreateInput.to": "2026-11-30",
    "aiMessageSend.content": "Probe",
    # Words of a task, a comment and a project of any world.
    "search.query": "task answers web",
    "aiImageCreate.prompt": "Probe",
    "taskFilterSuggest.prompt": "Probe",
    "searchSummarize.query": "task",
}

# Ids that are given although the schema does not require them, because the operation asks for them.
ASKED_FOR = {"task.id", "organization.id", "TaskMoveInput.stateId"}

# Inputs that say how to compare and not with what: their fields hold what the field above them is about.
COMPARISONS = {"IDFilter", "NullableIDFilter"}

# Through which thing, or else which root field, the fields of a type are reached.
VIEWER = "viewer"
HOSTS = {"Project": "project", "WorkflowState": "workflow_state", "Viewer": VIEWER}

Path = tuple[str, ...]
Ids = Callable[[str, Path], str]
"""Thing and path -> the id to put there."""


class Unknown(AssertionError):
    """A field that the tables do not know."""


@dataclass(frozen=True)
class Call:
    """An operation with one root field, and what it is given."""

    name: str
    document: str
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def is_mutation(self) -> bool:
        """Whether it may change something."""
        return self.document.startswith("mutation")


@dataclass(frozen=True)
class Field:
    """A field that can be called: of a root type, or with `host` of the thing that has it."""

    parent: GraphQLObjectType
    name: str
    host: str | None = None

    @property
    def definition(self) -> GraphQLField:
        """As the schema has it."""
        found: GraphQLField = self.parent.fields[self.name]
        return found

    @property
    def is_mutation(self) -> bool:
        """Whether it changes something."""
        return self.parent is SCHEMA.mutation_type

    @property
    def kind(self) -> str:
        """The kind of operation that it is called in."""
        if self.parent is SCHEMA.subscription_type:
            return "subscription"
        return "mutation" if self.is_mutation else "query"

    def __str__(self) -> str:
        return self.name if self.host is None else f"{self.parent.name}.{self.name}"


def fields_with_ids() -> list[Field]:
    """Every field of the schema with an id somewhere in its arguments: those of the root types, then all others'.

    Those of subscriptions are not among them: tests/events sweeps them, over a socket.
    """
    roots = [type_ for type_ in (SCHEMA.query_type, SCHEMA.mutation_type) if type_ is not None]
    found = [Field(root, name) for root in roots for name in root.fields]
    for type_ in SCHEMA.type_map.values():
        is_root = type_ in roots or type_ is SCHEMA.subscription_type
        if isinstance(type_, GraphQLObjectType) and not is_root and not type_.name.startswith("__"):
            found += [Field(type_, name, HOSTS.get(type_.name, "")) for name in type_.fields]
    asking = [each for each in found if any(True for _ in places(each))]
    for each in asking:
        if each.host == "":
            raise Unknown(f"{each} takes an ID: say in HOSTS through which thing a {each.parent.name} is reached")
    return asking


def mutations() -> list[Field]:
    """Every mutation."""
    assert SCHEMA.mutation_type is not None
    return [Field(SCHEMA.mutation_type, name) for name in SCHEMA.mutation_type.fields]


def subscriptions() -> list[Field]:
    """Every subscription."""
    assert SCHEMA.subscription_type is not None
    return [Field(SCHEMA.subscription_type, name) for name in SCHEMA.subscription_type.fields]


def places(of: Field) -> Iterator[tuple[Path, str]]:
    """Every place of an id in the field's arguments, with the thing that goes there."""
    for name, argument in of.definition.args.items():
        yield from _places(argument.type, (name,), f"{of.name}.{name}", frozenset())


def _places(type_: GraphQLInputType, path: Path, key: str, above: frozenset[str]) -> Iterator[tuple[Path, str]]:
    named = get_named_type(type_)
    if named.name == "ID":
        if key not in THINGS:
            raise Unknown(f"{key} (in {'.'.join(path)}) is an ID: say in THINGS what goes there")
        yield path, THINGS[key]
    elif isinstance(named, GraphQLInputObjectType) and named.name not in above:
        for name, each in named.fields.items():
            inner = key if named.name in COMPARISONS else f"{named.name}.{name}"
            yield from _places(each.type, (*path, name), inner, above | {named.name})


def call(of: Field, ids: Ids, place: Path = (), *, depth: int = 1, seen: Seen | None = None) -> Call:
    """The least call of the field that is valid, and has an id in `place`. It selects `depth` levels of objects."""
    arguments: dict[str, Any] = {}
    for name, argument in of.definition.args.items():
        key = f"{of.name}.{name}"
        asked_for = key in VALUES or (key in ASKED_FOR and not place)
        if is_required_argument(argument) or place[:1] == (name,) or asked_for:
            arguments[name] = _value(argument.type, (name,), key, ids, place)
    variables = {f"v_{name}": value for name, value in arguments.items()}
    declared = [f"$v_{name}: {of.definition.args[name].type}" for name in arguments]
    passed = ", ".join(f"{name}: $v_{name}" for name in arguments)
    picked = selection(SCHEMA, of.definition.type, depth, seen)
    body = f"{of.name}({passed}) {picked}" if passed else f"{of.name} {picked}"
    if of.host == VIEWER:
        body = f"viewer {{ {body} }}"
    elif of.host is not None:
        declared.append("$host: ID!")
        variables["host"] = ids(of.host, ("host",))
        body = f"node(id: $host) {{ ... on {of.parent.name} {{ {body} }} }}"
    head = f"{of.kind} ({', '.join(declared)})" if declared else of.kind
    return Call(str(of), f"{head} {{ {body} }}", variables)


def _value(type_: GraphQLInputType, path: Path, key: str, ids: Ids, place: Path) -> Any:
    if isinstance(type_, GraphQLNonNull):
        return _value(type_.of_type, path, key, ids, place)
    if key in TOKENS:
        return ids(TOKENS[key], path)
    if key in VALUES:
        value = VALUES[key]
        return value() if callable(value) else value
    if isinstance(type_, GraphQLList):
        # In the place itself one's own comes first: nothing of a list may be done when only a part is right.
        before = [_value(type_.of_type, (*path, "0"), key, ids, place)] if path == place else []
        return [*before, _value(type_.of_type, path, key, ids, place)]
    if type_.name == "ID":
        if key not in THINGS:
            raise Unknown(f"{key} is an ID: say in THINGS what goes there")
        return ids(THINGS[key], path)
    if isinstance(type_, GraphQLInputObjectType):
        return {
            name: _value(each.type, (*path, name), inner, ids, place)
            for name, each in type_.fields.items()
            if (inner := key if type_.name in COMPARISONS else f"{type_.name}.{name}")
            and _is_given(each, (*path, name), inner, place)
        }
    raise Unknown(f"{key} is a required {type_}: say in VALUES what goes there")


def _is_given(each: GraphQLInputField, path: Path, key: str, place: Path) -> bool:
    return is_required_input_field(each) or place[: len(path)] == path or key in VALUES or key in ASKED_FOR


def own(world: World) -> Ids:
    """The ids of a world's own things."""
    return lambda thing, _path: world.id(thing)


def with_one(world: World, place: Path, id: str) -> Ids:
    """The ids of a world's own things, but `id` in one place."""
    return lambda thing, path: id if path == place else world.id(thing)


def of_nothing(thing: str) -> str:
    """An id of the thing's kind that nothing has."""
    return global_id(kind_of(thing), uuid4())
