"""A picture comes as what it is, from the service or from the open internet, and is asked for once."""

import base64
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.adapters.http import Http
from domain.adapters.language_model import Image
from domain.adapters.language_model_openai import IMAGE_BYTES_MAX, OpenAiLanguageModel
from domain.adapters.model_errors import ModelRefused
from domain.adapters.openai_service import OpenAiService
from domain.base.errors import Unavailable
from tests.adapters.test_language_model import model_at
from tests.openai.pictures import PNG, drawn
from tests.openai.server import FakeOpenAi, serving


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAi]:
    """The service."""
    async with serving() as running:
        yield running


@pytest.fixture
async def model(fake: FakeOpenAi) -> AsyncIterator[OpenAiLanguageModel]:
    """The service's models."""
    made = model_at(fake)
    yield made
    await made.close()


@pytest.mark.parametrize(("format", "type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
async def test_a_picture_comes_with_its_type(
    format: str, type: str, fake: FakeOpenAi, model: OpenAiLanguageModel
) -> None:
    fake.picture = {"b64_json": base64.b64encode(drawn(format)).decode()}

    assert await model.image("A red dot") == Image(drawn(format), type)
    assert fake.asked[0].body == {"model": "fake-image", "prompt": "A red dot", "n": 1}


async def test_a_picture_that_lies_elsewhere_is_fetched(fake: FakeOpenAi, model: OpenAiLanguageModel) -> None:
    fake.picture = {"url": f"{fake.origin}/picture.png?signature=1", "b64_json": None}

    assert await model.image("A red dot") == Image(PNG, "image/png")
    # The key is for the service alone.
    assert "authorization" not in fake.asked[1].headers


async def test_a_picture_is_fetched_from_the_open_internet_alone(fake: FakeOpenAi) -> None:
    model = OpenAiLanguageModel(
        OpenAiService(api_key=fake.key, base_url=f"{fake.origin}/v1"),
        chat_model="fake-chat",
        image_model="fake-image",
        pictures=Http(schemes=("http",)),
    )
    fake.picture = {"url": f"{fake.origin}/picture.png?signature=1"}

    with pytest.raises(ModelRefused, match="may not be asked") as raised:
        await model.image("A red dot")

    assert "signature" not in "".join(traceback.format_exception(raised.value))
    assert [asked.path for asked in fake.asked] == ["/v1/images/generations"]
    await model.close()


@pytest.mark.parametrize(
    ("picture", "fault"),
    [
        ({}, "data is not one picture"),
        ({"b64_json": 5}, "data is not one picture"),
        ({"b64_json": "<svg>"}, "the picture is no base64"),
        ({"b64_json": ""}, "the picture is none of"),
        ({"b64_json": base64.b64encode(b"<svg></svg>").decode()}, "the picture is none of"),
        ({"b64_json": base64.b64encode(PNG + bytes(IMAGE_BYTES_MAX)).decode()}, "the picture is too large"),
    ],
)
async def test_what_is_no_picture_is_unavailable(
    picture: dict[str, Any], fault: str, fake: FakeOpenAi, model: OpenAiLanguageModel
) -> None:
    fake.picture = picture

    with pytest.raises(Unavailable, match=fault):
        await model.image("A red dot")


async def test_a_picture_whose_answer_is_lost_is_not_made_again(fake: FakeOpenAi, model: OpenAiLanguageModel) -> None:
    fake.fault("cut")

    with pytest.raises(Unavailable):
        await model.image("A red dot")

    assert len(fake.asked) == 1
