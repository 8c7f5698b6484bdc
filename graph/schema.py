"""Query, Mutation and Subscription, assembled from the feature files, and the schema that they make."""

import inspect

import strawberry
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from graph.accounts import AccountMutations
from graph.ai import AiMutations, AiSubscriptions
from graph.ai_images import AiImageMutations
from graph.api_keys import ApiKeyMutations
from graph.attachments import AttachmentMutations
from graph.base.errors import ERROR_TYPES
from graph.base.idempotency import IDEMPOTENT
from graph.base.nodes import nodes_by_kind
from graph.base.scalars import SCALARS
from graph.billing import BillingQueries
from graph.billing_changes import BillingMutations
from graph.comments import CommentMutations
from graph.events import EventQueries, EventSubscriptions
from graph.exports import ExportMutations
from graph.filter_suggestions import FilterSuggestionMutations
from graph.identity import IdentityMutations, IdentityQueries
from graph.invitations import InvitationMutations, InvitationQueries
from graph.labels import LabelMutations
from graph.nodes import NodeQueries
from graph.notifications import NotificationMutations, NotificationSubscriptions
from graph.organizations import OrganizationMutations, OrganizationQueries
from graph.projects import ProjectMutations, ProjectQueries
from graph.rate_limit import RateLimitQueries
from graph.reports import ReportMutations
from graph.search import SearchQueries
from graph.search_summaries import SearchSummaryMutations
from graph.task_bulk import TaskBulkMutations
from graph.task_changes import TaskSubscriptions
from graph.tasks import TaskMutations, TaskQueries
from graph.work import JobMutations, JobSubscriptions
from graph.workflow import WorkflowStateMutations

# Arguments that mean the same wherever they stand.
ARGUMENTS = {
    "first": "How many from the beginning, or after `after`: 1 to 100.",
    "after": "The cursor after which the page begins.",
    "last": "How many from the end, or before `before`: 1 to 100. Goes before `first`.",
    "before": "The cursor before which the page ends.",
    "filter": "Which to keep.",
    "orderBy": "What to sort by; the id decides between equals.",
    "id": "Its id.",
    "ids": "Their ids.",
    "input": "The values.",
    "ifVersion": "Refuse with STALE_VERSION when the row's version is another one by now.",
    "organizationId": "The organization's id.",
    "projectId": "The project's id.",
}


@strawberry.type
class Query(
    NodeQueries,
    IdentityQueries,
    OrganizationQueries,
    InvitationQueries,
    ProjectQueries,
    TaskQueries,
    SearchQueries,
    EventQueries,
    BillingQueries,
    RateLimitQueries,
):
    """All that can be read."""


@strawberry.type
class Mutation(
    IdentityMutations,
    AccountMutations,
    ApiKeyMutations,
    OrganizationMutations,
    InvitationMutations,
    ProjectMutations,
    WorkflowStateMutations,
    TaskMutations,
    TaskBulkMutations,
    LabelMutations,
    CommentMutations,
    AttachmentMutations,
    ExportMutations,
    NotificationMutations,
    BillingMutations,
    JobMutations,
    ReportMutations,
    SearchSummaryMutations,
    AiMutations,
    AiImageMutations,
    FilterSuggestionMutations,
):
    """All that changes something. Mutations of one operation run one after the other."""


@strawberry.type
class Subscription(EventSubscriptions, TaskSubscriptions, NotificationSubscriptions, JobSubscriptions, AiSubscriptions):
    """All that can be followed, over graphql-transport-ws."""


def _describe(schema: GraphQLSchema) -> None:
    """Types get their class's docstring, and shared arguments their common description."""
    for name, type_ in schema.type_map.items():
        if name.startswith("__"):
            continue
        definition = type_.extensions.get("strawberry-definition")
        # A connection of one type is made from the general one, whose class has the docstring.
        origin = getattr(getattr(definition, "concrete_of", None) or definition, "origin", None)
        if type_.description is None and inspect.isclass(origin):
            type_.description = inspect.cleandoc(origin.__doc__ or "") or None
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for field in type_.fields.values():
                for argument_name, argument in field.args.items():
                    argument.description = argument.description or ARGUMENTS.get(argument_name)


def _build() -> strawberry.Schema:
    made = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[*ERROR_TYPES, *nodes_by_kind().values()],
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    _describe(made._schema)
    # Given to Strawberry it would become a directive of Strawberry's, which runs too late.
    made._schema.directives += (IDEMPOTENT,)
    return made


_made = _build()
schema: GraphQLSchema = _made._schema
"""What all operations run over. How they run is Engine's affair."""


def printed() -> str:
    """The schema as SDL, as schema.graphql holds it."""
    return _made.as_str() + "\n"
