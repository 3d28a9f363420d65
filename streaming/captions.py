"""What is said in a live room, as lines by name.

What lives here: when voices of a room are transcribed, what people are told of it, what the recording
keeps. What does not: the lines themselves (`live_text`), who may switch them (`live_room`).

The room's sound owes nothing to them: whatever fails here is told as a trouble, and is tried again.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from clearcast.errors import ClearCastError, LanguageUnsupported
from streaming.broadcast import Broadcast
from streaming.live_text.captioned_voice import CaptionedVoice
from streaming.live_text.lines import Failed, Line, LiveEvent, Partial
from streaming.live_text.options import CaptionOptions
from streaming.live_text.session import BEHIND_S, CAUGHT_UP_S
from streaming.live_text.sittings import Sittings
from streaming.live_text.speakers import KnownVoice
from streaming.messages import Caption, CaptionsChanged, Message
from streaming.room import Room

logger = logging.getLogger(__name__)

LAST_LINES_S = 5.0  # so long the last lines of a voice are waited for
BEHIND = "behind"
_LOOK_EVERY_S, _RETRY_S = 1.0, 5.0


class NoteSaid(Protocol):
    def __call__(
        self, event: str, participant: str, start: datetime, end: datetime, **facts: str | float | bool
    ) -> None:
        """For the recording, if one runs. Never waits, never raises."""


@dataclass(frozen=True, slots=True)
class _Heard:
    source: Broadcast
    text: CaptionedVoice
    detach: Callable[[], None]


class Captions:
    """Of one room, on one event loop. Attributes:
    options: with which they are on; None while they are off.
    """

    def __init__(
        self,
        sittings: Sittings,
        media: Room,
        name_of: Callable[[str], str],
        tell: Callable[[Message], None],
        note: NoteSaid,
        owner_id: str,
    ) -> None:
        """`name_of` names the participant of a voice, also of one who left; `tell` tells everybody. Only
        voices of the owner's account are ever named."""
        self.options: CaptionOptions | None = None
        self._sittings, self._media = sittings, media
        self._name_of, self._tell, self._note = name_of, tell, note
        self._owner_id = owner_id
        self._known: tuple[KnownVoice, ...] = ()
        self._opened_s = time.time()
        self._heard: dict[str, _Heard] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._lines = 0
        self._behind: set[str] = set()
        self._failures: dict[str, str] = {}  # codes by voice
        self._told: dict[str, str] = {}  # troubles
        self._retry_s: dict[str, float] = {}
        self._look_at_s = 0.0

    def state(self) -> CaptionsChanged:
        """What people are told."""
        made_by = self._sittings.parts.recogniser
        return CaptionsChanged(
            is_on=self.options is not None,
            language=None if self.options is None else self.options.language,
            engine=made_by.engine,
            model=made_by.model,
            voices="none" if self.options is None else self.options.voices,
            troubles=self._troubles,
        )

    @property
    def _troubles(self) -> dict[str, str]:
        return dict.fromkeys(sorted(self._behind), BEHIND) | self._failures

    def _tell_troubles(self) -> None:
        """If they are others than were told."""
        if self._troubles != self._told:
            self._told = self._troubles
            self._tell(self.state())

    async def switch(self, options: CaptionOptions | None, *, must_fit: bool = True) -> None:
        """On with these options, or off, after the last lines. With `must_fit` false they are on whether or
        not there is a place for everybody now. With the account's voices, it is those that are enrolled by
        now: again with the same options takes up what was changed. Raises OptionInvalid, Overloaded,
        LanguageUnsupported, and nothing has changed then."""
        async with self._turn:
            names_people = options is not None and options.voices == "account"
            if options == self.options and not names_people:
                return
            if options is not None and must_fit:
                self._check(options)
            known = await self._sittings.parts.enrolled(self._owner_id) if names_people else ()
            self.options = None
            self.review()
            await self._settled()
            self.options, self._known = options, known
            self.review()

    def begin(self, options: CaptionOptions) -> None:
        """On from the room's first moment, when nobody speaks yet."""
        self.options = options
        self.review()

    def _check(self, options: CaptionOptions) -> None:
        options.checked()
        languages = self._sittings.parts.languages
        if languages is not None and options.language not in (None, *languages):
            raise LanguageUnsupported(
                f"The recogniser does not know the language {options.language!r}.",
                hint=f"It knows: {', '.join(sorted(languages))}.",
                language=options.language,
            )
        self._sittings.check_places(max(1, len(self._media.voices)) - len(self._heard))

    def review(self) -> None:
        """Voices that have come are heard, as far as there are places; the last lines of those that have
        gone follow by themselves."""
        voices = {} if self.options is None else self._media.voices
        for name, heard in tuple(self._heard.items()):
            if voices.get(name) is not heard.source:
                self._let_go(name)
        for name in self._failures.keys() - voices.keys():
            del self._failures[name]
        for name in voices.keys() - self._heard.keys():
            if self._retry_s.get(name, 0.0) <= time.monotonic():
                self._open(name, voices[name])

    def _open(self, name: str, source: Broadcast) -> None:
        assert self.options is not None
        try:
            hear = functools.partial(self._hear, name)
            text = self._sittings.caption(self.options.checked(), hear, self._now_s, self._known)
        except (ClearCastError, OSError) as error:
            self._fail(name, error)
            return
        self._failures.pop(name, None)
        self._heard[name] = _Heard(source, text, self._media.add_raw_listener(name, text.put))

    def _let_go(self, name: str) -> None:
        heard = self._heard.pop(name)
        self._behind.discard(name)
        heard.detach()
        task = asyncio.create_task(_finish(heard.text))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _fail(self, name: str, error: BaseException) -> None:
        """No text comes of this voice for a while."""
        if name not in self._failures:
            logger.warning("a voice of a live room has no captions", exc_info=error)
        self._failures[name] = error.code if isinstance(error, ClearCastError) else ClearCastError.code
        self._retry_s[name] = time.monotonic() + _RETRY_S

    def look_after(self, now_s: float) -> None:
        """Call it several times a second, on the clock of `time.monotonic`: who is behind, and who is to be
        tried again."""
        if self.options is None or now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_EVERY_S
        for name, heard in tuple(self._heard.items()):
            if heard.text.failure is not None:
                self._fail(name, heard.text.failure)
                self._let_go(name)
            elif heard.text.lag_s > (CAUGHT_UP_S if name in self._behind else BEHIND_S):
                self._behind.add(name)
            else:
                self._behind.discard(name)
        self._retry_s = {name: at_s for name, at_s in self._retry_s.items() if at_s > now_s}
        self.review()
        self._tell_troubles()

    def _hear(self, name: str, event: LiveEvent) -> None:
        match event:
            case Partial():
                self._tell(self._caption(name, event))
            case Line():
                self._lines += 1
                self._tell(self._caption(name, event))
                self._note_line(name, event)
                self._note_trouble(name, None)
            case Failed():
                start, end = self._at(event.start_s), self._at(event.end_s)
                self._note("caption_failed", name, start, end, code=event.error.code)
                self._note_trouble(name, event.error.code)
            # That it is behind is seen by `look_after`, also while the recogniser does not answer at all.

    def _note_trouble(self, name: str, code: str | None) -> None:
        if code is None:
            self._failures.pop(name, None)
        elif name in self._heard:
            self._failures[name] = code
        self._tell_troubles()

    def _caption(self, name: str, event: Line | Partial) -> Caption:
        line = event if isinstance(event, Line) else None
        speaker = None if line is None else line.speaker
        return Caption(
            participant=name,
            name=self._name_of(name),
            speaker_id=None if speaker is None else speaker.id,
            speaker=None if speaker is None else speaker.name,
            id=None if line is None else self._lines,
            is_final=line is not None,
            text=event.text,
            stable=event.stable if isinstance(event, Partial) else None,
            start_s=round(event.start_s, 3),
            end_s=round(event.end_s, 3),
            at=self._at(event.start_s),
            language=None if line is None else line.language,
        )

    def _note_line(self, name: str, line: Line) -> None:
        facts: dict[str, str | float | bool] = {"name": self._name_of(name), "text": line.text}
        if line.speaker is not None:
            facts["speaker_id"] = line.speaker.id
            if line.speaker.name is not None:
                facts["speaker"] = line.speaker.name
        if line.language is not None:
            facts["language"] = line.language
        facts["made_by"] = "; ".join(map(str, line.made_by))
        self._note("caption", name, self._at(line.start_s), self._at(line.end_s), **facts)

    def _now_s(self) -> float:
        """Since the room opened; by the wall clock, as recordings."""
        return time.time() - self._opened_s

    def _at(self, room_s: float) -> datetime:
        return datetime.fromtimestamp(self._opened_s + room_s, UTC)

    async def settle(self) -> None:
        """Everything that was said so far is told, or five seconds have gone."""
        for heard in self._heard.values():
            task = asyncio.create_task(_flush(heard.text))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        await self._settled()

    async def _settled(self) -> None:
        if self._ending:
            await asyncio.wait(self._ending)

    async def close(self) -> None:
        """For good; the last lines are told."""
        self.options = None
        self.review()
        await self._settled()


async def _flush(text: CaptionedVoice) -> None:
    try:
        async with asyncio.timeout(LAST_LINES_S):
            await text.flush()
    except TimeoutError:
        logger.warning("captions are behind where a recording ends")
    except Exception:  # `failure` tells it, too
        logger.exception("captions failed where a recording ends")


async def _finish(text: CaptionedVoice) -> None:
    try:
        async with asyncio.timeout(LAST_LINES_S):
            await text.finish()
    except TimeoutError:
        logger.warning("the last captions of a voice came too late")
    except Exception:
        logger.exception("the last captions of a voice failed")
    finally:
        await text.close()
