# SPDX-License-Identifier: Apache-2.0
"""Text in as it is written: WS /v1/audio/speech/stream and /v1/realtime."""

import base64
import io
import json
import wave

import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from conftest import PATIENCE, TEXT, Server, data_uri, generate, recording, wait_until

SENTENCES = ["Hello there.", "This is the second sentence.", "And this is the last one."]


class Socket:
    def __init__(self, server, path="/v1/audio/speech/stream", **kwargs):
        self.opened = connect(f"ws://127.0.0.1:{server.port}{path}", max_size=None, **kwargs)
        self.ws = self.opened.__enter__()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ws.close()

    def send(self, type, **fields):
        self.ws.send(json.dumps({"type": type, **fields}))

    def next(self, timeout=30):
        message = self.ws.recv(timeout * PATIENCE)
        return message if isinstance(message, bytes) else json.loads(message)

    def until(self, type):
        """Messages up to one of that type: its list, that one last."""
        found = []
        while not found or isinstance(found[-1], bytes) or found[-1]["type"] != type:
            found.append(self.next())
        return found

    def utterance(self):
        """[(start, sound, done)] of the utterance that is being said."""
        found, start, sound = [], None, b""
        for m in self.until("session.done"):
            if isinstance(m, bytes):
                sound += m
            elif m["type"] == "audio.start":
                start, sound = m, b""
            elif m["type"] == "audio.done":
                found.append((start, sound, m))
        return found


def configured(server, **config):
    s = Socket(server)
    s.send("session.config", **config)
    assert s.next()["type"] == "session.configured"
    return s


def test_a_sentence_is_said_while_the_next_is_written(server):
    with configured(server, response_format="pcm", stream_audio=True, seed=5, voice="slt") as s:
        for word in ["Hello ", "there. ", "This "]:
            s.send("input.text", text=word)
        start = s.next()  # before input.done
        assert start["type"] == "audio.start" and start["sentence_text"] == "Hello there."
        assert (start["format"], start["sample_rate"], start["channels"]) == ("pcm", 24000, 1)
        first = s.until("audio.done")
        s.send("input.text", text="is the second sentence. And this is the last one.")
        s.send("input.done")
        rest = s.utterance()
    assert b"".join(m for m in first if isinstance(m, bytes)) == generate(TEXT, 5, "--voice", "slt")
    assert [r[0]["sentence_text"] for r in rest] == SENTENCES[1:]
    assert all(r[2]["total_bytes"] == len(r[1]) > 0 and not r[2]["error"] for r in rest)


def test_whole_sentences_are_files_of_their_own(server):
    with configured(server, response_format="wav", seed=5) as s:
        s.send("input.text", text=" ".join(SENTENCES))
        s.send("input.done")
        said = s.utterance()
    assert len(said) == 3
    for i, (start, sound, _) in enumerate(said):
        with wave.open(io.BytesIO(sound)) as f:
            assert f.getframerate() == 24000 and f.getnframes() > 0
        assert start["sentence_index"] == i and start["utterance_index"] == 0
    with wave.open(io.BytesIO(said[0][1])) as f:
        assert f.readframes(f.getnframes()) == generate(TEXT, 5)


def test_without_splitting_an_utterance_is_what_http_gives(server):
    with configured(server, response_format="pcm", stream_audio=True, seed=5,
                    split_granularity="none") as s:
        for sentence in SENTENCES:
            s.send("input.text", text=sentence + " ")
        s.send("input.done")
        said = s.utterance()
        assert len(said) == 1
        assert said[0][1] == server.speak(" ".join(SENTENCES), seed=5)
        s.send("input.text", text="Again.")  # the connection stays
        s.send("input.done")
        again = s.utterance()
        assert again[0][0]["utterance_index"] == 1


def test_clauses_and_commits(server):
    with configured(server, response_format="pcm", split_granularity="clause") as s:
        s.send("input.text", text="When it rains, it pours; everybody knows")
        first = s.until("audio.done")[0]
        assert first["sentence_text"] == "When it rains,"
        s.send("input.commit")
        s.send("input.done")
        texts = [r[0]["sentence_text"] for r in s.utterance()]
        assert texts == ["it pours;", "everybody knows"]


def test_utterances_queue_behind_each_other_in_order(server):
    with configured(server, response_format="pcm", seed=1) as s:
        for i in range(4):
            s.send("input.text", text=f"Number {i}.")
            s.send("input.done")
        for i in range(4):
            said = s.utterance()
            assert said[0][0]["utterance_index"] == i
        s.send("session.close")
        with pytest.raises(ConnectionClosed):
            s.next()


def test_wrong_messages_are_told_and_the_socket_stays(server):
    with Socket(server) as s:
        s.send("input.text", text="x")
        assert "session.config" in s.next()["message"]
        s.ws.send("{")
        assert s.next()["type"] == "error"
        s.ws.send("[]")
        assert s.next()["type"] == "error"
        for wrong in ({"voice": "nobody"}, {"split_granularity": "word"}, {"response_format": "x"},
                      {"stream_audio": 1}, {"input": "Hi."}, {"split": "none"}, {"seed": "x"}):
            s.send("session.config", **wrong)
            assert s.next()["type"] == "error", wrong
        s.send("session.config", session={"response_format": "pcm", "seed": 5})
        assert s.next()["type"] == "session.configured"
        s.send("input.nothing")
        assert s.next()["type"] == "error"
        s.send("input.text", text=TEXT)
        s.send("input.done")
        assert s.utterance()[0][1] == generate(TEXT, 5)
        s.send("input.done")  # of nothing
        done = s.next()
        assert (done["type"], done["total_sentences"]) == ("session.done", 0)


def test_a_text_without_anything_to_say_is_told(server):
    with configured(server, response_format="pcm", seed=2**64 - 1) as s:
        for text in "!!!", "\U0001f600", "...  !!!", "<break time='1s'/>":
            s.send("input.text", text=text)
            s.send("input.done")
            error, done = s.until("session.done")
            assert error["error"]["message"] == "input: nothing in it can be said", text
            assert done["total_sentences"] == 0
        s.send("input.text", text=f"!!!\n\n{TEXT}")  # some of it is something
        s.send("input.done")
        (start, sound, _), = s.utterance()
        assert start["seed"] == 2**64 - 1 and sound == generate(TEXT, 2**64 - 1)


def test_a_socket_that_is_closed_says_what_has_come(server):
    for text in "Hello there. And you?", "Hello":
        with configured(server, response_format="pcm", seed=5) as s:
            s.send("input.text", text=text)
            s.send("session.close")
            assert sum(map(len, (sound for _, sound, _ in s.utterance()))) >= 3840, text
            with pytest.raises(ConnectionClosed) as closed:
                s.next()
        assert closed.value.rcvd.code == 1000


def test_each_sound_that_is_too_short_for_its_mark_is_told(tmp_path):
    """Each sentence is a sound of its own here: 0.2 s at this speed, 0.4 in all."""
    s = Server(voices=tmp_path / "v")
    with configured(s, response_format="pcm", speed=4, seed=1) as socket:
        socket.send("input.text", text="Hi. Hi.")
        socket.send("input.done")
        assert [r["code"] for r in socket.until("session.done")[-1]["remarks"]] == ["short-mark"]
    assert s.stop() == 0


def test_a_cut_counts_the_sentences_that_came_behind_it(server):
    """The guard ends the first sentence at the limit; what follows comes later."""
    frames = len(server.speak("Hi.", seed=1, min_audio_ms=9000)) // 3840
    with configured(server, response_format="pcm", seed=1, min_audio_ms=80 * frames, max_new_tokens=frames) as s:
        s.send("input.text", text="Hi. And you? ")
        s.until("audio.done")
        s.send("input.text", text="And they? And we? ")
        s.send("input.done")
        remarks = s.until("session.done")[-1]["remarks"]
    assert [r["code"] for r in remarks] == ["guarded", "cut"] and "cut behind sentence 1 of 4" in remarks[1]["message"]


def test_stream_is_stream_audio(server):
    with configured(server, response_format="pcm", stream=True, seed=5) as s:
        s.send("input.text", text=TEXT)
        s.send("input.done")
        assert sum(isinstance(m, bytes) for m in s.until("session.done")) > 5


def test_a_refused_configuration_changes_nothing(server):
    with configured(server, response_format="pcm", seed=5, voice="slt") as s:
        for wrong in ({"voice": "nobody"}, {"voice": "rms", "response_format": "x"}, {"session": 5},
                      {"seed": 6, "split_granularity": "word"}, {"ref_audio": "data:,x", "ref_text": "x"},
                      {"ref_audio": "AAAA", "ref_text": "No sound file."}):
            s.send("session.config", **wrong)
            assert s.next()["type"] == "error", wrong
            s.send("input.text", text=TEXT)
            s.send("input.done")
            assert s.utterance()[0][1] == generate(TEXT, 5, "--voice", "slt"), wrong


def test_a_recording_speaks_over_the_socket(server):
    said = "This is how I speak when I am asked to read a line aloud."
    sample = data_uri(recording())
    with configured(server, response_format="pcm", seed=3, ref_audio=sample, ref_text=said) as s:
        s.send("input.text", text=TEXT)
        s.send("input.done")
        assert s.utterance()[0][1] == server.speak(seed=3, ref_audio=sample, ref_text=said)


def test_a_socket_that_goes_frees_its_stream(server):
    s = configured(server, response_format="pcm", stream_audio=True)
    s.send("input.text", text="A long one. " * 40)
    s.send("input.done")
    s.until("audio.start")
    assert server.metric("csm_requests_running") >= 1
    s.ws.socket.close()
    assert wait_until(lambda: server.metric("csm_requests_running") == 0)


def test_sigterm_says_what_has_come_and_closes(start):
    server = start()
    with configured(server, response_format="pcm", seed=5) as s:
        s.send("input.text", text="Hello there. And")
        s.until("audio.start")
        server.process.terminate()
        texts = [m["sentence_text"] for m in s.until("session.done")
                 if not isinstance(m, bytes) and m["type"] == "audio.start"]
        assert texts in ([], ["And"])
        with pytest.raises(ConnectionClosed) as closed:
            s.next()
        assert closed.value.rcvd.code == 1001
    assert server.process.wait(20) == 0


def test_sigterm_tells_what_it_does_not_say(start):
    server = start()
    with configured(server, response_format="pcm") as s:
        s.send("input.text", text="Hello")
        s.ws.ping().wait(10)  # it has come
        server.process.terminate()
        error, done = s.until("session.done")
        assert error["error"]["message"] == "the server is ending" and done["total_sentences"] == 0
        with pytest.raises(ConnectionClosed) as closed:
            s.next()
        assert closed.value.rcvd.code == 1001
    assert server.process.wait(20) == 0


def test_a_handshake_is_read_as_http_is(server):
    """Headers in several lines are one (RFC 9110, 5.3); a version or key that is none is told (RFC 6455, 4.2)."""
    lines = {"Host": "x", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}

    def shake(*connection, **other):
        head = "".join(f"{k}: {v}\r\n" for k, v in {**lines, **other}.items())
        head += "".join(f"Connection: {c}\r\n" for c in connection)
        with server.socket() as s:
            s.sendall(f"GET /v1/realtime HTTP/1.1\r\n{head}\r\n".encode())
            return s.recv(4096).decode(errors="replace")

    for connection in (["Upgrade"], ["keep-alive, Upgrade"], ["keep-alive", "upgrade"], ["upgrade", "x"]):
        assert shake(*connection).startswith("HTTP/1.1 101 "), connection
    for wrong in {"Sec-WebSocket-Version": "8"}, {"Sec-WebSocket-Key": "A" * 24}, {"Sec-WebSocket-Key": "!" * 24}:
        answer = shake("Upgrade", **wrong)
        assert answer.startswith("HTTP/1.1 400 ") and "\r\nSec-WebSocket-Version: 13\r\n" in answer, wrong


def test_a_socket_needs_the_key_and_its_own_origin(start, tmp_path):
    (tmp_path / "keys").write_text("secret\n")
    server = start("--api-key-file", tmp_path / "keys")
    with pytest.raises(InvalidStatus) as refused:
        Socket(server)
    assert refused.value.response.status_code == 401
    with Socket(server, additional_headers={"Authorization": "Bearer secret"}) as s:
        s.send("session.config")
        assert s.next()["type"] == "session.configured"
    with Socket(server, "/v1/realtime", subprotocols=["realtime", "openai-insecure-api-key.secret"]) as s:
        assert s.next()["type"] == "session.created" and s.ws.subprotocol == "realtime"
    with pytest.raises(InvalidStatus) as refused:
        Socket(server, additional_headers={"Authorization": "Bearer secret", "Origin": "https://example.org"})
    assert refused.value.response.status_code == 403


# ---- /v1/realtime -------------------------------------------------------------------------


def test_openai_realtime_client_hears_what_it_adds(server):
    client = openai.OpenAI(base_url=server.base + "/v1", api_key="none",
                           websocket_base_url=f"ws://127.0.0.1:{server.port}/v1")
    with client.realtime.connect(model="gpt-realtime") as c:
        assert c.recv().type == "session.created"
        c.session.update(session={"type": "realtime", "audio": {"output": {
            "voice": "slt", "format": {"type": "audio/pcm", "rate": 24000}}}})
        assert c.recv().type == "session.updated"
        c.conversation.item.create(item={"type": "message", "role": "user",
                                         "content": [{"type": "input_text", "text": TEXT}]})
        c.response.create()
        sound, kinds, seed = b"", [], None
        for event in c:
            kinds.append(event.type)
            if event.type == "response.output_audio.delta":
                sound += base64.b64decode(event.delta)
            if event.type == "response.output_audio_transcript.done":
                assert event.transcript == TEXT
            if event.type == "response.done":
                assert event.response.status == "completed"
                seed = event.response.metadata["seed"]
                break
    assert list(dict.fromkeys(kinds)) == [
        "conversation.item.added", "conversation.item.done", "response.created", "response.output_item.added",
        "response.content_part.added", "response.output_audio_transcript.delta", "response.output_audio.delta",
        "response.output_audio.done", "response.output_audio_transcript.done", "response.content_part.done",
        "response.output_item.done", "response.done"]
    assert len(sound) > 3840 and sound == server.speak(seed=int(seed), voice="slt")


BETA = {"header": {"additional_headers": {"OpenAI-Beta": "realtime=v1"}},
        "browser": {"subprotocols": ["realtime", "openai-insecure-api-key.none", "openai-beta.realtime-v1"]},
        "none": {}}


@pytest.mark.parametrize("beta", BETA)
def test_realtime_items_are_there_before_what_belongs_to_them(server, beta):
    """OpenAI's own client keeps items by id, in a conversation, and their parts by index: what names
    one that was not added, or a part that has no text to add to, is an exception there."""
    with Socket(server, "/v1/realtime", **BETA[beta]) as s:
        s.next()
        s.send("response.create", response={"metadata": "1"})
        assert s.next()["error"]["message"] == "response.metadata: expected an object"
        s.send("conversation.item.create", item={"id": "mine", "type": "message", "role": "user", "content": [
            {"type": "input_text", "text": TEXT}]})
        s.send("response.create", response={"metadata": {"client_event_id": "1"}})
        items, told = {}, s.until("response.done")
        assert (told[0]["type"] == "conversation.item.created") == (beta != "none")
        for event in told:
            if event["type"] in ("conversation.item.created", "conversation.item.added"):
                assert event["previous_item_id"] == next(reversed(items), None)
                items[event["item"]["id"]] = event["item"]
            if event["type"] == "response.content_part.added":
                items[event["item_id"]]["content"].append(event["part"])
            if event["type"].endswith("transcript.delta"):
                items[event["item_id"]]["content"][event["content_index"]]["transcript"] += event["delta"]
            if event["type"] in ("response.created", "response.done"):
                assert event["response"]["metadata"]["client_event_id"] == "1"
        mine, its = items.values()
        assert mine["id"] == "mine" and [part["transcript"] for part in its["content"]] == [TEXT]
        assert [e["part"]["transcript"] for e in told if e["type"] == "response.content_part.done"] == [TEXT]
        assert told[-1]["response"]["output"][0]["id"] == its["id"]


def test_realtime_cancels_refuses_and_goes_on(server):
    with Socket(server, "/v1/realtime?model=x", additional_headers={"OpenAI-Beta": "realtime=v1"}) as s:
        assert s.next()["type"] == "session.created"
        s.send("response.create")
        assert s.next()["error"]["message"].startswith("a response: nothing")
        s.send("input_audio_buffer.append", audio="")
        assert "does not listen" in s.next()["error"]["message"]
        s.send("session.update", session={"output_audio_format": "g711_ulaw"})
        assert s.next()["type"] == "error"
        s.send("conversation.item.create", item={"type": "message", "role": "assistant", "content": [
            {"type": "text", "text": "A long one. " * 40}]})
        assert s.next()["type"] == "conversation.item.created"
        s.send("response.create")
        response = s.until("response.audio.delta")[0]["response"]["id"]
        s.send("response.create", event_id="mine")
        assert s.until("error")[-1]["error"]["event_id"] == "mine"
        s.send("response.cancel", response_id="resp_before")  # it came too late for that one
        assert s.until("error")[-1]["error"]["code"] == "response_cancel_not_active"
        s.send("response.cancel", response_id=response)
        told = s.until("response.done")
        assert told[-1]["response"]["status"] == "cancelled"
        # Its parts are over, too, as OpenAI has it, and the item is not whole.
        assert [m["type"] for m in told[-5:-1]] == ["response.audio.done", "response.audio_transcript.done",
                                                    "response.content_part.done", "response.output_item.done"]
        assert told[-2]["item"]["status"] == told[-1]["response"]["output"][0]["status"] == "incomplete"
        s.send("response.create", response={"input": [{"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": TEXT}]}]})
        assert s.until("response.done")[-1]["response"]["status"] == "completed"


def test_realtime_sound_that_was_not_heard_is_truncated(server):
    """As OpenAI's Agents SDK interrupts: it cancels, and tells how much was played."""
    with Socket(server, "/v1/realtime") as s:
        s.next()
        s.send("conversation.item.truncate", item_id="", content_index=0, audio_end_ms=0)
        assert s.next()["error"]["code"] == "item_not_found"
        s.send("response.create", response={"input": [{"content": [{"text": TEXT * 20}]}]})
        item = s.until("response.output_audio.delta")[-1]["item_id"]
        s.send("response.cancel")
        s.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=40)
        s.until("response.done")
        told = s.next()
        assert told.pop("event_id")
        assert told == {"type": "conversation.item.truncated", "item_id": item, "content_index": 0, "audio_end_ms": 40}
        s.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=-1)
        assert s.next()["error"]["message"] == "audio_end_ms: expected milliseconds, 0 or more"


def test_realtime_text_has_its_limit_in_an_item_and_in_a_response(server):
    item = {"type": "message", "content": [{"type": "input_text", "text": "word " * 4000}]}
    with Socket(server, "/v1/realtime") as s:
        s.next()
        for kind, body in (("conversation.item.create", {"item": item}),
                           ("response.create", {"response": {"input": [item]}})):
            s.send(kind, **body)
            assert s.next()["error"]["code"] == "string_above_max_length", kind
            s.send("response.create")
            assert s.next()["error"]["message"].startswith("a response: nothing"), kind


def test_realtime_text_that_a_full_queue_refused_is_still_there(start):
    server = start("--max-streams", 1, "--queue", 1)

    def item(text):
        return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}

    slow, waiting = server.socket(), server.socket()
    with Socket(server, "/v1/realtime") as s:
        s.next()
        s.send("conversation.item.create", item=item(TEXT))
        s.until("conversation.item.done")
        for client in slow, waiting:  # one whose stream fills its buffers, and one behind it
            body = json.dumps({"input": "Hello there. " * 300, "response_format": "pcm", "stream": True}).encode()
            client.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s"
                           % (len(body), body))
            if client is slow:
                assert client.recv(12) == b"HTTP/1.1 200"
        assert wait_until(lambda: server.metric("csm_requests_waiting") == 1)
        s.send("response.create")
        assert s.next()["error"]["code"] == "queue_full"
        slow.close()
        waiting.close()
        assert wait_until(lambda: server.metric("csm_requests_waiting") == 0)
        s.send("response.create")
        said = s.until("response.done")
        assert [m["delta"] for m in said if m["type"] == "response.output_audio_transcript.delta"] == [TEXT]


def test_a_realtime_response_with_input_of_its_own_leaves_the_conversation(server):
    def item(text):
        return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}

    with Socket(server, "/v1/realtime") as s:
        s.next()
        s.send("conversation.item.create", item=item(TEXT))
        s.until("conversation.item.done")
        said = []
        for response in {"conversation": "none", "input": [item("And more.")]}, {"input": []}, {}:
            s.send("response.create", response=response)
            if response == {"input": []}:  # no context, and nothing to say
                assert s.next()["error"]["code"] == "invalid_value"
            else:
                said.append(s.until("response.done")[-1]["response"]["output"][0]["content"][0]["transcript"])
        assert said == ["And more.", TEXT]


def test_realtime_settings_hold_as_long_as_they_should(server):
    """A refused one changes nothing, and a response's is over with the response."""

    def spoken(s, **response):
        s.send("response.create", response={"input": [{"type": "message", "content": [
            {"type": "input_text", "text": TEXT}]}], **response})
        return b"".join(base64.b64decode(m["delta"]) for m in s.until("response.done")
                        if m["type"] == "response.output_audio.delta")

    def output(**of):
        return {"audio": {"output": of}}

    with Socket(server, "/v1/realtime") as s:
        s.next()
        s.send("session.update", session=output(voice="slt", seed=5))
        assert s.next()["session"]["voice"] == "slt"
        slt = generate(TEXT, 5, "--voice", "slt")
        for wrong in (output(voice="rms", speed=9), output(voice={}), output(seed=6, format={"type": "audio/pcmu"}),
                      output(voice="nobody"), output(seed=6, format="g711_ulaw"), None,
                      {"seed": 6, "output_audio_format": 5}):
            s.send("session.update", session=wrong)
            assert s.next()["type"] == "error", wrong
            assert spoken(s) == slt, wrong
        for of in {"voice": "rms"}, {"voice": 2}:
            assert spoken(s, **output(**of)) == server.speak(seed=5, **of) != slt, of
            assert spoken(s) == slt, of


def test_what_a_realtime_response_does_not_say_is_told(server):
    with Socket(server, "/v1/realtime") as s:
        s.next()
        for content in [{"type": "input_audio", "audio": "AAAA"}], "Hi.":
            s.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
            assert "content" in s.next()["error"]["message"]
            s.until("conversation.item.done")
        s.send("session.update", session={"type": "transcription"})
        assert s.next()["error"]["param"] == "session.type"
        s.send("response.create", response={"input": "Hello."})
        assert s.next()["error"]["message"] == "response.input: expected an array of items"
        s.send("response.create", response={"input": [{"type": "item_reference", "id": "x"}]})
        assert "content" in s.next()["error"]["message"]
        assert "nothing was added" in s.next()["error"]["message"]
        s.send("session.update", session={"seed": 2**64 - 1, "speaker": 90})
        s.next()
        s.send("response.create", response={"input": [
            {"role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
            {"type": "function_call_output", "call_id": "x", "output": "Rain."},
            {"content": [{"type": "input_text", "text": TEXT}]}]})
        response = s.until("response.done")[-1]["response"]
        assert response["output"][0]["content"][0]["transcript"] == TEXT
        assert response["metadata"]["seed"] == str(2**64 - 1)
        assert [r["code"] for r in response["remarks"]] == ["unknown-speaker"]


def test_bytes_are_no_message(server):
    for path in "/v1/audio/speech/stream", "/v1/realtime":
        with Socket(server, path) as s, pytest.raises(ConnectionClosed) as closed:
            s.ws.send(b"\0\1")
            while True:
                s.next()
        assert closed.value.rcvd.code == 1003


def test_a_session_that_is_not_of_sound_is_refused(server):
    with Socket(server, "/v1/realtime") as s:
        s.next()
        for session, param in [({"audio": {"output": {"format": {"type": "audio/pcm", "rate": 8000}}}}, "format"),
                               ({"output_modalities": ["text"]}, "modalities"),
                               ({"modalities": ["text"]}, "modalities")]:
            s.send("session.update", session=session)
            assert param in s.next()["error"]["param"], session
        for session in ({"audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}}}},
                        {"modalities": ["audio", "text"]}):
            s.send("session.update", session=session)
            assert s.next()["type"] == "session.updated", session
