"""Stripe, in our words: customers, checkouts, the portal, subscriptions, and whether an event is Stripe's own.

Every change carries an idempotency key that its caller derives from ids of ours: one that is sent again, by the client
after a time-out or by a job after a crash, is done once. Stripe remembers keys for a day at least, and refuses one that
comes back with other parameters, so what a key stands for must not depend on what may change meanwhile.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

import orjson
import stripe
import structlog

from domain.base.errors import DomainError, Unavailable
from domain.billing_words import x
