"""Inside a job: learn of an interruption, save in time, go on from there. Standard library only, Python 3.8 or newer.

::

    from aspot import job

    folder = job.checkpoint_dir()
    state = load(folder)
    for epoch in job.steps(range(state.epoch, 100), lambda: store(state, folder)):
        train(state, epoch)

This one file is all that an instance needs: `Job("train.py", upload=[job.upload()], checkpoint=["ckpt"])` sends it.
Where aspot is not at work (your own computer), nothing is ever interrupted, and everything else works the same.
It imports nothing of aspot, and of a training framework only what its own callback needs, when that is asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

INTERRUPTED = 143
"""Exit code of a script that ended because it was interrupted: aspot goes on from its checkpoint elsewhere."""

SIGNALS = ("TERM", "USR1", "USR2", "HUP", "INT")
"""What `signal_on_notice` can ask for."""


# --- what is known ----------------------------------------------------------------------------------------------------


def deadline() -> datetime | None:
    """Return when EC2 takes this machine back (aware UTC); None while there is no notice, or it names no time."""
    words = _notice().split()
    try:
        found = datetime.fromisoformat(words[0].replace("Z", "+00:00")) if words else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=timezone.utc)


def seconds_left() -> float | None:
    """Return the seconds until `deadline()`, at least 0; None if there is none. aspot stops the script sooner."""
    end = deadline()
    return None if end is None else max(0.0, (end - datetime.now(timezone.utc)).total_seconds())


def interrupted() -> bool:
    """Tell whether EC2 gave notice, or the script was told to stop while `steps` or `saving` listened.

    It costs a look for one file: call it as often as you like.
    """
    return _stop.is_asked or bool(_notice())


def checkpoint_dir(default: str = "ckpt") -> Path:
    """Return the folder that the job's first `checkpoint` path stands for, made if it is not there.

    What an earlier attempt saved lies in it. A path that is named like a file stands for the folder it lies in.

    Args:
        default: The folder to use where aspot is not at work, or the job has no `checkpoint`.
    """
    path = Path(os.environ.get("ASPOT_CHECKPOINT_DIR") or default)
    folder = path.parent if "." in path.name[1:] and not path.is_dir() else path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def attempt() -> int:
    """Return the number of this try of the job: 1 for the first, and where aspot is not at work."""
    text = os.environ.get("ASPOT_ATTEMPT", "")
    return int(text) if text.isdigit() else 1


def _notice() -> str:
    """Return what the machine wrote down of EC2's notice; "" for none."""
    path = os.environ.get("ASPOT_NOTICE_FILE")
    try:
        return Path(path).read_text(encoding="ascii", errors="replace") if path else ""
    except OSError:
        return ""


# --- saving in time ---------------------------------------------------------------------------------------------------


class Saver:
    """Saves when it is time to: what `saving` gives. Call it wherever the state is whole.

    Args:
        save: Writes the checkpoint; takes nothing.
        every_s: Seconds after which it is called anyway; None for never.
    """

    def __init__(self, save: Callable[[], object], every_s: float | None) -> None:
        self._save = save
        self._every_s = every_s
        self._is_noticed = False
        self._last = time.monotonic()

    def __call__(self) -> None:
        """Save if it is time to; after that, end the script if it was told to stop.

        Raises:
            SystemExit: With `INTERRUPTED`, once the script was told to stop and has saved.
        """
        if _stop.is_asked:
            self._save()
            raise SystemExit(INTERRUPTED)
        is_new = not self._is_noticed and interrupted()
        if is_new or (self._every_s is not None and time.monotonic() - self._last >= self._every_s):
            self._is_noticed = self._is_noticed or is_new
            self._save()
            self._last = time.monotonic()


@contextlib.contextmanager
def saving(save: Callable[[], object], *, every_s: float | None = None) -> Iterator[Saver]:
    """Save when interrupted: give a `Saver` to call in a loop.

    ::

        with job.saving(lambda: store(model)) as check:
            while model.step < 10_000:
                model.train_one_step()
                check()

    At EC2's notice `check()` saves and the script works on. When it is told to stop (SIGTERM: the next machine is
    ready, or the time is almost over), `check()` saves a last time and ends the script; that save has at most 10 s,
    less on a short notice. SIGTERM is heard in the main thread only, and its usual effect is back afterwards.

    Args:
        save: Writes the checkpoint; takes nothing. Use `whole` so that a half-written file never counts.
        every_s: Seconds after which to save anyway; None for at interruptions only.
    """
    _stop.hear()
    try:
        yield Saver(save, every_s)
    finally:
        _stop.rest()


def steps(items: Iterable[T], save: Callable[[], object], *, every_s: float | None = None) -> Iterator[T]:
    """Yield the items, and save when interrupted: `saving` around a loop, with its check after each item.

    Args:
        items: What to loop over.
        save: As for `saving`; called between two items only.
        every_s: As for `saving`.

    Raises:
        SystemExit: With `INTERRUPTED`, once the script was told to stop and has saved.
    """
    with saving(save, every_s=every_s) as check:
        for item in items:
            yield item
            check()


@contextlib.contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a name to write a file under; it gets its own name when all went well: it is there whole or not at all.

    ::

        with job.whole(folder / "model.pt") as draft:
            torch.save(model, draft)
    """
    target = Path(path)
    draft = target.with_name(f".new-{target.name}")  # always the same: what a killed attempt left is written over
    try:
        yield draft
        os.replace(draft, target)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


# --- being told -------------------------------------------------------------------------------------------------------


class _Stop:
    """Hears SIGTERM, which aspot sends to the whole job, in place of dying of it. One, as signals are the process's."""

    def __init__(self) -> None:
        self.is_asked = False
        self._pid = 0
        self._depth = 0
        self._before: Any = signal.SIG_DFL

    def hear(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._depth += 1
            if self._depth == 1:
                self._pid = os.getpid()
                self._before = signal.signal(signal.SIGTERM, self._take) or signal.SIG_DFL

    def rest(self) -> None:
        if self._depth and threading.current_thread() is threading.main_thread():
            self._depth -= 1
            if self._depth == 0:
                signal.signal(signal.SIGTERM, self._before)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() == self._pid:
            self.is_asked = True
            return
        signal.signal(number, self._before)  # a forked child (a loader of data, a pool's worker) ends as it always did
        os.kill(os.getpid(), number)


_stop = _Stop()


def signal_on_notice(handler: Callable[[int, FrameType | None], Any], number: int = signal.SIGTERM) -> bool:
    """Have a signal sent to this process at EC2's notice, and handle it: for work that cannot look up now and then.

    With SIGTERM the same handler hears of the notice and of the stop that follows (or comes first, when a machine that
    is free takes the job over before this one has seen its notice); with another signal, SIGTERM still ends the script.
    A notice that is there already is told at once, and one whose deadline moves is told again.

    Args:
        handler: As for `signal.signal`; runs in the main thread, where this has to be called, too.
        number: SIGTERM, SIGUSR1, SIGUSR2, SIGHUP or SIGINT.

    Returns:
        Whether there is a machine that will send it: False where aspot is not at work.

    Raises:
        ValueError: For any other signal, or outside the main thread.
    """
    name = signal.Signals(number).name[3:]
    if name not in SIGNALS:
        raise ValueError(f"SIG{name} cannot be asked for; one of {', '.join(SIGNALS)} can")
    signal.signal(number, handler)
    path = os.environ.get("ASPOT_SIGNAL_FILE")
    if not path:
        return False
    with open(path, "a", encoding="ascii") as file:
        file.write(f"{name} {os.getpid()}\n")
    if _notice():
        os.kill(os.getpid(), number)
    return True


# --- on its way there -------------------------------------------------------------------------------------------------


def upload(script: str | os.PathLike[str] = "") -> Mapping[str, str]:
    """Return what to put into `Job(upload=[...])`, so that `from aspot import job` works on the instance.

    Args:
        script: The job's script where it lies in a folder (`tools/train.py`): Python looks beside the script.
    """
    given = PurePosixPath(script)
    folder = PurePosixPath() if given.is_absolute() or ".." in given.parts else given.parent
    return {os.path.abspath(__file__): str(folder / "aspot" / "job.py")}


# --- training frameworks ----------------------------------------------------------------------------------------------


class _Once:
    """Decides when a framework is to save and stop: once, at the notice or when told to stop."""

    def __init__(self, *, is_leaving: bool) -> None:
        self.is_done = False
        self._is_leaving = is_leaving

    def is_time(self, agree: Callable[[bool], bool] = bool) -> bool:
        if self.is_done:
            return False
        self.is_done = agree(interrupted())
        return self.is_done

    def leave(self) -> None:
        _stop.rest()
        if self.is_done and self._is_leaving:
            raise SystemExit(INTERRUPTED)


def keras_callback(save: Callable[[Any], object] | None = None, *, leave: bool = True) -> Any:
    """Return a Keras callback that saves once at the notice, stops `fit`, and ends the script with `INTERRUPTED`.

    Args:
        save: Called with the model; None: `model.save(checkpoint_dir() / "model.keras")`.
        leave: False: the script goes on after `fit`, and has to ask `interrupted()` itself.

    Raises:
        ImportError: If there is no Keras.
    """
    store = save or _save_keras
    once = _Once(is_leaving=leave)

    class SaveWhenInterrupted(_base("Callback", "keras.callbacks", "tensorflow.keras.callbacks")):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:
            _stop.hear()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if once.is_time():
                store(self.model)
                self.model.stop_training = True

        def on_train_end(self, logs: Any = None) -> None:
            once.leave()

    return SaveWhenInterrupted()


def _save_keras(model: Any) -> None:
    with whole(checkpoint_dir() / "model.keras") as draft:
        model.save(str(draft))


def lightning_callback(name: str = "last.ckpt", *, leave: bool = True) -> Any:
    """Return a PyTorch Lightning callback that saves once at the notice, stops `fit`, and ends the script.

    Continue with `trainer.fit(model, ckpt_path=path if path.exists() else None)`, path = `checkpoint_dir() / name`.
    Processes of one training agree on the step at which they save.

    Args:
        name: The checkpoint's name in `checkpoint_dir()`.
        leave: False: the script goes on after `fit`, and has to ask `interrupted()` itself.

    Raises:
        ImportError: If there is no Lightning.
    """
    once = _Once(is_leaving=leave)

    class SaveWhenInterrupted(_base("Callback", "lightning.pytorch", "pytorch_lightning")):  # type: ignore[misc]
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            _stop.hear()

        def on_train_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
            if once.is_time(lambda mine: _any_process(trainer, mine)):
                _save_lightning(trainer, name)
                trainer.should_stop = True

        def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
            once.leave()

    return SaveWhenInterrupted()


def _any_process(trainer: Any, mine: bool) -> bool:
    alone = getattr(trainer, "world_size", 1) == 1
    return mine if alone else bool(trainer.strategy.reduce_boolean_decision(mine, all=False))


def _save_lightning(trainer: Any, name: str) -> None:
    """Save; every process takes part in that, and the first one gives the file its name."""
    folder = checkpoint_dir()
    trainer.save_checkpoint(str(folder / f".new-{name}"))
    if getattr(trainer, "is_global_zero", True):
        os.replace(folder / f".new-{name}", folder / name)


def trainer_callback(*, leave: bool = True) -> Any:
    """Return a callback for Hugging Face's `Trainer`: it saves once at the notice, stops, and ends the script.

    The `Trainer` itself saves, to its `output_dir`: make that `checkpoint_dir()`, and continue with
    `trainer.train(resume_from_checkpoint=transformers.trainer_utils.get_last_checkpoint(folder))`. For one process
    on a machine: several would not agree on the step.

    Args:
        leave: False: the script goes on after `train`, and has to ask `interrupted()` itself.

    Raises:
        ImportError: If transformers is not there.
    """
    once = _Once(is_leaving=leave)

    class SaveWhenInterrupted(_base("TrainerCallback", "transformers")):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            _stop.hear()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            if once.is_time():
                control.should_save = True
                control.should_training_stop = True
            return control

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            once.leave()

    return SaveWhenInterrupted()


def _base(name: str, *modules: str) -> Any:
    """Return a framework's class: out of the module that the script uses already, else the first that is there."""
    used = [module for module in modules if module.split(".")[0] in sys.modules]
    for module in (*used, *modules):
        with contextlib.suppress(ImportError):
            return getattr(importlib.import_module(module), name)
    raise ImportError(f"the callback needs {' or '.join(modules)}")


if __name__ == "__main__":
    sys.stdout.write(
        os.path.abspath(__file__) + "\n"
    )  # for `aspot run --upload "$(python3 -m aspot.job)=aspot/job.py"`
