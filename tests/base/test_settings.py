"""Faults are all told at once and hold no secret; what is right is normalised."""

import stat
from pathlib import Path

import pytest

from domain.base.settings import Settings, SettingsError, load
from domain.base.smtp_address import Encryption, SmtpServer, smtp_server

KEY = "k" * 32
STRIPE = {
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
    "STRIPE_PRICE_PRO": "price_pro",
    "STRIPE_PRICE_BUSINESS": "price_business",
}
BUCKET = {"S3_BUCKET": "files", "AWS_REGION": "eu-central-1"}
OPENAI = {"OPENAI_API_KEY": "sk-of-models"}
SERVERS = {"DATABASE_URL": "postgres://u:pw-of-db@db.test/planwire", "SECRET_KEY": KEY}


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"DATABASE_URL": "mysql://db.test/planwire"}, "DATABASE_URL: has to begin with postgres:// or postgresql://"),
        ({"DATABASE_URL": "postgres:///planwire"}, "DATABASE_URL: names no host"),
        ({"DATABASE_URL": "postgres://db.test/"}, "DATABASE_URL: names no database; it ends in /NAME"),
        ({"DATABASE_URL": "postgres://u:a/b@db.test/planwire"}, "DATABASE_URL: is not a URL; special characters in a"),
        ({"REDIS_URL": "http://cache.test"}, "REDIS_URL: has to begin with redis:// or rediss:// or unix://"),
        ({"REDIS_URL": "redis://"}, "REDIS_URL: names no host"),
        ({"REDIS_URL": "unix://"}, "REDIS_URL: names no socket"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY: has 5 characters; at least 32 are needed"),
        ({"PUBLIC_URL": "http://planwire.test"}, "PUBLIC_URL: has to be https://"),
        ({"PUBLIC_URL": "https://planwire.test/app"}, "PUBLIC_URL: an origin is scheme, host and port alone"),
        ({"PUBLIC_URL": "https://u:pw@planwire.test"}, "PUBLIC_URL: an origin is scheme, host and port alone"),
        ({"PUBLIC_URL": "https://planwire.test:99999"}, "PUBLIC_URL: is not a URL"),
        ({"ALLOWED_ORIGINS": "*"}, "ALLOWED_ORIGINS: every origin is to be named, * is not one"),
        ({"ALLOWED_ORIGINS": "planwire.test"}, "ALLOWED_ORIGINS: has to begin with http:// or https://"),
        ({"FORWARDED_ALLOW_IPS": "10.0.0.1,proxy"}, "FORWARDED_ALLOW_IPS: is a list of IP addresses or networks"),
        (
            {"DATABASE_URL": "postgres:///planwire?host=/tmp&port=abc"},
            "DATABASE_URL: its port has to be a whole number",
        ),
        ({"DATABASE_URL": "postgres:///planwire?host=/tmp&port=0"}, "DATABASE_URL: its port has to be a whole number"),
        (
            {"DATABASE_URL": "postgres://db.test/planwire?sslmode=on"},
            "DATABASE_URL: its sslmode has to be one of disable",
        ),
        ({"DATABASE_POOL_SIZE": "1"}, "DATABASE_POOL_SIZE: has to be a whole number from 2 to 100"),
        ({"DATABASE_POOL_SIZE": "101"}, "DATABASE_POOL_SIZE: has to be a whole number from 2 to 100"),
        ({"DATABASE_POOL_SIZE": "many"}, "DATABASE_POOL_SIZE: has to be a whole number from 2 to 100"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: has to be one of debug, info, warning, error"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT: has to be one of json, console"),
        ({"PLANWIRE_DATA": "/dev/null"}, "PLANWIRE_DATA: /dev/null is not a directory"),
        ({"EVENT_CURSOR_DAYS": "0"}, "EVENT_CURSOR_DAYS: has to be a whole number from 1 to 3650"),
        ({"RATE_POINTS_MINUTE": "0"}, "RATE_POINTS_MINUTE: has to be a whole number from 1 to 1000000000"),
        ({"RATE_POINTS_MINUTE": "1e4"}, "RATE_POINTS_MINUTE: has to be a whole number from 1 to 1000000000"),
        ({"RATE_POINTS_MINUTE": "9" * 5000}, "RATE_POINTS_MINUTE: has to be a whole number from 1 to 1000000000"),
        ({"RATE_POINTS_MINUTE": "1000000001"}, "RATE_POINTS_MINUTE: has to be a whole number from 1 to 1000000000"),
        ({"SOCKETS_PER_USER": "-1"}, "SOCKETS_PER_USER: has to be a whole number from 1 to 10000"),
        ({"OPERATIONS_PER_SOCKET": "10001"}, "OPERATIONS_PER_SOCKET: has to be a whole number from 1 to 10000"),
        ({"SEARCH_LANGUAGE": "english; drop"}, "SEARCH_LANGUAGE: is no name of a text search configuration"),
        ({"MESSAGES_PER_SECOND": "٣"}, "MESSAGES_PER_SECOND: has to be a whole number from 1 to 100000"),
        ({"INTROSPECTION": "true"}, "INTROSPECTION: has to be one of on, off"),
        ({"DOCUMENTS": "none"}, "DOCUMENTS: has to be one of any, persisted"),
        ({"DOCUMENTS": "persisted"}, "DOCUMENTS_FILE: required with DOCUMENTS=persisted"),
        (
            {"DOCUMENTS_FILE": "/nowhere/documents.json"},
            "DOCUMENTS_FILE: /nowhere/documents.json cannot be read: No such",
        ),
        ({"SMTP_URL": "http://mail.test"}, "SMTP_URL: has to begin with smtp:// or smtps://"),
        ({"SMTP_URL": "smtp://"}, "SMTP_URL: names no host"),
        ({"SMTP_URL": "smtp://mail.test:0"}, "SMTP_URL: its port has to be from 1 to 65535"),
        ({"SMTP_URL": "smtp://mail.test/inbox"}, "SMTP_URL: has nothing behind the host and port but ?starttls="),
        ({"SMTP_URL": "smtp://u@mail.test"}, "SMTP_URL: has to have a user and a password, or neither"),
        ({"SMTP_URL": "smtp://mail.test?starttls=no"}, "SMTP_URL: its starttls has to be one of required, auto, off"),
        ({"SMTP_URL": "smtp://mail.test?tls=1"}, "SMTP_URL: takes no parameter but starttls"),
        ({"SMTP_URL": "smtps://mail.test?starttls=off"}, "SMTP_URL: takes no parameter but starttls, and that only"),
        ({"SMTP_URL": "smtp://u:pw@mail.test?starttls=auto"}, "SMTP_URL: a password needs starttls=required or smtps"),
        ({"SMTP_URL": "smtp://u:pw@mail.test?starttls=off"}, "SMTP_URL: a password needs starttls=required or smtps"),
        ({"RESEND_APIKEY": "re_1"}, "RESEND_APIKEY: unknown setting, did you mean RESEND_API_KEY?"),
        ({"RESEND_API_KEY": "re_1\r\nX: 1"}, "RESEND_API_KEY: is a key of printable ASCII"),
        ({"RESEND_API_KEY": "re 1"}, "RESEND_API_KEY: is a key of printable ASCII"),
        ({"MAIL_FROM": "Planwire"}, "MAIL_FROM: has to be an address like"),
        ({"MAIL_FROM": "a@b.test, c@d.test"}, "MAIL_FROM: has to be an address like"),
        ({"MAIL_FROM": "X <a@b.test>\r\nBcc: c@d.test"}, "MAIL_FROM: has to be an address like"),
        ({"MAIL_FROM": "ö@b.test"}, "MAIL_FROM: has to have ASCII alone before the @"),
        ({"SLACK_WEBHOOK_URL": "http://hooks.test/x"}, "SLACK_WEBHOOK_URL: has to begin with https://"),
        ({"SLACK_WEBHOOK_URL": "https://u:pw@hooks.test/x"}, "SLACK_WEBHOOK_URL: names no host, or a user before it"),
        ({"STRIPE_SECRET_KEY": "sk 1", **STRIPE}, "STRIPE_SECRET_KEY: is a key of printable ASCII, like sk_..."),
        ({"STRIPE_API_URL": "http://stripe.test"}, "STRIPE_API_URL: has to be https://"),
        ({"STRIPE_API_URL": "https://u:pw@stripe.test"}, "STRIPE_API_URL: an origin is scheme, host and port alone"),
        (STRIPE, "STRIPE_SECRET_KEY: required with any other of STRIPE_SECRET_KEY,"),
        (
            {"STRIPE_SECRET_KEY": "sk_1"},
            "STRIPE_WEBHOOK_SECRET, STRIPE_PRICE_PRO, STRIPE_PRICE_BUSINESS: required with",
        ),
        (
            {"STRIPE_SECRET_KEY": "sk_1", **STRIPE, "STRIPE_PRICE_BUSINESS": "price_pro"},
            "STRIPE_PRICE_BUSINESS: is STRIPE_PRICE_PRO",
        ),
        ({"S3_BUCKET": "Files", "AWS_REGION": "eu-central-1"}, "S3_BUCKET: is no name of a bucket"),
        ({"S3_BUCKET": "a..b", "AWS_REGION": "eu-central-1"}, "S3_BUCKET: is no name of a bucket"),
        ({"S3_BUCKET": "a/b", "AWS_REGION": "eu-central-1"}, "S3_BUCKET: is no name of a bucket"),
        ({"S3_BUCKET": "files"}, "AWS_REGION: required with S3_BUCKET, unless S3_ENDPOINT_URL"),
        ({"S3_BUCKET": "files", "AWS_REGION": "eu/central"}, "AWS_REGION: is no region, like eu-central-1"),
        (
            {"S3_ENDPOINT_URL": "https://s3.test", "S3_STORAGE_CLASS": "STANDARD"},
            "S3_BUCKET: required with S3_ENDPOINT",
        ),
        ({"S3_BUCKET": "files", "S3_ENDPOINT_URL": "http://s3.test"}, "S3_ENDPOINT_URL: has to be https://"),
        ({"S3_BUCKET": "files", "S3_ENDPOINT_URL": "https://s3.test/files"}, "S3_ENDPOINT_URL: an origin is scheme,"),
        ({**BUCKET, "S3_STORAGE_CLASS": "GLACIER"}, "S3_STORAGE_CLASS: has to be one of STANDARD,"),
        ({**BUCKET, "AWS_ACCESS_KEY_ID": "AKIA1"}, "AWS_SECRET_ACCESS_KEY: required with any other of AWS_ACCESS_KEY"),
        ({**BUCKET, "AWS_SECRET_ACCESS_KEY": "s"}, "AWS_ACCESS_KEY_ID: required with any other of AWS_ACCESS_KEY_ID,"),
        ({**BUCKET, "AWS_SESSION_TOKEN": "t"}, "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: required with any other"),
        ({"S3_STORAGE_CLAS": "STANDARD"}, "S3_STORAGE_CLAS: unknown setting, did you mean S3_STORAGE_CLASS?"),
        ({**OPENAI, "OPENAI_API_KEY": "sk 1"}, "OPENAI_API_KEY: is a key of printable ASCII, like sk-..."),
        ({**OPENAI, "OPENAI_BASE_URL": "http://models.test/v1"}, "OPENAI_BASE_URL: has to be https://"),
        ({**OPENAI, "OPENAI_BASE_URL": "ftp://models.test/v1"}, "OPENAI_BASE_URL: has to begin with http:// or https"),
        ({**OPENAI, "OPENAI_BASE_URL": "https:///v1"}, "OPENAI_BASE_URL: an origin is scheme, host and port alone"),
        ({**OPENAI, "OPENAI_BASE_URL": "https://u:pw@models.test"}, "OPENAI_BASE_URL: an origin is scheme, host and"),
        ({**OPENAI, "OPENAI_BASE_URL": "https://models.test/v1?a=b"}, "OPENAI_BASE_URL: is an address without a query"),
        ({"OPENAI_BASE_URL": "https://models.test"}, "OPENAI_API_KEY: required with any other setting of OPENAI_"),
        (
            {**OPENAI, "OPENAI_EMBEDDING_MODEL": "bge-m3"},
            "OPENAI_EMBEDDING_DIMENSIONS: required with OPENAI_EMBEDDING_MODEL",
        ),
        (
            {**OPENAI, "OPENAI_EMBEDDING_DIMENSIONS": "4001"},
            "OPENAI_EMBEDDING_DIMENSIONS: has to be a whole number from 1 to 4000",
        ),
        ({"DOCUMENT_FILE": "x"}, "DOCUMENT_FILE: unknown setting, did you mean DOCUMENTS_FILE?"),
        ({"PLANWIRE_DTA": "x"}, "PLANWIRE_DTA: unknown setting, did you mean PLANWIRE_DATA?"),
        ({"PLANWIRE_COLOR": "red"}, "PLANWIRE_COLOR: unknown setting; known are ALLOWED_ORIGINS,"),
        ({"DATABASE_HOST": "db.test"}, "DATABASE_HOST: unknown setting; known are"),
        ({"REDIS_URI": "redis://x"}, "REDIS_URI: unknown setting, did you mean REDIS_URL?"),
        ({"redis_url": "redis://x"}, "redis_url: unknown setting, did you mean REDIS_URL?"),
        (
            {"PUBLIC_URL": "https://a.test", "ALLOWED_ORIGINS": "https://b.test"},
            "ALLOWED_ORIGINS: does not hold PUBLIC_URL",
        ),
    ],
)
def test_a_fault_is_told_and_nothing_is_written(environ: dict[str, str], fault: str, tmp_path: Path) -> None:
    if environ.get("DATABASE_URL"):
        environ = {"SECRET_KEY": KEY, **environ}
    data_dir = None if "PLANWIRE_DATA" in environ else tmp_path / "data"

    with pytest.raises(SettingsError) as raised:
        load(environ, data_dir=data_dir)

    assert str(raised.value).startswith(fault)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": "postgres://db.test", "LOGLEVEL": "info", "LOG_FORMAT": "xml", "PUBLIC_URL": "a.test"}

    with pytest.raises(SettingsError) as raised:
        load(environ, data_dir=tmp_path)

    named = [line.split(":")[0] for line in str(raised.value).splitlines()]
    assert named == ["LOGLEVEL", "DATABASE_URL", "PUBLIC_URL", "LOG_FORMAT", "SECRET_KEY"]


@pytest.mark.parametrize(
    "environ",
    [
        {"DATABASE_URL": "postgres://u:hunter2/@db.test/planwire"},
        {"DATABASE_URL": "postgres://u:[hunter2@db.test/planwire"},
        {"DATABASE_URL": "hunter2"},
        {"REDIS_URL": "redis://:hunter2"},
        {"SECRET_KEY": "hunter2"},
        {"PUBLIC_URL": "https://u:hunter2@a.test"},
        {"SMTP_URL": "smtp://u:hunter2/@a.test"},
        {"SMTP_URL": "smtp://u:[hunter2@a.test"},
        {"SMTP_URL": "smtp://u:hunter2@a.test?starttls=hunter2"},
        {"RESEND_API_KEY": "hunter2 x"},
        {"SLACK_WEBHOOK_URL": "http://hooks.test/hunter2"},
        {"STRIPE_SECRET_KEY": "hunter2"},
        {"OPENAI_API_KEY": "hunter2 x"},
        {**OPENAI, "OPENAI_BASE_URL": "https://u:hunter2@models.test"},
        {"STRIPE_WEBHOOK_SECRET": "hunter2 x"},
        {**BUCKET, "AWS_SECRET_ACCESS_KEY": "hunter2"},
        {**BUCKET, "AWS_SECRET_ACCESS_KEY": "hunter2 x", "AWS_ACCESS_KEY_ID": "a"},
        {**BUCKET, "AWS_SESSION_TOKEN": "hunter2"},
        {"PLANWIRE_PASSWORD": "hunter2"},
    ],
)
def test_no_message_holds_a_secret(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        load(environ, data_dir=tmp_path)

    assert "hunter2" not in str(raised.value)


def test_settings_do_not_show_their_secrets(tmp_path: Path) -> None:
    secrets = {
        "REDIS_URL": "redis://:pw-of-redis@cache.test",
        "SMTP_URL": "smtp://u:pw-of-mail@mail.test",
        "RESEND_API_KEY": "re_of-mail",
        "SLACK_WEBHOOK_URL": "https://hooks.test/of-slack",
        **STRIPE,
        "STRIPE_SECRET_KEY": "sk_of-stripe",
        **BUCKET,
        "AWS_ACCESS_KEY_ID": "AKIA1",
        "AWS_SECRET_ACCESS_KEY": "secret-of-aws",
        "AWS_SESSION_TOKEN": "token-of-aws",
        **OPENAI,
    }
    settings = load({**SERVERS, **secrets}, data_dir=tmp_path)

    told = (
        KEY,
        "of-aws",
        "pw-of-db",
        "pw-of-redis",
        "pw-of-mail",
        "re_of-mail",
        "of-slack",
        "sk_of-stripe",
        "whsec_1",
        "sk-of-models",
    )
    assert not any(secret in repr(settings) for secret in told)


def test_defaults_with_servers_of_ones_own(tmp_path: Path) -> None:
    settings = load(SERVERS, data_dir=tmp_path)

    assert settings == Settings(
        data_dir=tmp_path,
        embedded=False,
        database_url=SERVERS["DATABASE_URL"],
        redis_url=None,
        secret_key=KEY,
        public_url="http://127.0.0.1:8000",
        allowed_origins=("http://127.0.0.1:8000",),
        forwarded_allow_ips=("127.0.0.1",),
        database_pool_size=10,
        rate_points_minute=10_000,
        documents="any",
        documents_file=None,
        introspection=True,
        sockets_per_user=20,
        operations_per_socket=100,
        messages_per_second=50,
        smtp_url=None,
        resend_api_key=None,
        slack_webhook_url=None,
        stripe_secret_key=None,
        stripe_webhook_secret=None,
        stripe_price_pro=None,
        stripe_price_business=None,
        stripe_api_url="https://api.stripe.com",
        s3_bucket=None,
        s3_endpoint_url=None,
        s3_storage_class=None,
        aws_region=None,
        aws_access_key_id=None,
        aws_secret_access_key=None,
        aws_session_token=None,
        openai_api_key=None,
        openai_base_url="https://api.openai.com/v1",
        openai_chat_model="gpt-5.4-mini",
        openai_embedding_model="text-embedding-3-small",
        openai_embedding_dimensions=512,
        openai_image_model="gpt-image-2",
        mail_from="Planwire <no-reply@localhost>",
        log_level="info",
        log_format="json",
    )
    assert list(tmp_path.iterdir()) == []


def test_values_are_read_and_normalised(tmp_path: Path) -> None:
    documents = tmp_path / "documents.json"
    documents.write_text('{"me": "{ me { id } }"}')
    environ = {
        "PLANWIRE_DATA": str(tmp_path),
        "SECRET_KEY": f" {KEY} ",
        "PUBLIC_URL": "https://Planwire.Test:443/",
        "ALLOWED_ORIGINS": "https://planwire.test, http://[::1]:3000,https://planwire.test",
        "FORWARDED_ALLOW_IPS": "10.0.0.0/8, ::1",
        "DATABASE_POOL_SIZE": "100",
        "EVENT_CURSOR_DAYS": "30",
        "RATE_POINTS_MINUTE": "1000000000",
        "DOCUMENTS": "Persisted",
        "DOCUMENTS_FILE": str(documents),
        "INTROSPECTION": "off",
        "SOCKETS_PER_USER": "1",
        "OPERATIONS_PER_SOCKET": "2",
        "MESSAGES_PER_SECOND": "3",
        "SEARCH_LANGUAGE": "German",
        "SMTP_URL": "smtp://u:p%40w@mail.test?starttls=required",
        "RESEND_API_KEY": "re_1",
        "SLACK_WEBHOOK_URL": "https://hooks.test/services/T/B/x",
        **STRIPE,
        "STRIPE_SECRET_KEY": "sk_1",
        "STRIPE_API_URL": "http://127.0.0.1:9999/",
        "S3_BUCKET": "planwire.files-1",
        "S3_ENDPOINT_URL": "http://S3.localhost:9000/",
        "S3_STORAGE_CLASS": "standard_ia",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIA1",
        "AWS_SECRET_ACCESS_KEY": "a/b+c=",
        "AWS_SESSION_TOKEN": "t",
        **OPENAI,
        "OPENAI_BASE_URL": "http://127.0.0.1:11434/v1/",
        "OPENAI_CHAT_MODEL": "llama",
        "OPENAI_EMBEDDING_MODEL": "vendor/bge-m3:567m",
        "OPENAI_EMBEDDING_DIMENSIONS": "1024",
        "OPENAI_IMAGE_MODEL": "flux",
        "MAIL_FROM": '"Planwire, Acme" <hello@bücher.test>',
        "LOG_LEVEL": "WARNING",
        "REDIS_URL": "",
        # Somebody else's, and not like one of ours.
        "BASE_URL": "x",
        "SECRET_KEY_BASE": "x",
    }

    settings = load(environ)

    assert settings == Settings(
        data_dir=tmp_path,
        embedded=True,
        database_url=None,
        redis_url=None,
        secret_key=KEY,
        public_url="https://planwire.test",
        allowed_origins=("https://planwire.test", "http://[::1]:3000"),
        forwarded_allow_ips=("10.0.0.0/8", "::1"),
        database_pool_size=100,
        event_cursor_days=30,
        rate_points_minute=1_000_000_000,
        documents="persisted",
        documents_file=documents,
        introspection=False,
        sockets_per_user=1,
        operations_per_socket=2,
        messages_per_second=3,
        search_language="german",
        smtp_url="smtp://u:p%40w@mail.test?starttls=required",
        resend_api_key="re_1",
        slack_webhook_url="https://hooks.test/services/T/B/x",
        stripe_secret_key="sk_1",  # noqa: S106  # no secret
        stripe_webhook_secret="whsec_1",  # noqa: S106
        stripe_price_pro="price_pro",
        stripe_price_business="price_business",
        stripe_api_url="http://127.0.0.1:9999",
        s3_bucket="planwire.files-1",
        s3_endpoint_url="http://s3.localhost:9000",
        s3_storage_class="STANDARD_IA",
        aws_region="eu-central-1",
        aws_access_key_id="AKIA1",
        aws_secret_access_key="a/b+c=",  # noqa: S106
        aws_session_token="t",  # noqa: S106
        openai_api_key="sk-of-models",
        openai_base_url="http://127.0.0.1:11434/v1",
        openai_chat_model="llama",
        openai_embedding_model="vendor/bge-m3:567m",
        openai_embedding_dimensions=1024,
        openai_image_model="flux",
        mail_from='"Planwire, Acme" <hello@xn--bcher-kva.test>',
        log_level="warning",
        log_format="json",
    )


def test_what_a_machine_has_for_aws_is_nothing_to_us_without_a_bucket(tmp_path: Path) -> None:
    theirs = {"AWS_REGION": "?", "AWS_ACCESS_KEY_ID": "AKIA1", "AWS_ACCESS_KEY": "x", "AWS_PROFILE": "x"}

    assert load({**SERVERS, **theirs}, data_dir=tmp_path) == load(SERVERS, data_dir=tmp_path)


def test_a_bucket_needs_no_keys_where_the_machine_has_a_role(tmp_path: Path) -> None:
    settings = load({**SERVERS, **BUCKET}, data_dir=tmp_path)

    assert (settings.s3_bucket, settings.aws_region) == ("files", "eu-central-1")
    assert (settings.aws_access_key_id, settings.aws_secret_access_key) == (None, None)


def test_embedded_mode_makes_a_key_and_keeps_it(tmp_path: Path) -> None:
    first = load({}, data_dir=tmp_path / "data")
    second = load({}, data_dir=tmp_path / "data")

    kept = tmp_path / "data" / "secret_key"
    assert first.embedded
    assert len(first.secret_key) >= 32
    assert second.secret_key == first.secret_key
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert list(kept.parent.iterdir()) == [kept]


def test_a_kept_key_that_was_cut_short_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("")

    with pytest.raises(SettingsError, match="SECRET_KEY: none given, and none can be kept"):
        load({}, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("public_url", "sender"),
    [
        ("https://plan.acme.test:8443", "Planwire <no-reply@plan.acme.test>"),
        ("http://localhost:8000", "Planwire <no-reply@localhost>"),
        ("https://[2001:db8::1]", "Planwire <no-reply@localhost>"),
    ],
)
def test_mail_comes_from_the_public_host(public_url: str, sender: str, tmp_path: Path) -> None:
    assert load({"PUBLIC_URL": public_url}, data_dir=tmp_path).mail_from == sender


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.test", SmtpServer("mail.test", 587, Encryption.STARTTLS_REQUIRED)),
        ("smtp://mail.test:25?starttls=off", SmtpServer("mail.test", 25, Encryption.OFF)),
        ("smtp://[::1]:2525?starttls=auto", SmtpServer("::1", 2525, Encryption.STARTTLS_AUTO)),
        ("smtps://a%40b:p%2Fw@mail.test", SmtpServer("mail.test", 465, Encryption.TLS, "a@b", "p/w")),
    ],
)
def test_a_mail_server_is_read_from_its_url(url: str, server: SmtpServer) -> None:
    assert smtp_server(url) == server
