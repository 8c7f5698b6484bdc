"""Adapters: the bundle of outside systems, built once a process from Settings."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from domain.adapters.cache import Cache
from domain.adapters.documents import StoredDocuments
from domain.adapters.embeddings import Embeddings
from domain.adapters.embeddings_local import LocalEmbeddings
from domain.adapters.http import Http
from domain.adapters.language_model import LanguageModel
from domain.adapters.leases import Leases
from domain.adapters.mail import Mail, MailOff
from domain.adapters.mail_files import FileMail
from domain.adapters.mail_resend import ResendMail
from domain.adapters.mail_smtp import SmtpMail
from domain.adapters.other_embeddings import OtherEmbeddings
from domain.adapters.points import Points
from domain.adapters.pubsub import ANSWERS, INBOXES, JOBS, TEXTS, PubSub
from domain.adapters.slack import Slack
from domain.adapters.storage import Storage
from domain.adapters.storage_local import LocalStorage
from domain.adapters.stripe import Stripe
from domain.adapters.throttle import Throttle
from domain.base.crypto import signing_key
from domain.base.settings import LOCAL_EMBEDDINGS, Settings
from domain.base.smtp_address import mail_host, smtp_server

if TYPE_CHECKING:
    from domain.adapters.storage_s3 import S3Storage


@dataclass(frozen=True)
class Adapters:
    """One adapter for each outside system."""

    settings: Settings
    """What they were built from."""
    throttle: Throttle
    pubsub: PubSub
    inboxes: PubSub
    jobs: PubSub
    answers: PubSub
    """Which answers of a language model have changed, and in `texts` what came of them."""
    texts: PubSub
    points: Points
    leases: Leases
    documents: StoredDocuments
    cache: Cache
    http: Http
    mail: Mail
    storage: Storage
    slack: Slack | None
    """None without SLACK_WEBHOOK_URL."""
    stripe: Stripe | None
    """None without STRIPE_SECRET_KEY."""
    embeddings: Embeddings
    other_embeddings: OtherEmbeddings
    language_model: LanguageModel | None
    """None without OPENAI_API_KEY."""

    @classmethod
    def of(cls, settings: Settings) -> "Adapters":
        """The adapters that the settings name. Nothing connects yet."""
        url = settings.redis_url
        if url is None:
            raise ValueError("no Redis: start the embedded one or set REDIS_URL")
        http = Http()
        hook = settings.slack_webhook_url
        return cls(
            settings=settings,
            throttle=Throttle(url),
            pubsub=PubSub(url),
            inboxes=PubSub(url, INBOXES),
            jobs=PubSub(url, JOBS),
            answers=PubSub(url, ANSWERS),
            texts=PubSub(url, TEXTS),
            points=Points(url),
            leases=Leases(url),
            documents=StoredDocuments(url),
            cache=Cache(url),
            http=http,
            mail=mail_of(settings, http),
            storage=storage_of(settings),
            slack=None if hook is None else Slack(http, url=hook),
            stripe=stripe_of(settings),
            embeddings=embeddings_of(settings),
            other_embeddings=OtherEmbeddings(settings),
            language_model=language_model_of(settings),
        )

    def embeddings_for(self, model: str) -> Embeddings | None:
        """Who embeds by the model of that name; None when nobody that the settings name has it."""
        return self.embeddings if self.embeddings.model == model else self.other_embeddings.named(model)

    async def close(self) -> None:
        """Close what is open."""
        await self.leases.close()
        await self.points.close()
        await self.documents.close()
        await self.cache.close()
        await self.throttle.close()
        await self.inboxes.close()
        await self.jobs.close()
        await self.answers.close()
        await self.texts.close()
        await self.pubsub.close()
        await self.storage.close()
        await self.mail.close()
        await self.http.close()
        if self.stripe is not None:
            await self.stripe.close()
        await self.embeddings.close()
        await self.other_embeddings.close()
        if self.language_model is not None:
            await self.language_model.close()


def mail_of(settings: Settings, http: Http) -> Mail:
    """Who takes mail: the server of SMTP_URL, else Resend, else the data directory of embedded mode, else nobody."""
    if settings.smtp_url is not None:
        return SmtpMail(
            smtp_server(settings.smtp_url), sender=settings.mail_from, own_host=mail_host(settings.public_url)
        )
    if settings.resend_api_key is not None:
        return ResendMail(http, api_key=settings.resend_api_key, sender=settings.mail_from)
    if settings.embedded:
        return FileMail(settings.data_dir, sender=settings.mail_from)
    # Not a fault at the start: an API that serves is worth more, and no mail is lost, its job waits among the dead.
    structlog.get_logger("mail").warning("no mail is sent: neither SMTP_URL nor RESEND_API_KEY is set")
    return MailOff()


def storage_of(settings: Settings) -> Storage:
    """Where files lie: the bucket of S3_BUCKET, else the data directory."""
    if settings.s3_bucket is not None:
        s3: type[S3Storage] = _imported("storage_s3").S3Storage
        return s3(
            bucket=settings.s3_bucket,
            region=settings.aws_region,
            endpoint_url=settings.s3_endpoint_url,
            storage_class=settings.s3_storage_class,
            access_key_id=settings.aws_access_key_id,
            secret_access_key=settings.aws_secret_access_key,
            session_token=settings.aws_session_token,
        )
    if not settings.embedded:
        # One machine is a system too, but of several each would hold files that the others do not find.
        structlog.get_logger("storage").warning(
            "files lie on this machine alone", directory=str(settings.data_dir / "files")
        )
    return LocalStorage(
        settings.data_dir / "files", origin=settings.public_url, signing_key=signing_key(settings, "files")
    )


def stripe_of(settings: Settings) -> Stripe | None:
    """Stripe, where the settings name it."""
    key, secret = settings.stripe_secret_key, settings.stripe_webhook_secret
    if key is None or secret is None:
        return None
    return Stripe(secret_key=key, webhook_secret=secret, url=settings.stripe_api_url)


def embeddings_of(settings: Settings) -> Embeddings:
    """Who embeds texts: the service, where the settings name one, else this machine."""
    if settings.openai_api_key is None or settings.openai_embedding_model == LOCAL_EMBEDDINGS:
        return LocalEmbeddings()
    made: Embeddings = _imported("openai_wiring").embeddings_of(settings)
    return made


def language_model_of(settings: Settings) -> LanguageModel | None:
    """The language model, where the settings name it."""
    if settings.openai_api_key is None:
        return None
    made: LanguageModel = _imported("openai_wiring").language_model_of(settings)
    return made


def _imported(name: str) -> Any:
    # By name and not at the top: the client of S3 takes half a second to import and that of models a second and 25 MB,
    # and most processes have neither a bucket nor a key.
    return importlib.import_module(f"domain.adapters.{name}")
