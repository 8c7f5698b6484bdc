"""What language models may cost: the tokens of an organization's plan, by the month of UTC, and a person's turns.

Whoever asks a model comes here first, and charges what was used by the end of the call, whatever came of it. So calls
that run at the same time may all begin just under the limit, and then the month ends above it by what they use: each
at most its prompt and its `max_tokens`, and a picture IMAGE_TOKENS. TURNS bounds how many there are of each person.
What is known before the call, a prompt or a picture, is charged before it where there is no stream to count by; what
else a process had used that dies is charged to nobody.
"""

from uuid import UUID

from domain.adapters.language_model import LanguageModel, Usage
from domain.adapters.throttle import Limit, Throttle
from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import fetch
from domain.base.errors import FeatureDisabled
from domain.base.permissions import Permission
from domain.base.sql import Row, sql
from domain.billing import limits

TURNS = Limit(tries=20, window_s=60)
"""What one person may ask models, in all organizations and with all of their keys."""
IMAGE_TOKENS = 4_000
"""What a picture counts as: services charge them by another measure, of which this is about the price."""


async def admit(actor: Actor, org_id: UUID, model: LanguageModel | None, throttle: Throttle) -> LanguageModel:
    """The model, for who may ask it now: it takes a turn, and nothing is charged yet.

    Raises NotFound; Forbidden (AI_USE); FeatureDisabled without a model; RateLimited; LimitReached (ai_tokens_month);
    Unavailable; Timeout.
    """
    actor.require(Permission.AI_USE, org_id=org_id)
    if model is None:
        raise FeatureDisabled("No language model can be asked here: this deployment has no OPENAI_API_KEY.")
    await require_turn(actor, throttle)
    await require(org_id)
    return model


async def require(org_id: UUID) -> None:
    """Raises LimitReached (ai_tokens_month) when the month's tokens are used up; NotFound for a stranger's.

    Cheap, and holds nothing. Raises Unavailable; Timeout.
    """
    await limits.require_tokens(org_id)


async def charge(org_id: UUID, usage: Usage) -> None:
    """Add what a call has used to this month's, in one statement; also for one that failed.

    The organization has to be one of the tenant's. Raises Unavailable; Timeout.
    """
    # What is given back after the month's end was charged to the month before: the new one has no less than nothing.
    charging = (
        "INSERT INTO ai_usage (id, org_id, month, tokens) VALUES ({}, {}, {}, greatest({}::bigint, 0)) "
        "ON CONFLICT (org_id, month) DO UPDATE SET tokens = greatest(ai_usage.tokens + {}::bigint, 0) RETURNING tokens"
    )
    month, tokens = limits.month_of(now()), usage.input_tokens + usage.output_tokens
    await fetch(sql(charging, new_id(), org_id, month, tokens, tokens), Row)


async def give_back(org_id: UUID, usage: Usage) -> None:
    """Take back what was charged for a call that came to nothing. Raises Unavailable; Timeout."""
    await charge(org_id, Usage(-usage.input_tokens, -usage.output_tokens, is_estimated=usage.is_estimated))


async def require_turn(actor: Actor, throttle: Throttle) -> None:
    """Count one turn of the person's. Raises RateLimited when there were too many; Unavailable."""
    await throttle.hit(f"ai:{actor.user_id}", TURNS)
