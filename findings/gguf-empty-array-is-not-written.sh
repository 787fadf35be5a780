#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# gguf 0.19.0 (ggml's Python package): GGUFWriter writes no key for an empty array and says nothing, so
# that a byte tokenizer without merges, put with add_token_merges([]), becomes a file without
# tokenizer.ggml.merges. The format has arrays of no elements, and the package's own reader reads
# them. A reader must take the missing key for an empty one, as csm does, or refuse a valid
# tokenizer.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check gguf==0.19.0 numpy==2.4.6
venv/bin/python - <<'PY'
import struct
import sys

from gguf import GGUFReader, GGUFWriter

writer = GGUFWriter("written.gguf", "llama")
writer.add_token_list(["a", "b"])
writer.add_token_merges([])
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
written = GGUFReader("written.gguf").fields
print("written with add_token_merges([]):", sorted(k for k in written if k.startswith("tokenizer")))

key = b"tokenizer.ggml.merges"
by_hand = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + struct.pack("<Q", len(key)) + key
by_hand += struct.pack("<IIQ", 9, 8, 0)  # an array of strings, none
open("by_hand.gguf", "wb").write(by_hand + bytes(-len(by_hand) % 32))
read = GGUFReader("by_hand.gguf").fields
print("read from a file by hand:", sorted(k for k in read if k.startswith("tokenizer")))

if "tokenizer.ggml.merges" in written or "tokenizer.ggml.merges" not in read:
    sys.exit("no longer so")
PY
