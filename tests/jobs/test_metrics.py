"""What workers count can be read: /metrics of `planwire work`, by the rule of the API's."""

import re

from tests.factories import Tenant
from tests.jobs.crew import Crew, calls, make_labels, until, wish
from tests.ports import http_client


async def test_dead_jobs_are_counted_where_prometheus_looks(workers: Crew, acme: Tenant) -> None:
    await wish(acme, "give up")
    process = await workers.start_command("--metrics-port", "0")
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    await make_labels(acme, 2)

    async def has_given_up() -> bool:
        return len(await calls(acme.org_id)) == 2

    await until(has_given_up)
    async with http_client(trust_env=False) as http:

        async def dead() -> list[str]:
            shown = await http.get(line.removeprefix("metrics: "))
            return re.findall(r'^planwire_dead_jobs_total\{handler="counting.call"\} 2.0$', shown.text, re.MULTILINE)

        assert await until(dead)
        elsewhere = await http.get(line.removeprefix("metrics: "), headers={"x-forwarded-for": "198.51.100.7"})
    assert elsewhere.status_code == 404
    await wish(acme)
