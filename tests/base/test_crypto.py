"""Tokens that travel by mail, one for each purpose, row and generation, and keys that sign, one for each purpose."""

import base64
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

from domain.base.clock import new_id
from domain.base.crypto import mailed_token, signing_key
from domain.base.settings import Settings

SETTINGS = Settings(Path(), True, None, None, secret_key="k" * 32)
OTHER = replace(SETTINGS, secret_key="l" * 32)


def test_a_token_is_the_same_whoever_makes_it_and_holds_256_bits() -> None:
    row_id = new_id()

    token = mailed_token(SETTINGS, "INVITATION", row_id, 1)

    assert token == mailed_token(SETTINGS, "INVITATION", row_id, 1)
    assert len(base64.urlsafe_b64decode(token + "=")) == 32


def test_purposes_rows_generations_and_keys_have_tokens_of_their_own() -> None:
    keys, ids = (SETTINGS, OTHER), (new_id(), new_id())
    choices = product(keys, ("INVITATION", "VERIFY_EMAIL"), ids, (1, 2, 11, 12))

    made = [mailed_token(*each) for each in choices]

    assert all(one != other for one, other in combinations(made, 2))
    assert len(made) == 32


def test_purposes_and_keys_have_signing_keys_of_their_own() -> None:
    made = {signing_key(each, purpose) for each in (SETTINGS, OTHER) for purpose in ("files", "links")}

    assert len(made) == 4
    assert {len(each) for each in made} == {32}
    assert signing_key(SETTINGS, "files") in made
