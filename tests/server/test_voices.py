# SPDX-License-Identifier: Apache-2.0
"""/v1/audio/voices: lists as Open WebUI reads them, recordings that stay, and nothing by halves."""

import json
import os
import random
import signal
import struct
import subprocess
import threading
import time
import uuid

import pytest

from conftest import CSM, TEXT, Server, generate, recording, wait_until, wav

SAID = "This is how I speak when I am asked to read a line aloud."
FORM = {"name": "anna", "ref_text": SAID, "consent": "Anna, in writing, 2026-11-01"}


@pytest.fixture(scope="module")
def sample():
    return recording()


def multipart(sound, fields):
    boundary = uuid.uuid4().hex
    body = b""
    for name, value in fields.items():
        body += (f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n').encode() + \
            str(value).encode() + b"\r\n"
    if sound is not None:
        body += (f'--{boundary}\r\nContent-Disposition: form-data; name="audio_sample"; filename="a.wav"\r\n'
                 "Content-Type: audio/wav\r\n\r\n").encode() + sound + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def upload(server, sound, fields=FORM, **kwargs):
    body, headers = multipart(sound, fields)
    status, _, answer = server.request("POST", "/v1/audio/voices", body, headers, **kwargs)
    return status, json.loads(answer)


def names(server):
    return [v["name"] for v in json.loads(server.request("GET", "/v1/audio/voices")[2])["voices"]]


def test_voices_are_objects_with_id_and_name(server):
    found = json.loads(server.request("GET", "/v1/audio/voices")[2])
    assert all(v["id"] and v["name"] for v in found["voices"])
    assert [v["id"] for v in found["voices"]][:4] == ["rms", "slt", "awb", "kal16"]
    assert "alloy" in names(server) and found["uploaded_voices"] == []


def test_a_recording_becomes_a_voice_that_stays(start, sample, tmp_path):
    s = start(voices=tmp_path / "v")
    status, answer = upload(s, sample)
    assert status == 201 and answer["voice"]["id"] == "anna"
    assert answer["voice"]["consent"] == FORM["consent"]
    sound = s.speak(voice="anna", seed=3)
    (tmp_path / "sample.wav").write_bytes(sample)
    assert sound == generate(TEXT, 3, "--context-audio", tmp_path / "sample.wav", "--context-text", SAID)
    assert s.stop() == 0
    s = start(voices=tmp_path / "v")
    assert s.speak(voice="anna", seed=3) == sound
    kept = json.loads(s.request("GET", "/v1/audio/voices/anna")[2])
    assert kept["uploaded"] and kept["consent"] == FORM["consent"] and kept["created"].endswith("Z")
    # csm generate finds it, too
    os.environ["CSM_VOICES"] = str(tmp_path / "v")
    try:
        assert generate(TEXT, 3, "--voice", "anna") == sound
    finally:
        del os.environ["CSM_VOICES"]
    assert s.request("DELETE", "/v1/audio/voices/anna")[0] == 200
    assert s.request("DELETE", "/v1/audio/voices/anna")[0] == 404
    assert "anna" not in names(s) and list((tmp_path / "v").iterdir()) == []
    assert s.request("DELETE", "/v1/audio/voices/rms")[0] == 404  # the model's own


def voice_command(voices, *args):
    subprocess.run([CSM, "voice", *map(str, args)], env=os.environ | {"CSM_VOICES": str(voices)}, check=True)


def test_what_csm_voice_does_meanwhile_is_seen(start, sample, tmp_path):
    """Added, replaced and removed by another process beside a running server; kept at the next start."""
    wav, voices = tmp_path / "a.wav", tmp_path / "v"
    wav.write_bytes(sample)
    s = start(voices=voices)
    asked = {"input": TEXT, "voice": "zoe", "response_format": "pcm", "seed": 3}
    assert s.request("POST", "/v1/audio/speech", asked)[0] == 400
    voice_command(voices, "add", "zoe", "--audio", wav, "--text", SAID)
    assert "zoe" in names(s)
    first = s.speak(voice="zoe", seed=3)
    assert first == generate(TEXT, 3, "--context-audio", wav, "--context-text", SAID)
    voice_command(voices, "add", "zoe", "--audio", wav, "--text", "Other words.")
    second = s.speak(voice="zoe", seed=3)
    assert second == generate(TEXT, 3, "--context-audio", wav, "--context-text", "Other words.")
    assert s.stop() == 0
    s = start(voices=voices)
    assert s.speak(voice="zoe", seed=3) == second
    voice_command(voices, "remove", "zoe")
    assert s.request("POST", "/v1/audio/speech", asked)[0] == 400 and "zoe" not in names(s)


def test_a_file_that_is_no_voice_is_told_and_left_out(start, tmp_path):
    voices = tmp_path / "v"
    voices.mkdir()
    (voices / "early.safetensors").write_bytes(b"no voice")
    s = start(voices=voices)
    (voices / "late.safetensors").write_bytes(b"no voice")
    assert not {"early", "late"} & set(names(s))
    assert wait_until(lambda: all(any(f"{n}.safetensors: " in line for line in s.log) for n in ("early", "late"))), s.log


WRONG = [({"name": ""}, "name"), ({"ref_text": ""}, "ref_text"), ({"consent": ""}, "consent"),
         ({"name": "a/b"}, None), ({"name": "x" * 65}, None), ({"name": "../x"}, None), ({"name": "slt"}, None),
         ({"speaker": "x"}, "speaker")]


@pytest.mark.parametrize("fields,param", WRONG)
def test_wrong_forms_are_refused(server, sample, fields, param):
    before = names(server)
    status, answer = upload(server, sample, {**FORM, **fields})
    assert status == 400 and (param is None or answer["error"]["param"] == param)
    assert names(server) == before


def test_a_form_has_each_part_once_and_any_file_name(start, sample, tmp_path):
    s = start(voices=tmp_path / "v")
    body, headers = multipart(sample, FORM)
    for name in b'"a; name=b.wav"', b'"a;b"':
        named = body.replace(b'name="audio_sample"; filename="a.wav"', b"filename=" + name + b'; name="audio_sample"')
        assert s.request("POST", "/v1/audio/voices", named, headers)[0] == 201
    assert s.request("DELETE", "/v1/audio/voices/anna")[0] == 200
    for again in b"name", b"ref_text":
        twice = body.replace(b'"consent"', b'"' + again + b'"')
        status, _, answer = s.request("POST", "/v1/audio/voices", twice, headers)
        assert status == 400 and "one of each name" in json.loads(answer)["error"]["message"]
    assert "anna" not in names(s)


def test_a_voice_may_be_called_default(start, sample, tmp_path):
    s = start(voices=tmp_path / "v")
    models = s.speak(voice="default", seed=3)
    assert models == s.speak(seed=3)
    upload(s, sample)
    upload(s, sample, FORM | {"name": "default"})
    assert s.speak(voice="default", seed=3) == s.speak(voice="anna", seed=3) != models
    assert s.speak(seed=3) == models


def test_a_doubtful_recording_is_taken_and_told(start, sample, tmp_path):
    s = start(voices=tmp_path / "v")
    assert upload(s, sample)[1]["remarks"] == []
    for name, sound, text, code in (("long", sample, "Words, " * 100, "unlikely-text"),
                                    ("cut", sample[:-24000], "Some words.", "cut-recording")):
        status, answer = upload(s, sound, FORM | {"name": name, "ref_text": text})
        assert status == 201 and [r["code"] for r in answer["remarks"]] == [code]
        assert answer["remarks"][0]["message"].startswith("the recording: ")


def test_wrong_sounds_and_bodies_are_refused(server, sample):
    before = names(server)
    assert upload(server, None)[1]["error"]["param"] == "audio_sample"
    assert upload(server, b"no sound at all")[0] == 400
    assert "silent" in upload(server, wav(bytes(96000)))[1]["error"]["message"]
    assert upload(server, recording(0.5))[1]["error"]["param"] == "audio_sample"
    nan = wav(struct.pack("<f", float("nan")) * 48000)
    nan = nan[:20] + struct.pack("<HHIIHH", 3, 1, 24000, 96000, 4, 32) + nan[36:]
    assert "sample 0 is not finite" in upload(server, nan)[1]["error"]["message"]
    # A few MB can be hours, which nobody resamples only to see that they are too many.
    slow = wav(bytes(8_000_000))
    slow = slow[:24] + struct.pack("<II", 100, 200) + slow[32:]
    began = time.monotonic()
    assert upload(server, slow)[1]["error"]["message"] == "the recording: longer than the 30 s it may be"
    assert time.monotonic() - began < 5
    assert upload(server, b"\0" * (11 << 20))[0] == 413
    body, headers = multipart(sample, FORM)
    for cut in (0, 10, 100, len(body) // 2, len(body) - 10):
        assert server.request("POST", "/v1/audio/voices", body[:cut], headers)[0] == 400
    assert server.request("POST", "/v1/audio/voices", body, {"Content-Type": "application/json"})[0] == 400
    assert server.request("POST", "/v1/audio/voices", b"{}")[0] == 400
    assert names(server) == before


def test_aliases_are_settable_and_a_recording_may_take_an_openai_name(start, sample):
    s = start("--alias", "alloy=kal16", "--alias", "mine=slt")
    assert s.speak(voice="alloy", seed=1) == generate(TEXT, 1, "--voice", "kal16")
    assert s.speak(voice="mine", seed=1) == generate(TEXT, 1, "--voice", "slt")
    plain = s.speak(voice="nova", seed=1)
    assert upload(s, sample, {**FORM, "name": "nova"})[0] == 201
    assert s.speak(voice="nova", seed=1) != plain


def test_killed_while_voices_are_uploaded_the_old_set_or_the_new_is_there(tmp_path, sample):
    """Twelve times SIGKILL at a random moment: every voice that was answered for speaks, and
    whatever is there can be read."""
    random.seed(1)
    voices, told = tmp_path / "v", set()
    for turn in range(12):
        s = Server("--no-mark", voices=voices)
        assert told <= set(names(s)), "a voice that was answered for is gone"

        def add():
            for i in range(100):
                try:
                    if upload(s, sample, {**FORM, "name": f"v{turn}-{i}"}, timeout=5)[0] == 201:
                        told.add(f"v{turn}-{i}")
                except OSError:
                    return

        adder = threading.Thread(target=add)
        adder.start()
        n = len(told)
        wait_until(lambda: len(told) > n or turn % 3 != 0)  # in every third turn after one is kept
        time.sleep(random.uniform(0.01, 0.3))
        s.stop(signal.SIGKILL)
        adder.join()
    s = Server("--no-mark", voices=voices)
    assert told and told <= set(names(s))
    assert s.speak(voice=sorted(told)[-1], seed=1, max_audio_ms=400)
    s.stop()
