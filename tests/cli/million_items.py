# SPDX-License-Identifier: Apache-2.0
"""Memory of csm synth over a manifest and of csm analyze --corpus over as many sounds, each sound another, beside what
they take for one item. Exits with 1 above 200 MB more. Needs some 5 GB of disk for a million files of 84 bytes."""

import argparse
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CSM = pathlib.Path(os.environ.get("CSM_BUILD_DIR", ROOT / "build")) / "bin" / "csm"
MOST_MB = 200
N_SAMPLES = 20


def peak_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM: not Linux")


def synth_mb(manifest, out):
    """When the first item is written: every line was read, checked and kept by then. It has others to speak still."""
    run = subprocess.Popen([CSM, "synth", "--manifest", manifest, "--output-dir", out, "--batch", "1", "--quiet"])
    while not list(out.glob("*.wav")) if out.exists() else True:
        assert run.poll() is None, f"csm synth: exit {run.returncode}"
        time.sleep(0.05)
    taken = peak_mb(run.pid)
    run.kill()
    run.wait()
    return taken


def report_mb(folder):
    started = time.monotonic()
    run = subprocess.Popen([CSM, "analyze", "--corpus", folder, "--json"], stdout=subprocess.PIPE)
    report = json.loads(run.stdout.read())
    _, status, usage = os.wait4(run.pid, 0)
    assert status == 0
    return usage.ru_maxrss / 1024, report, time.monotonic() - started


def lines(path, n):
    with path.open("w") as file:
        for i in range(n):
            file.write(json.dumps({"id": f"item-{i:07}", "text": "Hello there."}) + "\n")
    return path


def corpus(folder, n):
    """Each of n sounds differs from every other by its first samples."""
    folder.mkdir()
    n_bytes = 44 + 2 * N_SAMPLES
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", n_bytes - 8, b"WAVE", b"fmt ", 16, 1, 1, 24000, 48000, 2, 16, b"data",
                       2 * N_SAMPLES)
    with (folder / "manifest.jsonl").open("w") as manifest:
        for i in range(n):
            name = f"{i:07}.wav"
            (folder / name).write_bytes(head + struct.pack("<hh", i % 30000, i // 30000) + bytes(2 * N_SAMPLES - 4))
            manifest.write(json.dumps({"id": f"item-{i:07}", "audio_filepath": name, "text": "Hello there.", "duration": 0.001,
                                       "speaker": 0, "seed": 1, "attempts": 1, "ended": "by itself", "bytes": n_bytes}) + "\n")
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1000000)
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="csm-million-"))
    try:
        one, all_ = (synth_mb(lines(folder / f"{n}.jsonl", n), folder / f"synth{n}") for n in (100, args.items))
        few, _, _ = report_mb(corpus(folder / "few", 1))
        many, report, seconds = report_mb(corpus(folder / "many", args.items))
    finally:
        shutil.rmtree(folder)
    assert report["items"] == args.items and report["duplicate_sounds"] == 0
    print(f"csm synth: {one:.0f} MB with 100 lines, {all_:.0f} MB with {args.items}: {all_ - one:.0f} MB more")
    print(f"csm analyze --corpus: {few:.0f} MB with one item, {many:.0f} MB with {args.items}: {many - few:.0f} MB more, "
          f"{seconds:.0f} s")
    return 0 if max(all_ - one, many - few) <= MOST_MB else 1


if __name__ == "__main__":
    sys.exit(main())
