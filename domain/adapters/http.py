"""Requests to addresses that somebody typed: webhooks, and services on the internet.

A name is resolved once for each connection. Every address that it has must lie on the open internet, and the connection
goes to the very address that was checked, so a name that changes its mind in between gains nothing. TLS and the Host
header go by the name. Redirects are not followed and proxies of the environment not used: each would be another way to
an address that nobody checked. Connections are not kept, so the next request is checked anew.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpcore

from domain.base.errors import DomainError, Unavailable

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 64 * 1024
URL_LENGTH_MAX = 2000
_CONNECTIONS = 50
_DEFAULT_PORTS = {"https": 443, "http": 80}
# Those below belong to other protocols, which could be made to read a request as theirs.
_FREE_PORTS_FROM = 1024
# A name as the DNS has it, or an IPv4 address in any of its spellings. Others are written in Punycode.
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_IN_A_TARGET = re.compile(r"[!-~]*")
# Special in the registries of the IANA, and public to the `ipaddress` of Python 3.11: protocol assignments, where a
# cloud keeps the credentials of its machines, relays of 6to4, and documentation.
_ALSO_SPECIAL = tuple(ipaddress.ip_network(each) for each in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20"))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Collection[str]]]


class RequestRefused(DomainError):
    """This request is never made, however often it is tried."""


@dataclass(frozen=True)
class Answer:
    """What came back. Names of headers are in lower case; `body` was cut off when `is_cut`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_cut: bool


def is_public(address: Address) -> bool:
    """Whether an address lies on the open internet: no private, local, shared, reserved or multicast one.

    Source: the special-purpose address registries of the IANA (RFC 6890), as `ipaddress` knows them, and what it lacks.
    """
    if any(address in network for network in _ALSO_SPECIAL):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        # Forms that carry an IPv4 address, to which a gateway may lead on. The reserved ::/8 holds those of RFC 4291
        # and RFC 6052: ::a.b.c.d, ::ffff:a.b.c.d and 64:ff9b::a.b.c.d.
        if address.sixtofour is not None or address.teredo is not None or address.scope_id is not None:
            return False
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system finds them. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Http:
    """The way out. Tests bring a resolver, a judge of addresses and certificates of their own."""

    def __init__(
        self,
        *,
        resolve: Resolve = resolved,
        is_allowed: Callable[[Address], bool] = is_public,
        schemes: Collection[str] = ("https",),
        tls: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> None:
        self._schemes = schemes
        self._timeout_s = timeout_s
        self._answer_bytes_max = answer_bytes_max
        self._tls = tls
        self._backend = _Guarded(resolve, is_allowed)

    def check(self, url: str) -> None:
        """Look at a URL alone; its name is not looked up. Raises RequestRefused with the reason."""
        self._parsed(url)

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """The answer, whatever its status; a redirect is one. All of it takes at most `timeout_s`.

        Raises RequestRefused for an address that may not be asked; Unavailable when nobody answers there.
        """
        target = self._parsed(url)
        sent = {"user-agent": "Planwire", "accept": "*/*", "accept-encoding": "identity", **(headers or {})}
        extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._pool.stream(
                    method,
                    target,
                    headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()],
                    content=body,
                    extensions=extensions,
                ) as response,
            ):
                return await self._read(response)
        except (httpcore.LocalProtocolError, UnicodeEncodeError) as fault:
            raise RequestRefused("a header of the request cannot be sent") from fault
        except (httpcore.TimeoutException, TimeoutError) as fault:
            raise Unavailable(f"No answer within {self._timeout_s:g} s.") from fault
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as fault:
            raise Unavailable("The server cannot be reached, or does not answer in HTTP.") from fault

    async def close(self) -> None:
        """Close the connections."""
        if "_pool" in self.__dict__:
            await self._pool.aclose()

    @cached_property
    def _pool(self) -> httpcore.AsyncConnectionPool:
        # Reading the certificates of all authorities takes longer than anything else at the start of a process.
        return httpcore.AsyncConnectionPool(
            ssl_context=self._tls or httpcore.default_ssl_context(),
            max_connections=_CONNECTIONS,
            max_keepalive_connections=0,
            network_backend=self._backend,
        )

    async def _read(self, response: httpcore.Response) -> Answer:
        parts, left, is_cut = [], self._answer_bytes_max, False
        async for part in response.aiter_stream():
            parts.append(part[:left])
            left -= len(part)
            if left < 0:
                is_cut = True
                break
        told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        return Answer(response.status, told, b"".join(parts), is_cut)

    def _parsed(self, url: str) -> httpcore.URL:
        """The URL in parts, so that one reading of it decides what is checked and what is asked."""
        if len(url) > URL_LENGTH_MAX:
            raise RequestRefused(f"a URL has at most {URL_LENGTH_MAX} characters")
        # urlsplit drops line breaks and tabs, so they are looked for before.
        if not _IN_A_TARGET.fullmatch(url) or "\\" in url:
            raise RequestRefused("a URL is of printable ASCII; a name of other letters is written in Punycode")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise RequestRefused("this is no URL") from None
        if parts.scheme not in self._schemes:
            raise RequestRefused(f"a URL begins with {' or '.join(f'{each}://' for each in self._schemes)}")
        if "@" in parts.netloc:
            raise RequestRefused("a URL holds no user and no password")
        host = _host_of(parts)
        default = _DEFAULT_PORTS[parts.scheme]
        if port is not None and port != default and port < _FREE_PORTS_FROM:
            raise RequestRefused(f"a port is {default}, or from {_FREE_PORTS_FROM} on")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return httpcore.URL(scheme=parts.scheme, host=host, port=port, target=target)


def _host_of(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if "[" in parts.netloc:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise RequestRefused("the host is no IPv6 address") from None
        return host
    if len(host) > 253 or not _HOST.fullmatch(host) or ".." in host:
        raise RequestRefused("the URL names no host")
    return host


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to no other."""

    def __init__(self, resolve: Resolve, is_allowed: Callable[[Address], bool]) -> None:
        self._resolve = resolve
        self._is_allowed = is_allowed
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # as the library calls it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        fault: Exception = httpcore.ConnectError("the name has no address")
        for address in await self._checked(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                fault = failure
        raise fault

    async def _checked(self, host: str, port: int) -> list[str]:
        """The addresses of the host. Raises RequestRefused when one of them may not be asked; httpcore.ConnectError."""
        try:
            addresses = [ipaddress.ip_address(each) for each in await self._resolve(host, port)]
        except (OSError, UnicodeError) as fault:
            raise httpcore.ConnectError("the name is not known") from fault
        # One that is refused refuses all: who names it beside others wants it to be tried.
        if not all(self._is_allowed(address) for address in addresses):
            raise RequestRefused("the name leads to an address that is not on the open internet")
        return [str(address) for address in addresses]
