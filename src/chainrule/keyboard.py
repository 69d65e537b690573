"""Ctrl-C while training: once to finish the epoch, twice to stop at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Keyboard:
    """Whether Ctrl-C was pressed."""

    pressed: bool = False


@contextmanager
def interruptible() -> Iterator[Keyboard]:
    """Ctrl-C once: finish the epoch and keep what was learnt. Twice: stop at once, as Python always does."""
    keyboard = Keyboard()
    if threading.current_thread() is not threading.main_thread():
        yield keyboard  # signals reach the main thread alone
        return
    usual = signal.getsignal(signal.SIGINT)

    def press(number: int, frame: Any) -> None:
        if keyboard.pressed:
            raise KeyboardInterrupt
        keyboard.pressed = True

    signal.signal(signal.SIGINT, press)
    try:
        yield keyboard
    finally:
        signal.signal(signal.SIGINT, usual)
