# SPDX-License-Identifier: Apache-2.0
"""Weights that other programs quantized: refused by that program's name, with the way out, as
config.json tells them and as the tensors alone do."""

import json
import os
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

sys.path.insert(0, os.path.dirname(__file__))
from refusal import assert_refused, good, model, speak  # noqa: E402, F401
from small_model import read_safetensors, write_safetensors  # noqa: E402

WK = "backbone_model.layers.1.self_attn.k_proj."


CONFIGS = {
    "bitsandbytes to 4 bits": {"quant_method": "bitsandbytes", "load_in_4bit": True},
    "bitsandbytes to 8 bits": {"load_in_8bit": True},
    "AWQ to 4 bits": {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True},
    "GPTQ to 3 bits": {"quant_method": "gptq", "bits": 3, "desc_act": False},
    "FP8": {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]},
    "FP8 (fbgemm)": {"quant_method": "fbgemm_fp8"},
    "compressed-tensors": {"quant_method": "compressed-tensors", "format": "pack-quantized"},
    "torchao": {"quant_method": "torchao", "quant_type": "int4_weight_only"},
    "HQQ": {"quant_method": "hqq", "quant_config": {}},
    "Quanto": {"quant_method": "quanto", "weights": "int8"},
    "AQLM": {"quant_method": "aqlm"},
    "AutoRound to 4 bits": {"quant_method": "auto-round", "bits": 4},
    "a-method-of-tomorrow": {"quant_method": "a-method-of-tomorrow"},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_by_config(csm, model, name):
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config":
                                                                CONFIGS[name]}))
    done, out = speak(csm, model)
    assert_refused(done, out, f"config.json: quantized by {name}, expected floats or MLX's")
    assert "csm quantize" in done.stderr


TENSORS = {
    "bitsandbytes to 4 bits": {"weight": np.zeros((256, 1), np.uint8),
                               "weight.absmax": np.ones(8, np.float32),
                               "weight.quant_map": np.ones(16, np.float32),
                               "weight.quant_state.bitsandbytes__nf4": np.zeros(90, np.uint8)},
    "bitsandbytes to 8 bits": {"weight": np.zeros((16, 32), np.int8),
                               "SCB": np.ones(16, np.float32)},
    "GPTQ": {"qweight": np.zeros((4, 16), np.int32), "qzeros": np.zeros((1, 2), np.int32),
             "scales": np.ones((1, 16), np.float16), "g_idx": np.zeros(32, np.int32)},
    "AWQ or GPTQ": {"qweight": np.zeros((32, 2), np.int32), "qzeros": np.zeros((1, 2), np.int32),
                    "scales": np.ones((1, 16), np.float16)},
    "compressed-tensors": {"weight_packed": np.zeros((16, 4), np.int32),
                           "weight_scale": np.ones((16, 1), np.float32),
                           "weight_shape": np.array([16, 32], np.int64)},
    "FP8": {"weight": np.zeros((16, 32), np.uint8), "weight_scale_inv": np.ones((1, 1),
                                                                                np.float32)},
    "FP8 or compressed-tensors": {"weight": np.zeros((16, 32), np.int8),
                                  "weight_scale": np.ones((16, 1), np.float32)},
    "EETQ": {"weight": np.zeros((32, 16), np.int8), "weight_scales": np.ones(16, np.float16)},
    "Quanto": {"weight._data": np.zeros((16, 32), np.int8), "weight._scale": np.ones((16, 1),
                                                                                    np.float32)},
    "HQQ": {"W_q": np.zeros((8, 32), np.uint8), "scale": np.ones(1, np.float32)},
    "EXL2": {"q_weight": np.zeros((4, 16), np.int32), "q_scale": np.zeros((1, 2), np.int32)},
}


@pytest.mark.parametrize("name", TENSORS)
def test_by_tensors(csm, model, name):
    tensors = load_file(model / "model.safetensors")
    del tensors[WK + "weight"]
    save_file(tensors | {WK + k: v for k, v in TENSORS[name].items()},
              model / "model.safetensors")
    done, out = speak(csm, model)
    assert_refused(done, out, f"quantized by {name}, expected floats or MLX's quantization")
    assert WK in done.stderr and "csm quantize" in done.stderr


@pytest.mark.parametrize("dtype, n_bytes", [("F8_E4M3", 512), ("F8_E5M2", 512), ("F8_E8M0", 512),
                                            ("F4", 256)])
def test_types_that_no_weight_here_has(csm, model, dtype, n_bytes):
    header, data = read_safetensors(model / "model.safetensors")
    header[WK + "weight"] = {"dtype": dtype, "shape": [16, 32],
                             "data_offsets": [len(data), len(data) + n_bytes]}
    # What the tensor was before stays, as another.
    old = read_safetensors(model / "model.safetensors")[0][WK + "weight"]
    header["x"] = old
    write_safetensors(model / "model.safetensors", header, data + b"\0" * n_bytes)
    done, out = speak(csm, model)
    assert_refused(done, out, f"dtype of {WK}weight: {dtype}")
    assert "csm quantize" in done.stderr


def test_mlx_says_what_it_quantized_under_the_same_key(csm, model):
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {
        "quantization_config": {"group_size": 64, "bits": 4, "mode": "affine"}}))
    done, _ = speak(csm, model)
    assert done.returncode == 0, done.stderr
