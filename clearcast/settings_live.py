"""The settings of everything live (`settings.py` has the others)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from clearcast.settings_section import EngineChoice, Section


class LiveSettings(Section):
    """Live rooms: the gateway on each node, its media, its limits."""

    enabled: bool = Field(default=True, description="Whether this server carries live rooms.")
    host: str = Field(default="127.0.0.1", description="Address the live gateway listens on.")
    port: int = Field(default=8001, ge=1, le=65535, description="Port the live gateway listens on.")
    standby: bool = Field(
        default=True,
        description="Whether a second gateway stands by on each node, to serve at once when one dies.",
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/?#]+(/[^?#]*)?$",
        description="Where clients reach a node's gateway; {host}: its address. null: of host and port.",
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file of the gateway's certificate; browsers speak over HTTPS only."
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key.")
    first_udp_port: int | None = Field(
        default=None, ge=1, le=65535, description="First UDP port of the media; null: any free one."
    )
    last_udp_port: int | None = Field(
        default=None, ge=1, le=65535, description="Last UDP port of the media; each connection takes one."
    )
    stun_urls: tuple[str, ...] = Field(default=(), description="STUN servers, stun:HOST:PORT.")
    turn_urls: tuple[str, ...] = Field(default=(), description="TURN servers, turn:HOST:PORT.")
    turn_username: str = Field(default="", description="User name at the TURN servers.")
    turn_password: SecretStr = Field(
        default=SecretStr(""), description="Password at the TURN servers; clients get it too."
    )
    denoise: EngineChoice = EngineChoice(engine="rnnoise")
    denoise_workers: int = Field(
        default=0, ge=0, description="Processes that denoise; 0: one per core but one, at least one."
    )
    max_rooms: int = Field(default=20, ge=1, description="Rooms one node carries at a time.")
    max_listeners_per_room: int = Field(default=200, ge=1, description="Connections that hear one room.")
    max_joins_per_s: float = Field(
        default=20.0, gt=0, description="Joins each second one node admits; others get `overloaded`."
    )
    max_transcriptions: int = Field(
        default=16, ge=1, description="Live transcriptions of one node at a time."
    )
    max_keyword_streams: int = Field(
        default=32, ge=1, description="Live keyword streams of one node at a time."
    )
    max_streams: int = Field(
        default=3, ge=1, description="Files that one node transcribes at a time while they are sent."
    )
    max_waiting_streams: int = Field(
        default=10, ge=0, description="Files that wait for that; the next gets `overloaded`."
    )
    max_recording_part_bytes: int = Field(
        default=512_000_000, ge=1_000_000, description="Bytes after which a track goes on in its next file."
    )
    recording_resume_s: float = Field(
        default=300.0, ge=0, description="Seconds after a crash within which a recording can go on."
    )
    bus_url: SecretStr = Field(
        default=SecretStr("memory://"), description="Chat and presence: memory:// or redis://HOST:PORT."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together")
        first, last = self.first_udp_port or 0, self.last_udp_port or 0
        if bool(first) != bool(last) or first > last:
            raise ValueError("first_udp_port and last_udp_port are both given, in this order, or neither")
        if not self.bus_url.get_secret_value().startswith(("memory://", "redis://", "rediss://")):
            raise ValueError("bus_url is memory:// or redis://HOST:PORT")
        return self

    @property
    def url(self) -> str:
        """Where clients reach this node's gateway, without a slash at its end."""
        scheme = "http" if self.tls_certificate is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"{scheme}://{host}:{self.port}").rstrip("/")
