"""The adapters of a service that speaks as OpenAI's API does, from Settings that name it."""

from domain.adapters.embeddings import Embeddings
from domain.adapters.embeddings_openai import OpenAiEmbeddings
from domain.adapters.http import Http
from domain.adapters.language_model import LanguageModel
from domain.adapters.language_model_openai import IMAGE_BYTES_MAX, OpenAiLanguageModel
from domain.adapters.openai_service import OpenAiService
from domain.base.settings import Settings

PICTURE_S = 60.0


def embeddings_of(settings: Settings, *, model: str | None = None, dimensions: int | None = None) -> Embeddings:
    """The service's embeddings, by the model of the settings or by another that it has."""
    return OpenAiEmbeddings(
        _service(settings),
        model=model or settings.openai_embedding_model,
        dimensions=dimensions or settings.openai_embedding_dimensions,
    )


def language_model_of(settings: Settings) -> LanguageModel:
    """The service's language model."""
    return OpenAiLanguageModel(
        _service(settings),
        chat_model=settings.openai_chat_model,
        image_model=settings.openai_image_model,
        pictures=Http(timeout_s=PICTURE_S, answer_bytes_max=IMAGE_BYTES_MAX),
    )


def _service(settings: Settings) -> OpenAiService:
    if settings.openai_api_key is None:
        raise ValueError("no service: set OPENAI_API_KEY")
    return OpenAiService(api_key=settings.openai_api_key, base_url=settings.openai_base_url)
