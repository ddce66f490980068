"""One thread that lets the model write, for all chats in turn.

A model on one machine computes one thing at a time. Chats that ran in threads of their own would only get in each
other's way, and a chat that ran in the thread of the server would keep it from answering anybody else. So there is one
thread for the model. It goes round: one token for each chat, and again. Thirty chats then write at the same time, each
more slowly, and none waits for the end of another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nanochat.common import get_logger
from nanochat.engine import Step


@dataclass(frozen=True)
class Ended:
    """The last event of a chat."""

    reason: str
    """``stop`` (the model ended its turn), ``length`` (no room or no allowance left), ``deadline`` (it took too long),
    ``shutdown`` (the server stops), ``cancelled`` (nobody reads any more), or ``error``."""
    error: BaseException | None = None
    """What went wrong, where the reason is ``error``."""


class Busy(Exception):
    """The server has as much to do as it accepts; ``shutdown`` says that it accepts nothing any more."""

    def __init__(self, shutdown: bool = False) -> None:
        super().__init__("the server stops" if shutdown else "every place is taken")
        self.shutdown = shutdown


class Job:
    """One answer to be written.

    Args:
        steps: The tokens, as :meth:`nanochat.engine.Engine.stream` gives them; nothing is computed before the worker
            asks for the first.
        stops: Ids that end the answer.
        deadline_s: Seconds after which the answer is broken off, the time of waiting included.
        emit: Called in the thread of the worker with each :class:`nanochat.engine.Step`, right after it was computed,
            and once, last, with an :class:`Ended`.
    """

    def __init__(
        self, steps: Iterator[Step], stops: frozenset[int], deadline_s: float, emit: Callable[[Step | Ended], None]
    ) -> None:
        self.steps = steps
        self.stops = stops
        self.deadline = time.monotonic() + deadline_s
        self.emit = emit
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Stop writing; the worker looks at this before each token, so at most one more is computed.

        Guide:
            "Whoever leaves sets it, and the worker looks at it before each token." (nano/inference/web)
        """
        self._cancelled.set()

    def over(self) -> Ended | None:
        """Return why the answer has to end now, or None if it may go on."""
        if self._cancelled.is_set():
            return Ended("cancelled")
        if time.monotonic() > self.deadline:
            return Ended("deadline")
        return None


class Worker:
    """The thread that computes.

    Args:
        max_active: Chats that are written at the same time; each holds a cache of keys and values.
        max_waiting: Chats that may wait for a place; one more is refused.

    Guide:
        "Everybody's text grows, more slowly the more there are." (nano/inference/web)
    """

    def __init__(self, max_active: int = 32, max_waiting: int = 64) -> None:
        self.max_active, self.max_waiting = max_active, max_waiting
        self._waiting: deque[Job] = deque()
        self._active: list[Job] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="nanochat-worker", daemon=True)
        self._thread.start()

    @property
    def active(self) -> int:
        """Chats that are being written."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """Chats that wait for a place."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether chats are taken."""
        return self._thread.is_alive() and not self._stopping

    def submit(self, job: Job) -> int:
        """Take a job.

        Args:
            job: What to write.

        Returns:
            How many jobs wait before it; 0 means that it is next.

        Raises:
            Busy: If no place is left to wait in, or the worker stops.
        """
        with self._changed:
            if self._stopping:
                raise Busy(shutdown=True)
            ahead = len(self._waiting) if len(self._active) + len(self._waiting) >= self.max_active else 0
            if len(self._waiting) >= self.max_waiting and len(self._active) >= self.max_active:
                raise Busy
            self._waiting.append(job)
            self._changed.notify()
            return ahead

    def stop(self) -> None:
        """End all chats with an event that says so, and take no more."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end.

        Args:
            timeout_s: Seconds to wait at most.

        Returns:
            Whether it has ended.
        """
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            with self._changed:
                while not (self._waiting or self._active or self._stopping):
                    self._changed.wait()
                self._admit()
            for job in list(self._active):
                if self._stopping:
                    break
                if ended := self._advance(job):
                    self._active.remove(job)  # first, so that who hears of the end finds the place free
                    self._end(job, ended)
        with self._changed:
            left, self._active = [*self._active, *self._waiting], []
            self._waiting.clear()
        for job in left:
            self._end(job, Ended("shutdown"))

    def _admit(self) -> None:
        """Give free places to those who wait; who has left or waited too long does not take one."""
        for job in [job for job in self._waiting if job.over()]:
            self._waiting.remove(job)
            self._end(job, job.over() or Ended("cancelled"))
        while self._waiting and len(self._active) < self.max_active:
            self._active.append(self._waiting.popleft())

    def _advance(self, job: Job) -> Ended | None:
        """Let one chat write one token; return why it has ended, or None if it goes on."""
        if ended := job.over():
            return ended
        try:
            step = next(job.steps, None)
            if step is None:
                return Ended("length")
            job.emit(step)
            return Ended("stop") if step.tokens[0] in job.stops else None
        except Exception as error:  # one chat's fault must not end the thread that writes for all
            return Ended("error", error)

    def _end(self, job: Job, ended: Ended) -> None:
        """Free what a job holds, and say that it is over."""
        close = getattr(job.steps, "close", None)
        try:
            if close is not None:
                close()
            job.emit(ended)
        except Exception as error:
            # Nobody is left to tell, as when the loop of the server has ended. The worker lives on for the others.
            get_logger(__name__).debug("could not tell that a chat ended (%s): %r", ended.reason, error)
