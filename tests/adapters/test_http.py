"""Requests to typed addresses reach the open internet and nothing else. The servers here stand for both."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable

import pytest
import trustme

from domain.adapters.http import Address, Http, RequestRefused, Resolve, is_public
from domain.base.errors import Unavailable
from tests.adapters.http_server import OK, Server, serving

# Only a test that fails waits for so long.
PATIENCE_S = 20.0


def names(*addresses: str) -> Resolve:
    """A resolver that gives these, whatever is asked."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return resolve


def only(*addresses: str) -> Callable[[Address], bool]:
    """A judge that takes these for the open internet."""
    return lambda address: str(address) in addresses


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Stands for whatever is asked."""
    async with serving() as running:
        yield running


async def test_a_request_arrives_whole_and_its_answer_comes_back(server: Server) -> None:
    server.answers = [b"HTTP/1.1 201 Created\r\nX-Id: 7\r\ncontent-length: 4\r\n\r\ndone"]
    http = Http(resolve=names("127.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",))

    answer = await http.request(
        "POST", f"http://hooks.example:{server.port}/a%20b?c=d#e", headers={"x-sent": "1"}, body=b"body"
    )

    (asked,) = server.asked
    assert (answer.status, answer.headers["x-id"], answer.body, answer.is_cut) == (201, "7", b"done", False)
    assert asked.line == "POST /a%20b?c=d HTTP/1.1"
    assert asked.body == b"body"
    assert asked.headers["host"] == f"hooks.example:{server.port}"
    assert asked.headers["x-sent"] == "1"
    await http.close()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "3fff::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fe80::1%1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "100::1",
    ],
)
async def test_no_address_but_a_public_one_is_asked(address: str) -> None:
    http = Http(resolve=names(address))

    with pytest.raises(RequestRefused, match="not on the open internet"):
        await http.request("GET", "https://hooks.example/")

    await http.close()


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_public_addresses_are_taken(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


async def test_one_private_address_among_public_ones_refuses_the_name(server: Server) -> None:
    http = Http(
        resolve=names("127.0.0.1", "10.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",), timeout_s=PATIENCE_S
    )

    with pytest.raises(RequestRefused):
        await http.request("GET", f"http://hooks.example:{server.port}/")

    assert server.connections == 0
    await http.close()


@pytest.mark.parametrize(
    "host",
    ["localhost", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]"],
)
async def test_no_spelling_of_this_machine_leads_to_it(host: str, server: Server) -> None:
    http = Http(schemes=("http",))

    with pytest.raises(RequestRefused, match="not on the open internet"):
        await http.request("GET", f"http://{host}:{server.port}/")

    assert server.connections == 0
    await http.close()


async def test_a_name_is_resolved_once_and_the_checked_address_is_the_one_connected_to(server: Server) -> None:
    asked = []

    async def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    async with serving("127.0.0.2", port=server.port) as private:
        http = Http(resolve=rebinding, is_allowed=only("127.0.0.1"), schemes=("http",))
        url = f"http://hooks.example:{server.port}/"

        answer = await http.request("GET", url)
        asked_for_the_first = list(asked)
        with pytest.raises(RequestRefused):
            await http.request("GET", url)

        assert answer.body == b"ok"
        assert asked_for_the_first == ["hooks.example"]
        assert (server.connections, private.connections) == (1, 0)
        await http.close()


async def test_the_next_address_is_tried_when_one_does_not_answer(server: Server) -> None:
    # Nothing listens on the first of them.
    http = Http(resolve=names("127.0.0.3", "127.0.0.1"), is_allowed=only("127.0.0.3", "127.0.0.1"), schemes=("http",))

    answer = await http.request("GET", f"http://hooks.example:{server.port}/")

    assert answer.status == 200
    await http.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_not_followed(status: int, server: Server) -> None:
    async with serving() as private:
        server.answers = [
            f"HTTP/1.1 {status} Go\r\nlocation: http://127.0.0.1:{private.port}/\r\ncontent-length: 0\r\n\r\n".encode()
        ]
        http = Http(resolve=names("127.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",))

        answer = await http.request("GET", f"http://hooks.example:{server.port}/")

        assert answer.status == status
        assert (server.connections, private.connections) == (1, 0)
        await http.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://hooks.example/", "begins with https://"),
        ("file:///etc/passwd", "begins with https://"),
        ("//hooks.example/", "begins with https://"),
        ("https:///path", "names no host"),
        ("https://user@hooks.example/", "no user"),
        ("https://hooks.example@127.0.0.1/", "no user"),
        ("https://@127.0.0.1/", "no user"),
        ("https://hooks.example:25/", "a port is 443, or from 1024"),
        ("https://hooks.example:80/", "a port is 443, or from 1024"),
        ("https://hooks.example:0/", "a port is 443, or from 1024"),
        ("https://hooks.example:99999/", "no URL"),
        ("https://hooks.example:a/", "no URL"),
        ("https://hooks..example/", "names no host"),
        ("https://hooks%2eexample/", "names no host"),
        ("https://127.0.0.1\\@hooks.example/", "printable ASCII"),
        ("https://hooks.example/\r\nX: 1", "printable ASCII"),
        ("https://hooks.example/a b", "printable ASCII"),
        ("https://hööks.example/", "Punycode"),
        ("https://[::1/", "no URL"),
        ("https://[v1.a]/", "no"),
        ("https://" + "a" * 254 + "/", "names no host"),
        ("https://hooks.example/" + "a" * 2000, "at most 2000"),
    ],
)
async def test_a_url_that_may_not_be_asked_is_refused_before_any_look_up(url: str, reason: str) -> None:
    looked_up = []

    async def resolve(host: str, _port: int) -> list[str]:
        looked_up.append(host)
        return []

    http = Http(resolve=resolve)

    with pytest.raises(RequestRefused, match=reason):
        await http.request("GET", url)
    with pytest.raises(RequestRefused, match=reason):
        http.check(url)

    assert looked_up == []
    await http.close()


async def test_a_long_answer_is_cut_off(server: Server) -> None:
    server.answers = [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * 1_000_000]
    http = Http(resolve=names("127.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",), answer_bytes_max=1000)

    answer = await http.request("GET", f"http://hooks.example:{server.port}/")

    assert (answer.body, answer.is_cut) == (b"x" * 1000, True)
    await http.close()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"]
)
async def test_half_of_an_answer_is_unavailable(answer: bytes, server: Server) -> None:
    server.answers = [answer]
    http = Http(resolve=names("127.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",), timeout_s=PATIENCE_S)

    with pytest.raises(Unavailable):
        await http.request("GET", f"http://hooks.example:{server.port}/")

    assert len(server.asked) == 1
    await http.close()


async def test_no_answer_is_unavailable(server: Server) -> None:
    server.answers = [b""]
    http = Http(resolve=names("127.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",), timeout_s=0.2)

    # On a busy machine so little time may be over before the request has come.
    while not server.asked:
        with pytest.raises(Unavailable, match="No answer within"):
            await http.request("GET", f"http://hooks.example:{server.port}/")

    assert len(server.asked) == 1
    await http.close()


async def test_requests_without_an_answer_give_their_connections_back(server: Server) -> None:
    server.answers = [b""]
    http = Http(resolve=names("127.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",), timeout_s=3.0)
    url = f"http://hooks.example:{server.port}/"

    # More than there are connections.
    failures = await asyncio.gather(*(http.request("GET", url) for _ in range(60)), return_exceptions=True)
    server.answers = [OK]
    answer = await http.request("GET", url)

    assert {type(failure) for failure in failures} == {Unavailable}
    assert answer.status == 200
    await http.close()


async def test_an_unknown_name_is_unavailable() -> None:
    async def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    http = Http(resolve=unknown)

    with pytest.raises(Unavailable):
        await http.request("GET", "https://hooks.example/")

    await http.close()


async def test_a_header_with_a_line_break_is_refused(server: Server) -> None:
    http = Http(resolve=names("127.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",))

    with pytest.raises(RequestRefused, match="header"):
        await http.request("GET", f"http://hooks.example:{server.port}/", headers={"x": "1\r\ny: 2"})

    assert server.asked == []
    await http.close()


async def test_proxies_of_the_environment_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        http = Http(resolve=names("127.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",))

        await http.request("GET", f"http://hooks.example:{server.port}/")

        assert (server.connections, proxy.connections) == (1, 0)
        await http.close()


async def test_certificates_are_asked_for_by_the_name_and_checked() -> None:
    authority, names_seen = trustme.CA(), []
    for_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.example").configure_cert(for_server)
    for_server.sni_callback = lambda _socket, name, _context: names_seen.append(name)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with serving(tls=for_server) as server:
        here = {"resolve": names("127.0.0.1"), "is_allowed": only("127.0.0.1")}
        http, stranger = Http(**here, tls=trusting), Http(**here)  # type: ignore[arg-type]  # each key has its type

        answer = await http.request("GET", f"https://hooks.example:{server.port}/")
        with pytest.raises(Unavailable):
            await http.request("GET", f"https://other.example:{server.port}/")
        with pytest.raises(Unavailable):
            await stranger.request("GET", f"https://hooks.example:{server.port}/")

        assert answer.body == b"ok"
        assert names_seen == ["hooks.example", "other.example", "hooks.example"]
        assert len(server.asked) == 1
        await http.close()
        await stranger.close()
