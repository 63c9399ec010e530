"""What YAML that expands or nests costs the engine before it is refused (A08).

That each is refused on the object that brings it, `test_builds` shows. Here the engines are for these attacks
alone, so that time and memory can be told from those of others.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from kustomize_controller.kustomization.build import Builder, BuildError, Limits
from lab.tools import Tools
from lab.usage import cpu_s_of, peak_rss_bytes_of
from tests.attacks.building import build, written
from tests.attacks.scene import Attack
from tests.attacks.tables import A08, VICTIM

CPU_S = 2.0  # for each; a busy machine takes longer, and needs no more
BUILD_S = 20.0  # the engine is killed then, and the error is another one: for what waits without working
GROWTH_BYTES = 50 << 20  # by all of them together: an engine keeps some of what it had


@dataclass(frozen=True, slots=True)
class Engines:
    """A builder, and the program that its processes run."""

    builder: Builder
    program: bytes

    async def cost_s(self, folder: Path, attack: Attack) -> float:
        """CPU seconds until the attack is answered as it should be."""
        before_s = cpu_s_of(os.getpid(), self.program)
        said = ""
        try:
            await build(self.builder, "tenant", folder, spec=attack.spec)
        except BuildError as refusal:
            said = str(refusal)
        assert bool(said) == bool(attack.says), said
        assert [part for part in attack.says if part not in said] == [], said
        return cpu_s_of(os.getpid(), self.program) - before_s

    def peak_bytes(self) -> int:
        return peak_rss_bytes_of(os.getpid(), self.program)


async def test_a08_what_is_refused_costs_little(tools: Tools, tmp_path: Path) -> None:
    program = tools.path("engine")
    engines = Engines(Builder(program, limits=Limits(time_s=BUILD_S)), str(program).encode())
    try:
        # What any build costs the first time.
        await build(engines.builder, "tenant", written(tmp_path / "honest", VICTIM))
        before = engines.peak_bytes()
        assert before > 0
        took_s = {
            name: await engines.cost_s(written(tmp_path / f"{number}", attack.files), attack)
            for number, (name, attack) in enumerate(A08.items())
        }
        assert {name: cpu_s for name, cpu_s in took_s.items() if cpu_s > CPU_S} == {}
        assert engines.peak_bytes() - before < GROWTH_BYTES
    finally:
        await engines.builder.close()
