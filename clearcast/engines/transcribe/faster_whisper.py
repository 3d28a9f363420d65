"""Transcription by Whisper on CTranslate2 (the faster-whisper library).

What it writes for a stretch is what `WhisperModel.transcribe`, or `BatchedInferencePipeline` when batched,
writes for the same samples: same words, times and probabilities. A stretch longer than `window_s` is
decoded window by window, cut at quiet moments, with language and last sentence carried over.

Reference: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from clearcast.audio.recording import FloatAudio, Recording
from clearcast.engines.engine import EngineOptions, Progress
from clearcast.engines.model_choice import is_path
from clearcast.engines.transcribe._cublas import load_cublas
from clearcast.engines.transcribe._cuts import cut_at_quiet
from clearcast.engines.transcribe._whisper_models import WHISPER_LANGUAGES, WHISPER_MODELS, whisper_spec
from clearcast.engines.transcribe._whisper_together import WhisperTogether
from clearcast.engines.transcribe.contract import TranscribeOptions, TranscriptionEngine
from clearcast.errors import LanguageUnsupported, ModelCorrupt, ModelMissing, OptionInvalid, SettingsInvalid
from clearcast.models.spec import ModelSpec
from clearcast.models.store import locate
from clearcast.speech.transcript import Segment, Transcript, Word
from clearcast.speech.turns import Span

_UNSPACED_LANGUAGES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})  # as Whisper's tokenizer splits them
_CHUNK_S = 30.0  # what one pass of Whisper hears
_CARRIED_TEMPERATURE = 0.5  # text sampled above it is no prompt: `prompt_reset_on_temperature` upstream

ComputeType = Literal[
    "default",
    "auto",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
    "float32",
]


@dataclass(frozen=True)
class FasterWhisperOptions(EngineOptions):
    """Attributes:
    model: a published name ("small", "large-v3", "turbo", "distil-large-v3" …) or the path of a folder,
        written with a slash.
    device: "auto" takes the GPU where there is one.
    compute_type: how weights are held and multiplied; "default" keeps the type they are stored in as far as
        the device can. "int8" is the fastest on a CPU.
    threads: CPU threads of one decoding; 0 leaves it to CTranslate2.
    batch_size: stretches decoded at once in batched mode.
    live_batch_size: live stretches decoded at once: those that came while others were decoded. It pays on a
        GPU. A CPU spends as long on the encoder for each of them either way; there 1 is best.
    window_s: longest stretch decoded in one go; bounds memory.
    condition_on_previous_text: each 30 s see the text before them. Off stops repetition loops from
        spreading, at the price of less even spelling.
    compression_ratio_threshold, log_prob_threshold: text more repetitive or less likely than this is
        decoded again at a higher temperature; null never does.
    no_speech_threshold: from this probability of silence on, unlikely text is dropped; null never drops.
    hallucination_silence_s: skip silences longer than this around suspicious words; null does not look.
    repetition_penalty, no_repeat_ngram_size: against loops while decoding; 1 and 0 are off.
    """

    model: str = "small"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compute_type: ComputeType = "default"
    threads: int = 0
    batch_size: int = 8
    live_batch_size: int = 1
    window_s: float = 600.0
    condition_on_previous_text: bool = True
    compression_ratio_threshold: float | None = 2.4
    log_prob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    hallucination_silence_s: float | None = None
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0

    def __post_init__(self) -> None:
        if min(self.batch_size, self.live_batch_size) < 1 or self.threads < 0 or self.window_s < _CHUNK_S:
            raise SettingsInvalid(
                "Whisper: threads starts at 0, batch_size and live_batch_size at 1,"
                f" window_s at {_CHUNK_S:g}."
            )


class FasterWhisperEngine(TranscriptionEngine):
    """Every language its model knows. Calls from several threads wait for each other inside CTranslate2, or
    are decoded together (`live_batch_size`)."""

    Options = FasterWhisperOptions
    options: FasterWhisperOptions
    can_translate: ClassVar[bool] = True
    is_sooner_with_less: ClassVar[bool] = False  # it always hears 30 s, filled up with silence

    _model: Any

    @classmethod
    def models(cls, options: FasterWhisperOptions) -> tuple[ModelSpec, ...]:
        return () if is_path(options.model) else (whisper_spec(options.model),)

    @classmethod
    def catalogue(cls) -> tuple[ModelSpec, ...]:
        return tuple(WHISPER_MODELS.values())

    @property
    def live_at_once(self) -> int:
        return self.options.live_batch_size

    @property
    def model_name(self) -> str:
        return Path(self.options.model).name

    def _load(self) -> None:
        folder = self._folder()
        # The package of this file's name: absolute imports never find this file.
        from faster_whisper import WhisperModel

        device = self._device()
        try:
            self._model = WhisperModel(
                # A folder that is there; a name would be asked for at the hub.
                str(folder),
                device=device,
                compute_type=self.options.compute_type,
                cpu_threads=self.options.threads,
            )
        except (RuntimeError, ValueError) as error:
            raise ModelCorrupt(f"The Whisper model in {folder} cannot be read: {error}") from error
        heard, expected = self._model.feature_extractor.mel_filters.shape[0], self._model.model.n_mels
        if heard != expected:
            raise ModelCorrupt(
                f"The Whisper model in {folder} expects {expected} mel bins, not {heard}.",
                hint="Its preprocessor_config.json is missing or belongs to another model.",
            )
        if self.options.live_batch_size > 1:
            self._model.model = WhisperTogether(self._model.model, self.options.live_batch_size)

    def _folder(self) -> Path:
        if not is_path(self.options.model):
            return locate(whisper_spec(self.options.model), self.context.models_dir)
        folder = Path(self.options.model).expanduser()
        if not folder.is_dir():
            raise ModelMissing(
                f"There is no folder {folder}.", hint="Set the option model of faster_whisper."
            )
        # Without tokenizer.json upstream asks the hub for one.
        missing = [
            name for name in ("config.json", "model.bin", "tokenizer.json") if not (folder / name).is_file()
        ]
        if missing:
            raise ModelCorrupt(
                f"{folder} is no Whisper model for CTranslate2: {', '.join(missing)} missing.",
                hint="Convert with: ct2-transformers-converter --copy_files tokenizer.json …",
            )
        return folder

    def _device(self) -> str:
        """The device to use. Raises SettingsInvalid when it or the compute type cannot be had."""
        import ctranslate2

        gpus = ctranslate2.get_cuda_device_count()
        device = ("cuda" if gpus else "cpu") if self.options.device == "auto" else self.options.device
        if device == "cuda" and not gpus:
            raise SettingsInvalid("Whisper is set to run on a GPU, and there is none.", hint="device: auto")
        if device == "cuda":
            load_cublas()
        supported = ctranslate2.get_supported_compute_types(device)
        wanted = self.options.compute_type
        if wanted not in ("default", "auto") and wanted not in supported:
            raise SettingsInvalid(
                f"Whisper cannot compute in {wanted} on this {'GPU' if device == 'cuda' else 'CPU'}.",
                hint=f"compute_type: {', '.join(sorted(supported))}, default or auto.",
            )
        return device

    def _run(
        self,
        recording: Recording,
        start_s: float,
        end_s: float,
        options: TranscribeOptions,
        progress: Progress,
    ) -> Transcript:
        self._refuse_after_load(options)
        stretch = Span(start_s, max(start_s, end_s))
        segments: list[Segment] = []
        language, confidence, prompt = options.language, None, options.initial_prompt
        for window in cut_at_quiet(recording, stretch, self.options.window_s):
            samples = recording.read(window.start_s, window.end_s)
            progress((window.start_s - stretch.start_s) / max(stretch.duration_s, 1e-9))
            if not len(samples):
                break
            written, info = self._decode(samples, language, prompt, options)
            prompt = None
            for part in written:
                if segment := _segment(part, window, info.language):
                    segments.append(segment)
                    progress((segment.end_s - stretch.start_s) / stretch.duration_s)
                prompt = part.text if self._carries(part, options) else None
            if segments and language is None:
                language, confidence = info.language, self._detected(info)
        progress(1.0)
        return Transcript(
            segments=tuple(sorted(segments, key=lambda segment: segment.start_s)),
            language=language if segments else None,
            duration_s=recording.duration_s,
            provenance=(self.provenance,),
            language_confidence=confidence,
        )

    def check(self, options: TranscribeOptions) -> None:
        super().check(options)
        english_only = not is_path(self.options.model) and self.options.model.endswith(".en")
        self._refuse(options, frozenset({"en"}) if english_only else WHISPER_LANGUAGES, english_only)

    def _refuse_after_load(self, options: TranscribeOptions) -> None:
        """The same check against the model itself, whose tokens tell what it really knows."""
        has_token = self._model.hf_tokenizer.token_to_id
        english_only = not self._model.model.is_multilingual
        known = {code for code in WHISPER_LANGUAGES if has_token(f"<|{code}|>") is not None}
        self._refuse(options, frozenset({"en"} if english_only else known), english_only)

    def _refuse(self, options: TranscribeOptions, known: frozenset[str], english_only: bool) -> None:
        if options.language is not None and options.language not in known:
            raise LanguageUnsupported(
                f"The Whisper model {self.model_name!r} does not know the language {options.language!r}.",
                hint=f"It knows: {', '.join(sorted(known))}.",
                language=options.language,
            )
        if options.task == "translate" and english_only:
            raise OptionInvalid(f"The English-only model {self.model_name!r} cannot translate.")

    def _decode(
        self, samples: FloatAudio, language: str | None, prompt: str | None, options: TranscribeOptions
    ) -> tuple[Iterator[Any], Any]:
        """Upstream's segments, as they are decoded, and its information on the language."""
        settings = self.options
        arguments: dict[str, Any] = {
            "language": language,
            "task": options.task,
            "beam_size": options.beam_size,
            "initial_prompt": prompt,
            "hotwords": ", ".join(options.hotwords) or None,
            "word_timestamps": True,
            "vad_filter": options.voice_activity,
            "condition_on_previous_text": settings.condition_on_previous_text,
            "compression_ratio_threshold": settings.compression_ratio_threshold,
            "log_prob_threshold": settings.log_prob_threshold,
            "no_speech_threshold": settings.no_speech_threshold,
            "hallucination_silence_threshold": settings.hallucination_silence_s,
            "repetition_penalty": settings.repetition_penalty,
            "no_repeat_ngram_size": settings.no_repeat_ngram_size,
        }
        if options.temperature is not None:
            arguments["temperature"] = options.temperature
        transcribe = self._model.transcribe
        if options.batched:
            from faster_whisper import BatchedInferencePipeline

            # One per call: it remembers the last word's end, and a cancelled call would leave it behind.
            transcribe = BatchedInferencePipeline(self._model).transcribe
            arguments["batch_size"] = settings.batch_size
            if not options.voice_activity:
                arguments["clip_timestamps"] = _chunks(samples)
        written, info = transcribe(samples, **arguments)
        return iter(written), info

    def _carries(self, part: Any, options: TranscribeOptions) -> bool:
        """Whether this text is a prompt for the next window, as upstream decides between its 30 s steps."""
        steady = part.temperature is None or part.temperature <= _CARRIED_TEMPERATURE
        return steady and self.options.condition_on_previous_text and not options.batched

    def _detected(self, info: Any) -> float | None:
        # An English-only model says 1.0 without having listened.
        return float(info.language_probability) if self._model.model.is_multilingual else None


def _chunks(samples: FloatAudio) -> list[dict[str, float]]:
    """All of the samples in pieces that Whisper can hear in one pass, as upstream wants them."""
    recording = Recording.from_array(samples)
    pieces = cut_at_quiet(recording, Span(0.0, recording.duration_s), _CHUNK_S)
    return [{"start": piece.start_s, "end": piece.end_s} for piece in pieces]


def _segment(part: Any, window: Span, language: str) -> Segment | None:
    """Upstream's segment with times in the recording; None when it is empty or starts after the sound.

    Whisper's time marks may lie past the end of what it heard; they are drawn back to it.
    """
    text = part.text.strip()
    start_s, end_s = _times(part, window)
    if not text or window.start_s + part.start >= window.end_s:
        return None
    words: list[Word] = []
    for word in part.words or ():
        if not word.word.strip():
            continue
        # Text of a spaced language that starts a segment without a space still starts a word.
        may_join = bool(words) or language in _UNSPACED_LANGUAGES
        word_start_s, word_end_s = _times(word, window)
        words.append(
            Word(
                start_s=word_start_s,
                end_s=word_end_s,
                text=word.word.strip(),
                confidence=float(word.probability),
                joins_previous=may_join and not word.word.startswith(" "),
            )
        )
    return Segment(
        start_s=start_s,
        end_s=end_s,
        text=text,
        words=tuple(words),
        confidence=min(1.0, math.exp(part.avg_logprob)),
        no_speech_probability=float(part.no_speech_prob),
    )


def _times(part: Any, window: Span) -> tuple[float, float]:
    start_s = min(window.start_s + float(part.start), window.end_s)
    end_s = min(window.start_s + float(part.end), window.end_s)
    return round(start_s, 3), round(max(start_s, end_s), 3)
