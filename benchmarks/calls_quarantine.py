"""Calls to contain 1, 10 and 100 instances: ours beside the same work one instance at a time."""

from __future__ import annotations

from benchmarks.quarantine import contain_one_at_a_time, launch, policy
from benchmarks.result import Result, report
from benchmarks.runs import counted, emulator
from tests.ir_scene import Scene

FLEETS = (1, 10, 100)
SHARED, EACH = 25, 20


def main() -> Result:
    rows = []
    with emulator() as server:
        for number in FLEETS:
            server.reset()
            scene = Scene(server).build()
            scene.client("sns").create_topic(Name="incidents")
            launch(scene, "ours", number)
            ours = counted(policy(scene, "ours"))
            counts = ours.actions["quarantine-instance"]["counts"]
            assert counts == {"contained": number}, counts
            peer = contain_one_at_a_time(scene, "peer", launch(scene, "peer", number))
            rows.append((number, sum(ours.calls.values()), peer, SHARED + EACH * number))
    number, ours_calls, peer_calls, budget = rows[-1]
    slope = (ours_calls - rows[-2][1]) / (number - rows[-2][0])
    return report(
        Result(
            "calls-quarantine",
            ours_calls,
            peer_calls,
            budget,
            round(max(calls / allowed for _, calls, _, allowed in rows), 3),
            1.0,
        ),
        f"basic case; {slope:.1f} calls for each instance more",
        ("instances", "ours", "one at a time", f"budget {SHARED} + {EACH} each"),
        rows,
    )


if __name__ == "__main__":
    main()
