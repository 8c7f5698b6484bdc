"""Reading on in an inbox, for as long as its owner wants to.

Each follower reads for itself, from its own place: an inbox has few followers. Numbers follow the order of commits, so
whoever has seen a number has seen all before it.
"""

from collections.abc import AsyncGenerator
from uuid import UUID

from domain.adapters.pubsub import PubSub
from domain.adapters.watch import Recheck, Watch, until_news
from domain.base.actor import Actor
from domain.base.errors import ResyncRequired
from domain.base.settings import Settings
from domain.notifications import cursors, queries, service
from domain.notifications.queries import NotificationRow

PAGE = 50


class Inboxes:
    """The inboxes that somebody in this process follows. `run` looks for what is new."""

    def __init__(self, pubsub: PubSub) -> None:
        self._watch = Watch(pubsub, service.changed, queries.states_of)

    async def run(self) -> None:
        """Look until cancelled."""
        await self._watch.run()

    async def place(self, settings: Settings, user_id: UUID, after: str | None) -> int:
        """The number to go on from, the inbox's last when there is no cursor.

        Raises BadInput (`after`) for what is no cursor of this inbox; ResyncRequired for one that the inbox has not
        come to: the database was put back to an earlier day.
        """
        place = None if after is None else cursors.read(settings, user_id, after)
        last = (await queries.state_of(user_id)).seq
        if place is not None and place > last:
            raise ResyncRequired(
                "The cursor is ahead of the inbox, which was put back to an earlier day.",
                "Read viewer.notifications anew, and go on from the first one's cursor.",
            )
        return last if place is None else place

    async def entries(self, actor: Actor, place: int, recheck: Recheck) -> AsyncGenerator[NotificationRow, None]:
        """The caller's entries behind the number `place` in order, each once, without end.

        Those of organizations that the caller is not in at the time are passed over. `recheck` is awaited before each
        page is read, and so after the entries in it were committed: who had joined an organization to get one stands
        there by then.
        """
        user_id = actor.require_person()
        with self._watch.following(user_id) as inbox:
            while True:
                news = inbox.news
                last = (await queries.state_of(user_id)).seq
                while place < last:
                    await recheck()
                    page = await queries.between(actor, user_id, place, last, most=PAGE)
                    for entry in page:
                        place = entry.seq
                        # It may have been left while the page was shown.
                        if entry.org_id in actor.standings:
                            yield entry
                    if len(page) < PAGE:
                        place = last
                await news.wait()

    async def counts(self, actor: Actor, recheck: Recheck) -> AsyncGenerator[int, None]:
        """How many of the caller's entries are unread: now, and again whenever it is another number, without end.

        Changes that follow each other fast may come as one.
        """
        user_id = actor.require_person()
        shown: int | None = None
        standing: frozenset[UUID] = frozenset()

        def stands_elsewhere() -> bool:
            return standing != frozenset(actor.standings)

        with self._watch.following(user_id) as inbox:
            while True:
                news = inbox.news
                await recheck()
                standing = frozenset(actor.standings)
                if (count := await queries.unread(actor)) != shown:
                    shown = count
                    yield count
                # Joining and leaving an organization changes the count as well, and not the inbox.
                await until_news(news, stands_elsewhere)
