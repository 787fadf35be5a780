# SPDX-License-Identifier: Apache-2.0
"""csm serve --adapter NAME=DIR: several voices over one base, by the field `adapter`."""

import array
import concurrent.futures
import json
import random

import pytest

from conftest import ROOT, Server

BASE = ROOT / "tests" / "golden" / "csm-a"
SPOKEN = {"seed": 3, "max_audio_ms": 320, "temperature": 0.9, "guard": False}


def safetensors_header(path):
    with open(path, "rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(8), "little")))


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("adapter")
    rng, header, data = random.Random(1), {}, b""
    shapes = safetensors_header(BASE / "model.safetensors")
    for part in "backbone_model", "depth_decoder.model":
        name = f"{part}.layers.0.mlp.up_proj"
        rows, cols = shapes[f"{name}.weight"]["shape"]
        for leaf, shape in (("lora_A", [4, cols]), ("lora_B", [rows, 4])):
            values = array.array("f", (rng.gauss(0, 0.3) for _ in range(shape[0] * shape[1])))
            header[f"base_model.model.{name}.{leaf}.weight"] = {
                "dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(values)]}
            data += values.tobytes()
    text = json.dumps(header).encode()
    (directory / "adapter_model.safetensors").write_bytes(
        len(text).to_bytes(8, "little") + text + data)
    (directory / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["up_proj"]}))
    s = Server("--model-path", BASE, "--engine", "native", "--no-mark", "--adapter",
               f"anna={directory}", "--adapter", f"ben={directory}:0.5")
    yield s
    assert s.stop() == 0, s.log[-20:]


def test_models_lists_the_names(adapted):
    _, _, answer = adapted.request("GET", "/v1/models")
    models = json.loads(answer)["data"]
    assert models[0]["adapters"] == ["anna", "ben"]
    assert all("adapters" not in other for other in models[1:])


def test_each_request_has_its_own_and_the_same_sound_beside_others(adapted):
    names = ["anna", "ben", None]
    alone = {name: adapted.speak(adapter=name, **SPOKEN) for name in names}
    assert len(set(alone.values())) == 3
    assert adapted.speak(**SPOKEN) == alone[None]
    many = names * 4
    with concurrent.futures.ThreadPoolExecutor(len(many)) as pool:
        sounds = list(pool.map(lambda name: adapted.speak(adapter=name, **SPOKEN), many))
    assert [alone[name] for name in many] == sounds


def test_another_name_is_refused(adapted):
    for wrong in "carl", "", 7:
        status, _, answer = adapted.request("POST", "/v1/audio/speech",
                                            {"input": "a", "adapter": wrong})
        error = json.loads(answer)["error"]
        assert status == 400 and error["param"] == "adapter", answer
        assert "expected a name of the model's adapters (/v1/models)" in error["message"]
