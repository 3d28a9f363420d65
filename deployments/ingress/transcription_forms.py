"""What a request for a transcription may ask, in OpenAI's names; `hotwords` is ClearCast's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.errors import OptionInvalid
from deployments.ingress.forms import Form

Language = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[A-Za-z]{2,3}$")]
TextFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]

STREAMED_FORMATS = ("json", "text", "diarized_json")


class TranslationForm(Form):
    """`POST /v1/audio/translations`."""

    model: str = Field(
        max_length=200,
        description='"whisper-1", or the name of the engine or model that runs here.',
        examples=["whisper-1"],
    )
    prompt: str | None = Field(default=None, description="Text said before, for style and spelling.")
    response_format: TextFormat = Field(default="json", description="Form of the answer.")
    temperature: float | None = Field(
        default=None, ge=0, le=1, description="0 lets the engine choose, as OpenAI documents it."
    )
    hotwords: list[str] = Field(default=[], description="Names and words to expect, also comma-separated.")

    def translate_options(self) -> TranscribeOptions:
        return TranscribeOptions(
            task="translate",
            temperature=self.temperature or None,
            hotwords=split_words(self.hotwords),
            initial_prompt=self.prompt,
        )


class TranscriptionForm(TranslationForm):
    """`POST /v1/audio/transcriptions`."""

    files: ClassVar[dict[str, str]] = {
        **Form.files,
        "known_speaker_references": "2 to 10 s of each known speaker, as base64 data URLs.",
    }

    response_format: TextFormat | Literal["diarized_json"] = Field(  # type: ignore[assignment]
        default="json", description="Form of the answer; `diarized_json` tells the speakers apart."
    )
    language: Language | None = Field(
        default=None, description="ISO 639-1 code; detected when not given.", examples=["fa"]
    )
    languages: list[Language] = Field(
        default=[], description="One is taken as the language; several are left to detection."
    )
    timestamp_granularities: list[Literal["word", "segment"]] = Field(
        default=["segment"], description="What `verbose_json` holds times of."
    )
    stream: bool = Field(default=False, description="Send text as server-sent events while it comes.")
    known_speaker_names: list[str] = Field(
        default=[], description="Enrolled voices to call by name, or the names of the references."
    )
    keywords: list[str] = Field(default=[], description="OpenAI's name for hotwords.")
    chunking_strategy: list[str] = Field(
        default=[], description="Accepted; recordings are always cut at silences."
    )

    def transcribe_options(self) -> TranscribeOptions:
        only = self.languages[0] if len(self.languages) == 1 else None
        return replace(
            self.translate_options(),
            task="transcribe",
            language=self.language or only,
            hotwords=split_words([*self.hotwords, *self.keywords]),
        )

    def check(self) -> None:
        """Raises OptionInvalid for options that contradict each other."""
        if self.stream and self.response_format not in STREAMED_FORMATS:
            raise OptionInvalid(
                f"A stream cannot have the format {self.response_format!r}.",
                hint=f"Formats that stream: {', '.join(STREAMED_FORMATS)}.",
                field="stream",
            )
        if self.known_speaker_names and self.response_format != "diarized_json":
            raise OptionInvalid(
                "Known speakers need response_format=diarized_json.", field="known_speaker_names"
            )


def split_words(texts: list[str]) -> tuple[str, ...]:
    """Words given one by one, or several in one text with commas between them."""
    return tuple(word.strip() for text in texts for word in text.split(",") if word.strip())
