"""Drawn voices: espeak-ng speaks with each of them, and differently."""

from __future__ import annotations

import numpy as np
import pytest

from clearcast.errors import ServiceUnavailable
from clearcast.testing.digit_voices import digits, has_espeak
from clearcast.testing.made_up_voices import made_up_voices


@pytest.mark.skipif(not has_espeak(), reason="espeak-ng is not installed")
def test_the_same_seed_draws_the_same_voices_and_each_speaks_as_no_other() -> None:
    with made_up_voices(2, 7) as drawn, made_up_voices(2, 7) as again:
        files = [(one.path / "espeak-ng-data" / "voices" / "!v") for one in (drawn, again)]
        assert [path.read_text() for path in sorted(files[0].iterdir())] == [
            path.read_text() for path in sorted(files[1].iterdir())
        ]
        said = digits(drawn.names, 1, 3, data=drawn.path)
        plain = digits(("m1",), 1, 3)
    by_voice = [[one.samples for one in said if one.voice.endswith(name)] for name in drawn.names]
    assert [len(each) for each in by_voice] == [11, 11]
    sounds = [each[0] for each in by_voice] + [plain[0].samples]
    shortest = min(len(sound) for sound in sounds)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not np.allclose(sounds[one][:shortest], sounds[other][:shortest], atol=0.05)


def test_without_espeak_it_is_said_what_is_missing() -> None:
    with pytest.raises(ServiceUnavailable), made_up_voices(1, 1, "no-such-espeak"):
        pass
