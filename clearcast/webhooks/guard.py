"""Where webhooks may go: a public address, looked up once and held to (against SSRF and DNS rebinding).

What lives here: what a webhook's URL may look like, which network addresses are public, and looking a name
up. What does not: the connection, which goes to the very address that was checked here (`delivery.py`).

Sources: RFC 6890 with the IANA registries of special-purpose addresses; OWASP, "Server-Side Request Forgery
Prevention".
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote

import httpx

from clearcast.errors import OptionInvalid, ServiceUnavailable

Address = IPv4Address | IPv6Address

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a host, as the system knows them. Raises OSError when there are none."""

MAX_URL_CHARACTERS = 2048
MAX_ADDRESSES = 16
RESOLVE_S = 5.0
FIELD = "webhook_url"

# Ports of other services below 1024, and of databases, mail, IRC, X11 and the like above (Fetch Standard,
# "bad ports", and what stands beside services in most networks).
_LOW_PORTS = frozenset({80, 443})
_BAD_PORTS = frozenset(
    {1433, 1521, 1719, 1720, 1723, 2049, 2375, 2379, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 5900}
    | {6000, 6379, 6443, 6566, 6679, 6697, 9042, 9200, 9300, 10080, 10250, 11211, 27017}
    | set(range(6665, 6670))
)

_PRIVATE_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local: metadata of cloud machines
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",  # documentation, as 198.51.100 and 203.0.113
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
# Only 2000::/3 is given out as global unicast (RFC 4291 §2.4); in it, these are no hosts of the Internet.
_GLOBAL_V6 = IPv6Network("2000::/3")
_PRIVATE_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo (2001::/32) and others
            "2001:db8::/32",  # documentation, as 3fff::/20
            "2002::/16",  # 6to4: an IPv4 address inside, and a deprecated way (RFC 7526)
            "3fff::/20",
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the IPv4 address is in the last 32 bits
_COMPATIBLE = IPv6Network("::/96")  # deprecated, RFC 4291 §2.5.5.1; ::1 is the loopback
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214 §6.1, before the IPv4 address in the last 32 bits

# Never, even where private networks are allowed: nobody's webhook lives at these.
_NEVER: tuple[IPv4Network | IPv6Network, ...] = (
    *map(IPv4Network, ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")),
    *map(IPv6Network, ("::/128", "fe80::/10", "ff00::/8", "fd00:ec2::254/128")),  # the last: AWS' metadata
)

_LAST_LABEL_IS_NUMBER = re.compile(r"(?:^|\.)(?:0[xX][0-9a-fA-F]*|[0-9]+)\.?$")
_AUTHORITY_END = re.compile(r"[/?#]")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")


@dataclass(frozen=True, slots=True)
class Target:
    """Where one request goes: `url` as asked for, and the checked `addresses` of its host."""

    url: httpx.URL
    host: str
    port: int
    addresses: tuple[str, ...]


class AddressRefused(OptionInvalid):
    """The URL leads where webhooks may not go."""


def check_url(text: str) -> httpx.URL:
    """The URL of a webhook, if it looks like one; names are not looked up. Raises AddressRefused.

    For the moment when somebody gives the URL; before each request `find_target` looks closer.
    """
    if len(text) > MAX_URL_CHARACTERS:
        raise AddressRefused(f"A webhook's URL has at most {MAX_URL_CHARACTERS} characters.", field=FIELD)
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise AddressRefused(
            "A webhook's URL is plain ASCII.",
            hint="Percent-encode it, and write its host in Punycode.",
            field=FIELD,
        )
    try:
        url = httpx.URL(text)
        port, host = url.port, url.host
    except (httpx.InvalidURL, ValueError) as error:
        raise AddressRefused("That is no URL.", field=FIELD) from error
    if url.scheme not in {"http", "https"}:
        raise AddressRefused("A webhook's URL begins with https:// or http://.", field=FIELD)
    if url.userinfo or "@" in _AUTHORITY_END.split(text.partition("://")[2])[0]:
        raise AddressRefused("A webhook's URL holds no user and no password.", field=FIELD)
    if port is not None and not _is_sane(port):
        raise AddressRefused("Webhooks do not go to that port.", field=FIELD)
    _check_host(host)
    return url.copy_with(fragment=None)


async def find_target(text: str, *, private: bool, resolve: Resolve | None = None) -> Target:
    """Look the host of `text` up and check every address it has; `private` allows private networks.

    Raises AddressRefused when any address is not public, ServiceUnavailable when the name is not known now.
    """
    url = check_url(text)
    port = url.port or (443 if url.scheme == "https" else 80)
    host = url.host
    literal = _literal(host)
    if literal is not None:
        found: Sequence[str] = [str(literal)]
    else:
        try:
            async with asyncio.timeout(RESOLVE_S):
                found = await (resolve or system_addresses)(host, port)
        except (OSError, TimeoutError, UnicodeError) as error:
            raise ServiceUnavailable("The webhook's host is not known now.") from error
    addresses = tuple(dict.fromkeys(found))[:MAX_ADDRESSES]
    if not addresses:
        raise ServiceUnavailable("The webhook's host is not known now.")
    # One private address among public ones is enough to refuse: whoever answers so is up to something.
    if not all(_is_allowed(address, private=private) for address in found):
        raise AddressRefused(
            "Webhooks do not go to that address.",
            hint="The operator can allow private networks: jobs.webhook_private_networks.",
            field=FIELD,
        )
    return Target(url, host, port, addresses)


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says: /etc/hosts, DNS."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(address[0]) for *_, address in found]


def is_public(address: Address) -> bool:
    """Whether a host of the public Internet has `address`; an IPv4 address inside an IPv6 one counts."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _PRIVATE_V4)
    if address in _NAT64:
        return is_public(_low_32(address))  # how machines without IPv4 reach public IPv4 hosts
    if address not in _GLOBAL_V6 or any(address in network for network in _PRIVATE_V6):
        return False  # among them ::ffff:0:0/96 (mapped), ::/96 (compatible), fc00::/7, fe80::/10, ff00::/8
    interface = int(address) >> 32 & 0xFFFFFFFF
    return interface not in _ISATAP or is_public(_low_32(address))


def _is_allowed(text: str, *, private: bool) -> bool:
    try:
        address = ip_address(text)  # with a zone ("%eth0") it is link-local, and refused as such below
    except ValueError:
        return False
    if not private:
        return is_public(address)
    inside = _inside(address) if isinstance(address, IPv6Address) else None
    checked = (address,) if inside is None else (address, inside)
    return not any(one in network for one in checked for network in _NEVER)


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, 6to4, NAT64, compatible."""
    if address.ipv4_mapped is not None or address.sixtofour is not None:
        return address.ipv4_mapped or address.sixtofour
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return _low_32(address)
    return None


def _is_sane(port: int) -> bool:
    return port in _LOW_PORTS or (1024 <= port <= 65535 and port not in _BAD_PORTS)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _check_host(host: str) -> None:
    """Raises AddressRefused for what is neither a name nor a plainly written address."""
    literal = _literal(host)
    if literal is not None and "%" not in host:
        return
    # 2130706433, 0x7f.1, 0177.0.0.1: what inet_aton(3) takes for an address (WHATWG URL §3.5).
    if literal is not None or _LAST_LABEL_IS_NUMBER.search(host):
        raise AddressRefused("Write the address in the usual form, as 192.0.2.1.", field=FIELD)
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise AddressRefused("That is no host.", field=FIELD)


def _low_32(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


def authority(target: Target, address: str) -> str:
    """`address` and the port of `target`, as they stand in a URL."""
    return f"[{quote(address)}]:{target.port}" if ":" in address else f"{address}:{target.port}"
