"""What one bench found: plain values, which become the JSON and the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.audit import What
from bench.measure import Window
from bench.profile import Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    name: str
    figures: Mapping[str, float]
    window: Window
    requests: Mapping[What, int]  # of both controllers; the user is the controller's name
    profile: Mapping[str, Sequence[Line]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    kustomizations: int
    objects: int
    namespaces: int
    machine: Mapping[str, str | float]
    phases: Mapping[str, Phase]
