"""`clearcast train-keywords`: a model of one's own words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from clearcast.audio.media_files import MEDIA_SUFFIXES
from clearcast.cli.progress import count_bar
from clearcast.cli.session import Session, pass_session
from clearcast.engines.classify.training.card import Story
from clearcast.engines.classify.training.corpus import Corpus, Example, divided
from clearcast.engines.classify.training.outcome import Epoch, Trained
from clearcast.engines.classify.training.recordings import Refused, find_recordings, read_recordings
from clearcast.speech.keywords import SILENCE, UNKNOWN

_SHOWN_REFUSALS = 10


@click.command(name="train-keywords", short_help="A keyword model of your own, from recordings.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--output",
    "-o",
    "target",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the model goes, a folder that is not there yet. (FOLDER-model)",
)
@click.option("--epochs", type=click.IntRange(1, 1000), default=30, help="At most so many. (30)")
@click.option(
    "--patience", type=click.IntRange(1, 1000), default=8, help="Epochs without gain before it stops. (8)"
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of everything that is drawn. (0)")
@click.option("--threads", type=click.IntRange(1, 256), default=1, help="CPU threads. (1)")
@pass_session
def train_keywords(
    session: Session, folder: Path, target: Path | None, epochs: int, patience: int, seed: int, threads: int
) -> None:
    """A model that spots your own words, from a folder of recordings for each word.

    \b
    commands/yes/anything.wav         a recording of "yes"
    commands/yes/sara/anything.wav    the same, said by sara: speakers are kept apart for testing
    commands/unknown/…                other words, or long recordings of other talk: what to reject
    commands/silence/…                noises of the place where it will be used

    Twenty recordings of each word are a beginning, by many people better than by one. The model's folder
    holds its card with honest figures (README.md), its curves, and what it takes for what.

    \b
    clearcast train-keywords commands/ -o my-model
    clearcast classify recordings/ --model my-model --csv words.csv
    """
    from clearcast.engines.classify.training import written

    target = target or folder.with_name(f"{folder.resolve().name}-model")
    written.check_target(target)
    try:
        examples, refused = _read(session, folder)
        corpus = divided(examples)
        trained = _train(session, corpus, epochs, patience, seed, threads)
        written.write_model(trained, target, _story(folder, examples, refused))
    except KeyboardInterrupt:
        session.note("Training was stopped: no model was written.", style="yellow")
        raise
    _show(session, trained, target)


def _read(session: Session, folder: Path) -> tuple[list[Example], list[Refused]]:
    found = find_recordings(folder, MEDIA_SUFFIXES)
    with count_bar(session, "reading recordings", len(found)) as told:
        examples, refused = read_recordings(found, session.settings.audio, told, os.cpu_count() or 1)
    for one in refused[:_SHOWN_REFUSALS]:
        session.note(f"{one.path.relative_to(folder)} is left out: {one.reason}", style="yellow")
    if len(refused) > _SHOWN_REFUSALS:
        session.note(f"… and {len(refused) - _SHOWN_REFUSALS} more are left out.", style="yellow")
    return examples, refused


def _train(
    session: Session, corpus: Corpus, epochs: int, patience: int, seed: int, threads: int
) -> Trained:
    from clearcast.engines.classify.training.fit import TrainingOptions, fit

    def report(epoch: Epoch) -> None:
        session.note(
            f"epoch {epoch.number} of {epoch.most}: loss {epoch.training_loss:.3f},"
            f" validation {epoch.validation_loss:.3f}, {100 * epoch.validation_accuracy:.1f} % right,"
            f" {epoch.seconds:.1f} s"
        )

    learn, stop, test = map(len, (corpus.training, corpus.validation, corpus.evaluation))
    session.note(
        f"{len(corpus.labels)} words; {learn} recordings to learn from, {stop} and {test} to test on"
    )
    return fit(corpus, TrainingOptions(epochs, patience, threads=threads, seed=seed), report)


def _story(folder: Path, examples: Sequence[Example], refused: Sequence[Refused]) -> Story:
    labels = {example.label for example in examples}
    speakers = {example.speaker for example in examples if example.speaker is not None}
    apart = (
        f"{len(speakers)} speakers are known; none of them is in two parts."
        if speakers
        else "Speakers are not known: the same people may be heard in training and in testing."
    )
    strangers = (
        "given with them" if UNKNOWN in labels else "none: splices of the keywords stood in for them"
    )
    noises = "given with them, and made up" if SILENCE in labels else "made up"
    trained_on = (
        f"Recordings in `{folder.resolve().name}`, {len(refused)} of them left out. {apart} Other words:"
        f" {strangers}. Noise: {noises}."
    )
    limits = (
        "People, microphones and rooms that are not in these recordings; how often other talk is taken for"
    )
    limits += " a keyword, where no other talk was given. Small test parts make coarse figures."
    return Story(trained_on, limits)


def _show(session: Session, trained: Trained, target: Path) -> None:
    measured = trained.measured
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row("recognised, clean", f"{100 * measured.clean_accuracy:.1f} %")
    table.add_row("recognised, noise at 0 to 20 dB and rooms", f"{100 * measured.noisy_accuracy:.1f} %")
    table.add_row("other words taken for keywords", f"{100 * measured.accepted_unknown:.1f} %")
    table.add_row("noises taken for keywords", f"{100 * measured.accepted_silence:.1f} %")
    session.notes.print(table)
    session.results.print(f"{target}", markup=False)
    session.note(f"Use it: clearcast classify FILE --model {target}")
