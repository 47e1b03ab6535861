"""Time to contain 100 instances at 20 ms a call: ours beside one instance at a time."""

from __future__ import annotations

import time

from benchmarks.quarantine import contain_one_at_a_time, launch, policy
from benchmarks.result import Result, report
from benchmarks.runs import counted, emulator
from tests.ir_scene import Scene

INSTANCES, DELAY_MS = 100, 20


def main() -> Result:
    with emulator() as server:
        scene = Scene(server).build()
        scene.client("sns").create_topic(Name="incidents")
        launch(scene, "ours", INSTANCES)
        others = launch(scene, "peer", INSTANCES)
        server.delay(DELAY_MS)
        ours = counted(policy(scene, "ours"))
        start = time.perf_counter()
        contain_one_at_a_time(scene, "peer", others)
        peer = time.perf_counter() - start
    assert ours.actions["quarantine-instance"]["counts"] == {"contained": INSTANCES}
    return report(
        Result(
            "quarantine-wall",
            round(ours.seconds, 1),
            round(peer, 1),
            None,
            round(ours.seconds / peer, 3),
            0.25,
        ),
        f"seconds for {INSTANCES} instances at {DELAY_MS} ms a call, emulated",
        ("", "seconds"),
        [("quarantine-instance", f"{ours.seconds:.1f}"), ("one at a time", f"{peer:.1f}")],
    )


if __name__ == "__main__":
    main()
