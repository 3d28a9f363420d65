"""`make demo`: who said what in a real conversation, by models that run on Ray Serve.

Diarizes the conversation, enrols a few seconds of each speaker, and asks again: now they have names. Starts
the whole platform on a free port, speaks to it over HTTP as anybody would, and stops it.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import yaml
from rich.console import Console
from rich.text import Text

from clearcast.accounts.accounts import accounts_of
from clearcast.audio.encode import encode_file
from clearcast.audio.recording import Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.client import ClearCast
from clearcast.errors import ClearCastError
from clearcast.ports import free_port
from clearcast.sample import sample_conversation
from clearcast.settings import Settings, load_settings, profile_path
from clearcast.speech.formats import write_result
from clearcast.speech.meeting import Meeting
from deployments.demo_whisper import choose_transcriber
from deployments.server import running
from pipelines.identify import solo_turns

OUTPUT = Path("demo-output")
# The two on the telephone are strangers to us: the first to speak answers the call.
NAMES = ("Callee", "Caller")
ENROL_S = 6.0
COLOURS = ("cyan", "magenta", "yellow", "green")

console = Console(highlight=False)


def main() -> None:
    started_s = time.monotonic()
    OUTPUT.mkdir(exist_ok=True)
    shutil.rmtree(OUTPUT / "data", ignore_errors=True)
    settings = demo_settings()
    sample = sample_conversation()
    console.print(f"The recording: half a minute of a telephone call, {sample.audio.name}")
    with accounts_of(settings) as accounts:
        _, key = accounts.keys.create(accounts.users.create("demo").id)
    console.print("Starting Ray Serve with its models …")
    with running(settings) as addresses, ClearCast(addresses.url, api_key=key) as client:
        console.print(f"Ready after {time.monotonic() - started_s:.0f} s: {addresses.url}\n")
        strangers = client.meeting(sample.audio, language="en", output_transcriptions=False)
        console.print(f"1. Diarized: {len(strangers.speakers)} speakers told apart, names not known yet.")
        enrol(client, settings, sample.audio, strangers)
        console.print("3. The meeting again, now with names and words:\n")
        meeting = client.meeting(sample.audio, language="en")
        show(meeting)
    write(meeting)
    console.print(f"\nDone in {time.monotonic() - started_s:.0f} s.")


def demo_settings() -> Settings:
    """The local profile with the transcription engine chosen for this machine, written to a file."""
    base = load_settings("local")
    engine, options = choose_transcriber(
        base, console, interactive=sys.stdin.isatty() and sys.stdout.isatty()
    )
    values = yaml.safe_load(profile_path("local").read_text(encoding="utf-8"))
    values["engines"]["transcribe"] = {"engine": engine, "options": options}
    values["data_dir"] = str((OUTPUT / "data").resolve())
    values["http"] = {"port": free_port()}
    values["live"] = {"enabled": False}
    profile = OUTPUT / "profile.yaml"
    profile.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return load_settings(str(profile))


def enrol(client: ClearCast, settings: Settings, audio: Path, meeting: Meeting) -> None:
    """Give each speaker a name, from the first seconds in which that speaker talks alone."""
    working_copy = OUTPUT / "audio.wav"
    prepare_sync(audio, working_copy, settings.audio)
    with Recording.open(working_copy) as recording:
        for name, speaker in zip(NAMES, meeting.speakers, strict=False):
            seconds, pieces = 0.0, []
            for turn in solo_turns(meeting.diarization, speaker.label):
                if seconds < ENROL_S:
                    pieces.append(recording.read(turn.start_s, turn.end_s))
                    seconds += turn.duration_s
            clip = OUTPUT / f"{name.lower()}.flac"
            encode_file(pieces, clip, sample_rate_hz=16_000)
            voice = client.add_voice(name, [clip])
            console.print(f"2. Enrolled {name} from {voice['speech_s']:.1f} s of speech.")
    working_copy.unlink()


def show(meeting: Meeting) -> None:
    """Print the transcript in colours by speaker, then how sure the names are, then who made it."""
    assert meeting.transcript is not None
    colours = {
        speaker.shown_as: COLOURS[index % len(COLOURS)] for index, speaker in enumerate(meeting.speakers)
    }
    for segment in meeting.transcript.segments:
        name = segment.speaker or "?"
        line = Text(f"  {segment.start_s:6.2f} – {segment.end_s:5.2f}  ")
        line.append(f"{name:>8}", style=f"bold {colours.get(name, 'white')}")
        console.print(line.append(f"  {segment.text}"))
    console.print()
    for speaker in meeting.speakers:
        second = ""
        if speaker.runner_up_score is not None:
            second = f", next {speaker.runner_up_name} {speaker.runner_up_score:.2f}"
        score = f"{speaker.best_score:.2f}" if speaker.best_score is not None else "–"
        console.print(f"  {speaker.label}: {speaker.verdict} as {speaker.best_name} ({score}{second})")
    console.print("  Made by " + "; ".join(str(made_by) for made_by in meeting.transcript.provenance))


def write(meeting: Meeting) -> None:
    for name in ("json", "txt", "srt", "vtt", "rttm"):
        path = OUTPUT / f"meeting.{name}"
        path.write_text(write_result(meeting, name), encoding="utf-8")
    console.print("\nFiles: " + "  ".join(str(path) for path in sorted(OUTPUT.glob("meeting.*"))))
    console.print(f"Profile: {OUTPUT / 'profile.yaml'}")


if __name__ == "__main__":
    try:
        main()
    except ClearCastError as error:
        sys.exit(f"{error} [{error.code}]")
    except KeyboardInterrupt:
        sys.exit(130)
