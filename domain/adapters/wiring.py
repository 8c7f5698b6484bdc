"""Adapters: the bundle of outside systems, built once a process from Settings."""

from dataclasses import dataclass

from domain.adapters.pubsub import PubSub
from domain.adapters.throttle import Throttle
from domain.base.settings import Settings


@dataclass(frozen=True)
class Adapters:
    """One adapter for each outside system."""

    throttle: Throttle
    pubsub: PubSub

    @classmethod
    def of(cls, settings: Settings) -> "Adapters":
        """The adapters that the settings name. Nothing connects yet."""
        if settings.redis_url is None:
            raise ValueError("no Redis: start the embedded one or set REDIS_URL")
        return cls(throttle=Throttle(settings.redis_url), pubsub=PubSub(settings.redis_url))

    async def close(self) -> None:
        """Close what is open."""
        await self.throttle.close()
        await self.pubsub.close()
