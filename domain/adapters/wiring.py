"""Adapters: the bundle of outside systems, built once a process from Settings."""

from dataclasses import dataclass

from domain.adapters.documents import StoredDocuments
from domain.adapters.leases import Leases
from domain.adapters.points import Points
from domain.adapters.pubsub import PubSub
from domain.adapters.throttle import Throttle
from domain.base.settings import Settings


@dataclass(frozen=True)
class Adapters:
    """One adapter for each outside system."""

    throttle: Throttle
    pubsub: PubSub
    points: Points
    leases: Leases
    documents: StoredDocuments

    @classmethod
    def of(cls, settings: Settings) -> "Adapters":
        """The adapters that the settings name. Nothing connects yet."""
        url = settings.redis_url
        if url is None:
            raise ValueError("no Redis: start the embedded one or set REDIS_URL")
        return cls(
            throttle=Throttle(url),
            pubsub=PubSub(url),
            points=Points(url),
            leases=Leases(url),
            documents=StoredDocuments(url),
        )

    async def close(self) -> None:
        """Close what is open."""
        await self.leases.close()
        await self.points.close()
        await self.documents.close()
        await self.throttle.close()
        await self.pubsub.close()
