# SPDX-License-Identifier: Apache-2.0
"""POST /v1/audio/speech through OpenAI's own client, and what csm generate says of the same."""

import base64
import concurrent.futures
import io
import json
import random
import re

import av
import openai
import pytest

from conftest import TEXT, Server, data_uri, generate, recording, wav

LONG = "Hello there. This is the second sentence, which is longer. And here are 3 more words!"
FORMATS = {"mp3": ("audio/mpeg", b"\xff\xf3", 3 * 1152), "opus": ("audio/ogg", b"OggS", 3 * 1152),
           "aac": ("audio/aac", b"\xff\xf1", 3 * 1152), "flac": ("audio/flac", b"fLaC", 0),
           "wav": ("audio/wav", b"RIFF", 0), "pcm": ("audio/pcm;rate=24000;channels=1", b"", 0)}
VOICES = "alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse".split()


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.base + "/v1", api_key="none", max_retries=0) as c:
        yield c


def n_samples_of(sound, format):
    """How many samples of 24 kHz FFmpeg decodes."""
    if format == "pcm":
        return len(sound) // 2
    with av.open(io.BytesIO(sound)) as f:
        return sum(frame.samples * 24000 // frame.sample_rate for frame in f.decode(audio=0))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("streamed", [False, True])
def test_openai_client_gets_every_format(client, format, streamed):
    expected = len(generate(TEXT, 3)) // 2
    extra = {"stream_format": "audio"} if streamed else {}
    response = client.audio.speech.with_raw_response.create(
        input=TEXT, model="tts-1", voice="alloy", response_format=format, extra_body={"seed": 3},
        **extra)
    sound = response.content
    media_type, magic, slack = FORMATS[format]
    assert response.headers["content-type"] == media_type
    assert response.headers["x-seed"] == "3"
    assert ("content-length" in response.headers) == (not streamed and format != "pcm")
    assert sound.startswith(magic)
    # Beside the sound a decoder may find the coder's delay and its last frame: mp3's are 1152
    # samples, and no other format's are longer.
    assert expected <= n_samples_of(sound, format) <= expected + slack
    if format == "wav" and streamed:
        assert sound[4:8] == b"\xff\xff\xff\xff" and len(sound) >= 44 + 2 * expected


def test_default_is_a_whole_mp3(client):
    response = client.audio.speech.with_raw_response.create(input=TEXT, model="x", voice="nova")
    assert response.headers["content-type"] == "audio/mpeg"
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.headers["x-finish-reason"] == "stop"
    assert int(response.headers["x-completion-tokens"]) == int(
        float(response.headers["x-audio-duration-ms"])) // 80


def test_streaming_response_comes_in_pieces(client):
    with client.audio.speech.with_streaming_response.create(
            input=LONG, model="tts-1", voice="alloy", response_format="pcm",
            extra_body={"seed": 1}) as response:
        pieces = list(response.iter_bytes())
    assert len(pieces) > 3
    assert b"".join(pieces) == generate(LONG, 1)


def test_events_carry_the_same_sound(client, server):
    with client.audio.speech.with_streaming_response.create(
            input=TEXT, model="gpt-4o-mini-tts", voice="alloy", response_format="pcm",
            stream_format="sse", extra_body={"seed": 1}) as response:
        assert response.headers["content-type"] == "text/event-stream"
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    assert [e["type"] for e in events[-2:]] == ["speech.audio.delta", "speech.audio.done"]
    sound = b"".join(base64.b64decode(e["audio"]) for e in events[:-1])
    assert sound == generate(TEXT, 1)
    usage = events[-1]["usage"]
    assert usage["output_tokens"] == len(sound) // 3840
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.parametrize("voice", VOICES)
def test_every_openai_voice_speaks(server, voice):
    assert len(server.speak(voice=voice, seed=1, max_audio_ms=400)) >= 3840


def test_voice_may_be_an_object_or_a_number(server):
    assert server.speak(voice={"id": "slt"}, seed=2) == server.speak(voice="1", seed=2)
    assert server.speak(voice=1, seed=2) == server.speak(voice="1", seed=2)
    assert server.speak(voice="slt", seed=2) == generate(TEXT, 2, "--voice", "slt")
    assert server.speak(speaker=2, seed=2) == generate(TEXT, 2, "--speaker", 2)
    assert server.speak(speaker="slt", seed=2) == server.speak(voice="slt", seed=2)


def test_settings_are_those_of_csm_generate(server):
    sound = server.speak(LONG, seed=9, temperature=0.5, top_k=10, depth_temperature=0.4, depth_top_k=5)
    assert sound == generate(LONG, 9, "--temperature", 0.5, "--topk", 10, "--depth-temperature", 0.4,
                             "--depth-topk", 5)
    assert server.speak(seed=9, temperature=0) == generate(TEXT, 9, "--temperature", 0)


def test_pauses_and_markup_are_those_of_csm_generate(server):
    text = 'Hello there.<break time="300ms"/> This is **the** second sentence. <break time="200ms"/>'
    assert server.speak(text, seed=2) == generate(text, 2)
    assert server.speak('<break time="100ms"/>Hello.', seed=2) == generate('<break time="100ms"/>Hello.', 2)


def test_length_limit_is_told(server):
    status, headers, sound = server.request("POST", "/v1/audio/speech", {
        "input": LONG, "response_format": "wav", "max_audio_ms": 400, "seed": 1})
    assert status == 200 and headers["X-Finish-Reason"] == "length"
    assert headers["X-Completion-Tokens"] == "5"


REMARKS = [({"max_audio_ms": 400}, ["cut"]), ({"input": "Hello. Привет."}, ["unspoken-letters"]),
           ({"input": "<think>Let me see.</think>Hello.", "normalize": True}, ["unspoken-thoughts"]),
           ({"speaker": 77, "seed": 1}, ["unknown-speaker"]), ({"voice": "rms", "instructions": ""}, []),
           ({"instructions": "Speak cheerfully."}, ["unused-instructions"]),
           ({"ref_audio": "silent", "ref_text": "Nothing."}, ["silent-recording"]),
           ({"ref_audio": "speech", "ref_text": "Words, " * 12}, ["unlikely-text"]),
           ({"ref_audio": "cut", "ref_text": "Some words."}, ["cut-recording"]),
           ({"ref_audio": "speech", "ref_text": "Some words.", "speaker": 2, "context": "speech"}, ["other-speaker"])]


@pytest.mark.parametrize("fields, codes", REMARKS)
def test_what_does_not_come_out_as_asked_is_told(server, fields, codes):
    """Whole: in a header; as events: with words; in a batch: with each."""
    sounds = {"silent": data_uri(wav(bytes(96000))), "speech": data_uri(recording()),
              "cut": data_uri(recording()[:-24000])}
    asked = {"input": LONG, "response_format": "wav", "seed": 1, "guard": False} | fields
    asked = {k: sounds.get(v, v) if isinstance(v, str) else v for k, v in asked.items()}
    if "context" in asked:
        asked["context"] = [{"text": "Some words.", "audio": asked.pop("ref_audio"), "speaker": 5}]
        del asked["ref_text"]

    status, headers, _ = server.request("POST", "/v1/audio/speech", asked)
    assert status == 200 and headers.get("X-Remarks") == (", ".join(codes) or None)
    _, _, events = server.request("POST", "/v1/audio/speech", asked | {"stream_format": "sse"})
    done = json.loads(events.decode().split("event: speech.audio.done\ndata: ")[1])
    assert [r["code"] for r in done["remarks"]] == codes
    assert all(r["message"] for r in done["remarks"])
    _, _, batch = server.request("POST", "/v1/audio/speech/batch", {"items": [asked]})
    item = json.loads(batch)["results"][0]
    assert [r["code"] for r in item["remarks"]] == codes


def test_seed_not_given_is_told_and_repeats(server):
    _, headers, first = server.request("POST", "/v1/audio/speech",
                                       {"input": TEXT, "response_format": "pcm"})
    _, other, second = server.request("POST", "/v1/audio/speech",
                                      {"input": TEXT, "response_format": "pcm"})
    assert headers["X-Seed"] != other["X-Seed"] and first != second
    assert server.speak(seed=int(headers["X-Seed"])) == first


@pytest.mark.parametrize("format, rate", [("wav", 16000), ("pcm", 8000), ("flac", 44100), ("mp3", 48000)])
def test_sample_rate_is_csm_generates(server, format, rate):
    status, headers, sound = server.request("POST", "/v1/audio/speech", {
        "input": TEXT, "seed": 4, "response_format": format, "sample_rate": rate})
    assert status == 200
    assert format != "pcm" or headers["Content-Type"] == "audio/pcm;rate=8000;channels=1"
    if format in ("wav", "pcm"):
        assert sound[-2000:] == generate(TEXT, 4, "--sample-rate", rate)[-2000:]
    else:
        with av.open(io.BytesIO(sound)) as f:
            assert f.streams.audio[0].rate == rate


def test_a_sample_rate_that_a_format_has_not_is_refused(server):
    for rate, format in ((7999, "wav"), (96000, "wav"), (9000, "mp3")):
        status, _, answer = server.request("POST", "/v1/audio/speech", {
            "input": TEXT, "response_format": format, "sample_rate": rate})
        assert status == 400, answer


def test_a_base_url_without_v1_and_voices_in_any_case(server):
    with openai.OpenAI(base_url=server.base, api_key="none", max_retries=0) as c:
        sound = c.audio.speech.create(model="tts-1", voice="Alloy", input=TEXT, response_format="pcm",
                                      extra_body={"seed": 1}).read()
        assert [m.id for m in c.models.list()] and c.models.retrieve("tts-1").id == "tts-1"
    assert sound == server.speak(voice="alloy", seed=1)
    assert server.request("GET", "/audio/voices/slt")[0] == 200
    assert server.request("GET", "/v1/health")[0] == 404


@pytest.mark.parametrize("speed", [0.5, 2.0, 4.0])
def test_speed_changes_the_length_alone(server, speed):
    plain, changed = server.speak(LONG, seed=4), server.speak(LONG, seed=4, speed=speed)
    # Sonic works in pitch periods; its last one may be up to 65 Hz's, on either side.
    assert abs(len(changed) - len(plain) / speed) < 2 * 24000 / 65 * 4


def test_unknown_fields_are_ignored_and_nulls_are_defaults(server):
    assert server.speak(seed=1, voice=None, speed=None, language="Auto", task_type="CustomVoice",
                        foo={"bar": []}) == server.speak(seed=1)


def test_trailers_tell_how_a_stream_ended(server):
    answer = server.raw(b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                        b"Content-Length: 57\r\n\r\n"
                        b'{"input":"Hello there.","response_format":"pcm","seed":1}')
    head, rest = answer.split(b"\r\n\r\n", 1)
    assert b"X-Remarks: " not in rest
    assert b"Transfer-Encoding: chunked" in head and b"Trailer: X-Finish-Reason" in head
    assert b"X-Accel-Buffering: no" in head
    tail = rest[rest.rindex(b"\r\n0\r\n"):]
    assert b"X-Finish-Reason: stop\r\n" in tail and b"X-RTF: " in tail


WRONG = [({}, "input"), ({"input": ""}, "input"), ({"input": " \n"}, "input"), ({"input": 3}, "input"),
         ({"input": "🎉"}, "input"), ({"input": "x" * 4097}, "input"), ({"voice": "nobody"}, "voice"),
         ({"voice": -1}, "voice"), ({"voice": 1.5}, "voice"), ({"voice": {}}, "voice"), ({"response_format": "ogg"}, "response_format"),
         ({"speed": 0.1}, "speed"), ({"speed": "fast"}, "speed"), ({"stream_format": "x"}, "stream_format"),
         ({"seed": 1.5}, "seed"), ({"seed": 2**64}, "seed"), ({"seed": -2**63 - 1}, "seed"), ({"seed": True}, "seed"),
         ({"seed": ""}, "seed"), ({"seed": "x"}, "seed"), ({"seed": "7"}, "seed"), ({"seed": "1" * 21}, "seed"),
         ({"temperature": -1}, "temperature"),
         ({"top_p": 0}, "top_p"), ({"top_k": -1}, "top_k"), ({"max_audio_ms": 1}, "max_audio_ms"),
         ({"speaker": -1}, "speaker"), ({"ref_text": "x"}, "ref_text"), ({"ref_audio": "AAAA"}, "ref_audio"),
         ({"ref_audio": "https://example.org/a.wav", "ref_text": "x"}, "ref_audio"),
         ({"ref_audio": "file:///etc/passwd", "ref_text": "x"}, "ref_audio"),
         ({"context": [{"text": "x"}]}, "context"), ({"split": "word"}, "split"),
         ({"sampler": "torch"}, "sampler"), ({"sampler": 1}, "sampler"),
         ({"sample_rate": 7000}, "sample_rate"), ({"instructions": 1}, "instructions")]


@pytest.mark.parametrize("body,what", [
    (b'{"input": "Hi.", "top_k": 18446744073709551615}', "a number that is too large"),
    (b'{"input": "Hi.", "input": "You."}', "a key that is there already"),
    (b'{"input": "H\\u0000i."}', "\\u0000, which no text may hold"),
    (b'{"input": "Hi."', "column 15"), (b'{"input": "H\xff"}', "no UTF-8"), (b"", "column 0")])
def test_what_is_no_json_is_told(server, body, what):
    status, _, answer = server.request("POST", "/v1/audio/speech", body, {"Content-Type": "application/json"})
    assert status == 400 and what in json.loads(answer)["error"]["message"]


@pytest.mark.parametrize("fields,param", WRONG, ids=lambda x: str(x)[:40])
def test_wrong_fields_are_refused_by_name(server, fields, param):
    body = {"input": TEXT, "response_format": "pcm", **fields}
    if fields == {}:
        del body["input"]
    status, headers, answer = server.request("POST", "/v1/audio/speech", body)
    error = json.loads(answer)["error"]
    assert status == 400 and headers["Content-Type"] == "application/json"
    assert error["type"] == "invalid_request_error" and (error["param"] == param or "input" in error["message"])
    assert set(error) == {"message", "type", "param", "code"}


def test_openai_client_raises_its_own_errors(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.audio.speech.create(input=TEXT, model="tts-1", voice="nobody")
    assert error.value.param == "voice" and error.value.code == "voice_not_found"


def test_a_recording_changes_who_speaks(server, csm, tmp_path):
    sample = recording()
    (tmp_path / "sample.wav").write_bytes(sample)
    said = "This is how I speak when I am asked to read a line aloud."
    sound = server.speak(seed=3, ref_audio=data_uri(sample), ref_text=said)
    assert sound == generate(TEXT, 3, "--context-audio", tmp_path / "sample.wav", "--context-text", said)
    assert sound == server.speak(seed=3, references=[{"audio_path": data_uri(sample), "text": said}])
    assert sound != server.speak(seed=3)


def test_context_is_the_conversation_so_far(server, tmp_path):
    sample = recording()
    (tmp_path / "sample.wav").write_bytes(sample)
    sound = server.speak(seed=3, context=[{"text": "Good day.", "audio": data_uri(sample), "speaker": 2}])
    assert sound == generate(TEXT, 3, "--context-audio", tmp_path / "sample.wav", "--context-text",
                             "Good day.", "--context-speaker", 2)


def test_what_is_said_is_marked_unless_told_otherwise(csm, tmp_path):
    s = Server(voices=tmp_path / "v")
    text = " ".join([LONG] * 2)
    for format in ("wav", "mp3"):
        status, _, sound = s.request("POST", "/v1/audio/speech",
                                     {"input": text, "response_format": format, "seed": 1})
        (tmp_path / f"marked.{format}").write_bytes(sound)
        assert b"AI-generated" in sound or format == "mp3"
    for most_ms, codes in (160, "cut, short-mark"), (240, "cut"):
        _, headers, _ = s.request("POST", "/v1/audio/speech", {"input": text, "seed": 1, "max_audio_ms": most_ms})
        assert headers["X-Remarks"] == codes
    assert s.stop() == 0
    assert csm("detect", tmp_path / "marked.wav", tmp_path / "marked.mp3").returncode == 0
    csm("generate", "--text", text, "--seed", 1, "--mark", "--output", tmp_path / "same.wav", "--quiet")
    assert (tmp_path / "same.wav").read_bytes() == (tmp_path / "marked.wav").read_bytes()
    csm("generate", "--text", text, "--seed", 1, "--output", tmp_path / "plain.wav", "--quiet")
    assert csm("detect", tmp_path / "plain.wav", check=False).returncode == 1


@pytest.mark.parametrize("asked,seed", [(2**64 - 1, 2**64 - 1), (-1, 2**64 - 1), (str(2**64 - 1), 2**64 - 1),
                                        (2**63, 2**63), (-2**63, 2**63), (str(-2**63), 2**63),
                                        (str(2**53 + 1), 2**53 + 1), (str(-2**53 - 1), 2**64 - 2**53 - 1)])
def test_seeds_are_those_of_csm_generate(server, asked, seed):
    """64 bits without a sign, wherever they are told: headers, events, batches."""
    _, headers, sound = server.request("POST", "/v1/audio/speech",
                                       {"input": TEXT, "seed": asked, "response_format": "pcm"})
    assert headers["X-Seed"] == str(seed) and sound == generate(TEXT, seed)
    _, _, events = server.request("POST", "/v1/audio/speech", {"input": TEXT, "seed": asked, "stream": True})
    assert json.loads(events.decode().rsplit("data: ", 1)[1])["seed"] == seed
    items = {"items": [{"input": TEXT, "seed": asked}, {"input": TEXT, "seed": 3}, {"input": TEXT, "seed": asked}]}
    _, _, answer = server.request("POST", "/v1/audio/speech/batch", items)
    assert [r["seed"] for r in json.loads(answer)["results"]] == [seed, 3, seed]


def test_a_batch_is_whole(server):
    for asked in ({"stream": True}, {"stream_format": "audio"}):
        for body, param in (({"items": [{"input": TEXT}], **asked}, "items[0].stream"),
                            ({"items": [{"input": TEXT}, {"input": TEXT, **asked}]}, "items[1].stream")):
            status, _, answer = server.request("POST", "/v1/audio/speech/batch", body)
            assert status == 400 and json.loads(answer)["error"]["param"] == param


def test_what_is_cut_is_told_by_its_place_in_the_whole(server):
    """In the first sentence, after which the second is not begun, and in the second."""
    first = len(server.speak("Hello there.", seed=1)) // 3840
    for n in first, first + 1:
        status, _, events = server.request("POST", "/v1/audio/speech", {
            "input": "Hello there. And you?", "seed": 1, "max_new_tokens": n, "stream_format": "sse"})
        done = json.loads(events.decode().split("data: ")[-1])
        assert (status, done["finish_reason"], done["usage"]["output_tokens"]) == (200, "length", n)
        assert [r["code"] for r in done["remarks"]] == ["cut"]
        assert f"cut at {0.08 * n:.2f} s" in done["remarks"][0]["message"]


def test_batch_says_each_with_its_own_settings(server):
    items = [{"input": TEXT, "seed": i} for i in range(5)] + [{"input": TEXT, "seed": 1, "voice": "nobody"}]
    status, _, answer = server.request("POST", "/v1/audio/speech/batch",
                                       {"items": items, "response_format": "pcm", "voice": "slt"})
    found = json.loads(answer)
    assert status == 200 and (found["total"], found["succeeded"], found["failed"]) == (6, 5, 1)
    for i, result in enumerate(found["results"][:5]):
        assert result["index"] == i and result["media_type"].startswith("audio/pcm")
        assert base64.b64decode(result["audio_data"]) == server.speak(voice="slt", seed=i)
    assert found["results"][5]["status"] == "error"
    for wrong, param in (({}, "items"), ({"items": []}, "items"), ({"items": [{}]}, "items[0].input"),
                         ({"items": [{"input": "x"}] * 33}, "items"), ({"items": [{"input": "x"}, 5]}, "items[1]"),
                         ({"items": [{"input": "x"}, {"input": "x", "speed": 9}]}, "items[1].speed")):
        status, _, answer = server.request("POST", "/v1/audio/speech/batch", wrong)
        assert (status, json.loads(answer)["error"]["param"]) == (400, param), wrong


def test_a_voice_of_an_item_is_its_own_whichever_way_it_is_named(server):
    voices = [2, "slt", {"id": "1"}, 3.0, "3"]
    for common in 1, "rms":
        _, _, answer = server.request("POST", "/v1/audio/speech/batch", {
            "items": [{"input": TEXT, "voice": v} for v in voices], "voice": common, "seed": 4,
            "response_format": "pcm"})
        for voice, result in zip(voices, json.loads(answer)["results"], strict=True):
            assert base64.b64decode(result["audio_data"]) == server.speak(voice=voice, seed=4), (common, voice)


def test_a_sampler_may_be_named(server):
    for sampler, settings in ("transformers", {"top_p": 0.8}), ("csm-mlx", {"min_p": 0.1}), ("sesame", {}):
        options = [x for k, v in settings.items() for x in ("--" + k.replace("_", "-"), v)]
        assert server.speak(LONG, seed=9, sampler=sampler, **settings) == generate(
            LONG, 9, "--sampler", sampler, *options), sampler


def without_times(answer):
    """Events end with how long it took."""
    return re.sub(rb'"(rtf|first_audio_ms)": ?[0-9.e-]+', b"", answer)


def test_the_request_alone_decides(server):
    """The same bytes one at a time and 64 at once, in any order and format; tests/long has 1,000."""
    n, generated = 64, (0, 7, 33)
    asked = [{"text": f"{TEXT} Number {i}." if i % 3 == 0 else TEXT, "seed": i,
              "response_format": "pcm" if i in generated else [*FORMATS][i % 6],
              "stream_format": "audio" if i % 5 else "sse",
              "voice": VOICES[i % len(VOICES)]} for i in range(n)]
    for i in generated:
        del asked[i]["stream_format"]
    alone = [server.speak(**a) for a in asked]
    order = random.Random(1).sample(range(n), n)
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        together = dict(zip(order, pool.map(lambda i: server.speak(**asked[i]), order)))
    assert all(without_times(together[i]) == without_times(alone[i]) for i in range(n))
    for i in generated:
        assert alone[i] == generate(asked[i]["text"], i, "--voice",
                                    ["rms", "slt", "awb", "kal16"][i % len(VOICES) % 4])
