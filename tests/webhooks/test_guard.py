"""The guard: webhooks reach public hosts and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearcast.errors import ServiceUnavailable
from clearcast.webhooks.guard import (
    AddressRefused,
    Resolve,
    check_url,
    find_target,
    is_public,
    system_addresses,
)

PRIVATE = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.255", "192.0.0.8", "192.168.1.1", "198.18.0.1", "224.0.0.1", "239.1.1.1"),
    *("240.0.0.1", "255.255.255.255", "192.0.2.1", "198.51.100.1", "203.0.113.9", "192.88.99.1"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::10.0.0.1", "fc00::1", "fd12::1"),
    *("fe80::1", "fec0::1", "ff02::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2002:7f00:1::"),
    *("2002:a00:1::1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001:db8::1"),
    *("2a00:1450:4001::5efe:10.0.0.1", "3fff::1", "5f00::1", "fd00:ec2::254"),
]
PUBLIC = [
    "1.1.1.1",
    "100.63.255.255",
    "172.32.0.1",
    "2606:4700::1111",
    "64:ff9b::8.8.8.8",
    "2a00::5efe:8.8.8.8",
]


def answering(*addresses: str) -> Resolve:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return resolve


@pytest.mark.parametrize("address", PRIVATE)
async def test_no_private_address_is_reached_by_name_or_number(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(AddressRefused):
        await find_target("https://a.example/", private=False, resolve=answering(address))
    with pytest.raises(AddressRefused):
        await find_target(f"https://{f'[{address}]' if ':' in address else address}/", private=False)


@pytest.mark.parametrize("address", PUBLIC)
async def test_public_addresses_are_reached(address: str) -> None:
    target = await find_target("https://a.example/x?y=1#z", private=False, resolve=answering(address))
    assert (target.host, target.port, target.addresses) == ("a.example", 443, (address,))
    assert str(target.url) == "https://a.example/x?y=1"


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    many = [f"1.1.1.{number}" for number in range(100)]
    for addresses in (
        ["1.1.1.1", "127.0.0.1"],
        [*many, "10.0.0.1"],
        ["1.1.1.1", "fe80::1%eth0"],
        ["nonsense"],
    ):
        with pytest.raises(AddressRefused):
            await find_target("https://a.example/", private=False, resolve=answering(*addresses))


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "0.0.0.0", "224.0.0.1", "::", "fe80::1", "ff02::1", "::ffff:169.254.169.254"),
        *("64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1", "::169.254.169.254", "fd00:ec2::254"),
    ],
)
async def test_the_metadata_of_cloud_machines_is_never_reached(address: str) -> None:
    with pytest.raises(AddressRefused):
        await find_target("http://a.example/", private=True, resolve=answering(address))


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "::1", "fd12::1", "1.1.1.1", "::ffff:10.0.0.1"]
)
async def test_the_operator_can_allow_private_networks(address: str) -> None:
    target = await find_target("http://a.example:8080/", private=True, resolve=answering(address))
    assert (target.addresses, target.port) == ((address,), 8080)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://2130706433/",
            "http://0x7f000001/",
            "http://017700000001/",
            "http://0x7f.1/",
            "http://127.1/",
        ),
        *("http://0177.0.0.1/", "http://127.0.0.1./", "http://1.1.1.1.0x/", "http://%31%32%37.0.0.1/"),
        *("http://[::1%25lo]/", "http://[fe80::1%25eth0]/", "http://[::1", "http://[v1.x]/"),
        *("http://user:password@a.example/", "http://user@a.example/", "http://@a.example/"),
        *(
            "http://127.0.0.1:80@a.example/",
            "http://a.example:80\\@127.0.0.1/",
            "http://a@b@c/",
            "http://@/",
        ),
        *(
            "ftp://a.example/",
            "file:///etc/passwd",
            "gopher://a.example/",
            "a.example",
            "//a.example/",
            "",
            "http:",
        ),
        *("http:///x", "https://", "http://a.example:22/", "http://a.example:6379/", "http://a.example:0/"),
        *(
            "http://a.example:99999/",
            "http://a.example:-1/",
            "http://a.example:x/",
            "http://xn--/",
            "http://a..b/",
        ),
        *(
            "http://ex ample/",
            "http://a.example/\r\nHost: b",
            "http://a.example/\x00",
            "http://münchen.example/",
        ),
        *(
            "http://１２７.0.0.1/",
            "http://①.example/",
            "http://-a.example/",
            "http://a_.b-/",
            "http://a;b/",
        ),
        *("http://" + "a" * 300 + "/", "http://a.example/" + "x" * 3000),
    ],
)
def test_urls_with_tricks_are_refused_before_any_look_up(url: str) -> None:
    with pytest.raises(AddressRefused) as caught:
        check_url(url)
    assert caught.value.fields["field"] == "webhook_url"


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "http://a.example:8080/x?y=@z",
        "HTTPS://A.Example./",
        "https://1.1.1.1/",
        "https://[2606::1]/",
    ],
)
def test_usual_urls_pass(url: str) -> None:
    assert check_url(url).host


@given(st.text(max_size=60))
def test_no_text_breaks_the_check(text: str) -> None:
    for url in (text, f"http://{text}/", f"http://a.example:{text}/", f"http://{text}@a.example"):
        try:
            check_url(url)
        except AddressRefused:
            continue


async def test_a_name_that_is_not_known_may_be_known_later() -> None:
    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    for resolve in (unknown, answering()):
        with pytest.raises(ServiceUnavailable):
            await find_target("https://a.example/", private=False, resolve=resolve)


async def test_the_systems_resolver_knows_this_machine() -> None:
    assert set(await system_addresses("localhost", 80)) & {"127.0.0.1", "::1"}
    with pytest.raises(AddressRefused):
        await find_target("http://localhost/", private=False)
