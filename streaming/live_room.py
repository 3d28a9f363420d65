"""A room with people in it: who is there, what each may do, and who is told what.

What lives here: coming, going, moderating, chatting. What does not: the sound of the people (`live_sound`),
when it is recorded (`show_recording`), connections (`session`), rooms beside this one (`hall`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from clearcast.errors import Conflict, Forbidden, NotFound, RoomLocked
from clearcast.storage.rooms import RoomRecord
from streaming.captions import Captions
from streaming.entry import Pass
from streaming.live_sound import GRACE_S, LiveSound, wishes_of
from streaming.live_text.options import CaptionOptions
from streaming.messages import (
    CaptionsView,
    Chat,
    ChatAccepted,
    ChatRemoved,
    Ended,
    EndReason,
    ErrorMessage,
    Joined,
    LeaveReason,
    Left,
    Message,
    RoomChanged,
    RoomView,
)
from streaming.outbox import Outbox
from streaming.participant import Participant
from streaming.recording_keeper import RecordedShow
from streaming.show_recording import ShowRecording
from streaming.surroundings import Surroundings

logger = logging.getLogger(__name__)

_MOST_NAMES = 2000

_CLOSE_CODES: dict[EndReason, int] = {"ended": 1000, "removed": 4403, "revoked": 4403, "replaced": 1000}
_GONE: dict[EndReason, LeaveReason] = {"removed": "removed", "revoked": "revoked", "ended": "ended"}


class LiveRoom:
    """Attributes:
    record: what the room is, as last heard.
    people: participants by id, those who are about to come back among them.
    empty_since_s: since when nobody is in it, on the clock of `time.monotonic`; None while somebody is.
    is_over: it is closing; nobody comes in.
    """

    def __init__(
        self, record: RoomRecord, surroundings: Surroundings, on_end: Callable[[], None] = lambda: None
    ) -> None:
        """`on_end` is called when a moderator has ended it. Raises OptionInvalid, ModelMissing."""
        self.record = record
        self._on_end = on_end
        self.people: dict[str, Participant] = {}
        self.empty_since_s: float | None = time.monotonic()
        self.is_over = False
        self.chat = surroundings.open_chat(record.id)
        self._surroundings = surroundings
        self._removed: set[str] = set()
        self._names: dict[str, str] = {}  # also of those who left: a recording may still ask
        self._tasks: set[asyncio.Task[Any]] = set()
        media = surroundings.open_media(record)
        self.sound = LiveSound(
            media, surroundings.new_peer, wishes_of(record), surroundings.ports, self._line_changed
        )
        show = RecordedShow(
            room_id=record.id,
            owner_id=record.owner_id,
            room_name=record.name,
            is_transcribed=record.transcribe,
            name_of=self._name_of,
            on_failure=self._recording_failed,
        )
        self.recording = ShowRecording(surroundings.keeper, show, media, self._tell_room, self._before_stop)
        self.recording.is_wanted = record.record
        self.captions = Captions(
            surroundings.sittings,
            media,
            self._name_of,
            self.tell,
            self.recording.note_said,
            record.owner_id,
        )
        if record.captions:
            self.captions.begin(CaptionOptions())

    @property
    def listeners(self) -> int:
        """Lines that hear the room."""
        return sum(who.ear is not None for who in self.people.values())

    # Coming and going

    def enter(self, entry: Pass, outbox: Outbox | None, *, is_bare: bool = False) -> Participant:
        """Somebody new. Raises Forbidden, RoomLocked, Overloaded."""
        self._check_not_removed(entry)
        if self.record.is_locked and not entry.reaches("moderate"):
            raise RoomLocked("Nobody new comes into this room now.", hint="Ask who runs it.")
        self._surroundings.admission.check_participants(len(self.people))
        who = Participant(entry, is_bare=is_bare, outbox=outbox)
        self.people[who.id] = who
        self._names[who.id] = entry.name
        if len(self._names) > _MOST_NAMES:
            del self._names[next(iter(self._names))]
        self.empty_since_s = None
        self.recording.note("joined", who.id, name=entry.name)
        self.tell(who.changed(), but=who)
        return who

    def come_back(self, who: Participant, entry: Pass, outbox: Outbox) -> None:
        """The same participant over a new socket; an older one that is still there is closed.

        Raises Forbidden.
        """
        self._check_not_removed(entry)
        if who.outbox is not None:
            who.outbox.put(Ended(reason="replaced"))
            who.outbox.close(_CLOSE_CODES["replaced"])
        # Who chose a name keeps it.
        who.entry = replace(entry, name=who.entry.name)
        who.outbox, who.lost_s = outbox, None

    def welcome(self, who: Participant, chat: tuple[Chat, ...], ref: str | None) -> Joined:
        """What somebody is told first; `chat` is what he has not seen of it."""
        return Joined(
            ref=ref,
            room=RoomView.model_validate(self.record, from_attributes=True),
            you=who.view(),
            resume=who.resume,
            participants=tuple(other.view() for other in self.people.values()),
            chat=chat,
            recording=self.recording.is_running,
            captions=CaptionsView(**self.captions.state().model_dump(exclude={"type"})),
            ice_servers=self._surroundings.ice_servers,
        )

    def lose(self, who: Participant, outbox: Outbox) -> None:
        """This socket of his broke: he may come back for a while, his sound goes on."""
        if who.outbox is outbox:
            who.outbox, who.lost_s = None, time.monotonic()

    async def leave(self, who: Participant, reason: LeaveReason = "left") -> None:
        """He is gone at once; then his lines are closed. Again does nothing."""
        if who.is_gone:
            return
        who.is_gone = True
        self.people.pop(who.id, None)
        self.recording.note("left", who.id, reason=reason)
        self.tell(Left(id=who.id, reason=reason))
        if not self.people:
            self.empty_since_s = time.monotonic()
        self.sound.stop_listening(who)
        await self.sound.stop_publishing(who)
        self._voices_changed()

    async def cut(self, who: Participant, reason: EndReason) -> None:
        """He has to go, and is told why."""
        if who.outbox is not None:
            who.outbox.put(Ended(reason=reason))
            who.outbox.close(_CLOSE_CODES[reason])
        await self.leave(who, _GONE[reason])

    def _check_not_removed(self, entry: Pass) -> None:
        if entry.person in self._removed:
            raise Forbidden("You were removed from this room.")

    # What people do

    async def publish(self, who: Participant, offer_sdp: str) -> str:
        """Raises Forbidden, SdpRefused, Overloaded."""
        who.need("publish")
        await self._surroundings.admission.turn()
        sdp = await self.sound.publish(who, offer_sdp)
        self.recording.note("publishing", who.id)
        self.tell(who.changed())
        self._voices_changed()
        return sdp

    async def listen(self, who: Participant, offer_sdp: str) -> str:
        """Raises SdpRefused, Overloaded."""
        if who.ear is None:
            self._surroundings.admission.check_listeners(self.listeners)
        await self._surroundings.admission.turn()
        sdp = await self.sound.listen(who, offer_sdp)
        self.tell(who.changed())
        return sdp

    async def offer_listening(self, who: Participant) -> str:
        """As `listen`, the offer being ours; `answer_listening` takes the answer. Raises Overloaded."""
        if who.ear is None:
            self._surroundings.admission.check_listeners(self.listeners)
        await self._surroundings.admission.turn()
        return await self.sound.offer_listening(who)

    async def answer_listening(self, who: Participant, answer_sdp: str) -> None:
        """Raises SdpRefused, Conflict where nothing was offered."""
        await self.sound.answer_listening(who, answer_sdp)
        self.tell(who.changed())

    async def say(self, who: Participant, text: str, ref: str | None = None) -> None:
        """Chat. Raises OptionInvalid, RateLimited, ServiceUnavailable."""
        said = await self.chat.say(who, text)
        who.tell(ChatAccepted(ref=ref, id=said.id))
        self.recording.note("chat", who.id, id=said.id, name=said.name, text=said.text)
        self.tell(said)

    async def remove_chat(self, by: Participant, message_id: str, ref: str | None = None) -> None:
        """One's own, or any for moderators. Raises NotFound, Forbidden."""
        await self.chat.remove(by, message_id)
        self.recording.note("chat_removed", by.id, id=message_id)
        self.tell(ChatRemoved(id=message_id), by=by, ref=ref)

    async def stop_publishing(self, who: Participant) -> None:
        await self.sound.stop_publishing(who)
        self.recording.note("stopped_publishing", who.id)
        self.tell(who.changed())
        self._voices_changed()

    def _voices_changed(self) -> None:
        self.captions.review()
        self._own(self.recording.review())

    async def _before_stop(self) -> None:
        await self.captions.settle()

    def stop_listening(self, who: Participant) -> None:
        self.sound.stop_listening(who)
        self.tell(who.changed())

    def mute(self, by: Participant, whom: str | None, is_on: bool, ref: str | None = None) -> None:
        """Raises Forbidden, NotFound."""
        who = self._whom(by, whom)
        self.sound.mute(by, who, is_on)
        self.recording.note("muted", who.id, is_on=is_on)
        self.tell(who.changed(), by=by, ref=ref)

    def denoise(self, by: Participant, whom: str | None, is_on: bool, ref: str | None = None) -> None:
        """Raises Forbidden, NotFound, Conflict."""
        who = self._whom(by, whom)
        self.sound.denoise(by, who, is_on)
        self.recording.note("denoise", who.id, is_on=is_on)
        self.tell(who.changed(), by=by, ref=ref)

    async def remove(self, by: Participant, whom: str) -> None:
        """Cut off, and out for as long as this show lasts, whatever he comes with again.

        Raises Forbidden, NotFound; Conflict for oneself and for the owner.
        """
        by.need("moderate")
        who = self._whom(by, whom)
        if who is by or who.entry.person == self.record.owner_id:
            raise Conflict("This one cannot be removed.")
        self._removed.add(who.entry.person)
        for other in [one for one in self.people.values() if one.entry.person == who.entry.person]:
            await self.cut(other, "removed")

    async def lock(self, by: Participant, is_on: bool, ref: str | None = None) -> None:
        """Raises Forbidden."""
        by.need("moderate")
        await self._surroundings.register.set_locked(self.record, is_on)
        self.record = replace(self.record, is_locked=is_on)
        self._tell_room(by, ref)

    async def record_show(self, by: Participant, is_on: bool, ref: str | None = None) -> None:
        """Raises Forbidden."""
        by.need("moderate")
        self.recording.is_wanted = is_on
        was = self.recording.is_running
        await self.recording.review()
        if self.recording.is_running == was or ref is not None:
            self._tell_room(by, ref)

    async def caption(
        self, by: Participant, is_on: bool, options: CaptionOptions, ref: str | None = None
    ) -> None:
        """Raises Forbidden, OptionInvalid, LanguageUnsupported, Overloaded."""
        by.need("moderate")
        if options.voices == "account":
            by.need_to_be(self.record.owner_id)
        await self.captions.switch(options if is_on else None)
        self.recording.note("captions", by.id, is_on=is_on)
        self.tell(self.captions.state(), by=by, ref=ref)

    async def end(self, by: Participant) -> None:
        """For good. Raises Forbidden."""
        by.need("moderate")
        await self._surroundings.register.end(self.record)
        self.record = replace(self.record, state="ended")
        self._on_end()

    def _whom(self, by: Participant, whom: str | None) -> Participant:
        if whom is None or whom == by.id:
            return by
        try:
            return self.people[whom]
        except KeyError:
            raise NotFound("There is no such participant.") from None

    # What happens by itself

    def update(self, record: RoomRecord) -> None:
        """What was changed from outside; sound, frames and denoising as the room is next opened."""
        before, self.record = self.record, record
        if before.record != record.record:
            self.recording.is_wanted = record.record
            self._own(self.recording.review())
        if before.captions != record.captions:
            self._own(self._switch_captions(record.captions))
        if before.is_locked != record.is_locked:
            self._tell_room()

    async def _switch_captions(self, is_on: bool) -> None:
        await self.captions.switch(CaptionOptions() if is_on else None, must_fit=False)
        self.tell(self.captions.state())

    def tick(self, now_s: float) -> None:
        """Call it five times a second: levels, and whose time is up."""
        self.captions.look_after(now_s)
        levels = self.sound.levels(self.people.values())
        if levels is not None:
            self.tell(levels)
        for who in tuple(self.people.values()):
            if self.sound.look_after(who, now_s):
                self._line_changed(who)
            if who.lost_s is not None and now_s - who.lost_s > GRACE_S:
                self._own(self.leave(who, "lost"))
            elif who.voice_lost_s is not None and now_s - who.voice_lost_s > GRACE_S:
                who.voice_lost_s = None
                self._own(self.stop_publishing(who))

    def _line_changed(self, who: Participant) -> None:
        if who.is_gone:
            return
        if who.is_bare and not who.is_publishing and not who.is_listening:
            self._own(self.leave(who, "lost"))
        else:
            self.tell(who.changed())

    def _recording_failed(self, code: str) -> None:
        self.recording.failed()
        self.tell(ErrorMessage(code=code, title="The room is not recorded any more", detail=""))

    def _tell_room(self, by: Participant | None = None, ref: str | None = None) -> None:
        state = RoomChanged(
            is_locked=self.record.is_locked,
            is_recording=self.recording.is_running,
            state=self.record.state,
        )
        self.tell(state, by=by, ref=ref)

    def tell(
        self,
        message: Message,
        *,
        but: Participant | None = None,
        by: Participant | None = None,
        ref: str | None = None,
    ) -> None:
        """Everybody, or all but one; who asked for it gets his `ref` with it."""
        for who in self.people.values():
            if who is by and ref is not None:
                who.tell(message.model_copy(update={"ref": ref}))
            elif who is not but:
                who.tell(message)

    def _name_of(self, participant_id: str) -> str:
        return self._names.get(participant_id, participant_id)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("something in a live room went wrong", exc_info=task.exception())

    async def close(self, reason: EndReason | None, code: int = 1012) -> None:
        """Everybody goes, told `reason`; without one, that they shall come again."""
        self.is_over = True
        for who in tuple(self.people.values()):
            if reason is not None:
                await self.cut(who, reason)
            else:
                if who.outbox is not None:
                    who.outbox.close(code)
                await self.leave(who, "lost")
        await self.recording.close()
        await self.captions.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.sound.close()
