"""Train the shipped keyword model, the Persian digits 0 to 10, and write its folder.

    python -m tools.train_persian_digits AUDIO TARGET

AUDIO is a folder of real speech and noise with a `manifest.json` that tells the task, the file, the truth
and the sources of each item; the speech of the tasks "identification_*", "enrolment" and "separation" and
the noises of "denoise" (noisy minus clean) are used. Every speaker and every noise belongs to one part.
espeak-ng 1.51 must be installed. The same inputs give the same words; PyTorch's sums may differ in their
last digits from machine to machine.

What lives here: which recordings belong to which part, and the model card's words about them. What does
not: the voices (`clearcast/testing/digit_voices.py`) and the training
(`clearcast/engines/classify/training`).
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.engines.classify._splitting import SplitRules
from clearcast.engines.classify.contract import KeywordStream
from clearcast.engines.classify.training.card import Story
from clearcast.engines.classify.training.corpus import Corpus, Example
from clearcast.engines.classify.training.fit import TrainingOptions, fit
from clearcast.engines.classify.training.written import check_target, write_model
from clearcast.settings import AudioSettings
from clearcast.speech.keywords import SILENCE, UNKNOWN
from clearcast.testing.digit_voices import (
    ACCENTS,
    EVALUATION_NOISES,
    EVALUATION_SPEAKERS,
    EVALUATION_VOICES,
    OTHER_WORDS,
    TRAINING_NOISES,
    TRAINING_VOICES,
    UNHEARD_WORDS,
    VALIDATION_SPEAKERS,
    VALIDATION_VOICES,
    Spoken,
    digits,
    made_up_words,
    other_words,
)
from clearcast.testing.made_up_voices import made_up_voices

MADE_UP_VOICES = 120
_SPLIT = SplitRules(min_silence_s=0.2, silence_db=None, min_word_s=0.06, window_s=1.0, settle_s=1.5)

TRAINED_ON = f"""No person ever said these digits to the model. All of them were synthesised with espeak-ng
1.51 (voice `fa` and its variants; phonemes, since espeak-ng misreads «نه»): {len(TRAINING_VOICES)} variants
to learn from, each digit four times with another pitch, pace and pronunciation, and once more by eight of
them in the sounds of {len(ACCENTS)} other languages; {MADE_UP_VOICES} variants drawn at random
(`clearcast/testing/made_up_voices.py`), each digit twice; {len(VALIDATION_VOICES)} other variants to decide
when to stop; {len(EVALUATION_VOICES)} others to measure on. They are listed in
`clearcast/testing/digit_voices.py`. All variants share one synthesiser and one set of Persian phonemes.

Other words: read English (LibriSpeech, CC BY 4.0): 25 speakers to learn from, whole and in the pieces into
which it falls when it is searched for keywords, {len(VALIDATION_SPEAKERS)} to stop by, and the clips
of the transcription set, with other speakers, to measure on; synthesised Persian words, other ones for
measuring; and words made up of Persian syllables. Noise: white, pink, brown, mains hum and babble made
here, and recordings of five real noises, two to learn from and three to measure on. Made by
`tools/train_persian_digits.py` in ClearCast's repository."""

LIMITS = """How well real people are understood is **not known**: no recording of a person saying Persian
digits was at hand. Expect less than the figures above, above all for children, for dialects and for fast
connected speech. What is rejected was measured on read English and synthesised Persian, not on Persian
conversation. For your speakers, record a few of them and train: `clearcast train-keywords`."""


def corpus_of(audio: Path) -> Corpus:
    """All three parts. Raises ServiceUnavailable without espeak-ng."""
    items = json.loads((audio / "manifest.json").read_text(encoding="utf-8"))["items"]
    with tempfile.TemporaryDirectory() as name:
        reader = _Reader(audio, Path(name) / "copy.wav")
        accents: list[Spoken] = []
        for seed, accent in enumerate(ACCENTS):
            voices = random.Random(seed).sample(TRAINING_VOICES, 8)  # noqa: S311 - to be repeatable, not secret
            accents += digits(voices, 1, 10 + seed, (accent,))
        with made_up_voices(MADE_UP_VOICES, 30) as drawn:
            drawn_digits = digits(drawn.names, 2, 31, data=drawn.path)
            drawn_words = made_up_words(drawn.names, 1500, 32, drawn.path)
        speech = list(_speech(items, reader))
        learned = [one for one in speech if one.speaker not in VALIDATION_SPEAKERS]
        strangers = [
            *other_words(TRAINING_VOICES, OTHER_WORDS, 1200, 5),
            *made_up_words(TRAINING_VOICES, 1500, 8),
            *drawn_words,
        ]
        watched = [
            *other_words(VALIDATION_VOICES, OTHER_WORDS, 100, 6),
            *made_up_words(VALIDATION_VOICES, 100, 9),
        ]
        measured = _examples(other_words(EVALUATION_VOICES, UNHEARD_WORDS, 300, 7))
        # A recording of speech gives many pieces, a word one: repeated, both are drawn alike often.
        return Corpus(
            training=[
                *_examples([*digits(TRAINING_VOICES, 4, 1), *accents, *drawn_digits]),
                *learned * 20,
                *_cut_out(learned) * 8,
                *_examples(strangers),
                *_noises(items, reader, TRAINING_NOISES),
            ],
            validation=[
                *_examples(digits(VALIDATION_VOICES, 3, 2)),
                *[one for one in speech if one.speaker in VALIDATION_SPEAKERS] * 20,
                *_examples(watched),
            ],
            evaluation=[
                *_examples(digits(EVALUATION_VOICES, 3, 3)),
                *list(_transcribed(items, reader)) * 10,
                *measured,
                *_noises(items, reader, EVALUATION_NOISES),
            ],
        )


class _Reader:
    def __init__(self, audio: Path, copy: Path) -> None:
        self._audio, self._copy = audio, copy

    def __call__(self, file: str) -> FloatAudio:
        """The recording, mono 16 kHz."""
        prepare_sync(self._audio / file, self._copy, AudioSettings())
        with Recording.open(self._copy) as recording:
            return recording.read()


def _examples(spoken: Iterable[Spoken]) -> list[Example]:
    return [Example(one.label, one.voice, one.samples) for one in spoken]


def _speech(items: Sequence[Any], read: _Reader) -> Iterable[Example]:
    for item in items:
        for speaker, file in _spoken_by(item):
            if speaker not in EVALUATION_SPEAKERS:
                yield Example(UNKNOWN, speaker, read(file))


def _spoken_by(item: Any) -> list[tuple[str, str]]:
    """Speakers of an item whose voice is heard alone, with the files in which it is."""
    if item["task"] == "separation":
        speakers = [one.removeprefix("ls") for one in item["truth"]["speakers"]]
        return [*zip(speakers * 2, [*item["truth"]["sources"], *item["truth"]["enrol"]], strict=True)]
    if item["task"].startswith("identification") or item["task"] == "enrolment":
        return [(Path(item["file"]).stem.removeprefix("ls").partition("_")[0], item["file"])]
    return []


def _cut_out(speech: Iterable[Example]) -> list[Example]:
    """The pieces that speech falls into when it is searched for keywords: what is to be rejected."""
    pieces = []
    for one in speech:
        stream = KeywordStream(lambda *_word: (UNKNOWN, 1.0), _SPLIT, keep_unknown=True)
        for heard in [*stream.push(one.samples), *stream.finish()]:
            if heard.is_final:
                start, end = (
                    round(time_s * SAMPLE_RATE_HZ) for time_s in (heard.word.start_s, heard.word.end_s)
                )
                pieces.append(Example(UNKNOWN, one.speaker, one.samples[start:end]))
    return pieces


def _transcribed(items: Sequence[Any], read: _Reader) -> Iterable[Example]:
    for item in items:
        if item["task"] == "transcription":
            yield Example(UNKNOWN, None, read(item["file"]))


def _noises(items: Sequence[Any], read: _Reader, names: frozenset[str]) -> list[Example]:
    found = []
    for item in items:
        if item["task"] == "denoise" and Path(item["sources"][1]["path"]).name in names:
            noisy, clean = read(item["file"]), read(item["truth"]["clean"])
            length = min(len(noisy), len(clean))
            found.append(Example(SILENCE, None, noisy[:length] - clean[:length]))
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("audio", type=Path)
    arguments.add_argument("target", type=Path)
    arguments.add_argument("--epochs", type=int, default=45)
    given = arguments.parse_args()
    check_target(given.target)
    corpus = corpus_of(given.audio)
    trained = fit(corpus, TrainingOptions(epochs=given.epochs, patience=given.epochs))
    write_model(trained, given.target, Story(TRAINED_ON, LIMITS))
    print(trained.measured)


if __name__ == "__main__":
    main()
