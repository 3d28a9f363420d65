"""One Whisper of CTranslate2 for several threads: what waits for it at the same time is one batch.

What lives here: what stands in place of `ctranslate2.models.Whisper` in faster-whisper's `WhisperModel`.
What does not: who waits for whom (`clearcast/gathering.py`), and decoding, which stays upstream's.

Upstream decodes a stretch in steps of four kinds: encode, detect_language, generate, align. Each of them
takes a batch and gives for each of it what it gives for that one alone, but for rounding (probabilities of
float32 weights differ by less than 1e-4). So threads that decode at the same time each run upstream's own
code, its retries at higher temperatures included, and meet at the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clearcast.gathering import Gathering


@dataclass(frozen=True, slots=True)
class _Part:
    """What a step needs of one stretch. Attributes:
    features: a StorageView of shape (1, mel bins, frames), or (1, frames / 2, width) once encoded.
    tokens: the prompt, or the text to align.
    num_frames: how many of the frames are no padding.
    """

    features: Any
    tokens: Sequence[int] = ()
    num_frames: int = 0


class WhisperTogether:
    """Its four steps take the model's own arguments, and are for one stretch each, or, as in upstream's
    batched mode, for several, which nobody joins. Everything else is the model's."""

    def __init__(self, whisper: Any, most: int) -> None:
        """At most `most` stretches in a batch."""
        self._whisper = whisper
        self._gathering = Gathering(most)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whisper, name)

    def encode(self, features: Any, to_cpu: bool = False) -> Any:
        def work(parts: Sequence[_Part]) -> list[Any]:
            if len(parts) == 1:
                return [self._whisper.encode(parts[0].features, to_cpu=to_cpu)]
            return _split(self._whisper.encode(_joined(parts), to_cpu=True))

        if _are_several(features):
            return self._whisper.encode(features, to_cpu=to_cpu)
        return self._do(("encode", to_cpu), _Part(features), work)

    def detect_language(self, features: Any) -> Any:
        def work(parts: Sequence[_Part]) -> Any:
            return self._whisper.detect_language(_joined(parts))

        if _are_several(features):
            return self._whisper.detect_language(features)
        return [self._do("detect_language", _Part(features), work)]

    def generate(self, features: Any, prompts: Sequence[Sequence[int]], **options: Any) -> Any:
        def work(parts: Sequence[_Part]) -> Any:
            return self._whisper.generate(_joined(parts), [list(part.tokens) for part in parts], **options)

        if _are_several(features):
            return self._whisper.generate(features, prompts, **options)
        (prompt,) = prompts
        # The model wants prompts of one length; their languages may differ.
        return [self._do(("generate", len(prompt), _frozen(options)), _Part(features, prompt), work)]

    def align(
        self,
        features: Any,
        start_sequence: Sequence[int],
        text_tokens: Sequence[Sequence[int]],
        num_frames: int | list[int],
        **options: Any,
    ) -> Any:
        def work(parts: Sequence[_Part]) -> Any:
            texts, frames = [list(part.tokens) for part in parts], [part.num_frames for part in parts]
            return self._whisper.align(_joined(parts), start_sequence, texts, frames, **options)

        if _are_several(features):
            return self._whisper.align(features, start_sequence, text_tokens, num_frames, **options)
        (text,) = text_tokens
        part = _Part(features, text, num_frames[0] if isinstance(num_frames, list) else num_frames)
        return [self._do(("align", tuple(start_sequence), _frozen(options)), part, work)]

    def _do(self, kind: Hashable, part: _Part, work: Callable[[Sequence[_Part]], Sequence[Any]]) -> Any:
        return self._gathering.do((kind, tuple(part.features.shape)), part, work)


def _are_several(features: Any) -> bool:
    return bool(features.shape[0] != 1)


def _joined(parts: Sequence[_Part]) -> Any:
    from ctranslate2 import StorageView

    if len(parts) == 1:
        return parts[0].features
    return StorageView.from_array(np.concatenate([_in_memory(part.features) for part in parts]))


def _split(encoded: Any) -> list[Any]:
    from ctranslate2 import StorageView

    whole = _in_memory(encoded)
    return [StorageView.from_array(whole[place : place + 1]) for place in range(len(whole))]


def _in_memory(view: Any) -> npt.NDArray[Any]:
    """Of the processor's, for numpy; the model takes it back to its device and type."""
    from ctranslate2 import DataType, Device

    if view.device != "cpu":
        view = view.to_device(Device.cpu)
    if view.dtype == DataType.bfloat16:  # which numpy does not know
        view = view.to(DataType.float32)
    return np.asarray(view)


def _frozen(options: dict[str, Any]) -> Hashable:
    return tuple(
        (name, tuple(value) if isinstance(value, list) else value)
        for name, value in sorted(options.items())
    )
