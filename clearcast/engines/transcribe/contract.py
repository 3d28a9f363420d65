"""Transcription: speech to text with word times."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from clearcast.audio.recording import Recording
from clearcast.engines.engine import Engine, Progress, ignore_progress
from clearcast.errors import LanguageUnsupported, OptionInvalid
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Span


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """Attributes:
    language: ISO 639-1 code; None lets the engine detect it.
    task: "transcribe", or "translate" into English where the engine can.
    beam_size: width of the search; 1 is greedy.
    temperature: sampling temperature in [0, 1]; None uses the engine's own fallback ladder.
    hotwords: words and names to expect.
    initial_prompt: text said before, for style and spelling.
    batched: decode several stretches at once (faster on a GPU, no context between them).
    voice_activity: leave out stretches without speech before decoding.
    speech: where speech is, if that is known already (sorted spans of the whole recording, seconds); then
        engines that decode utterance by utterance use these and do not look for themselves.
    is_live: somebody waits for every word: done before what is not live, which is held up meanwhile.
    """

    language: str | None = None
    task: Literal["transcribe", "translate"] = "transcribe"
    beam_size: int = 5
    temperature: float | None = None
    hotwords: tuple[str, ...] = ()
    initial_prompt: str | None = None
    batched: bool = False
    voice_activity: bool = True
    speech: tuple[Span, ...] | None = None
    is_live: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.beam_size <= 20:
            raise OptionInvalid("beam_size lies between 1 and 20.")
        if self.temperature is not None and not 0.0 <= self.temperature <= 1.0:
            raise OptionInvalid("temperature lies between 0 and 1.")


class TranscriptionEngine(Engine):
    """Writes down what is said.

    Class attributes: `languages` (codes it knows; None when its model decides), `can_translate`,
    `is_sooner_with_less` (whether a second of sound takes less time than ten), and `stops_soon` (whether
    work that is stopped ends within a tenth of a second or so).
    """

    service = "transcribe"
    languages: ClassVar[frozenset[str] | None] = None
    can_translate: ClassVar[bool] = False
    is_sooner_with_less: ClassVar[bool] = True
    stops_soon: ClassVar[bool] = False

    @property
    def live_at_once(self) -> int:
        """How many live calls gain by being made at the same time, from threads. Loads nothing."""
        return 1

    def transcribe(
        self,
        recording: Recording,
        start_s: float = 0.0,
        end_s: float | None = None,
        options: TranscribeOptions = TranscribeOptions(),
        progress: Progress = ignore_progress,
    ) -> Transcript:
        """Text of the stretch [start_s, end_s); all times count from the start of the recording.

        Raises LanguageUnsupported or OptionInvalid when the engine cannot do what is asked.
        """
        self.check(options)
        self.load()
        stop_s = recording.duration_s if end_s is None else min(end_s, recording.duration_s)
        return self._run(recording, start_s, stop_s, options, progress)

    def check(self, options: TranscribeOptions) -> None:
        """Raises LanguageUnsupported or OptionInvalid for what this engine never does. Loads nothing, so
        that callers can ask before long work."""
        known = self.languages
        if options.language is not None and known is not None and options.language not in known:
            raise LanguageUnsupported(
                f"The engine {self.engine_name()} knows only {', '.join(sorted(known))},"
                f" not {options.language!r}.",
                hint="Whisper knows about a hundred languages: clearcast models pull whisper-small.",
                language=options.language,
            )
        if options.task == "translate" and not self.can_translate:
            raise OptionInvalid(f"The engine {self.engine_name()} cannot translate.")

    @abstractmethod
    def _run(
        self,
        recording: Recording,
        start_s: float,
        end_s: float,
        options: TranscribeOptions,
        progress: Progress,
    ) -> Transcript: ...
