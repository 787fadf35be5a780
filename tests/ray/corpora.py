# SPDX-License-Identifier: Apache-2.0
"""A manifest, csm synth's processes over it, and a cluster of raylets on this machine."""

import contextlib
import json
import pathlib
import subprocess

import ray
import ray.data
from ray.cluster_utils import Cluster

from csm.cli.command import COMMAND

SUBJECTS = ["The boat", "My neighbour", "A small dog", "The old clock", "Her letter", "Our train"]
VERBS = ["arrived", "was late", "went home", "made no sound", "came back", "stood still"]
WHENS = ["this morning.", "after the rain.", "in the dark.", "at last.", "before noon."]


def texts(n):
    """n items, each another text."""
    for i in range(n):
        yield {"id": f"{i:05}", "text": f"{SUBJECTS[i % 6]} {VERBS[i // 6 % 6]} {WHENS[i // 36 % 5]}"}


def write(path, items):
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def synth(manifest, out, *args, n_shards=1):
    """csm synth in as many processes as shards, one thread each."""
    runs = [subprocess.Popen([COMMAND, "synth", "--manifest", manifest, "--output-dir", out, "--threads", "1",
                              "--shard", f"{i}/{n_shards}", "--quiet", *map(str, args)])
            for i in range(1, n_shards + 1)]
    assert [run.wait() for run in runs] == [0] * n_shards


def told(*manifests):
    """Their lines, by id."""
    lines = [json.loads(line) for path in manifests for line in pathlib.Path(path).read_text().splitlines()]
    return sorted(lines, key=lambda line: line["id"])


def sounds(folder):
    return {p.name: p.read_bytes() for p in pathlib.Path(folder).iterdir() if not p.name.startswith("manifest")}


@contextlib.contextmanager
def cluster(n_nodes):
    """Raylets, the first of them the head, each with a CPU for an actor and one for reading; ray is connected. Gives the cluster and
    the nodes that may be killed."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 200 << 20})
    others = [made.add_node(num_cpus=2, object_store_memory=200 << 20) for _ in range(n_nodes - 1)]
    ray.init(address=made.address, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield made, others
    finally:
        ray.shutdown()
        made.shutdown()
