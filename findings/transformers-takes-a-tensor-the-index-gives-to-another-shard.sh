#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# transformers 5.24.0: where two shards hold a tensor of one name, the index does not decide which is loaded. Its
# weight_map gives each tensor to one shard; from_pretrained takes all tensors of all listed shards, and the last file's
# (by name) stays. Nothing is said.
#
# Seen here: lm_head.weight is zeros in b.safetensors and good in a.safetensors, to which the index gives it. The model
# has zeros. With the files' names changed about it has the good one.
#
# So a shard that is used again after some of its tensors were replaced by others (a new head, a quantized part) brings
# the old ones back. csm takes the index's, and says that there are two.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check transformers==5.24.0 torch==2.14.1 safetensors==0.8.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import json
import pathlib
import sys
from importlib.metadata import version

import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

print({name: version(name) for name in ("transformers", "torch", "safetensors")})
whole = pathlib.Path("whole")
LlamaForCausalLM(LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                             num_attention_heads=2)).save_pretrained(whole)
good = load_file(whole / "model.safetensors")
HEAD = "lm_head.weight"


def loaded(mapped, other):
    """The head of a model whose index gives it to `mapped`, while `other` has zeros of that name."""
    place = pathlib.Path(f"in-{mapped}")
    place.mkdir()
    (place / "config.json").write_bytes((whole / "config.json").read_bytes())
    save_file({HEAD: good[HEAD]}, place / mapped, {"format": "pt"})
    save_file(good | {HEAD: torch.zeros_like(good[HEAD])}, place / other, {"format": "pt"})
    where = dict.fromkeys(good, other) | {HEAD: mapped}
    (place / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return LlamaForCausalLM.from_pretrained(place).lm_head.weight.detach()


first, last = loaded("a.safetensors", "b.safetensors"), loaded("b.safetensors", "a.safetensors")
print("the index gives the head to the first file; the model has it:", torch.equal(first, good[HEAD]),
      "; it has the zeros of the last:", not first.any().item())
print("the index gives the head to the last file; the model has it:", torch.equal(last, good[HEAD]))
sys.exit(not (not first.any() and torch.equal(last, good[HEAD])))
PY
