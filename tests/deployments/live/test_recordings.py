"""What a show leaves behind, through the gateway."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from clearcast.storage.database import Database
from clearcast.storage.tables import RoomRecording
from streaming.testing.peers import Mouth
from tests.deployments.live.sounds import tone
from tests.deployments.live.stage import Stage


async def recordings_of(stage: Stage, room_id: str) -> list[RoomRecording]:
    database = Database(stage.settings.database_url)

    def read() -> list[RoomRecording]:
        with database.reading() as session:
            return list(session.scalars(sa.select(RoomRecording).where(RoomRecording.room_id == room_id)))

    try:
        return await asyncio.to_thread(read)
    finally:
        database.close()


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines() if line]


async def test_a_room_that_records_does_so_while_somebody_speaks(stage: Stage) -> None:
    room = stage.room(record=True)
    anna = await stage.joined(room, stage.people.create("anna"))
    assert anna.joined["recording"] is False
    await anna.publish(Mouth(tone(440)))
    await anna.told("room", is_recording=True)
    await anna.ask("chat", text="hello")
    folder = next(stage.settings.recordings_path.iterdir())
    async with asyncio.timeout(15):
        while not any(event["event"] == "chat" for event in events(folder)):
            await asyncio.sleep(0.05)
    late = await stage.joined(room, stage.token(room, "listen")[1])
    assert late.joined["recording"] is True
    await anna.ask("stop_publishing")
    await anna.told("room", is_recording=False)
    async with asyncio.timeout(30):
        while not [one for one in await recordings_of(stage, room.id) if one.state == "stored"]:
            await asyncio.sleep(0.1)


async def test_a_moderator_switches_recording(stage: Stage) -> None:
    room = stage.room()
    anna = await stage.joined(room, stage.people.create("anna"))
    await anna.publish(Mouth(tone(440)))
    assert (await anna.ask("record", is_on=True))["is_recording"] is True
    assert (await anna.ask("record", is_on=False))["is_recording"] is False
    assert len(await recordings_of(stage, room.id)) == 1
