"""The one error of the set-up: a fact, and what a person can do about it. And what known failures mean."""


class Trouble(Exception):
    """Something that a person has to mend; printed without a trace, exit code 1.

    Args:
        fact: what is wrong, a sentence.
        remedy: what to install or do, one or more sentences.
    """

    def __init__(self, fact: str, remedy: str) -> None:
        super().__init__(f"{fact}\n    {remedy}")
        self.fact = fact
        self.remedy = remedy


# The first text that occurs in a step's output names its cause; specific ones stand before general ones.
_KNOWN = (
    ("no space left on device", "The disk is full. Free some space, or set XDG_CACHE_HOME to a larger disk."),
    (
        "do not match the hashes",
        "A downloaded package differs from what the lock file pins. Do not go around this.",
    ),
    (
        "checksum mismatch",
        "A downloaded Go module differs from what go.sum pins. Do not go around this.",
    ),
    (
        "disabled by goproxy=off",
        "A Go module is missing from the cache and GOPROXY=off forbids to fetch it. Run once with a proxy.",
    ),
    (
        "no matching distribution",
        "The package index has no wheel of a pinned package for this Python and system, or was not reached.",
    ),
    ("signal: killed", "The compiler was killed: too little memory, most likely. Try GOFLAGS=-p=1 ./run …"),
    ("cannot allocate memory", "Too little memory. Try GOFLAGS=-p=1 ./run …"),
    (
        "permission denied",
        "A file could not be run or written. Is the cache on a disk mounted `noexec`, or not yours?",
    ),
    ("no such host", "The registry's name was not found. Check the network, or the proxy settings."),
    ("name resolution", "The registry's name was not found. Check the network, or the proxy settings."),
    ("connection refused", "The registry was not reached. Check the network, or the proxy settings."),
    ("timeout", "The registry did not answer in time. Run the same command again: it goes on from here."),
    ("timed out", "The registry did not answer in time. Run the same command again: it goes on from here."),
)


def meaning_of(output: str) -> str:
    """Say what the output of a failed step means for a person; a general sentence if it is not known."""
    lower = output.lower()
    for text, sentence in _KNOWN:
        if text in lower:
            return sentence
    return "Run the same command again once that is mended: finished steps are kept."
