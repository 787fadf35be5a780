# SPDX-License-Identifier: Apache-2.0
"""transformers' CSM on the CPU, its own generate: peer_transformers.py CHECKPOINT f32|bf16|int8 THREADS

int8 is PyTorch's dynamic quantization of every linear layer (the depth decoder's heads are no layers:
they stay float32). A frame is the time from one call of the backbone to the next.
"""

import sys
import time
import warnings

import torch
import transformers
from transformers import CsmForConditionalGeneration

from turns import serve

PROMPT = 32


def load(checkpoint, dtype):
    model = CsmForConditionalGeneration.from_pretrained(
        checkpoint, dtype=torch.bfloat16 if dtype == "bf16" else torch.float32).eval()
    if dtype == "bf16":  # as stored: out of the mapped file, where PyTorch is slower
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
    if dtype == "int8":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it moved to another package
            torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, torch.qint8, inplace=True)
    return model


def main(checkpoint, dtype, n_threads):
    torch.set_num_threads(int(n_threads))
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = load(checkpoint, dtype)
    calls = []
    model.backbone_model.register_forward_pre_hook(lambda *_: calls.append(time.perf_counter()))
    ids = torch.arange(100, 100 + PROMPT)[None]

    def measure(n_frames):
        calls.clear()
        with torch.inference_mode():  # the prompt's frame goes before those that count
            model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True,
                           max_new_tokens=n_frames + 2)
        return [(b - a) * 1e3 for a, b in zip(calls[1:], calls[2:])]

    serve(f"transformers {dtype}", f"transformers {transformers.__version__}, torch {torch.__version__}",
          measure)


main(*sys.argv[1:])
