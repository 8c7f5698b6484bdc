"""moto's server for S3, in a thread, and our storage in a bucket of it."""

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

from moto.server import ThreadedMotoServer

from domain.adapters.storage_s3 import S3Storage

BUCKET, REGION = "planwire-files", "eu-central-1"
ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The origin of a server without any bucket."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()
        if server._server is not None:
            server._server.server_close()


def bucket(endpoint_url: str | None, **changed: Any) -> S3Storage:
    """The storage; nothing connects yet."""
    about = {"bucket": BUCKET, "region": REGION, "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    return S3Storage(endpoint_url=endpoint_url, **{**about, **changed})


@contextlib.asynccontextmanager
async def opened(endpoint_url: str | None, **changed: Any) -> AsyncIterator[S3Storage]:
    """As `bucket`; what it has open is closed after the block, however that ends."""
    storage = bucket(endpoint_url, **changed)
    try:
        yield storage
    finally:
        await storage.close()


async def make_bucket(endpoint_url: str) -> None:
    """Make the bucket at a server, unless it is there: all servers of a process have the same ones."""
    async with opened(endpoint_url) as storage:
        client = await storage._connected()
        found = await client.list_buckets()
        if BUCKET not in [each["Name"] for each in found["Buckets"]]:
            await client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
