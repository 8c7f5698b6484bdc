"""What follows from what happened to an account: its mail."""

from uuid import UUID

from domain.adapters.wiring import Adapters
from domain.identity import mails
from domain.identity.security_log import SecurityEntryRow
from jobs.handlers import account_handler
from jobs.mails import TIMEOUT_S, post


@account_handler("identity.mail", timeout_s=TIMEOUT_S)
async def mail(user_id: UUID, entry: SecurityEntryRow, adapters: Adapters, _job_id: UUID) -> None:
    """Mail what the entry asks for. A retry carries the same Message-ID."""
    await post(await mails.of(user_id, entry, adapters.settings), adapters)
