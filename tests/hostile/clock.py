"""What a call takes of the processor's time; a call that takes too much is ended."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from tttcfg.errors import TttcfgError


class TooSlowError(Exception):
    """A call took more of the processor's time than it may."""


def seconds(call: Callable[[], object], most: float, tries: int = 3) -> float:
    """Return the seconds of processor time that a call takes, an error of ours included; the least of several tries.

    What other processes do does not count, but it may slow this one down: only a second and third try that are slow as
    well are taken for an answer.

    A call is ended after `most` seconds; infinity is returned where that was needed every time.
    """
    for _ in range(tries):
        before = signal.signal(signal.SIGPROF, _end)
        signal.setitimer(signal.ITIMER_PROF, most)
        start = time.process_time()
        try:
            with suppress(TttcfgError):
                call()
            return time.process_time() - start
        except TooSlowError:
            continue
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
    return math.inf


def _end(*_: object) -> None:
    raise TooSlowError
