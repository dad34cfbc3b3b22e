"""A few seconds of what `make fuzz` does for ten minutes."""

from __future__ import annotations

import random

import psutil
import pytest

from service.media.sniff import sniff
from tests.fuzz.decoders import Died, Fuzzer, Target, confined
from tests.fuzz.mutation import MAX_BYTES, mutated
from tests.fuzz.seeds import healthy

frida = pytest.importorskip("frida", reason="Frida is not installed.")


@pytest.fixture(scope="module")
def fuzzer() -> Fuzzer:
    try:
        return Fuzzer(seed=7)
    except (frida.PermissionDeniedError, frida.NotSupportedError) as error:
        pytest.skip(f"This system lets nobody follow a process: {error}")


async def test_mutants_reach_new_native_code_and_none_is_answered_wrongly(fuzzer):
    found = fuzzer.run(seconds=0.0, at_least=4 * len(healthy()))
    assert found.outcomes["decoded"] >= len(healthy()) // 2
    assert len(found.blocks) > found.seed_blocks > 10_000
    assert any("libavcodec" in block for block in found.blocks)
    assert found.outcomes["wrong answer"] == 0
    for verdict in await confined(found):
        assert "was read" in verdict or "was refused" in verdict


@pytest.mark.usefixtures("fuzzer")
def test_the_death_of_the_decoding_code_is_noticed():
    target = Target()
    picture = healthy()["plain.png"]
    psutil.Process(target.pid).kill()
    with pytest.raises(Died):
        for _ in range(2):  # the first may still fit into the pipe
            target.decode(sniff(picture), picture)
    target.close()


def test_the_same_seed_gives_the_same_mutants():
    def mutants() -> list[bytes]:
        chance = random.Random(3)
        return [mutated(data, [data], chance) for data in healthy().values()]

    assert mutants() == mutants()
    assert all(len(mutant) <= MAX_BYTES for mutant in mutants())
