"""How passwords are kept and compared."""

import time

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


async def took_s(password: str, stored: str | None) -> float:
    """What a refusal takes of the processor, the least of five: others on this machine may have it meanwhile."""
    times = []
    for _ in range(5):
        started = time.process_time()
        assert not await passwords.matches(password, stored)
        times.append(time.process_time() - started)
    return min(times)


async def test_a_missing_password_takes_as_long_as_a_wrong_one() -> None:
    stored = await passwords.hashed("correct horse")

    assert 0.5 < await took_s("a wrong one", None) / await took_s("a wrong one", stored) < 2


async def test_a_password_that_nobody_can_have_takes_as_long_as_a_wrong_one() -> None:
    """Normalizing this one would take seconds."""
    stored, endless = await passwords.hashed("correct horse"), "a" + "\u0301\u0316" * 50_000

    assert 0.5 < await took_s(endless, stored) / await took_s("a wrong one", stored) < 2


async def test_a_password_that_is_too_long_is_wrong_whatever_is_stored() -> None:
    for stored in (await passwords.hashed(""), await passwords.hashed("a" * 201)):
        assert not await passwords.matches("a" * 201, stored)


async def test_a_digest_of_other_parameters_is_outdated() -> None:
    weaker = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash("correct horse")

    assert passwords.is_outdated(weaker)
    assert not passwords.is_outdated(await passwords.hashed("correct horse"))
