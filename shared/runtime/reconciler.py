"""What a kind brings to the runtime, and the finalizer that the runtime keeps for it."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from shared.api.kinds import InvalidObject, Kind
from shared.api.meta import Condition, Key, Resource
from shared.runtime.cache import RawObject
from shared.runtime.outcome import Outcome, UnderWay
from shared.runtime.report import Finding
from shared.runtime.run import Run

R = TypeVar("R", bound=Resource)

FINALIZER = "finalizers.fluxcd.io"


class Reconciler(Protocol[R]):
    """One for each kind. Its calls for different objects overlap; those for one object never do."""

    @property
    def kind(self) -> Kind[R]: ...

    @property
    def failure_reason(self) -> str:
        """Of Ready=False when something unforeseen went wrong."""

    @property
    def status_manager(self) -> str:
        """The field manager of status patches."""

    @property
    def in_progress(self) -> str:
        """The message of Ready=Unknown while a run is under way; "" means the progress itself."""

    @property
    def wakes_on(self) -> tuple[str, ...]:
        """Annotations besides requestedAt whose change starts a run."""

    def noticed(self, old: RawObject | None, new: RawObject) -> None:
        """An object of the kind appeared or changed, status included. Must not block."""

    async def reconcile(self, obj: R, run: Run) -> Outcome | UnderWay:
        """Bring about what `obj` asks for. Safe to repeat after a kill at any line.

        Raises:
            ReconcileError: see its classes.
        """

    async def delete(self, obj: R, run: Run) -> None:
        """Undo what is to be undone before `obj` goes. The finalizer is removed when this returns.

        Raises:
            ReconcileError: it may not go yet.
        """

    async def delete_unreadable(self, raw: RawObject, error: InvalidObject, run: Run) -> None:
        """The same for an object that cannot be decoded, for the reason `error`.

        Raises:
            ReconcileError: it may not go, since something would be forgotten; the message says what to do.
        """

    def forget(self, key: Key) -> None:
        """The object is gone: drop what is remembered of it."""

    def interval_s(self, obj: R) -> float:
        """Seconds to the next timed run after success."""

    def is_suspended(self, obj: R) -> bool:
        """Hands off."""

    def suspended(self, before: Sequence[Condition]) -> Finding:
        """What becomes of the status of a suspended object, whose conditions are `before`. Pure."""
