"""Which addresses in buckets somebody's jobs may name: those below the prefixes that the operator allows.

What lives here: the one rule. What does not: reading and writing there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clearcast.errors import Forbidden, OptionInvalid
from clearcast.settings import Settings
from clearcast.storage.places import S3


@dataclass(frozen=True, slots=True)
class AllowedPrefixes:
    """Attributes:
    prefixes: `s3://BUCKET/PREFIX`; "{owner}" in one stands for the account's id.
    field: of the request, where such an address stands.
    setting: where the operator says the prefixes.
    """

    prefixes: Sequence[str]
    owner_id: str
    field: str
    setting: str

    def check(self, address: str) -> None:
        """Raises OptionInvalid for what is no address in a bucket, Forbidden for what is not allowed."""
        bucket, *parts = address.removeprefix(S3).rstrip("/").split("/")
        if not address.startswith(S3) or not bucket:
            raise OptionInvalid("An address in a bucket is s3://BUCKET/PREFIX.", field=self.field)
        # Some services keep objects as files, and would follow these.
        if any(part in {"", ".", ".."} for part in (bucket, *parts)) or not self._is_below(address):
            raise Forbidden(
                f"This address is not one that your jobs may name in {self.field}.",
                hint=f"The server's operator says which, in {self.setting}.",
                field=self.field,
            )

    def _is_below(self, address: str) -> bool:
        allowed = (prefix.replace("{owner}", self.owner_id).rstrip("/") for prefix in self.prefixes)
        return any(f"{address.rstrip('/')}/".startswith(f"{prefix}/") for prefix in allowed)


def allowed_sources(settings: Settings, owner_id: str) -> AllowedPrefixes:
    return AllowedPrefixes(settings.jobs.s3_sources, owner_id, "sources", "jobs.s3_sources")


def allowed_destinations(settings: Settings, owner_id: str) -> AllowedPrefixes:
    return AllowedPrefixes(settings.jobs.s3_destinations, owner_id, "destination", "jobs.s3_destinations")
