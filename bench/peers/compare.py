# SPDX-License-Identifier: Apache-2.0
"""csm next to a peer, in turns, on the same machine: csm-1b's shape, random weights.

    compare.py PAIR ... [--turns 3] [--threads 2] [--csm build/bin/csm] [--checkpoint DIR]
               [--ggml-library F --ggml-models DIR] [--log bench/peers/log.jsonl]
    compare.py gguf-q4_k --ggml-library F --gguf FILE [--turns 3] [--csm ...]
    compare.py --table [--log ...]       what the log says, as Markdown

A peer is loaded once and stays so; in each turn first csm measures, then the peer. A pair appends one
line to the log, so pairs and turns can be run one by one: of each machine, number of threads and
pair the table takes all that was measured on the commit of its newest line. Peers of which
something is missing are left out, and that is said.

    --checkpoint DIR     what random_checkpoint.py wrote
    --ggml-library F     a shared library of CrispASR's csm_tts.h; --ggml-models DIR: DIR/f16.gguf,
                         q8_0.gguf and q4_k.gguf, made from the checkpoint by CrispASR's own programs
    --gguf FILE          one file for both, csm and CrispASR: random_gguf.py writes it
"""

import argparse
import collections
import datetime
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# dtype: of csm; frames: of csm and of the peer, a turn; goal: how many times faster csm is to be
Pair = collections.namedtuple("Pair", "dtype peer frames goal")
PAIRS = {
    "torch-f32": Pair("f32", ["peer_transformers.py", "{checkpoint}", "f32"], (8, 4), 1.8),
    "torch-bf16": Pair("bf16", ["peer_transformers.py", "{checkpoint}", "bf16"], (12, 6), 2.3),
    "torch-int8": Pair("q8", ["peer_transformers.py", "{checkpoint}", "int8"], (16, 12), 1.5),
    "mlx-f32": Pair("f32", ["peer_mlx.py", "f32"], (8, 2), None),
    "mlx-q4": Pair("q4", ["peer_mlx.py", "q4"], (16, 1), None),
    "ggml-f16": Pair("bf16", ["peer_ggml.py", "{ggml_library}", "{ggml_models}/f16.gguf"], (12, 10), None),
    "ggml-q8_0": Pair("q8", ["peer_ggml.py", "{ggml_library}", "{ggml_models}/q8_0.gguf"], (16, 10), 2.3),
    "gguf-q4_k": Pair("stored", ["peer_ggml.py", "{ggml_library}", "{gguf}"], (16, 10), 4.0),
    "ggml-q4_k": Pair("q4", ["peer_ggml.py", "{ggml_library}", "{ggml_models}/q4_k.gguf"], (16, 10), 4.0),
}


class Peer:
    def __init__(self, argv):
        self.process = subprocess.Popen([sys.executable, HERE / argv[0], *argv[1:]], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.about = self.hear()

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"compare: {self.process.args[1]} ended, code {self.process.wait()}")
        return json.loads(line)

    def measure(self, n_frames):
        self.process.stdin.write(f"{n_frames}\n")
        self.process.stdin.flush()
        return self.hear()

    def close(self):
        """Ends it; gives its resident set in GB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        self.process.stdin.close()
        self.process.wait()
        return int(status.split("VmRSS:")[1].split()[0]) / 1e6


def csm_turn(pair, options):
    model = (["--model-path", options.gguf] if pair.dtype == "stored" else
             ["--random", "csm-1b", "--dtype", pair.dtype])
    return json.loads(subprocess.run(
        [options.csm, "bench", *model, "--threads", str(options.threads),
         "--frames", str(pair.frames[0]), "--without-sound", "--json"],
        check=True, capture_output=True, text=True).stdout)


def told(*argv):
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def machine():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else "unknown"


def run(name, options):
    pair = PAIRS[name]
    argv = [part.format_map(vars(options)) for part in pair.peer]
    if any(part.startswith("None") for part in argv):
        print(f"{name}: left out; it needs {' '.join(pair.peer[1:])}")
        return
    peer = Peer([*argv, str(options.threads)])
    if pair.frames[1] > 2:  # one that takes seconds a frame is warm by its first, which never counts
        peer.measure(1)
    ours, theirs = [], []
    for _ in range(options.turns):
        ours.append(csm_turn(pair, options))
        theirs += peer.measure(pair.frames[1])
    record = {"pair": name, "date": datetime.date.today().isoformat(),
              "commit": told("git", "rev-parse", "--short", "HEAD"), "machine": machine(), "threads": options.threads,
              "peer": peer.about, "peer_ms": theirs, "peer_gb": peer.close(), "csm": ours}
    with open(options.log, "a") as log:
        log.write(json.dumps(record) + "\n")
    print(row(record))


def row(record):
    pair, csm = PAIRS[record["pair"]], record["csm"]
    middle = lambda key: statistics.median(c[key] for c in csm)
    ours, theirs = middle("frame_ms"), statistics.median(record["peer_ms"])
    spread = lambda values: f"{min(values):.0f} to {max(values):.0f}"
    goal = "" if pair.goal is None else f"{pair.goal}"
    return (f"| {record['peer']['name']} | {theirs:.0f} ({spread(record['peer_ms'])}) | {pair.dtype} | "
            f"{ours:.0f} ({spread([c['frame_ms'] for c in csm])}) | {middle('floor_ms'):.0f} "
            f"({middle('read_gb_s'):.0f} GB/s) | {theirs / ours:.2f} | {goal} | "
            f"{middle('rss_mb') / 1e3:.1f} / {record['peer_gb']:.1f} |")


def place(record):
    return f"{record['machine']}, {record.get('threads', 2)} threads"


def table(options):
    newest = collections.defaultdict(dict)
    for line in open(options.log):
        record = json.loads(line)
        before = newest[place(record)].get(record["pair"])
        if before is not None and before["commit"] == record["commit"]:
            for key in "csm", "peer_ms":
                record[key] = before[key] + record[key]
        newest[place(record)][record["pair"]] = record
    for where, records in newest.items():
        print(f"{where}:\n")
        print("| peer | ms a frame | csm | ms a frame | floor ms | times faster | goal | GB, csm / peer |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for name in PAIRS:
            if name in records:
                print(row(records[name]))
        for about in sorted({f"{r['commit']}, {r['date']}" for r in records.values()}):
            print(f"\n{about}")
        for about in sorted({r["peer"]["version"] for r in records.values()}):
            print(f"- {about}")
        print()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("pairs", nargs="*", metavar="PAIR", help=", ".join(PAIRS))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--csm", default=ROOT / "build/bin/csm")
    parser.add_argument("--log", default=HERE / "log.jsonl")
    for name in "--checkpoint", "--ggml-library", "--ggml-models", "--gguf":
        parser.add_argument(name)
    options = parser.parse_args()
    for name in options.pairs:
        if name not in PAIRS:
            parser.error(f"{name}: expected one of {', '.join(PAIRS)}")
        run(name, options)
    if options.table:
        table(options)


main()
