"""The callbacks, driven by small stand-ins for the frameworks: what each calls, in which order, is written down here.

Sources (read 2026-11-25): keras.io/api/callbacks; lightning.ai, hooks of Callback, `reduce_boolean_decision` as its
EarlyStopping calls it; huggingface.co/docs/transformers/trainer_callbacks.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from aspot import job


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("ASPOT_NOTICE_FILE", str(tmp_path / "notice"))
    monkeypatch.setenv("ASPOT_CHECKPOINT_DIR", str(tmp_path / "ckpt"))
    monkeypatch.setattr(job, "_stop", job._Stop())
    before = signal.getsignal(signal.SIGTERM)
    yield
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.fixture
def notice(tmp_path):
    return lambda: (tmp_path / "notice").write_text("2026-11-25T22:30:05Z\n")


def stand_in(monkeypatch, name: str, **content) -> None:
    """Put a module in place, and those above it."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:depth]), types.ModuleType(".".join(parts[:depth])))
    for key, value in content.items():
        setattr(sys.modules[name], key, value)


class Base:
    """What callbacks of all three derive from."""


# --- Keras ---


class Model:
    """Its `fit` calls callbacks as Keras does."""

    def __init__(self) -> None:
        self.stop_training, self.batches, self.saved = False, 0, []

    def save(self, path: str) -> None:
        assert path.endswith(".keras"), "Keras knows the format by the name's end"
        self.saved.append(self.batches)
        Path(path).write_text(str(self.batches))

    def fit(self, callback, *, epochs=3, batches=4, between=lambda batch: None):
        callback.model = self
        callback.on_train_begin(None)
        for _ in range(epochs):
            for batch in range(batches):
                self.batches += 1
                between(self.batches)
                callback.on_train_batch_end(batch, {})
                if self.stop_training:
                    break
            if self.stop_training:
                break
        callback.on_train_end({})


@pytest.fixture(params=["keras.callbacks", "tensorflow.keras.callbacks"])
def keras(request, monkeypatch):
    stand_in(monkeypatch, request.param, Callback=Base)


def test_keras_undisturbed_is_left_alone(keras):
    model = Model()
    model.fit(job.keras_callback())
    assert (model.batches, model.saved) == (12, [])


def test_keras_saves_once_and_stops_and_the_script_ends(keras, notice, tmp_path):
    model = Model()
    with pytest.raises(SystemExit) as ended:
        model.fit(job.keras_callback(), between=lambda batch: batch == 6 and notice())
    assert (ended.value.code, model.batches, model.saved) == (143, 6, [6])
    assert [item.name for item in (tmp_path / "ckpt").iterdir()] == ["model.keras"]


def test_keras_by_the_users_own_save_and_the_script_goes_on(keras, notice):
    model, saved = Model(), []
    model.fit(job.keras_callback(saved.append, leave=False), between=lambda batch: batch == 2 and notice())
    assert (model.batches, model.saved, saved) == (2, [], [model])
    assert job.interrupted()


def test_keras_told_to_stop_without_a_notice(keras):
    model = Model()
    with pytest.raises(SystemExit):
        model.fit(job.keras_callback(), between=lambda batch: batch == 5 and os.kill(os.getpid(), signal.SIGTERM))
    assert (model.batches, model.saved) == (5, [5])


# --- PyTorch Lightning ---


class Strategy:
    def __init__(self, others: bool) -> None:
        self.others, self.asked = others, []

    def reduce_boolean_decision(self, decision: bool, *, all: bool) -> bool:  # noqa: A002 - its name
        assert not all
        self.asked.append(decision)
        return decision or self.others


class Lightning:
    """A `Trainer` of Lightning's, as its fit loop calls callbacks."""

    def __init__(self, *, world_size=1, others=False, is_first=True) -> None:
        self.should_stop, self.steps, self.saved = False, 0, []
        self.world_size, self.is_global_zero, self.strategy = world_size, is_first, Strategy(others)

    def save_checkpoint(self, path: str) -> None:
        self.saved.append(self.steps)
        if self.is_global_zero:
            Path(path).write_text(str(self.steps))

    def fit(self, callback, *, steps=8, between=lambda step: None):
        callback.on_train_start(self, None)
        while self.steps < steps and not self.should_stop:
            self.steps += 1
            between(self.steps)
            callback.on_train_batch_end(self, None, {}, [], self.steps - 1)
        callback.on_fit_end(self, None)


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def lightning(request, monkeypatch):
    stand_in(monkeypatch, request.param, Callback=Base)


def test_lightning_saves_once_and_stops(lightning, notice, tmp_path):
    trainer = Lightning()
    with pytest.raises(SystemExit) as ended:
        trainer.fit(job.lightning_callback(), between=lambda step: step == 3 and notice())
    assert (ended.value.code, trainer.steps, trainer.saved) == (143, 3, [3])
    assert {item.name: item.read_text() for item in (tmp_path / "ckpt").iterdir()} == {"last.ckpt": "3"}


def test_lightning_undisturbed_and_under_another_name(lightning, notice, tmp_path):
    trainer = Lightning()
    trainer.fit(job.lightning_callback())
    assert (trainer.steps, trainer.saved) == (8, [])
    notice()
    again = Lightning()
    again.fit(job.lightning_callback("mine.ckpt", leave=False))
    assert (again.steps, (tmp_path / "ckpt/mine.ckpt").read_text()) == (1, "1")


def test_lightnings_processes_agree_when_one_has_seen_the_notice(lightning, tmp_path):
    """This one has not, and is not the first: it takes part in saving and leaves the name to the first."""
    trainer = Lightning(world_size=2, others=True, is_first=False)
    with pytest.raises(SystemExit):
        trainer.fit(job.lightning_callback())
    assert (trainer.steps, trainer.saved, trainer.strategy.asked) == (1, [1], [False])
    assert not list((tmp_path / "ckpt").iterdir())


# --- Hugging Face Trainer ---


class HuggingFace:
    """A `Trainer`: it saves after a step when its control says so, and then looks whether to stop."""

    def __init__(self) -> None:
        self.control = types.SimpleNamespace(should_save=False, should_training_stop=False)
        self.steps, self.saved = 0, []

    def train(self, callback, *, steps=8, between=lambda step: None):
        state = types.SimpleNamespace(global_step=0)
        callback.on_train_begin(None, state, self.control, model=None)
        while self.steps < steps and not self.control.should_training_stop:
            self.steps += 1
            between(self.steps)
            self.control = callback.on_step_end(None, state, self.control, model=None)
            if self.control.should_save:
                self.control.should_save = False
                self.saved.append(self.steps)
        callback.on_train_end(None, state, self.control, model=None)


@pytest.fixture
def transformers(monkeypatch):
    stand_in(monkeypatch, "transformers", TrainerCallback=Base)


def test_trainer_saves_once_and_stops(transformers, notice):
    trainer = HuggingFace()
    with pytest.raises(SystemExit) as ended:
        trainer.train(job.trainer_callback(), between=lambda step: step == 4 and notice())
    assert (ended.value.code, trainer.steps, trainer.saved) == (143, 4, [4])


def test_trainer_undisturbed_or_going_on_after_it(transformers, notice):
    trainer = HuggingFace()
    trainer.train(job.trainer_callback())
    assert (trainer.steps, trainer.saved) == (8, [])
    notice()
    again = HuggingFace()
    again.train(job.trainer_callback(leave=False))
    assert (again.steps, again.saved) == (1, [1])


# --- all of them ---


@pytest.mark.parametrize("make", [job.keras_callback, job.lightning_callback, job.trainer_callback])
def test_a_framework_that_is_not_there_is_named(make):
    with pytest.raises(ImportError, match=r"the callback needs (keras|lightning|transformers)"):
        make()


def test_the_frameworks_are_not_imported_unless_used(tmp_path):
    text = "import sys; from aspot import job; job.interrupted(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.split()
    assert not {name.split(".")[0] for name in loaded} & {"keras", "tensorflow", "lightning", "torch", "transformers"}


def test_the_one_that_the_script_uses_is_taken(monkeypatch):
    class Other:
        pass

    stand_in(monkeypatch, "pytorch_lightning", Callback=Base)
    assert isinstance(job.lightning_callback(), Base)
    stand_in(monkeypatch, "lightning.pytorch", Callback=Other)
    assert isinstance(job.lightning_callback(), Other)
