"""What a run tells beside its own result: the change log, and to others that want the same object."""

from collections.abc import Mapping, Sequence

from kustomize_controller.kustomization import report
from kustomize_controller.kustomization.apply import Change
from kustomize_controller.kustomization.world import World
from shared.api.artifact import Artifact
from shared.api.kustomization import Kustomization
from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.runtime.outcome import Event
from shared.runtime.run import Run


def changes(run: Run, made: Sequence[Change], artifact: Artifact) -> None:
    """The change log, as an event and a line in the log; nothing if nothing was changed."""
    if made:
        run.event(Event("Normal", "Progressing", report.lines(list(made)), report.metadata(artifact)))
        run.log.info(
            "server-side apply completed",
            revision=artifact.revision,
            output={change.subject: str(change) for change in made},
        )


def holders(world: World, obj: Kustomization, taken: Mapping[ObjectId, Key]) -> None:
    """Tell each Kustomization of `taken` that `obj` wants its objects, too."""
    for owner in sorted(set(taken.values())):
        names = [id_.subject for id_, key in taken.items() if key == owner]
        told = f"{', '.join(sorted(names)[:5])}: also wanted by {obj.key}; remove it from one of the two"
        other = world.neighbour(owner)
        about = report.metadata_of_last(other) if other is not None else {}
        world.tell(owner, Event("Warning", "ReconciliationFailed", told, about))
