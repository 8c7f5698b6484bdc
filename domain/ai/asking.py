"""Asking a language model for one JSON value, and charging for it."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from domain.adapters.language_model import LanguageModel, Message, Usage, estimated_usage
from domain.ai import budget
from domain.base.errors import Unavailable

# Some models dress their JSON up, whatever they were told.
_FENCED = re.compile(r"\s*```(?:json)?\s*(.*?)\s*```\s*", re.DOTALL)


async def ask(
    model: LanguageModel,
    org_id: UUID,
    messages: Sequence[Message],
    *,
    schema: Mapping[str, Any],
    max_tokens: int,
    within_s: float,
) -> Any:
    """What the model says, which should be of the JSON schema and may be anything; None for what is no JSON.

    The prompt is charged before it is sent, since whoever hangs up, or dies with their process, has used it; the rest
    once it is known, and a prompt that nobody answered is given back. Raises Unavailable, also when it does not come in
    time; ModelRefused.
    """
    prompt = estimated_usage(messages, (), ())
    await budget.charge(org_id, prompt)
    try:
        async with asyncio.timeout(within_s) as limit:
            answer = await model.answer(messages, max_tokens=max_tokens, schema=schema)
    except TimeoutError:
        raise Unavailable("The language model does not answer in time.") from None
    except Unavailable:
        if not limit.expired():
            await budget.give_back(org_id, prompt)
        raise
    used = answer.usage
    await budget.charge(
        org_id,
        Usage(
            used.input_tokens - prompt.input_tokens,
            used.output_tokens - prompt.output_tokens,
            is_estimated=used.is_estimated,
        ),
    )
    return _value(answer.text)


def _value(text: str) -> Any:
    if (fenced := _FENCED.fullmatch(text)) is not None:
        text = fenced[1]
    # No row holds a NUL, and no client may send one.
    if "\\u0000" in text:
        return None
    try:
        return orjson.loads(text)
    except ValueError:
        return None
