"""One try: signed, to the address that was checked, and what each answer means."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clearcast.settings import JobSettings
from clearcast.webhooks.delivery import Outcome, deliver
from clearcast.webhooks.guard import Resolve
from clearcast.webhooks.signature import check
from tests.webhooks.receiver import answer, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PRIVATE_TOO = JobSettings(webhook_private_networks=True)
PUBLIC_ONLY = JobSettings()
PAYLOAD = {"type": "job.succeeded", "data": {"job_id": "job_1"}}


def here(*first: str) -> Resolve:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return (*first, "127.0.0.1")

    return resolve


async def test_a_message_arrives_whole_and_signed() -> None:
    async with receiving() as receiver:
        outcome = await deliver(
            f"http://hooks.example:{receiver.port}/in?a=b",
            "evt_1",
            PAYLOAD,
            SECRET,
            PRIVATE_TOO,
            resolve=here(),
            now=lambda: 1000.9,
        )
    assert outcome == Outcome("delivered", "204")
    ((line, headers, body),) = receiver.requests
    assert line == "POST /in?a=b HTTP/1.1"
    assert headers["host"] == f"hooks.example:{receiver.port}"
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == "evt_1"
    assert json.loads(body) == PAYLOAD
    check(SECRET, headers, body, now_s=1000)


async def test_private_networks_are_refused_unless_allowed() -> None:
    async with receiving() as receiver:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"):
            url = f"http://{host}:{receiver.port}/"
            assert await deliver(url, "evt_1", {}, SECRET, PUBLIC_ONLY) == Outcome(
                "refused", "address_refused"
            )
        url = f"http://127.0.0.1:{receiver.port}/"
        assert (await deliver(url, "evt_1", {}, SECRET, PRIVATE_TOO)).result == "delivered"
    assert len(receiver.requests) == 1


async def test_a_name_is_looked_up_once_so_that_it_cannot_change_its_mind() -> None:
    looked_up: list[str] = []

    async def rebinding(host: str, _port: int) -> Sequence[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["169.254.169.254"]

    async with receiving() as receiver:
        url = f"http://rebind.example:{receiver.port}/"
        outcome = await deliver(url, "evt_1", {}, SECRET, PRIVATE_TOO, resolve=rebinding)
    assert outcome.result == "delivered"
    assert looked_up == ["rebind.example"]


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_keeps_the_message(status: int) -> None:
    async with (
        receiving() as there,
        receiving(answer(status, Location=f"http://b.example:{there.port}/x")) as first,
    ):
        url = f"http://a.example:{first.port}/"
        outcome = await deliver(url, "evt_1", PAYLOAD, SECRET, PRIVATE_TOO, resolve=here())
    assert outcome == Outcome("delivered", "204")
    ((line, headers, body),) = there.requests
    assert line == "POST /x HTTP/1.1"
    assert headers["host"] == f"b.example:{there.port}"
    assert json.loads(body) == PAYLOAD


@pytest.mark.parametrize(
    "location",
    [
        *(
            "http://169.254.169.254/latest/meta-data/",
            "http://[::ffff:169.254.169.254]/",
            "http://2852039166/",
        ),
        *(
            "file:///etc/passwd",
            "http://user:secret@127.0.0.1/",
            "//169.254.169.254/",
            "http://127.0.0.1:22/",
        ),
        *("http://[64:ff9b::a9fe:a9fe]/", "gopher://127.0.0.1:6379/_FLUSHALL"),
    ],
)
async def test_a_redirect_is_checked_like_the_first_address(location: str) -> None:
    async with receiving(answer(307, Location=location)) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        outcome = await deliver(url, "evt_1", {}, SECRET, PRIVATE_TOO)
    assert outcome == Outcome("refused", "address_refused")
    assert len(receiver.requests) == 1


async def test_a_public_host_cannot_redirect_to_a_private_one() -> None:
    resolved: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        resolved.append(host)
        return ["127.0.0.1"] if host == "a.example" else ["169.254.169.254"]

    async with receiving(answer(307, Location="http://metadata.example/")) as receiver:
        url = f"http://a.example:{receiver.port}/"
        outcome = await deliver(url, "evt_1", {}, SECRET, PRIVATE_TOO, resolve=resolve)
    assert outcome == Outcome("refused", "address_refused")
    assert resolved == ["a.example", "metadata.example"]


async def test_redirects_come_to_an_end() -> None:
    async with receiving(answer(307, Location="/again")) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        outcome = await deliver(url, "evt_1", {}, SECRET, PRIVATE_TOO)
    assert outcome == Outcome("refused", "redirects_too_many")
    assert len(receiver.requests) == 4


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (answer(200, b"thanks"), Outcome("delivered", "200")),
        (answer(302, Location="http://a.example/"), Outcome("refused", "302")),
        (answer(307), Outcome("refused", "307")),
        (answer(410), Outcome("refused", "410")),
        (answer(404), Outcome("retry", "404")),
        (answer(500), Outcome("retry", "500")),
        (answer(429, Retry_After="7"), Outcome("retry", "429", 7)),
        (answer(503, Retry_After="999999"), Outcome("retry", "503", 3600)),
        (answer(503, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT"), Outcome("retry", "503")),
        (b"nonsense\r\n\r\n", Outcome("retry", "connection_failed")),
        (b"HTTP/1.1 200 X\r\nX: " + b"x" * 1_000_000, Outcome("retry", "connection_failed")),
        (answer(200, b"x" * 5_000_000), Outcome("delivered", "200")),  # of which nothing is read
    ],
)
async def test_each_answer_has_its_meaning(given: bytes, outcome: Outcome) -> None:
    async with receiving(given) as receiver:
        assert (
            await deliver(f"http://127.0.0.1:{receiver.port}/", "evt_1", {}, SECRET, PRIVATE_TOO) == outcome
        )


async def test_a_receiver_that_keeps_silent_costs_a_bounded_time() -> None:
    async with receiving(b"") as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        outcome = await deliver(url, "evt_1", {}, SECRET, PRIVATE_TOO, timeout_s=0.2)
    assert outcome == Outcome("retry", "timeout")


async def test_nobody_there_is_worth_another_try() -> None:
    async with receiving() as receiver:
        pass
    url = f"http://127.0.0.1:{receiver.port}/"
    assert await deliver(url, "evt_1", {}, SECRET, PRIVATE_TOO) == Outcome("retry", "unreachable")


async def test_the_next_address_of_a_host_is_tried_when_one_is_dead() -> None:
    async with receiving() as receiver:
        url = f"http://a.example:{receiver.port}/"
        outcome = await deliver(url, "evt_1", {}, SECRET, PRIVATE_TOO, resolve=here("127.0.0.2"))
    assert outcome.result == "delivered"


async def test_a_proxy_of_the_environment_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await deliver(f"http://127.0.0.1:{receiver.port}/", "evt_1", {}, SECRET, PRIVATE_TOO)
    assert (len(proxy.requests), len(receiver.requests)) == (0, 1)


async def test_the_certificate_is_checked_for_the_name_and_not_for_the_address(tmp_path: Path) -> None:
    server, client = certified("hooks.example", tmp_path)
    async with receiving(tls=server) as receiver:

        async def to(url: str, tls: ssl.SSLContext | None) -> Outcome:
            return await deliver(url, "evt_1", {}, SECRET, PRIVATE_TOO, resolve=here(), tls=tls)

        assert await to(f"https://hooks.example:{receiver.port}/", client) == Outcome("delivered", "204")
        for host, tls in (("other.example", client), ("hooks.example", None), ("127.0.0.1", client)):
            assert await to(f"https://{host}:{receiver.port}/", tls) == Outcome("retry", "tls_failed")
    assert len(receiver.requests) == 1


async def test_a_redirect_does_not_leave_tls(tmp_path: Path) -> None:
    server, client = certified("hooks.example", tmp_path)
    async with receiving(answer(307, Location="http://hooks.example/"), tls=server) as receiver:
        url = f"https://hooks.example:{receiver.port}/"
        outcome = await deliver(url, "evt_1", {}, SECRET, PRIVATE_TOO, resolve=here(), tls=client)
    assert outcome == Outcome("refused", "redirect_insecure")


def certified(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS for a server of that name, and for a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    content = certificate.public_bytes(serialization.Encoding.PEM)
    pem = folder / "server.pem"
    pem.write_bytes(
        content
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cadata=content.decode())
