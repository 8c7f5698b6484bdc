"""Migrations: apply them under an advisory lock, write new ones, tell whether the database is current."""

import asyncio
from pathlib import Path
from typing import Any

from tortoise.connection import get_connection
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget
from tortoise.migrations.graph import MigrationKey
from tortoise.migrations.schema_generator.state import State
from tortoise.migrations.writer import MigrationWriter

from domain.base.database import Door, system_fetch
from domain.base.database_address import owner_connected, owner_credentials, tortoise_config
from domain.base.row_security import make_roles, secure
from domain.base.settings import Settings, SettingsError

# Any constant does, as long as every process takes the same one.
_LOCK = 5_021_998_001
_FOLDER = Path(__file__).resolve().parent.parent / "migrations"


class _Copy(State):
    """A copy of what the models are, which builds its classes when they are looked at."""

    def __init__(self, state: State) -> None:
        self.models = {key: model.clone() for key, model in state.models.items()}
        self._copied = state.apps

    def __getattr__(self, name: str) -> Any:
        if name != "apps":
            raise AttributeError(name)
        self.apps = self._copied.clone(self.models)
        return self.apps


class _State(State):
    def clone(self) -> State:
        return _Copy(self)


class _Executor(MigrationExecutor):
    """Tortoise's, but for the copies that it keeps of the state before each operation.

    Few operations look at theirs, and to build all of its classes each time took most of a first start.
    """

    async def _project_state(self, applied: set[MigrationKey], *, upto: MigrationKey | None = None) -> State:
        state = await super()._project_state(applied, upto=upto)
        return _State(state.models, state.apps)


async def migrate(settings: Settings) -> list[str]:
    """Make the roles, apply what is missing, put row-level security in place; the names applied.

    DATABASE_URL must be the owner's. Two at once wait for each other: Tortoise itself takes no lock.
    Raises Unreachable; SettingsError when the database has no text search configuration for SEARCH_LANGUAGE.
    """
    # Ending the session gives the lock back.
    async with owner_connected(settings) as owner:
        await owner.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await check_language(owner, settings)
        await make_roles(owner, settings)
        applied: list[str] = []

        def note(event: str, _app: str, name: str) -> None:
            if event == "apply_done":
                applied.append(name)

        session = {"planwire.search_language": settings.search_language}
        config = tortoise_config(settings, **owner_credentials(settings), minsize=1, maxsize=2, server_settings=session)
        async with TortoiseContext() as context:
            await context.init(config=config, init_connections=False)
            targets = [MigrationTarget(label, "__latest__") for label in config["apps"]]
            await _Executor(get_connection("default"), config["apps"]).migrate(targets, progress=note)
        await secure(owner, settings)
        return applied


async def check_language(owner: Any, settings: Settings) -> None:
    """Raises SettingsError when the database has no text search configuration for SEARCH_LANGUAGE."""
    known = [row["cfgname"] for row in await owner.fetch("SELECT cfgname::text FROM pg_ts_config ORDER BY cfgname")]
    if settings.search_language not in known:
        raise SettingsError(f"SEARCH_LANGUAGE: the database has no such configuration; it has {', '.join(known)}")


async def current() -> bool:
    """Whether the database has every migration of this code. Raises Unavailable; Timeout."""
    rows = await system_fetch(Door.HEALTH, "SELECT name FROM tortoise_migrations WHERE app = 'planwire'")
    return {path.stem for path in _FOLDER.glob("[0-9]*.py")} <= {row["name"] for row in rows}


async def _unwritten(settings: Settings) -> list[MigrationWriter]:
    config = tortoise_config(settings)
    async with TortoiseContext() as context:
        await context.init(config=config, init_connections=False)
        if context.apps is None:
            raise RuntimeError("no models were found")
        apps = {label: dict(app) for label, app in config["apps"].items()}
        return await MigrationAutodetector(context.apps, apps).changes()


async def missing(settings: Settings) -> bool:
    """Whether the models hold something that no migration makes. Needs no database."""
    return bool(await _unwritten(settings))


async def make(settings: Settings) -> list[str]:
    """Write a migration for what the models hold beyond the present ones; the names written."""
    writers = await _unwritten(settings)
    for writer in writers:
        await asyncio.to_thread(writer.write)
    return [writer.name for writer in writers]
