"""The two ways to replace a version: all at once with a way back, or one instance after the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress

from deployment.release import front, gates
from deployment.release.plan import Instance, Plan, ReleaseFailed, run

Say = Callable[[str], None]


def blue_green(plan: Plan, version: str, say: Say = print) -> Instance:
    """Start the idle one of two, send all requests there, stop the other; what fails is undone.

    Migrations come first: a version must run with the tables of the next one. Returns the instance that serves.
    Raises `ReleaseFailed`.
    """
    old, new = _pair(plan)
    with ExitStack() as undo:
        _step(say, "migrate", lambda: run(plan.migrate, version) if plan.migrate else None)
        undo.callback(_quietly, say, f"stop {new.name} again", lambda: run(new.stop, version, new.address))
        _step(say, f"start {new.name}", lambda: run(new.start, version, new.address))
        _step(say, f"{new.name} is ready", lambda: gates.wait_until_ready(new, plan.gates))
        _step(say, f"{new.name} answers rightly", lambda: gates.smoke(new.address))
        undo.callback(
            _quietly, say, f"send requests to {old.name} again", lambda: front.point(plan.front, (old.host,), version)
        )
        _step(say, f"send requests to {new.name}", lambda: front.point(plan.front, (new.host,), version))
        _step(say, f"{new.name} holds", lambda: gates.watch(new, plan.gates))
        undo.pop_all()
    with suppress(ReleaseFailed):  # it is said; the new version serves, whatever becomes of the old one
        _step(say, f"stop {old.name}", lambda: run(old.stop, version, old.address))
    return new


def rolling(plan: Plan, version: str, say: Say = print, previous: str | None = None) -> None:
    """Replace each instance in turn while the others serve; at the first that fails, put `previous` back everywhere.

    Without a `previous` version the one that failed stays out, and those before it keep the new one. Raises
    `ReleaseFailed`.
    """
    _step(say, "migrate", lambda: run(plan.migrate, version) if plan.migrate else None)
    changed: list[Instance] = []
    try:
        for one in plan.instances:
            changed.append(one)
            _renew(plan, one, version, say)
    except ReleaseFailed:
        for one in reversed(changed if previous else []):
            _quietly(say, f"{previous} on {one.name}", lambda one=one: _renew(plan, one, str(previous), _nobody))
        if not previous:
            _quietly(say, f"without {changed[-1].name}", lambda: _leave_out(plan, changed[-1], version))
        raise


def _renew(plan: Plan, one: Instance, version: str, say: Say) -> None:
    """Another version on one instance, while the others serve."""
    steps = {
        f"take {one.name} out": lambda: _leave_out(plan, one, version),
        f"stop {one.name}": lambda: run(one.stop, version, one.address),
        f"{one.name} is gone": lambda: gates.wait_until_gone(one, plan.gates),
        f"start {one.name}": lambda: run(one.start, version, one.address),
        f"{one.name} is ready": lambda: gates.wait_until_ready(one, plan.gates),
        f"{one.name} answers rightly": lambda: gates.smoke(one.address),
        f"take {one.name} in": lambda: _take_in(plan, one, version),
        f"{one.name} holds": lambda: gates.watch(one, plan.gates),
    }
    for name, do in steps.items():
        _step(say, name, do)


def _leave_out(plan: Plan, one: Instance, version: str) -> None:
    front.point(plan.front, [host for host in front.served(plan.front) if host != one.host], version)


def _take_in(plan: Plan, one: Instance, version: str) -> None:
    hosts = {*front.served(plan.front), one.host}
    front.point(plan.front, [other.host for other in plan.instances if other.host in hosts], version)


def _nobody(_said: str) -> None:
    """Steps back are told as one."""


def tell(plan: Plan, said: str, version: str) -> None:
    """Pass a line on to whoever wants to know."""
    if plan.notify:
        run(plan.notify, version, said=said)


def _pair(plan: Plan) -> tuple[Instance, Instance]:
    """Who serves, and who is idle."""
    serving = front.served(plan.front)
    busy = [one for one in plan.instances if one.host in serving]
    idle = [one for one in plan.instances if one.host not in serving]
    if len(busy) != 1 or len(idle) != 1:
        raise ReleaseFailed(f"Of two instances one must serve; {', '.join(serving) or 'none'} does.")
    return busy[0], idle[0]


def _step(say: Say, name: str, do: Callable[[], None]) -> None:
    try:
        do()
    except ReleaseFailed as error:
        say(f"FAILED  {name}: {error}")
        raise
    say(f"ok      {name}")


def _quietly(say: Say, name: str, do: Callable[[], None]) -> None:
    """A step back: what goes wrong with it is said, and does not hide why it was taken."""
    try:
        do()
    except ReleaseFailed as error:
        say(f"FAILED  {name}: {error}")
    else:
        say(f"back    {name}")
