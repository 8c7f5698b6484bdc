"""Look-ups that are shared by those who ask at the same moment."""

import asyncio
from collections.abc import Mapping

import pytest

from domain.base import batches
from domain.base.batches import MOST, Batches
from domain.base.errors import Unavailable
from tests.test_cancel import unseen_failures


class Numbers:
    """Doubles, which wait until they may answer."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.may_answer = asyncio.Event()
        self.fault: Exception | None = None
        self.batches = Batches(self.look_up)

    async def look_up(self, keys: list[int]) -> Mapping[int, int]:
        self.asked.append(keys)
        await self.may_answer.wait()
        if self.fault is not None:
            raise self.fault
        return {key: 2 * key for key in keys if key >= 0}


async def turns(count: int = 5) -> None:
    """Let everybody run on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_those_of_one_turn_share_and_those_who_come_later_get_the_next() -> None:
    numbers = Numbers()

    first = [asyncio.create_task(numbers.batches.get(key)) for key in (1, 2, 1, -1)]
    await turns()
    second = [asyncio.create_task(numbers.batches.get(key)) for key in (1, 3)]
    await turns()
    asked = list(numbers.asked)
    numbers.may_answer.set()

    assert await asyncio.gather(*first, *second) == [2, 4, 2, None, 2, 6]
    assert (asked, numbers.asked) == ([[1, 2, -1]], [[1, 2, -1], [1, 3]])


async def test_where_several_ask_those_of_the_next_turns_share_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "TURNS", 20)
    numbers = Numbers()
    numbers.may_answer.set()

    await asyncio.gather(numbers.batches.get(1), numbers.batches.get(2))
    next_ = [asyncio.create_task(numbers.batches.get(3))]
    await turns()
    next_.append(asyncio.create_task(numbers.batches.get(4)))

    assert await asyncio.gather(*next_) == [6, 8]
    assert numbers.asked == [[1, 2], [3, 4]]


async def test_who_asks_alone_makes_nobody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "TURNS", 1_000_000_000)
    numbers = Numbers()
    numbers.may_answer.set()

    assert [await numbers.batches.get(key) for key in (1, 2, 3)] == [2, 4, 6]
    assert numbers.asked == [[1], [2], [3]]


async def test_a_batch_is_bounded() -> None:
    numbers = Numbers()
    numbers.may_answer.set()

    found = await asyncio.gather(*(numbers.batches.get(key) for key in range(2 * MOST + 1)))

    assert found == [2 * key for key in range(2 * MOST + 1)]
    assert [len(keys) for keys in numbers.asked] == [MOST, MOST, 1]


async def test_a_look_up_that_hangs_holds_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LOOK_UP_TIMEOUT_S", 0.01)
    numbers = Numbers()

    with pytest.raises(Unavailable):
        await numbers.batches.get(1)
    numbers.may_answer.set()

    assert await numbers.batches.get(1) == 2


async def test_who_is_cut_off_takes_nobody_along() -> None:
    numbers = Numbers()

    gone_before = asyncio.create_task(numbers.batches.get(7))
    asking = [asyncio.create_task(numbers.batches.get(1)) for _ in range(3)]
    await asyncio.sleep(0)
    gone_before.cancel()
    await turns()
    asking[0].cancel()
    await turns()
    numbers.may_answer.set()
    found = await asyncio.gather(*asking, return_exceptions=True)

    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [2, 2]
    assert numbers.asked == [[1]]


async def test_a_failure_is_everybodys_and_the_next_batch_is_free_of_it() -> None:
    numbers = Numbers()
    numbers.fault = LookupError("away")
    numbers.may_answer.set()

    with unseen_failures() as failures:
        asking = [asyncio.create_task(numbers.batches.get(key)) for key in (1, 2)]
        found = await asyncio.gather(*asking, return_exceptions=True)
        numbers.fault = None
        again = await numbers.batches.get(1)

    assert [type(each) for each in found] == [LookupError] * 2
    assert (again, failures) == (2, [])


async def test_the_end_of_the_work_ends_the_waiting() -> None:
    numbers = Numbers()

    asking = asyncio.create_task(numbers.batches.get(1))
    await turns()
    assert numbers.batches._working is not None
    numbers.batches._working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    numbers.may_answer.set()

    assert await numbers.batches.get(2) == 4
