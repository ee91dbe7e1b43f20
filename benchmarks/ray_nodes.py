"""A Ray cluster of several nodes on this machine, for tests: ray_nodes.py [--nodes 2]

Each node has one CPU and listens on loopback only. Prints the cluster's address when it is there
and ends when its standard input ends.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import Any

TRIES = 5  # Ray gives each node half a minute, which a busy machine may not have
NODE = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 80 << 20}
NODE |= {"node_ip_address": "127.0.0.1", "include_dashboard": False}
# A busy machine lets processes wait for longer than Ray believes in them.
PATIENCE = {
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_health_check_failure_threshold": "20",
    "RAY_worker_register_timeout_seconds": "300",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=2)
    count = parser.parse_args().nodes
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", **PATIENCE}
    with contextlib.redirect_stdout(sys.stderr):
        cluster = started(count)
    print(cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()


def started(count: int) -> Any:
    """Return a cluster of so many nodes."""
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports] - an extra

    cluster: Any = Cluster()
    for left in reversed(range(TRIES)):
        try:
            while len(cluster.list_all_nodes()) < count:
                cluster.add_node(**NODE)
            return cluster
        except Exception as error:  # noqa: BLE001 - Ray's own have no class
            print(f"{error} {left} tries are left.", file=sys.stderr)
            cluster.shutdown()
            cluster = Cluster()
    raise SystemExit("Ray's nodes do not start")


if __name__ == "__main__":
    main()
