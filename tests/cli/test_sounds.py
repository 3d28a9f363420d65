"""`clearcast enhance`, `boost` and `separate` on real files, with the embedded engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from clearcast.cli.chain import parse_step
from clearcast.testing.media import write_tone_wav

RATE_HZ = 44_100


def stereo(path: Path) -> Path:
    """A voice-like tone in the middle, another on the left."""
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    middle, left = 0.2 * np.sin(2 * np.pi * 440 * time_s), 0.2 * np.sin(2 * np.pi * 1500 * time_s)
    soundfile.write(path, np.stack([middle + left, middle], axis=1), RATE_HZ, subtype="PCM_16")
    return path


def test_a_boost_shows_its_score_card_and_keeps_rate_and_length(run, tmp_path: Path) -> None:
    source = write_tone_wav(tmp_path / "talk.wav", 4.0, 22_050)
    result = run("boost", source, "-o", tmp_path / "out", "--lufs", "-20")
    assert result.exit_code == 0, result.output
    made = tmp_path / "out" / "talk.boosted.flac"
    assert str(made) in result.stdout
    assert "after_integrated_lufs" in result.stderr
    assert "-20.0" in result.stderr
    info = soundfile.info(made)
    assert (info.samplerate, info.frames) == (22_050, 4 * 22_050)


def test_a_file_is_cleaned_and_made_louder_in_one_go(run, tmp_path: Path) -> None:
    source = write_tone_wav(tmp_path / "talk.wav", 2.0, 48_000, 2)
    result = run("enhance", source, "-o", tmp_path / "out", "-f", "wav", "--times", "2x")
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["talk.boosted.wav", "talk.denoised.wav"]
    assert "denoise: rnnoise" in result.stderr
    info = soundfile.info(tmp_path / "out" / "talk.denoised.wav")
    assert (info.samplerate, info.channels, info.frames) == (48_000, 2, 96_000)


def test_stereo_is_taken_apart_and_labelled_experimental(run, tmp_path: Path) -> None:
    result = run("separate", stereo(tmp_path / "song.wav"), "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "experimental" in result.stderr
    vocals, _ = soundfile.read(tmp_path / "out" / "song.vocals.flac")
    accompaniment, _ = soundfile.read(tmp_path / "out" / "song.accompaniment.flac")
    mix, _ = soundfile.read(tmp_path / "song.wav")
    np.testing.assert_allclose(vocals + accompaniment, mix, atol=1e-4)


def test_one_bad_file_does_not_stop_the_rest(run, tmp_path: Path) -> None:
    source = write_tone_wav(tmp_path / "mono.wav", 1.0)
    result = run("separate", source, stereo(tmp_path / "song.wav"), "-o", tmp_path / "out")
    assert result.exit_code != 0
    assert "separation_needs_stereo" in result.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_wrong_wishes_are_told_before_any_work(run, tmp_path: Path) -> None:
    source = write_tone_wav(tmp_path / "talk.wav")
    both = run("boost", source, "--lufs", "-16", "--times", "2x")
    assert both.exit_code != 0
    assert "not both" in both.stderr
    assert "option_invalid" in both.stderr
    unknown = run("separate", source, "--stem", "choir", "-o", tmp_path / "out")
    assert unknown.exit_code != 0
    assert "choir" in unknown.stderr


def test_files_of_one_name_have_results_of_their_own(run, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        write_tone_wav(tmp_path / "in" / folder / "talk.wav", 0.5)
    result = run("boost", tmp_path / "in", "-o", tmp_path / "out", "-f", "wav", "--bits", "24")
    assert result.exit_code == 0, result.output
    made = sorted((tmp_path / "out").rglob("*.wav"))
    assert [str(path.relative_to(tmp_path / "out")) for path in made] == [
        *("one/talk.boosted.wav", "two/talk.boosted.wav")
    ]
    assert soundfile.info(made[0]).subtype == "PCM_24"


def test_a_step_may_have_commas_in_its_values() -> None:
    assert parse_step('separate:stems=["vocals","drums"],hears=original') == {
        "pipeline": "separate",
        "options": {"stems": ["vocals", "drums"]},
        "hears": "original",
    }
    assert parse_step("extract:voice=Khan, Sara,mode=2x")["options"] == {
        "voice": "Khan, Sara",
        "mode": "2x",
    }


def test_sounds_have_the_bits_that_are_asked_for(run, tmp_path: Path) -> None:
    source = write_tone_wav(tmp_path / "talk.wav", 1.0)
    for options, subtype in (
        ((), "PCM_24"),
        (("--bits", "16"), "PCM_16"),
        (("-f", "wav", "--bits", "32"), "FLOAT"),
    ):
        result = run("boost", source, "-o", tmp_path / "out", *options)
        assert result.exit_code == 0, result.output
        suffix = "wav" if "wav" in options else "flac"
        assert soundfile.info(tmp_path / "out" / f"talk.boosted.{suffix}").subtype == subtype
    result = run("boost", source, "-o", tmp_path / "out", "-f", "mp3", "--bits", "24")
    assert result.exit_code != 0
    assert "option_invalid" in result.stderr


def test_one_person_is_kept_and_a_stranger_reported(run, tmp_path: Path, shared_audio: Path) -> None:
    meeting = shared_audio / "meetings" / "m1_2spk_a.flac"
    out = tmp_path / "out"
    result = run("extract", meeting, "-r", shared_audio / "enrol" / "ls1688.opus", "-o", out)
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in out.iterdir())
    assert names == ["m1_2spk_a.extracted.flac", "m1_2spk_a.timeline.json"]
    assert soundfile.info(out / names[0]).frames == soundfile.info(meeting).frames
    stranger = run("extract", meeting, "-r", shared_audio / "enrol" / "ls3005.opus", "-o", tmp_path / "no")
    assert stranger.exit_code != 0
    assert "speaker_absent" in stranger.stderr
    assert not list((tmp_path / "no").glob("*"))


def test_a_chain_leaves_every_result(run, tmp_path: Path) -> None:
    source = write_tone_wav(tmp_path / "talk.wav", 2.0)
    steps = ("-s", "boost:target_lufs=-20", "-s", "enhance:attenuation_limit_db=12")
    result = run("chain", source, *steps, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "step 2: taking noise away" in result.stderr
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["talk.1-boosted.flac", "talk.2-denoised.flac"]
    wrong = run("chain", source, "-s", "boost:target_lufs=99", "-o", tmp_path / "out")
    assert wrong.exit_code != 0
    assert "target_lufs" in wrong.stderr
