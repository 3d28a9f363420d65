"""A Whisper model folder as CTranslate2 reads it, with random weights.

Written with `ctranslate2.specs` and `tokenizers` alone. The weights are random but shaped so that decoding
looks like speech: words win over time marks most of the time, and the end mark becomes likelier with every
token, so that segments stay short.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float32]

_ENCODER_FRAMES = 1500  # 30 s at 50 frames a second, the fixed input of every Whisper model
_DECODER_TOKENS = 448
_TOKENS_PER_SEGMENT = 9
_TIME_MARKS = [f"<|{step * 0.02:.2f}|>" for step in range(_ENCODER_FRAMES + 1)]


@dataclass(frozen=True, slots=True)
class WhisperShape:
    """Attributes:
    width, layers, heads: size of encoder and decoder alike.
    mel_bins: 80, or 128 as in large-v3.
    text_tokens: size of the text vocabulary, 50,257 in the published models.
    multilingual: False makes an English-only model.
    languages: codes that get a token; ignored by an English-only model.
    quantization: how weights are stored, for example "int8"; None keeps float32.
    """

    width: int = 32
    layers: int = 1
    heads: int = 2
    mel_bins: int = 80
    text_tokens: int = 512
    multilingual: bool = True
    languages: Sequence[str] = ("en", "de", "fa")
    quantization: str | None = None


SMALL = WhisperShape()
PUBLISHED_TINY = WhisperShape(width=384, layers=4, heads=6, text_tokens=50_257, quantization="int8")
"""The shape of OpenAI's "tiny" (39 million parameters), for measuring cost."""


def write_whisper(folder: Path, shape: WhisperShape = SMALL, *, seed: int = 0) -> Path:
    """Write model.bin, config.json, vocabulary.json, tokenizer.json and preprocessor_config.json.

    Returns `folder`. The same seed writes the same weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text, special = _vocabulary(shape)
    spec = _build_spec(shape, text, special, np.random.default_rng(seed))
    spec.validate()
    spec.optimize(quantization=shape.quantization)
    spec.save(str(folder))
    _write_tokenizer(folder / "tokenizer.json", text, special)
    _write_preprocessor(folder / "preprocessor_config.json", shape.mel_bins)
    return folder


def _vocabulary(shape: WhisperShape) -> tuple[list[str], list[str]]:
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    text = letters + [_word(index) for index in range(shape.text_tokens - len(letters))]
    if shape.multilingual:
        # CTranslate2 tells the two kinds apart by this token, which only the multilingual vocabulary has.
        text[-1] = ""
    tags = [
        *shape.languages,
        "translate",
        "transcribe",
        "startoflm",
        "startofprev",
        "nospeech",
        "notimestamps",
    ]
    return text, ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{tag}|>" for tag in tags)]


def _word(index: int) -> str:
    # Every fifth goes on from the word before it; Ġ stands for the space before a word.
    return f"x{index}" if index % 5 == 0 else f"Ġw{index}"


def _build_spec(shape: WhisperShape, text: list[str], special: list[str], rng: np.random.Generator) -> Any:
    from ctranslate2.specs import whisper_spec

    tokens = [*text, *special, *_TIME_MARKS]
    index = {token: place for place, token in enumerate(tokens)}
    spec = whisper_spec.WhisperSpec(shape.layers, shape.heads, shape.layers, shape.heads)
    _fill_encoder(spec.encoder, shape, rng)
    _fill_decoder(spec.decoder, shape, rng, len(text), len(tokens))
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [index["Ġ"], index["<|endoftext|>"]]
    spec.config.lang_ids = [index[f"<|{language}|>"] for language in shape.languages]
    upper_half = range(shape.layers // 2, shape.layers)
    spec.config.alignment_heads = [(layer, head) for layer in upper_half for head in range(shape.heads)]
    return spec


def _fill_encoder(encoder: Any, shape: WhisperShape, rng: np.random.Generator) -> None:
    width = shape.width
    encoder.conv1.weight = _random(rng, width, shape.mel_bins, 3)
    encoder.conv1.bias = np.zeros(width, np.float32)
    encoder.conv2.weight = _random(rng, width, width, 3)
    encoder.conv2.bias = np.zeros(width, np.float32)
    encoder.position_encodings.encodings = _sinusoids(width)
    _fill_norm(encoder.layer_norm, width)
    for layer in encoder.layer:
        _fill_self_attention(layer.self_attention, width, rng)
        _fill_feed_forward(layer.ffn, width, rng)


def _fill_decoder(
    decoder: Any, shape: WhisperShape, rng: np.random.Generator, text_tokens: int, tokens: int
) -> None:
    width = shape.width
    toward_end, toward_mark = np.linalg.qr(rng.standard_normal((width, 2)))[0].T
    decoder.embeddings.weight = (0.1 * rng.standard_normal((tokens, width))).astype(np.float32)
    decoder.projection.weight = _projection(rng, text_tokens, tokens, toward_end, toward_mark)
    places = np.arange(_DECODER_TOKENS)
    positions = 2.0 * rng.standard_normal((_DECODER_TOKENS, width))
    positions += np.outer(places / 3.0, toward_end)
    positions += np.outer(12.0 * (places % _TOKENS_PER_SEGMENT == 0), toward_mark)
    decoder.position_encodings.encodings = positions.astype(np.float32)
    _fill_norm(decoder.layer_norm, width)
    for layer in decoder.layer:
        _fill_self_attention(layer.self_attention, width, rng)
        _fill_cross_attention(layer.attention, width, rng)
        _fill_feed_forward(layer.ffn, width, rng)


def _projection(
    rng: np.random.Generator, text_tokens: int, tokens: int, toward_end: Weights, toward_mark: Weights
) -> Weights:
    """How loudly each token answers to the decoder's state, shape (tokens, width)."""
    projection = 0.05 * rng.standard_normal((tokens, len(toward_end)))
    projection[256:text_tokens] *= 16.0  # whole words; single bytes, the first 256, stay quiet
    projection[text_tokens] = 2.5 * toward_end
    projection[-len(_TIME_MARKS) :] += 2.0 * toward_mark
    return projection.astype(np.float32)


def _fill_norm(norm: Any, width: int) -> None:
    norm.gamma = np.ones(width, np.float32)
    norm.beta = np.zeros(width, np.float32)


def _fill_linear(
    linear: Any, outputs: int, inputs: int, rng: np.random.Generator, gain: float = 1.0
) -> None:
    linear.weight = _random(rng, outputs, inputs, gain=gain)
    linear.bias = np.zeros(outputs, np.float32)


def _fill_self_attention(attention: Any, width: int, rng: np.random.Generator) -> None:
    _fill_norm(attention.layer_norm, width)
    _fill_linear(attention.linear[0], 3 * width, width, rng)
    _fill_linear(attention.linear[1], width, width, rng)


def _fill_cross_attention(attention: Any, width: int, rng: np.random.Generator) -> None:
    _fill_norm(attention.layer_norm, width)
    # Loud, so that what is written depends on the sound.
    _fill_linear(attention.linear[0], width, width, rng, gain=3.0)
    _fill_linear(attention.linear[1], 2 * width, width, rng)
    _fill_linear(attention.linear[2], width, width, rng, gain=3.0)


def _fill_feed_forward(block: Any, width: int, rng: np.random.Generator) -> None:
    _fill_norm(block.layer_norm, width)
    _fill_linear(block.linear_0, 4 * width, width, rng)
    _fill_linear(block.linear_1, width, 4 * width, rng)


def _random(rng: np.random.Generator, *shape: int, gain: float = 1.0) -> Weights:
    """Normal weights whose variance keeps the size of what passes through, times `gain`."""
    fan_in = int(np.prod(shape[1:]))
    weights: Weights = (gain * rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
    return weights


def _sinusoids(width: int) -> Weights:
    """Whisper's fixed encoder positions: sines and cosines of geometrically spaced periods."""
    rates = np.exp(-np.log(10_000) / (width // 2 - 1) * np.arange(width // 2))
    phases = np.arange(_ENCODER_FRAMES)[:, None] * rates
    waves: Weights = np.concatenate([np.sin(phases), np.cos(phases)], axis=1).astype(np.float32)
    return waves


def _write_tokenizer(path: Path, text: list[str], special: list[str]) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(text)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in _TIME_MARKS])
    tokenizer.save(str(path))


def _write_preprocessor(path: Path, mel_bins: int) -> None:
    values = {
        "chunk_length": 30,
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": mel_bins,
        "hop_length": 160,
        "n_fft": 400,
        "n_samples": 480_000,
        "nb_max_frames": 3000,
        "padding_side": "right",
        "padding_value": 0.0,
        "processor_class": "WhisperProcessor",
        "return_attention_mask": False,
        "sampling_rate": 16_000,
    }
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")
