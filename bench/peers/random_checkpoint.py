# SPDX-License-Identifier: Apache-2.0
"""A directory of csm-1b's shape with random weights, for peers that read files (3.8 GB).

    .venv/bin/python bench/peers/random_checkpoint.py OUT_DIR [--narrow]

Language model in bf16, codec in f32. The table of codes is there under both of the names that the
hub's csm-1b has for it, the second in a file of its own. The tokenizer is the embedded voice's: its
ids are few, and no time depends on them. --narrow: csm-1b's codebooks, codes and frames, but layers
one and narrow (50 MB), for engines that do not compute (bench/paced).
"""

import pathlib
import shutil
import sys

import torch
from safetensors.torch import save_file
from transformers import CsmConfig, CsmForConditionalGeneration


NARROW = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
          "num_key_value_heads": 1, "head_dim": 32}
NARROW_CODEC = {**NARROW, "num_key_value_heads": 2, "num_filters": 8, "codebook_dim": 32,
                "vector_quantization_hidden_dimension": 32, "upsample_groups": 64}


def config(is_narrow):
    """Codec and special ids are left to their classes' defaults: csm-1b's."""
    if not is_narrow:
        return CsmConfig()
    return CsmConfig(**NARROW, depth_decoder_config={**NARROW, "backbone_hidden_size": 64},
                     codec_config={"model_type": "mimi", **NARROW_CODEC})


def main(out, *options):
    out = pathlib.Path(out)
    torch.manual_seed(1)
    # A GPU, where there is one, draws in a second what takes a processor minutes.
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = CsmForConditionalGeneration._from_config(config("--narrow" in options), dtype=torch.bfloat16)
    model.codec_model.float()
    for name, buffer in model.codec_model.named_buffers():
        if name.endswith("embed_sum"):  # zeros in a new codec
            buffer.normal_()
    model.save_pretrained(out, max_shard_size="20GB")
    table = model.depth_decoder.model.embed_tokens.weight.detach()
    save_file({"backbone_model.embed_tokens.embed_audio_tokens.weight": table},
              out / "codes.safetensors", {"format": "pt"})
    voice = pathlib.Path(__file__).resolve().parents[2] / "voice/model/tokenizer.json"
    shutil.copyfile(voice, out / "tokenizer.json")


main(*sys.argv[1:])
