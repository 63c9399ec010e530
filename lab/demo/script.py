"""The script: what happens, in which order, and what the summary claims about it."""

from collections.abc import Callable
from dataclasses import dataclass

from lab.demo import steps
from lab.demo.remarks import Seen
from lab.demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    run: Callable[[Stage], Seen]
    claim: str = ""  # what the summary says of it, with its time; empty: nothing


@dataclass(frozen=True, slots=True)
class Chapter:
    title: str
    steps: tuple[Step, ...]


STORY = (
    Chapter(
        "From Git to the cluster",
        (
            Step("Pushed", steps.push_examples),
            Step("Objects made", steps.ask_for_it),
            Step("Revision fetched", steps.see_revision),
            Step("Artifact stored", steps.see_artifact),
            Step("Built", steps.see_build),
            Step("Applied", steps.see_applied, "kubectl apply → everything is applied"),
            Step("Deployment ready", steps.see_pods, "kubectl apply → all pods are ready"),
        ),
    ),
    Chapter(
        "A commit is pushed",
        (
            Step("Commit arrived", steps.push_new_tag, "git push → the Deployment has the new image"),
            Step("Rolled out", steps.see_pods),
        ),
    ),
    Chapter(
        "Somebody changes an object by hand",
        (Step("Put back", steps.scale_by_hand, "kubectl scale → put back"),),
    ),
    Chapter(
        "Somebody deletes an object by hand",
        (Step("Came back", steps.delete_by_hand, "kubectl delete → created again"),),
    ),
    Chapter(
        "A file leaves Git",
        (Step("Pruned", steps.remove_file, "git push without a file → its object is deleted"),),
    ),
    Chapter(
        "A broken commit is pushed",
        (
            Step("Refused", steps.push_mistake, "git push of a mistake → its status says what and where"),
            Step("Running app untouched", steps.see_untouched),
            Step("Reverted", steps.revert_mistake, "git push of the revert → all is well again"),
        ),
    ),
)
