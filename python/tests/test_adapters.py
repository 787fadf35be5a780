# SPDX-License-Identifier: Apache-2.0
"""csm.Model's adapters, and settings that cut what may be drawn."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import csm
from conftest import ROOT

CSM_A = ROOT / "tests" / "golden" / "csm-a"
Q = "backbone_model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    directory = tmp_path_factory.mktemp("adapter")
    rows, cols = load_float(f"{Q}.weight").shape
    rng = np.random.default_rng(1)
    save_file({f"base_model.model.{Q}.lora_A.weight":
               rng.normal(0, 0.3, (4, cols)).astype(np.float32),
               f"base_model.model.{Q}.lora_B.weight":
               rng.normal(0, 0.3, (rows, 4)).astype(np.float32)},
              directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}))
    return directory


def load_float(name):
    from safetensors import safe_open
    with safe_open(CSM_A / "model.safetensors", "np") as file:
        return np.empty(file.get_slice(name).get_shape(), np.float32)


def tokens(adapter=None, **options):
    with csm.Model(CSM_A, engine="native", adapter=adapter) as model:
        return model.speak("Hello", max_audio_length_ms=320, seed=3, **options)


def test_one_a_list_and_pairs_with_a_scale(adapter):
    plain, merged = tokens().tokens, tokens(adapter).tokens
    assert not np.array_equal(plain, merged)
    assert np.array_equal(tokens([adapter]).tokens, merged)
    assert np.array_equal(tokens([(adapter, 1)]).tokens, merged)
    assert np.array_equal(tokens([(adapter, 0)]).tokens, plain)
    assert np.array_equal(tokens([(adapter, 0.5), (adapter, 0.5)]).tokens, merged)


def test_top_p_and_min_p():
    drawn = tokens(temperature=0.9, top_p=0.3, depth_min_p=0.2)
    assert not np.array_equal(drawn.tokens, tokens(temperature=0.9).tokens)


def test_several_by_name_over_one_model(adapter):
    adapters = {"half": (adapter, 0.5), "all": adapter, "none": (adapter, 0)}
    with csm.Model(CSM_A, engine="native", dtype="f32", adapters=adapters) as model:
        assert model.info["adapters"] == ["half", "all", "none"]

        def speak(name):
            return model.speak("Hello", max_audio_length_ms=320, seed=3, adapter=name)

        alone = {name: speak(name) for name in [*adapters, None]}
        assert [alone[name].report["adapter"] for name in alone] == ["half", "all", "none", ""]
        assert np.array_equal(alone["none"].tokens, alone[None].tokens)
        assert not np.array_equal(alone["all"].tokens, alone[None].tokens)
        assert not np.array_equal(alone["all"].tokens, alone["half"].tokens)
        streams = {name: model.stream("Hello", max_audio_length_ms=320, seed=3, adapter=name)
                   for name in alone}
        for name, stream in streams.items():  # beside each other
            codes = np.stack([frame.codes for frame in stream])
            assert np.array_equal(codes, alone[name].tokens), name
        with pytest.raises(ValueError, match="adapter 'other': unknown, expected half, all, none"):
            speak("other")
    with pytest.raises(TypeError, match="adapters: expected a dict"):
        csm.Model(CSM_A, adapters=[adapter])
    with pytest.raises(ValueError, match="adapter 'x': unknown, expected none: the model has none"):
        csm.Model(CSM_A, engine="native").speak("a", adapter="x")
