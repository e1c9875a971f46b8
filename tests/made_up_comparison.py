"""A comparison made of made-up cells, for tests of what is said about it; nothing is simulated."""

from typing import Any

from zdsim.measure.comparison import Cell, Played, compare

#: What a cell has unless a test says otherwise.
VALUES: dict[str, float | None] = {
    "dropped_share": 0.01,
    "p99_during_s": 0.2,
    "exposed_share": 0.9,
    "harmed_share": 0.02,
    "rollback_s": None,
    "rollout_s": 60.0,
    "mixed_version_s": 30.0,
    "extra_pod_seconds": 50.0,
}


def cells(n: int = 10, *, seed: int = 1, total: int = 10_000, bad: bool = False, **values: Any) -> tuple[Cell, ...]:
    """`n` cells; a value may be a number, None, or a function of the replication."""
    out = []
    for k in range(n):
        now = {**VALUES, **{key: one(k) if callable(one) else one for key, one in values.items()}}
        dropped = round((now["dropped_share"] or 0.0) * total)
        harmed = round((now["harmed_share"] or 0.0) * 1000)
        out.append(
            Cell(
                seed=seed + k,
                digest=f"{k:08x}",
                total=total,
                dropped=dropped,
                active=1000,
                harmed=harmed,
                outcome="complete",
                strategy="RollingUpdate",
                bad=bad,
                values=now,
                causes={"draining": dropped} if dropped else {},
            )
        )
    return tuple(out)


def played(**who: tuple[Cell, ...]) -> tuple[Played, ...]:
    """Contenders by name."""
    return tuple(Played(name, found, name, f"{name}.yaml") for name, found in who.items())


def comparison(**who: tuple[Cell, ...]) -> dict[str, Any]:
    """The comparison of contenders by name."""
    some = next(iter(who.values()))
    return compare(played(**who), asked=len(some), plane="kernel")
