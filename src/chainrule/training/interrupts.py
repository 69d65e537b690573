"""Ctrl-C during training: once to finish the epoch, twice to stop immediately; SIGTERM for resumable trainings."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Keyboard:
    """Whether Ctrl-C was pressed or SIGTERM was received."""

    pressed: bool = False
    terminated: bool = False


@contextmanager
def interruptible(terminable: bool = False) -> Iterator[Keyboard]:
    """Handle signals: the first Ctrl-C finishes the epoch, the second raises KeyboardInterrupt as usual.

    With `terminable`, SIGTERM finishes the epoch, too; otherwise it ends the process as usual.
    """
    keyboard = Keyboard()
    if threading.current_thread() is not threading.main_thread():
        yield keyboard  # only the main thread receives signals
        return
    heard = (signal.SIGINT, signal.SIGTERM) if terminable else (signal.SIGINT,)
    usual = {number: signal.getsignal(number) for number in heard}

    def press(number: int, frame: Any) -> None:
        if keyboard.pressed:
            raise KeyboardInterrupt
        keyboard.pressed, keyboard.terminated = True, number == signal.SIGTERM

    for number in heard:
        signal.signal(number, press)
    try:
        yield keyboard
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
