"""`clearcast meeting`, `diarize` and `transcribe` on real sound, with the embedded engines."""

from __future__ import annotations

import json
import shutil
import wave
from pathlib import Path

import pytest

from clearcast.speech.json_file import read_json
from clearcast.speech.meeting import Meeting
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization


@pytest.fixture
def short(conversation: Path, tmp_path: Path) -> Path:
    """Eight seconds of the conversation, both people in it."""
    path = tmp_path / "call.wav"
    with wave.open(str(conversation), "rb") as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        source.setpos(12 * source.getframerate())
        target.writeframes(source.readframes(8 * source.getframerate()))
    return path


def test_a_meeting_is_shown_with_its_makers_and_a_word_on_rough_text(run, short: Path) -> None:
    result = run("meeting", short, "--language", "en", "--speakers", "2")
    assert result.exit_code == 0, result.output
    assert "SPEAKER_00" in result.stdout
    assert "SPEAKER_01" in result.stdout
    assert "Made by diarize: vbx" in result.stdout
    assert "pocketsphinx" in result.stdout
    assert result.stderr.count("is rough") == 1
    assert "clearcast models pull whisper-small" in result.stderr
    assert "telling speakers apart" in result.stderr


def test_one_run_writes_every_format_of_a_meeting(run, short: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("meeting", short, "-l", "en", "-o", out, "-f", "json,txt,srt,vtt,rttm")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == [
        *("call.json", "call.rttm", "call.srt", "call.txt", "call.vtt")
    ]
    meeting = read_json((out / "call.json").read_bytes())
    assert isinstance(meeting, Meeting)
    assert meeting.transcript is not None
    assert {made_by.engine for made_by in meeting.transcript.provenance} >= {"vbx", "pocketsphinx"}
    assert "SPEAKER call 1" in (out / "call.rttm").read_text()


def test_enrolled_voices_are_called_by_name(run, shared_audio: Path, tmp_path: Path) -> None:
    manifest = json.loads((shared_audio / "manifest.json").read_text())
    entry = next(item for item in manifest["items"] if item["file"].startswith("meetings/m2"))
    voices = tmp_path / "team.json"
    for name in entry["truth"]["speakers"]:
        clip = shared_audio / "enrol" / f"{name}.opus"
        assert run("voices", "add", name, clip, "--voices", voices).exit_code == 0
    result = run("meeting", shared_audio / entry["file"], "--voices", voices, "--no-text", "-f", "json")
    meeting = read_json(result.stdout)
    assert isinstance(meeting, Meeting)
    assert meeting.transcript is None
    assert {speaker.shown_as for speaker in meeting.speakers} == set(entry["truth"]["speakers"])


def test_diarize_prints_rttm_to_standard_output(run, conversation: Path) -> None:
    result = run("diarize", conversation, "--format", "rttm")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert {line.split()[7] for line in lines} == {"SPEAKER_00", "SPEAKER_01"}
    assert all(line.startswith("SPEAKER sample 1 ") for line in lines)


def test_the_number_of_speakers_is_taken_as_given(run, conversation: Path) -> None:
    result = run("diarize", conversation, "--speakers", "1", "-f", "json")
    diarization = read_json(result.stdout)
    assert isinstance(diarization, Diarization)
    assert diarization.speakers == ("SPEAKER_00",)


def test_sound_comes_from_standard_input_too(run, short: Path) -> None:
    done = run("transcribe", "-", "-l", "en", "-f", "json", stdin=short.read_bytes())
    assert done.exit_code == 0, done.stderr
    transcript = read_json(done.stdout)
    assert isinstance(transcript, Transcript)
    assert transcript.segments


def test_a_folder_is_worked_through_past_bad_files_and_summed_up(run, short: Path, tmp_path: Path) -> None:
    week, out = tmp_path / "week", tmp_path / "out"
    (week / "tue").mkdir(parents=True)
    shutil.copy(short, week / "mon.wav")
    shutil.copy(short, week / "tue" / "call.wav")
    (week / "bad.mp3").write_text("this is not sound")
    (week / "empty.wav").touch()
    done = run("diarize", week, "-o", out)
    assert done.exit_code == 1
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert found == ["mon.json", "tue/call.json"]
    assert "audio_unrecognised" in done.stderr
    assert "audio_empty" in done.stderr
    assert "4 of 4 files" in done.stderr
    assert "Traceback" not in done.stderr
    again = run("diarize", week, "-o", out, "--skip-existing")
    assert again.exit_code == 1
    assert again.stderr.count("skipped") == 2


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "audio_empty"), (b"no sound at all, only text", "audio_unrecognised"), (None, "not_found")],
)
def test_one_bad_file_ends_with_the_code_for_input(
    program, tmp_path: Path, content: bytes | None, code: str
) -> None:
    path = tmp_path / "bad.wav"
    if content is not None:
        path.write_bytes(content)
    done = program("meeting", path, "-o", tmp_path / "out.json")
    assert done.returncode == 3
    assert code in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.json").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_debug_shows_where_an_error_came_from(program, tmp_path: Path) -> None:
    done = program("--debug", "meeting", tmp_path / "gone.wav")
    assert done.returncode == 3
    assert "Traceback" in done.stderr


def test_a_missing_model_is_told_before_any_work(program, tmp_path: Path) -> None:
    done = program("transcribe", tmp_path / "never-read.wav", "--model", "small")
    assert done.returncode == 4
    assert "model_missing" in done.stderr
    assert "clearcast models pull whisper-small" in done.stderr
    assert "reading the file" not in done.stderr


def test_a_language_the_engine_does_not_speak_is_told_before_any_work(run, short: Path) -> None:
    result = run("meeting", short, "--language", "fa")
    assert result.exit_code == 3
    assert "language_unsupported" in result.output
    assert "reading the file" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--speakers", "2", "--max-speakers", "3"),
        ("--speakers", "0"),
        ("--min-speakers", "3", "--max-speakers", "2"),
        ("--format", "docx"),
        ("--no-text", "--format", "srt"),
        ("--format", "json,srt"),
        ("--model", "small", "--server", "http://127.0.0.1:9"),
        ("--colour",),
    ],
)
def test_wrong_usage_has_a_code_of_its_own(run, short: Path, arguments: tuple[str, ...]) -> None:
    result = run("meeting", short, *arguments)
    assert result.exit_code == 2, result.output


def test_a_broken_profile_is_wrong_usage(run, short: Path, tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("engine: {}")
    result = run("--profile", profile, "meeting", short)
    assert result.exit_code == 2
    assert "settings_invalid" in result.output


def test_no_server_has_a_code_of_its_own(run, short: Path) -> None:
    result = run("meeting", short, "--server", "http://127.0.0.1:9")
    assert result.exit_code == 5
    assert "service_unavailable" in result.output


def test_quiet_leaves_only_results(run, conversation: Path) -> None:
    result = run("--quiet", "diarize", conversation, "-f", "rttm")
    assert result.exit_code == 0
    assert result.stderr == ""


def test_a_cut_off_file_gives_a_result_and_a_word_about_it(run, conversation: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    path.write_bytes(conversation.read_bytes()[:400_000])
    result = run("meeting", path, "--no-text", "-f", "json")
    meeting = read_json(result.stdout)
    assert isinstance(meeting, Meeting)
    assert any("cut off" in warning for warning in meeting.warnings)


def test_silence_is_an_empty_result_and_no_error(run, tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(96_000))
    result = run("meeting", path)
    assert result.exit_code == 0, result.output
    assert "Nobody speaks" in result.output
