"""Ctrl-C in the middle of training."""

import signal
import threading
from types import FrameType, TracebackType


class Interrupted(Exception):  # noqa: N818 - no error: someone asked for it
    """Ctrl-C was pressed."""


class Interrupt:
    """Makes the first Ctrl-C wait for a moment between two steps."""

    def __init__(self) -> None:
        self._requested = False
        self._installed = False

    def check(self) -> None:
        """Stop here if Ctrl-C was pressed."""
        if self._requested:
            raise Interrupted

    def __enter__(self) -> None:
        # Signals reach the main thread alone, and a handler of the program's own stays.
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._request)
            self._installed = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _request(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler's arguments
        self._requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
