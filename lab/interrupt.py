"""Ctrl-C, SIGTERM and a closed terminal as one KeyboardInterrupt, which the teardown then may finish."""

import signal
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heed_interrupts() -> None:
    """From now on the first of these signals raises KeyboardInterrupt, wherever the main thread is.

    Further ones are ignored: nobody's second Ctrl-C may cut short the teardown that the first began.
    """

    def interrupt(_number: int, _frame: object) -> NoReturn:
        ignore_interrupts()
        raise KeyboardInterrupt

    for number in _SIGNALS:
        # A shell starts background jobs with SIGINT ignored, nohup ignores SIGHUP; that is kept.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def ignore_interrupts() -> None:
    """For the teardown, which leaves processes behind when it is cut short."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
