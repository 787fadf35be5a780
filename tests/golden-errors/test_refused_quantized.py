# SPDX-License-Identifier: Apache-2.0
"""Weights that other programs quantized in forms that are not read: refused by that program's
name, with the way out, as config.json tells them and as the tensors alone do. Of the forms that
are read (tests/reference/test_dequantize.py): refused where they do not fit together."""

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
    "AWQ to 4 bits": {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True},
    "GPTQ to 3 bits": {"quant_method": "gptq", "bits": 3, "desc_act": False},
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
    assert_refused(done, out, f"config.json: quantized by {name}, expected floats, MLX's")
    assert "csm quantize" in done.stderr


TENSORS = {
    "bitsandbytes to 4 bits": {"weight": np.zeros((256, 1), np.uint8),
                               "weight.absmax": np.ones(8, np.float32),
                               "weight.quant_map": np.ones(16, np.float32)},
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
    assert_refused(done, out, f"quantized by {name}, expected floats, MLX's quantization")
    assert WK in done.stderr and "csm quantize" in done.stderr


STATE = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [16, 32]}


def four_bits(state=STATE, weight=256, absmax=8, entries=16, **more):
    """bitsandbytes' tensors; `state` as text or as an object."""
    text = state if isinstance(state, str) else json.dumps(state)
    return {"weight": np.zeros((weight, 1), np.uint8), "weight.absmax": np.ones(absmax, np.float32),
            "weight.quant_map": np.ones(entries, np.float32),
            "weight.quant_state.bitsandbytes__nf4": np.frombuffer(text.encode(), np.uint8), **more}


def eight_bits(scales, dtype=np.float32):
    return {"weight": np.zeros((16, 32), np.int8), "SCB": np.asarray(scales, dtype)}


# Of forms that are read: what does not fit together.
BROKEN = {
    "no JSON": (four_bits("{"), "quant_state.bitsandbytes__nf4"),
    "a key twice": (four_bits('{"shape": [16, 32], "shape": [16, 32]}'), "quant_state"),
    "no shape": (four_bits({"blocksize": 64}), "4 bits of each element of the shape"),
    "a shape of text": (four_bits(STATE | {"shape": "16"}), "4 bits of each element"),
    "a shape of huge numbers": (four_bits(STATE | {"shape": [2**62, 2**62]}), "4 bits of each"),
    "a shape below 0": (four_bits(STATE | {"shape": [-16, -32]}), "4 bits of each element"),
    "blocks of 0": (four_bits(STATE | {"blocksize": 0}), "blocksize: expected an integer from 1"),
    "too few codes": (four_bits(weight=255), "weight: dtype U8, 255 bytes: expected 4 bits"),
    "too few scales": (four_bits(absmax=7), "an absmax of each block"),
    "a map of 15": (four_bits(entries=15), "its quant_map of 16"),
    "NaN in the map": (four_bits(**{"weight.quant_map": np.full(16, np.nan, np.float32)}),
                       "quant_map: NaN or Inf at 0"),
    "8-bit scales alone": (four_bits(**{"weight.absmax": np.ones(8, np.uint8)}),
                           "its nested_quant_map of 256"),
    "scales of other rows": (eight_bits(np.ones(15)), "SCB: 15 scales of"),
    "scales of integers": (eight_bits(np.ones(16), np.int32), "SCB: dtype I32"),
    "a scale of NaN": (eight_bits([1] * 15 + [np.nan]), "SCB: NaN or Inf at 15, expected scales"),
    "another shape": (four_bits(STATE | {"shape": [32, 16]}), "shape [32, 16], expected [16, 32]"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken(csm, model, name):
    tensors = load_file(model / "model.safetensors")
    del tensors[WK + "weight"]
    more, what = BROKEN[name]
    save_file(tensors | {WK + k: v for k, v in more.items()}, model / "model.safetensors")
    done, out = speak(csm, model)
    assert_refused(done, out, what)
    assert WK in done.stderr


@pytest.mark.parametrize("dtype, n_bytes", [("F6_E2M3", 384), ("F6_E3M2", 384), ("F4", 256)])
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
