"""Following a job until it ends."""

from collections.abc import AsyncGenerator
from uuid import UUID

from domain.adapters.pubsub import PubSub
from domain.adapters.watch import Recheck, Watch, until_news
from domain.base.actor import Actor
from domain.work import queries, service
from domain.work.queries import JobRow
from domain.work.states import OPEN


class Jobs:
    """The jobs that somebody in this process follows. `run` looks for what is new."""

    def __init__(self, pubsub: PubSub) -> None:
        self._watch = Watch(pubsub, service.changed, queries.versions_of)

    async def run(self) -> None:
        """Look until cancelled."""
        await self._watch.run()

    async def states(self, actor: Actor, job_id: UUID, recheck: Recheck) -> AsyncGenerator[JobRow, None]:
        """The caller's job as it stands, and again after changes of status, progress or message, until it has ended.

        Changes that follow each other fast may come as one; the last always comes. `recheck` is awaited before each
        look. Raises NotFound for what is no job of the caller's, or not any more.
        """
        org_id, shown = (await queries.by_ids.get(actor, job_id)).org_id, None
        with self._watch.following(job_id, org_id) as followed:
            while True:
                news = followed.news
                await recheck()
                job = await queries.by_ids.get(actor, job_id)
                if (seen := (job.status, job.progress, job.message)) != shown:
                    shown = seen
                    yield job
                if job.status not in OPEN:
                    return
                # Leaving the organization changes nothing of the job.
                await until_news(news, lambda: org_id not in actor.standings)
