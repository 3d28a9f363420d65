"""Keywords: which of the words that a model knows are spoken, and when."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from clearcast.audio.recording import Recording
from clearcast.engines.classify._stream import Heard, KeywordStream
from clearcast.engines.engine import Engine, Progress, ignore_progress
from clearcast.errors import OptionInvalid
from clearcast.speech.keywords import Keywords

__all__ = ["ClassifyOptions", "Heard", "KeywordEngine", "KeywordStream"]

SHORTEST_SILENCE_S, LONGEST_SILENCE_S = 0.05, 2.0
QUIETEST_DB, LOUDEST_DB = -80.0, -10.0
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 0.3, 3.0


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """How words are told apart, and which count. Defaults suit words said one by one.

    Attributes:
        min_silence_s: a pause this long ends a word, 0.05 to 2; usually 0.2 to 0.5.
        silence_db: what is quieter is silence, −80 to −10 dBFS; usually −50 to −30. None: whatever does not
            rise above the noise, which is measured all along.
        window_s: stretches longer than this are cut, 0.3 to 3.
        min_probability: words that are less sure count as unknown, 0 to 1; None: the model's own.
        keep_unknown: whether other words are told too, labelled "unknown".

    Raises OptionInvalid.
    """

    min_silence_s: float = 0.2
    silence_db: float | None = None
    window_s: float = 1.0
    min_probability: float | None = None
    keep_unknown: bool = False

    def __post_init__(self) -> None:
        # Written so that what is not a number is refused too.
        if not SHORTEST_SILENCE_S <= self.min_silence_s <= LONGEST_SILENCE_S:
            raise OptionInvalid("min_silence_s lies between 0.05 and 2 seconds.")
        if self.silence_db is not None and not QUIETEST_DB <= self.silence_db <= LOUDEST_DB:
            raise OptionInvalid("silence_db lies between -80 and -10 dBFS.")
        if not SHORTEST_WINDOW_S <= self.window_s <= LONGEST_WINDOW_S:
            raise OptionInvalid("window_s lies between 0.3 and 3 seconds.")
        if self.min_probability is not None and not 0.0 <= self.min_probability <= 1.0:
            raise OptionInvalid("min_probability lies between 0 and 1.")


class KeywordEngine(Engine):
    """Spots the keywords of one model."""

    service = "classify"

    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The keywords that the model knows. May load it."""

    def classify(
        self,
        recording: Recording,
        options: ClassifyOptions = ClassifyOptions(),
        progress: Progress = ignore_progress,
    ) -> Keywords:
        """The keywords of a recording, in order. Memory does not grow with its length."""
        self.load()
        return self._run(recording, options, progress)

    def stream(self, options: ClassifyOptions = ClassifyOptions()) -> KeywordStream:
        """A stream of live sound of its own: samples go in, words come out."""
        self.load()
        return self._stream(options)

    @abstractmethod
    def _run(self, recording: Recording, options: ClassifyOptions, progress: Progress) -> Keywords: ...

    @abstractmethod
    def _stream(self, options: ClassifyOptions) -> KeywordStream: ...
