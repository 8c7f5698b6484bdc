"""What a person says about themselves, and what they chose."""

from typing import Any
from unittest.mock import patch

import pytest

from tests.factories import make_person, rows

PROFILE = """
mutation ($input: ProfileUpdateInput!) {
  profileUpdate(input: $input) { viewer { user { name avatarUrl } } errors { code path } }
}
"""
PREFERENCES = """
mutation ($input: PreferencesUpdateInput!) {
  preferencesUpdate(input: $input) {
    viewer { preferences { locale timeZone emailOnAssignment emailOnMention emailOnInvitation settings } }
    errors { code path }
  }
}
"""
DEFAULTS = {
    "locale": "en",
    "timeZone": "UTC",
    "emailOnAssignment": True,
    "emailOnMention": True,
    "emailOnInvitation": True,
    "settings": {},
}

pytestmark = pytest.mark.usefixtures("adapters")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


async def test_the_profile_changes_only_in_what_is_given() -> None:
    ada = await make_person("Ada Lovelace")
    picture = "https://example.test/ada.png?size=64"

    first = await ada.client.done(PROFILE, input={"avatarUrl": picture})
    second = await ada.client.done(PROFILE, input={"name": "Ada King"})
    third = await ada.client.done(PROFILE, input={"avatarUrl": None})
    fourth = await ada.client.done(PROFILE, input={})

    assert first["viewer"]["user"] == {"name": "Ada Lovelace", "avatarUrl": picture}
    assert second["viewer"]["user"] == {"name": "Ada King", "avatarUrl": picture}
    assert third["viewer"]["user"] == fourth["viewer"]["user"] == {"name": "Ada King", "avatarUrl": None}


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": None}, "name"),
        ({"name": " "}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"avatarUrl": "http://example.test/ada.png"}, "avatarUrl"),
        ({"avatarUrl": "javascript:alert(1)"}, "avatarUrl"),
        ({"avatarUrl": "https://"}, "avatarUrl"),
        ({"avatarUrl": "https:///ada.png"}, "avatarUrl"),
        ({"avatarUrl": "https://[::1"}, "avatarUrl"),
        ({"avatarUrl": "https://example.test:port/"}, "avatarUrl"),
        ({"avatarUrl": "https://ada:secret@example.test/"}, "avatarUrl"),
        ({"avatarUrl": 'https://example.test/"onload="x'}, "avatarUrl"),
        ({"avatarUrl": "https://example.test/a b"}, "avatarUrl"),
        ({"avatarUrl": "https://example.test/" + "a" * 1980}, "avatarUrl"),
    ],
)
async def test_a_malformed_profile_is_refused(values: dict[str, Any], path: str) -> None:
    ada = await make_person("Ada Lovelace")

    errors = await ada.client.refused(PROFILE, input=values)

    assert errors == [{"code": "INVALID", "path": ["input", path]}]
    (row,) = await rows("SELECT name, avatar_url FROM users WHERE id = $1", ada.user_id)
    assert row == {"name": "Ada Lovelace", "avatar_url": None}


async def test_the_address_cannot_be_changed_with_the_profile() -> None:
    ada = await make_person()

    answer = await ada.client.run(PROFILE, input={"email": "eve@example.test"})

    assert answer.codes == ["BAD_USER_INPUT"]


async def test_preferences_change_only_in_what_is_given() -> None:
    ada = await make_person()
    settings = {"theme": "dark", "columns": [1, 2.5, None, True], "n": {"\u00e9": "\U0001f600"}}

    untouched = await ada.client.done(PREFERENCES, input={})
    await ada.client.done(PREFERENCES, input={"locale": "de-CH", "timeZone": "Europe/Zurich"})
    changed = await ada.client.done(PREFERENCES, input={"emailOnMention": False, "settings": settings})
    cleared = await ada.client.done(PREFERENCES, input={"settings": None})

    assert untouched["viewer"]["preferences"] == DEFAULTS
    expected = DEFAULTS | {"locale": "de-CH", "timeZone": "Europe/Zurich", "emailOnMention": False}
    assert changed["viewer"]["preferences"] == expected | {"settings": settings}
    assert cleared["viewer"]["preferences"] == expected


async def test_the_time_zones_are_read_from_the_disk_once() -> None:
    ada = await make_person()
    await ada.client.done(PREFERENCES, input={"timeZone": "Europe/Zurich"})

    with patch("zoneinfo.available_timezones", side_effect=AssertionError):
        changed = await ada.client.done(PREFERENCES, input={"timeZone": "Asia/Tokyo"})

    assert changed["viewer"]["preferences"]["timeZone"] == "Asia/Tokyo"


@pytest.mark.parametrize("value", [[], "text", 7, 1.5, True, {"a": nested(19)}, "x" * (16 * 1024 - 2), nested(20)])
async def test_settings_take_any_json(value: Any) -> None:
    ada = await make_person()

    payload = await ada.client.done(PREFERENCES, input={"settings": value})

    assert payload["viewer"]["preferences"]["settings"] == value


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"locale": None}, "locale"),
        ({"locale": ""}, "locale"),
        ({"locale": "german"}, "locale"),
        ({"locale": "de_CH"}, "locale"),
        ({"locale": "de-CH\n"}, "locale"),
        ({"timeZone": None}, "timeZone"),
        ({"timeZone": "Europe"}, "timeZone"),
        ({"timeZone": "../../etc/passwd"}, "timeZone"),
        ({"timeZone": "Mars/Olympus"}, "timeZone"),
        ({"emailOnMention": None}, "emailOnMention"),
        ({"settings": "x" * (16 * 1024 - 1)}, "settings"),
        ({"settings": nested(21)}, "settings"),
        ({"settings": nested(2000)}, "settings"),
        ({"settings": float("nan")}, "settings"),
        ({"settings": {"a": [float("inf")]}}, "settings"),
        ({"settings": 2**70}, "settings"),
    ],
)
async def test_malformed_preferences_are_refused(values: dict[str, Any], path: str) -> None:
    ada = await make_person()

    errors = await ada.client.refused(PREFERENCES, input={"emailOnAssignment": False, **values})

    assert errors == [{"code": "INVALID", "path": ["input", path]}]
    unchanged = await ada.client.done(PREFERENCES, input={})
    assert unchanged["viewer"]["preferences"] == DEFAULTS
