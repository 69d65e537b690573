"""Ctrl-C while training: once to finish the epoch, twice to stop at once. Where a run can go on, SIGTERM likewise."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Keyboard:
    """Whether Ctrl-C was pressed, or SIGTERM came."""

    pressed: bool = False
    terminated: bool = False


@contextmanager
def interruptible(terminable: bool = False) -> Iterator[Keyboard]:
    """Ctrl-C once: finish the epoch and keep what was learnt. Twice: stop at once, as Python always does.

    With `terminable`, SIGTERM once: finish the epoch. Else it ends the process, as always.
    """
    keyboard = Keyboard()
    if threading.current_thread() is not threading.main_thread():
        yield keyboard  # signals reach the main thread alone
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
