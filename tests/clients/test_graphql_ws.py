"""graphql-ws, the reference client of the protocol: what only it shows."""

from tests.clients.conftest import Story


async def test_events_come_while_others_change_things(story: Story) -> None:
    assert await story("graphql_ws", "live") == [
        {"type": "TASK_UPDATED", "by": "Admin Acme", "title": "Renamed"},
        {"type": "TASK_UPDATED", "by": "Admin Acme", "title": "Renamed again"},
    ]


async def test_a_wrong_token_closes_the_socket(story: Story) -> None:
    assert await story("graphql_ws", "stranger") == [{"closed": 4403}]


async def test_a_wrong_document_ends_its_operation_and_leaves_the_others_alone(story: Story) -> None:
    assert await story("graphql_ws", "beside") == [
        {"codes": ["BAD_USER_INPUT"]},
        {"codes": ["BAD_USER_INPUT"]},
        {"title": "Renamed"},
    ]


async def test_signing_out_closes_the_socket(story: Story) -> None:
    assert await story("graphql_ws", "signOut") == [{"done": True}, {"closed": 4403}]
