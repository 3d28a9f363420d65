"""The Whisper models published for CTranslate2: their names, repositories and files.

Names are those that faster-whisper knows. Sizes are those shown on the repositories' pages.
"""

from __future__ import annotations

from clearcast.errors import SettingsInvalid
from clearcast.models.spec import ModelSpec

_CORE = ("config.json", "model.bin", "tokenizer.json")
_OLD_LAYOUT = (*_CORE, "vocabulary.txt")
_NEW_LAYOUT = (*_CORE, "vocabulary.json", "preprocessor_config.json")  # conversions since late 2023

_ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}


def _spec(name: str, repo: str, megabytes: int, files: tuple[str, ...]) -> ModelSpec:
    return ModelSpec(f"whisper-{name}", repo, files, licence="MIT", size_bytes=megabytes * 1_000_000)


def _systran(name: str, megabytes: int, files: tuple[str, ...] = _OLD_LAYOUT) -> ModelSpec:
    published = (
        name.replace("distil-", "distil-whisper-") if name.startswith("distil-") else f"whisper-{name}"
    )
    return _spec(name, f"Systran/faster-{published}", megabytes, files)


WHISPER_MODELS: dict[str, ModelSpec] = {
    "tiny": _systran("tiny", 78),
    "tiny.en": _systran("tiny.en", 78),
    "base": _systran("base", 148),
    "base.en": _systran("base.en", 148),
    "small": _systran("small", 486),
    "small.en": _systran("small.en", 486),
    "medium": _systran("medium", 1530),
    "medium.en": _systran("medium.en", 1530),
    "large-v1": _systran("large-v1", 3090),
    "large-v2": _systran("large-v2", 3090),
    "large-v3": _systran("large-v3", 3090, _NEW_LAYOUT),
    "large-v3-turbo": _spec(
        "large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1622, _NEW_LAYOUT
    ),
    "distil-small.en": _systran("distil-small.en", 336, _NEW_LAYOUT),
    "distil-medium.en": _systran("distil-medium.en", 792, _NEW_LAYOUT),
    "distil-large-v2": _systran("distil-large-v2", 1516, _NEW_LAYOUT),
    "distil-large-v3": _systran("distil-large-v3", 1516, _NEW_LAYOUT),
    "distil-large-v3.5": _spec(
        "distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2", 1516, _NEW_LAYOUT
    ),
}
"""By published name; "large" and "turbo" stand for the newest of their kind."""


def whisper_spec(name: str) -> ModelSpec:
    """The model of that published name. Raises SettingsInvalid with the known names."""
    try:
        return WHISPER_MODELS[_ALIASES.get(name, name)]
    except KeyError:
        known = ", ".join((*WHISPER_MODELS, *_ALIASES))
        raise SettingsInvalid(
            f"There is no Whisper model called {name!r}.",
            hint=f"Known: {known}; or the path of a folder, written with a slash.",
        ) from None


WHISPER_LANGUAGES = frozenset(
    """
    af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr
    ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc
    pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue
    zh
    """.split()  # noqa: SIM905  # a hundred codes are easier to read without quotes
)
"""Codes that Whisper has tokens for; "yue" since large-v3 only, and ".en" models know only "en"."""
