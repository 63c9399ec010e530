"""The parts of a Kustomization's spec that say how manifests are changed on their way to the cluster.

`kustomization` gives all of them out again, so that a reader of that kind needs one import.
"""

from typing import Annotated, Literal

from msgspec import field

from shared.api.meta import LocalRef, Struct, about

__all__ = ["CommonMetadata", "Decryption", "Image", "Patch", "PostBuild", "Selector", "SubstituteFrom"]


class Decryption(Struct, frozen=True, kw_only=True):
    """How encrypted manifests are made readable."""

    provider: Annotated[Literal["sops"], about("What the manifests were encrypted with.")]
    secret_ref: Annotated[
        LocalRef | None,
        about(
            "Secret with the private keys: entries *.agekey for age, *.asc for OpenPGP, and sops.* for the "
            "credentials of key services."
        ),
    ] = None
    service_account_name: Annotated[
        str,
        about("ServiceAccount whose cloud identity is used with key services, instead of the controller's."),
    ] = ""


class SubstituteFrom(Struct, frozen=True, kw_only=True):
    """An object whose entries become variables."""

    kind: Annotated[Literal["Secret", "ConfigMap"], about("Kind of the object with the variables.")]
    name: Annotated[
        str,
        about(
            "Name of the object with the variables. It is looked up in the Kustomization's namespace.",
            minLength=1,
            maxLength=253,
        ),
    ]
    optional: Annotated[
        bool,
        about(
            "Go on without it if the object does not exist. Other errors still fail the build.", default=False
        ),
    ] = False


class PostBuild(Struct, frozen=True, kw_only=True):
    """Variables that are put in after the build."""

    substitute: Annotated[
        dict[str, str],
        about(
            "Variables and their values; each ${name} in the manifests is replaced. They win over "
            "substituteFrom."
        ),
    ] = field(default_factory=dict)
    substitute_from: Annotated[
        tuple[SubstituteFrom, ...],
        about(
            "ConfigMaps and Secrets whose entries are variables. Of two with the same name the later one "
            "wins."
        ),
    ] = ()
    substitute_strategy: Annotated[
        Literal["WithVariables", "Always"],
        about(
            "When to substitute: WithVariables does so only if at least one variable is known, Always in "
            "any case, so that ${name:-default} works without variables. Without a value: WithVariables."
        ),
    ] = "WithVariables"


class Selector(Struct, frozen=True, kw_only=True):
    """Picks objects. What is left empty matches all; group to namespace are regular expressions."""

    group: Annotated[str, about("Regular expression for the API group, such as apps.")] = ""
    version: Annotated[str, about("Regular expression for the API version, such as v1.")] = ""
    kind: Annotated[str, about("Regular expression for the kind, such as Deployment|StatefulSet.")] = ""
    name: Annotated[str, about("Regular expression for the object's name.")] = ""
    namespace: Annotated[str, about("Regular expression for the object's namespace.")] = ""
    label_selector: Annotated[
        str, about("Label selector that the object must match, such as app=web,tier!=cache.")
    ] = ""
    annotation_selector: Annotated[
        str, about("The same for the object's annotations, in the notation of label selectors.")
    ] = ""


class Patch(Struct, frozen=True, kw_only=True):
    """A change of the built manifests, written in place."""

    patch: Annotated[
        str,
        about(
            "The patch as YAML: a strategic merge patch (part of an object) or a list of JSON 6902 "
            "operations."
        ),
    ]
    target: Annotated[
        Selector | None,
        about("Objects to change. A strategic merge patch may do without, if it names its object itself."),
    ] = None


class Image(Struct, frozen=True, kw_only=True):
    """A replacement of a container image."""

    name: Annotated[str, about("Image name in the manifests, without tag or digest.")]
    new_name: Annotated[str, about("Name to write instead.")] = ""
    new_tag: Annotated[str, about("Tag to write instead. Has no effect beside a digest.")] = ""
    digest: Annotated[
        str, about("Digest to write instead of the tag, such as sha256:24a0c4b4a4c0eb97a1aabb8e29f18e91….")
    ] = ""


class CommonMetadata(Struct, frozen=True, kw_only=True):
    """Metadata for every object."""

    labels: Annotated[
        dict[str, str], about("Labels that every object gets. Selectors and pod templates are left alone.")
    ] = field(default_factory=dict)
    annotations: Annotated[
        dict[str, str], about("Annotations that every object gets. Pod templates are left alone.")
    ] = field(default_factory=dict)
