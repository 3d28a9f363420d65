"""Training: from recordings to a folder that the engine loads, with honest figures."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clearcast.audio.media_files import MEDIA_SUFFIXES
from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.engines.classify._features import MEL_BANDS, mel_frames
from clearcast.engines.classify._model_folder import read_model
from clearcast.engines.classify.contract import KeywordEngine
from clearcast.engines.classify.training.augment import CLEAN, Augmenter, make_noises, make_rooms
from clearcast.engines.classify.training.card import Story
from clearcast.engines.classify.training.corpus import Example, divided
from clearcast.engines.classify.training.fit import TrainingOptions, fit
from clearcast.engines.classify.training.outcome import Epoch, Trained
from clearcast.engines.classify.training.recordings import find_recordings, read_recordings
from clearcast.engines.classify.training.written import to_onnx, write_model
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.errors import Cancelled, Conflict, NotFound, OptionInvalid, TrainingSetUnusable
from clearcast.settings import AudioSettings
from tests.engines.classify.melodies import COURSES, melody, played, sentence, write_folder

STORY = Story("Melodies of a horn.", "Everything else.")


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Three melodies, learned in a few seconds."""
    return fit(played(40), TrainingOptions(epochs=12, batch=16), lambda _epoch: None)


@pytest.fixture(scope="module")
def model(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "melodies"
    write_model(replace(trained, min_probability=0.5), folder, STORY)
    return folder


def test_what_was_trained_is_loaded_and_used_like_any_other_model(
    model: Path, no_models: EngineContext
) -> None:
    engine = make_engine(KeywordEngine, "residual_cnn", {"model": str(model)}, no_models)
    assert engine.model_name == "melodies"
    found = engine.classify(Recording.from_array(sentence("up high down down up")))
    assert [word.label for word in found.words] == ["up", "high", "down", "down", "up"]
    assert found.labels == engine.labels() == ("down", "high", "up")
    assert found.provenance.model == "melodies"


def test_a_model_is_measured_on_what_it_never_met(trained: Trained) -> None:
    measured = trained.measured
    assert measured.clean_accuracy > 0.8
    assert measured.confusion.shape == (5, 5)
    evaluation = played(40).evaluation
    assert measured.confusion[:3].sum() == len(evaluation) == trained.counts[2]
    assert sum(trained.counts) == 3 * 40


def test_a_models_folder_holds_its_card_and_its_charts(trained: Trained, model: Path) -> None:
    names = {"model.onnx", "keywords.json", "README.md", "curves.png", "confusion.png"}
    assert {path.name for path in model.iterdir()} == names
    card = (model / "README.md").read_text()
    assert f"{100 * trained.measured.clean_accuracy:.1f} %" in card
    assert "Melodies of a horn." in card and "Everything else." in card
    assert (model / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert read_model(model).labels == ("down", "high", "up")
    assert (model / "model.onnx").stat().st_size < 500_000


def test_the_written_network_says_what_the_trained_one_says(trained: Trained) -> None:
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(to_onnx(trained), providers=["CPUExecutionProvider"])
    inputs = np.random.default_rng(0).standard_normal((3, 40, trained.input_frames)).astype(np.float32)
    with torch.inference_mode():
        wanted = trained.network.eval()(torch.from_numpy(inputs)).numpy()
    found = session.run(None, {"features": inputs})[0]
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_a_model_never_takes_the_place_of_another(trained: Trained, model: Path, tmp_path: Path) -> None:
    before = (model / "README.md").read_bytes()
    with pytest.raises(Conflict):
        write_model(trained, model, STORY)
    with pytest.raises(NotFound):
        write_model(trained, tmp_path / "nowhere" / "model", STORY)
    assert (model / "README.md").read_bytes() == before


def test_training_stops_when_nothing_is_gained_and_when_told() -> None:
    corpus = played(8)
    epochs: list[Epoch] = []
    fit(corpus, TrainingOptions(epochs=60, patience=1, batch=4), epochs.append)
    assert len(epochs) < 60

    def stop(_epoch: Epoch) -> None:
        raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        fit(corpus, TrainingOptions(epochs=60, batch=4), stop)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"patience": 0}, {"threads": 0}, {"batch": 1}])
def test_numbers_that_no_training_can_have_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(OptionInvalid):
        TrainingOptions(**wrong)


# ---- which recordings -----------------------------------------------------------------------------------


def test_no_speaker_is_in_two_parts() -> None:
    corpus = played(12)
    parts = [
        {one.speaker for one in part} for part in (corpus.training, corpus.validation, corpus.evaluation)
    ]
    assert all(parts)
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_recordings_of_unknown_speakers_are_divided_the_same_way_every_time() -> None:
    rng = random.Random(0)
    examples = [Example(word, None, melody(word, rng)) for word in COURSES for _ in range(7)]
    first, again = divided(examples), divided(examples[::-1])
    assert [len(part) for part in (first.training, first.validation, first.evaluation)] == [15, 3, 3]
    assert {id(one) for one in first.training} == {id(one) for one in again.training}


def test_numbers_come_first_and_by_value() -> None:
    rng = random.Random(0)
    labels = ("10", "9", "on", "0", "off", "unknown", "silence")
    examples = [Example(label, None, melody("up", rng)) for label in labels for _ in range(3)]
    assert divided(examples).labels == ("0", "9", "10", "off", "on")


@pytest.mark.parametrize(("labels", "takes"), [(("up",), 9), (("up", "down"), 2), (("up", "unknown"), 9)])
def test_too_little_is_refused(labels: tuple[str, ...], takes: int) -> None:
    rng = random.Random(0)
    with pytest.raises(TrainingSetUnusable):
        divided([Example(label, None, melody("up", rng)) for label in labels for _ in range(takes)])


def test_folders_tell_words_and_speakers_and_bad_files_are_left_out(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "words", 2)
    (folder / "up" / "sara").mkdir()
    (folder / "up" / "0.wav").rename(folder / "up" / "sara" / "0.wav")
    (folder / "up" / "broken.wav").write_text("no sound")
    soundfile.write(folder / "up" / "long.wav", np.ones(3 * SAMPLE_RATE_HZ) * 0.1, SAMPLE_RATE_HZ)
    soundfile.write(folder / "down" / "mute.wav", np.zeros(SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
    (folder / ".hidden").mkdir()
    (folder / "notes.txt").write_text("not a word")
    found = find_recordings(folder, MEDIA_SUFFIXES)
    counts: list[int] = []
    examples, refused = read_recordings(found, AudioSettings(), counts.append)
    assert counts == list(range(1, len(found) + 1))
    assert [(one.label, one.speaker) for one in examples] == [
        *[("down", None)] * 2,
        *[("high", None)] * 2,
        ("up", None),
        ("up", "sara"),
    ]
    assert {one.path.name for one in refused} == {"broken.wav", "long.wav", "mute.wav"}


def test_a_folder_without_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingSetUnusable):
        find_recordings(tmp_path / "nowhere", MEDIA_SUFFIXES)
    (tmp_path / "only").mkdir()
    with pytest.raises(TrainingSetUnusable):
        find_recordings(tmp_path, MEDIA_SUFFIXES)


# ---- harder words ---------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_words() -> None:
    word = melody("up", random.Random(0))

    def drawn(seed: int) -> list[np.ndarray]:
        augmenter = Augmenter(make_noises(1), make_rooms(1, 3), seed)
        return [augmenter.word(word), augmenter.silence(), augmenter.spliced(word, word)]

    for one, other in zip(drawn(5), drawn(5), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(len(one) != len(other) for one, other in zip(drawn(5), drawn(6), strict=True))


def test_noise_covers_a_word_and_clean_leaves_it() -> None:
    word = melody("up", random.Random(0))
    augmenter = Augmenter(make_noises(1), make_rooms(1, 3), 0)
    heard = mel_frames(word)
    clean = [augmenter.word(word, CLEAN) for _ in range(8)]
    assert all(frames.shape[1] == MEL_BANDS and len(frames) >= len(heard) - 1 for frames in clean)
    noisy = [augmenter.word(word, replace(CLEAN, noisy=1.0, snr_db=(0.0, 0.0))) for _ in range(8)]

    def contrast_db(drawn: list[np.ndarray]) -> float:
        return float(np.mean([np.percentile(one, 90) - np.percentile(one, 10) for one in drawn]))

    assert contrast_db(noisy) < contrast_db(clean) - 5.0


def test_rooms_ring_for_less_than_a_second_and_noises_have_one_level() -> None:
    assert all(0.02 < len(room) / SAMPLE_RATE_HZ < 0.5 for room in make_rooms(0, 10))
    word = melody("up", random.Random(0))
    for noise in make_noises(0, [word]):
        assert noise.dtype == np.float32
        assert len(noise) == 10 * SAMPLE_RATE_HZ
        assert np.isfinite(noise).all() and noise.any()
