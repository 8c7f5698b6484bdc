"""GraphQL over HTTP as its specification has it, in the opinion of the package graphql-http."""

from tests.clients.node import told

AUDITS = 61


async def test_every_audit_of_graphql_http_is_ok(address: str) -> None:
    audits = await told("audits.mjs", url=f"http://{address}/graphql")

    assert len({audit["id"] for audit in audits}) == len(audits) == AUDITS
    failed = [audit for audit in audits if audit["status"] != "ok"]
    assert failed == [], "\n".join("{id} {name}: {reason}. It was {answer}".format(**audit) for audit in failed)
