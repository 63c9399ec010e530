"""The artifact: what a source publishes in its status, and what consumers download and check."""

from typing import Annotated

from shared.api.meta import Struct, about

__all__ = ["Artifact"]


class Artifact(Struct, frozen=True, kw_only=True):
    """An immutable archive of one revision of a source."""

    path: Annotated[
        str,
        about("Where the archive lies in the store, as a path relative to the store's root."),
    ]
    url: Annotated[
        str,
        about("HTTP address from which controllers in the cluster download the archive."),
    ]
    revision: Annotated[
        str,
        about("Name of the state that was archived, as upstream knows it: for Git <ref>@sha1:<commit>."),
    ]
    digest: Annotated[
        str,
        about(
            "Checksum of the archive's bytes as <algorithm>:<hex>. Consumers refuse a download that differs.",
            pattern=r"^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$",
        ),
    ]
    last_update_time: Annotated[str, about("When this archive was published, in UTC.", format="date-time")]
    size: Annotated[int | None, about("Length of the archive in bytes.")] = None
    metadata: Annotated[
        dict[str, str] | None,
        about(
            "Facts about the revision that upstream gave along, such as the annotations of an OCI manifest."
        ),
    ] = None
