# SPDX-License-Identifier: Apache-2.0
"""The types that a user sees: mypy --strict on what the documentation shows."""

import subprocess
import sys

SNIPPET = """
import contextlib
import numpy as np
import csm
from csm.cli.mlx_sample_exact import mlx_sample_exact
from csm.cli.token_analyzer import analyze_distributions, capture_tokens, load_token_analysis
from csm.cli.use_exact_sampling import is_exact_sampling_enabled, patch_mlx_sampling

model = csm.Model.from_pretrained(threads=1)
audio = model.generate("Hello.", seed=42, temperature=0.8)
seconds: float = len(audio) / model.sample_rate
for frame in model.stream("Hi.", context=[csm.Segment(0, "a", audio)]):
    if frame.samples is not None:
        print(frame.samples.mean(), frame.codes[0])
with contextlib.closing(model.stream("Hi.")) as stream:
    first: csm.Frame = next(stream)
with model.stream("Hi.") as stream:
    print([frame.index for frame in stream])
marker = csm.Marker(key=bytes(32))
print(marker.push([0.0]).dtype, csm.detect(audio).found)
speech = model.speak("Hi.", logits=True)
print(speech.report["engine"], speech.tokens.shape)
sampler = csm.Sampler("sesame", "torch-cpu", seed=3)
tokens, margins = sampler.draw(np.zeros((1, 8), np.float32))
sampler.position = 5
print(tokens.shape, margins.dtype, csm.noise("mlx", cols=4), csm.__version__)
print(mlx_sample_exact(np.zeros((1, 8), np.float32), topk=3))
with patch_mlx_sampling():
    print(is_exact_sampling_enabled())
results = capture_tokens(model, "dir", "x")
report = analyze_distributions(results["pytorch"]["tokens"], results["mlx"]["tokens"])
print(report["verdict"], load_token_analysis("x").keys())
try:
    model.generate("Hi.", tempreature=1)  # type: ignore[call-arg]
except csm.EngineError as error:
    print(error)
"""


def test_a_program_over_the_package_is_strictly_typed(tmp_path):
    (tmp_path / "program.py").write_text(SNIPPET)
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "program.py"], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
