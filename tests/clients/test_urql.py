"""urql: what only it does."""

from tests.clients.conftest import Story


async def test_queries_go_by_get_and_mutations_by_post(story: Story) -> None:
    assert await story("urql", "methods") == [["GET", "POST"]]
