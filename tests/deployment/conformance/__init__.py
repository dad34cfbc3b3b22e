"""What every deployment must do, asked from outside with real requests.

    python -m tests.deployment.conformance http://127.0.0.1:8000

In a test, the same against a target of the test's own:

    from tests.deployment.conformance import CHECKS, Target

    @pytest.mark.parametrize("check", CHECKS, ids=str)
    def test_conforms(check: Check, target: Target) -> None:
        check(target)  # raises `Missed`, or `NotAsked` when the target does not claim what the check needs
"""

from tests.deployment.conformance import answers, limits, operations, outlasting  # noqa: F401 (they register checks)
from tests.deployment.conformance.check import CHECKS, Check, Missed, NotAsked
from tests.deployment.conformance.stopping import stops_without_dropping
from tests.deployment.conformance.target import ABILITIES, Target

__all__ = ["ABILITIES", "CHECKS", "Check", "Missed", "NotAsked", "Target", "stops_without_dropping"]
