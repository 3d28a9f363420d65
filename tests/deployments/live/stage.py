"""A gateway on a real socket, people with rooms, and clients that join them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import uvicorn

from clearcast.accounts.accounts import accounts_of
from clearcast.accounts.room_tokens import RoomRole
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.storage.database import Database
from clearcast.storage.rooms import RoomPlan, RoomRecord, RoomRecords
from clearcast.testing.people import People
from deployments.live.actor import gateway_server
from streaming.testing.live_client import LiveClient


@dataclass
class Stage:
    """A gateway's settings, its people and their rooms."""

    settings: Settings
    people: People
    _clients: list[LiveClient] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.settings.live.url

    def room(self, owner: str = "anna", **plan: Any) -> RoomRecord:
        """A new room of this person, without denoising unless asked for."""
        database = Database(self.settings.database_url)
        try:
            values = {"name": "show", "denoise": False, **plan}
            return RoomRecords(database).create(self.people.id_of(owner), RoomPlan(**values))
        finally:
            database.close()

    def befriend(self, one: str, other: str) -> None:
        with accounts_of(self.settings) as accounts:
            one_id, other_id = self.people.id_of(one), self.people.id_of(other)
            accounts.friends.request(one_id, other)
            accounts.friends.accept(other_id, one)

    def part(self, one: str, other: str) -> None:
        with accounts_of(self.settings) as accounts:
            accounts.friends.remove(self.people.id_of(one), other)

    def token(self, room: RoomRecord, role: RoomRole) -> tuple[str, str]:
        """Id and token."""
        with accounts_of(self.settings) as accounts:
            record, token = accounts.room_tokens.create(room.owner_id, room.id, role, lasts_s=600)
            return record.id, token

    def revoke(self, room: RoomRecord, token_id: str) -> None:
        with accounts_of(self.settings) as accounts:
            accounts.room_tokens.revoke(room.owner_id, room.id, token_id)

    def client(self, room: RoomRecord, credential: str | None = None, **join: Any) -> LiveClient:
        url = f"ws{self.url.removeprefix('http')}/v1/rooms/{room.id}/ws"
        client = LiveClient(url, credential, **join)
        self._clients.append(client)
        return client

    async def joined(self, room: RoomRecord, credential: str | None = None, **join: Any) -> LiveClient:
        """A client that is in the room."""
        client = self.client(room, credential, **join)
        answer = await client.join()
        assert answer["type"] == "joined", answer
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


class SetUp(Protocol):
    """The fixture `make_stage`."""

    def __call__(self, **live: Any) -> Stage: ...


@asynccontextmanager
async def running(
    stage: Stage, node_id: str = "node-1", services: Services | None = None
) -> AsyncIterator[uvicorn.Server]:
    """The gateway of this stage, from here to the end of the block."""
    server = gateway_server(stage.settings, node_id, services)
    task = asyncio.create_task(server._serve())  # `serve` would take Ctrl-C, which is pytest's
    async with asyncio.timeout(60):
        while not server.started:
            assert not task.done(), "the gateway did not start"
            await asyncio.sleep(0.02)
    try:
        yield server
    finally:
        await stage.close()
        server.should_exit = True
        await task
