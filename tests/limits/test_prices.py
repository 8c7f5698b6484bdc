"""What the schema's fields cost by themselves. Whoever adds a type, a list or a dear field says here what it counts."""

from collections.abc import Iterator

from graphql import GraphQLInterfaceType, GraphQLObjectType, get_nullable_type, is_composite_type, is_list_type

from graph.base.prices import SHORT_LIST, WRITE, Price, prices_of
from graph.schema import schema

SCHEMA = schema
PRICES = prices_of(SCHEMA)


def fields() -> Iterator[tuple[str, str, Price]]:
    """Every field of the schema: its type, its name and its price."""
    for type_ in SCHEMA.type_map.values():
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) and not type_.name.startswith("__"):
            for name in type_.fields:
                yield type_.name, name, PRICES.of(type_, name)


def test_objects_that_count_are_rows() -> None:
    counted = {price.type.name for _, _, price in fields() if price.objects and price.type is not None}

    assert counted == {
        *("AiMessage", "AiThread", "Attachment", "BillingSubscription", "GeneratedImage", "Invitation", "Job"),
        *("SearchQuery", "SearchSummary"),
        *("ApiKey", "Comment", "Event", "Membership", "Notification", "Organization", "Project", "Session", "Task"),
        *("TaskRelation", "User", "WorkflowState", "Label", "Viewer", "Preferences", "StateCount", "Actor", "Node"),
        "SearchSubjectNode",
    }


def test_rows_that_do_not_count_were_counted_before() -> None:
    rows = {price.type for _, _, price in fields() if price.objects}

    free = {f"{type_}.{name}" for type_, name, price in fields() if price.type in rows and not price.objects}

    assert {each for each in free if "Connection." not in each and "Edge.node" not in each} == {
        "Viewer.user",
        "StateCount.state",
    }


def test_fields_with_points_of_their_own() -> None:
    dear = {(type_, name): price.points for type_, name, price in fields() if price.points}

    assert SCHEMA.mutation_type is not None
    writes = {("Mutation", name): WRITE for name in SCHEMA.mutation_type.fields}
    totals = {(type_, "totalCount"): 1 for type_ in SCHEMA.type_map if type_.endswith("Connection")}
    # A search has no total: nobody counts all that a query may mean.
    del totals["SearchConnection", "totalCount"]
    assert dear == {**writes, **totals, ("Query", "search"): 10, ("Task", "similar"): 2}


def test_lists_of_objects_and_how_long_they_count() -> None:
    lists = {
        f"{type_.name}.{name}": PRICES.of(type_, name)
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__")
        for name, definition in type_.fields.items()
        if is_list_type(inner := get_nullable_type(definition.type))
        and is_composite_type(get_nullable_type(inner.of_type))
        and name != "errors"
    }

    assert {name: price.length for name, price in lists.items() if not (price.as_asked or price.asked)} == {
        "AiMessage.sources": 20,
        "Comment.mentions": SHORT_LIST,
        "Event.changes": SHORT_LIST,
        "Organization.entitlements": SHORT_LIST,
        "Plan.features": SHORT_LIST,
        "Query.plans": SHORT_LIST,
        "Organization.apiKeys": 100,
        "Project.states": SHORT_LIST,
        "Project.taskCounts": SHORT_LIST,
        "Task.attachments": 100,
        "Task.availableTransitions": 30,
        "Task.labels": SHORT_LIST,
        "Task.relations": 100,
        "Viewer.apiKeys": 100,
        "SearchSummary.sources": 8,
        "UploadTarget.headers": SHORT_LIST,
        "Viewer.sessions": 100,
        "WorkflowState.allowedNext": 30,
    }
    assert {name for name, price in lists.items() if price.as_asked and not price.of_page} == {
        "SearchConnection.edges",
        "SearchConnection.nodes",
        "TaskBulkPayload.results",
    }


def test_fields_that_are_asked_for_so_many() -> None:
    asked = {f"{type_}.{name}": (price.asked, price.otherwise) for type_, name, price in fields() if price.asked}

    assert asked == {
        "AiThread.messages": (("first",), 50),
        "Organization.invitations": (("first",), 20),
        "Organization.labels": (("first",), 50),
        "Organization.members": (("first",), 20),
        "Organization.projects": (("first",), 20),
        "Project.tasks": (("last", "first"), 20),
        "Query.changes": (("first",), 100),
        "Query.nodes": (("ids",), 1),
        "Query.search": (("first",), 10),
        "Query.tasks": (("first",), 20),
        "Mutation.taskBulkUpdate": (("items",), 1),
        "Task.comments": (("last", "first"), 20),
        "Task.history": (("first",), 20),
        "Task.similar": (("first",), 5),
        "Task.subtasks": (("first",), 20),
        "Viewer.aiThreads": (("first",), 20),
        "Viewer.assignedTasks": (("first",), 20),
        "Viewer.generatedImages": (("first",), 20),
        "Viewer.jobs": (("first",), 20),
        "Viewer.notifications": (("first",), 20),
        "Viewer.searchQueries": (("first",), 20),
        "Viewer.organizations": (("first",), 20),
        "WorkflowState.tasks": (("first",), 20),
    }
