"""How passwords are kept and compared."""

import time
from statistics import median

from argon2 import PasswordHasher, extract_parameters

from domain.identity import passwords


async def test_a_password_is_kept_as_argon2id_with_the_stated_parameters() -> None:
    parameters = extract_parameters(await passwords.hashed("correct horse"))

    assert (parameters.type.name, parameters.time_cost, parameters.memory_cost, parameters.parallelism) == (
        "ID",
        2,
        19_456,
        1,
    )


async def test_two_digests_of_one_password_differ_and_both_match() -> None:
    first, second = await passwords.hashed("correct horse"), await passwords.hashed("correct horse")

    assert first != second
    assert await passwords.matches("correct horse", first)
    assert await passwords.matches("correct horse", second)


async def test_a_wrong_password_and_a_missing_one_do_not_match() -> None:
    stored = await passwords.hashed("correct horse")

    assert not await passwords.matches("correct Horse", stored)
    assert not await passwords.matches("correct horse", None)
    assert not await passwords.matches("correct horse", "not a digest")


async def test_a_password_matches_however_the_keyboard_composes_it() -> None:
    stored = await passwords.hashed("caf\u00e9 cr\u00e8me")

    assert await passwords.matches("cafe\u0301 cre\u0300me", stored)


async def test_a_missing_password_takes_as_long_as_a_wrong_one() -> None:
    stored = await passwords.hashed("correct horse")

    async def took_s(stored: str | None) -> float:
        started = time.perf_counter()
        await passwords.matches("a wrong one", stored)
        return time.perf_counter() - started

    wrong = median([await took_s(stored) for _ in range(5)])
    missing = median([await took_s(None) for _ in range(5)])

    assert 0.5 < missing / wrong < 2


async def test_a_digest_of_other_parameters_is_outdated() -> None:
    weaker = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash("correct horse")

    assert passwords.is_outdated(weaker)
    assert not passwords.is_outdated(await passwords.hashed("correct horse"))
