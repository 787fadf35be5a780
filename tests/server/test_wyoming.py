# SPDX-License-Identifier: Apache-2.0
"""The Wyoming port, by the wyoming package's own client, and by what it never sends."""

import asyncio
import json
import socket

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop,
                         SynthesizeStopped, SynthesizeVoice)

from conftest import PATIENCE, TEXT, wait_until

TEXTS = ["Hel", "lo there. This is the sec", "ond sentence. And", " the last"]


def talk(server, *events, until):
    """The events that come for those that are sent, up to one of a type."""

    async def run():
        found = []
        async with AsyncTcpClient("127.0.0.1", server.wyoming_port) as client:
            for event in events:
                await client.write_event(event.event() if not isinstance(event, Event) else event)
            while not found or found[-1].type != until:
                event = await asyncio.wait_for(client.read_event(), 30 * PATIENCE)
                assert event is not None, "closed"
                found.append(event)
        return found

    return asyncio.run(run())


def sound_of(events):
    start = [e for e in events if AudioStart.is_type(e.type)]
    assert len(start) == 1
    first = AudioStart.from_event(start[0])
    assert (first.rate, first.width, first.channels) == (24000, 2, 1)
    return b"".join(AudioChunk.from_event(e).audio for e in events if AudioChunk.is_type(e.type))


def test_describe_tells_voices_and_streaming(server):
    info = Info.from_event(talk(server, Describe(), until="info")[0])
    (program,) = info.tts
    assert program.supports_synthesize_streaming and program.installed
    names = [v.name for v in program.voices]
    assert names[:4] == ["rms", "slt", "awb", "kal16"] and "alloy" in names
    assert all(v.languages == ["en"] for v in program.voices)


def test_a_whole_text_is_said(server):
    events = talk(server, Synthesize(text=TEXT, voice=SynthesizeVoice(name="slt")), until="audio-stop")
    assert len(sound_of(events)) >= 3840
    assert AudioStop.is_type(events[-1].type)


def test_a_text_is_said_as_it_is_written(server):
    events = talk(server, SynthesizeStart(voice=SynthesizeVoice(name="slt")),
                  *[SynthesizeChunk(text=t) for t in TEXTS], Synthesize(text="".join(TEXTS)),
                  SynthesizeStop(), until="synthesize-stopped")
    assert [e.type for e in events[-2:]] == ["audio-stop", "synthesize-stopped"]
    # Three sentences with pauses of 160 ms between them, each of one frame at least.
    assert len(sound_of(events)) >= 3 * 3840 + 2 * 2 * 3840
    assert SynthesizeStopped.is_type(events[-1].type)


def test_the_first_sentence_is_heard_before_the_text_ends(server):
    async def run():
        async with AsyncTcpClient("127.0.0.1", server.wyoming_port) as client:
            await client.write_event(SynthesizeStart().event())
            for t in TEXTS[:2]:
                await client.write_event(SynthesizeChunk(text=t).event())
            while (event := await asyncio.wait_for(client.read_event(), 30)).type != "audio-chunk":
                pass
            await client.write_event(SynthesizeStop().event())
            while (event := await asyncio.wait_for(client.read_event(), 30)).type != "synthesize-stopped":
                pass

    asyncio.run(run())


def test_several_texts_one_after_another_on_one_connection(server):
    events = talk(server, *[Synthesize(text=TEXT)] * 3, Ping(text="x"), until="pong")
    assert [e.type for e in events].count("audio-stop") == 3
    assert Pong.from_event(events[-1]).text == "x"


def test_unknown_events_do_no_harm(server):
    events = talk(server, Event("run-satellite", {"a": 1}), Event("audio-chunk", {"rate": 1}, b"\0" * 100000),
                  Synthesize(text=TEXT), until="audio-stop")
    assert len(sound_of(events)) >= 3840


def test_a_voice_is_found_or_told_and_never_another(server):
    for voice in ({"name": "en_US-lessac"}, {"name": "alloy", "speaker": "nobody"}, "alloy", {"name": 5},
                  {"name": "alloy", "speaker": 2}):
        events = talk(server, Event("synthesize", {"text": TEXT, "voice": voice}), until="audio-stop")
        assert [e.type for e in events] == ["error", "audio-start", "audio-stop"], voice
        assert events[0].data["text"].startswith("voice: ")
        # Told once, however much text comes after it.
        events = talk(server, Event("synthesize-start", {"voice": voice}),
                      *[SynthesizeChunk(text=t) for t in TEXTS], SynthesizeStop(), until="synthesize-stopped")
        assert [e.type for e in events] == ["error", "synthesize-stopped"], voice
    assert wait_until(lambda: any("Wyoming: voice: there is none" in line for line in server.log))
    # The next text of the connection is not held against it, and a number is a speaker's.
    for voice in {"name": "alloy"}, {"name": "alloy", "speaker": "1"}, {"name": None}, {}, None:
        events = talk(server, Synthesize(text="x", voice=SynthesizeVoice(name="nobody")),
                      Event("synthesize", {"text": TEXT, "voice": voice}), Ping(text="x"), until="pong")
        assert len(sound_of(events[3:])) >= 3840, voice


def test_a_new_start_breaks_off_the_text_before(server):
    events = talk(server, SynthesizeStart(), SynthesizeChunk(text="One two three four. And five"),
                  SynthesizeStart(), SynthesizeChunk(text=TEXT), SynthesizeStop(), Ping(text="x"), until="pong")
    types = [e.type for e in events]
    assert types.count("synthesize-stopped") == 2
    second = events[types.index("synthesize-stopped") + 1:]
    (alone,) = {len(sound_of(second))}
    assert 3840 <= alone < 2 * 24000 * 2  # the greeting alone, without "And five" before it


def test_a_text_without_its_start_is_told(server):
    for event in SynthesizeChunk(text=TEXT), SynthesizeStop():
        events = talk(server, event, Ping(text="x"), until="pong")
        assert [e.type for e in events] == ["error", "pong"]


def test_nothing_to_say_is_answered_too(server):
    events = talk(server, SynthesizeStart(), SynthesizeStop(), until="synthesize-stopped")
    assert [e.type for e in events] == ["synthesize-stopped"]
    for text in "", " \n":  # a client waits for audio-stop
        events = talk(server, Synthesize(text=text), until="audio-stop")
        assert [e.type for e in events] == ["audio-start", "audio-stop"], text
    for text in "😀", "!!!":
        events = talk(server, Synthesize(text=text), until="audio-stop")
        assert [e.type for e in events] == ["error", "audio-start", "audio-stop"], text
        assert events[0].data["text"] == "input: nothing in it can be said"
        events = talk(server, SynthesizeStart(), SynthesizeChunk(text=text), SynthesizeStop(),
                      until="synthesize-stopped")
        assert [e.type for e in events] == ["error", "synthesize-stopped"], text


def test_remarks_are_in_the_log(start):
    s = start("--wyoming-port", 0)
    talk(s, Synthesize(text="Привет, hello.", voice=SynthesizeVoice(name="90")), until="audio-stop")
    for code in "unknown-speaker", "unspoken-letters":
        assert wait_until(lambda: any(f"Wyoming: {code}: " in line for line in s.log)), s.log


def test_a_text_that_is_none_is_told(server):
    for data in {}, {"text": None}, {"text": 5}:
        events = talk(server, Event("synthesize", data), until="audio-stop")
        assert [e.type for e in events] == ["error", "audio-start", "audio-stop"], data
        assert "expected a text" in events[0].data["text"]
    events = talk(server, SynthesizeStart(), Event("synthesize-chunk", {"text": 5}), SynthesizeStop(),
                  until="synthesize-stopped")
    assert [e.type for e in events] == ["error", "synthesize-stopped"]


def test_what_is_no_event_is_told_and_closed(server):
    for wrong in (b"nonsense\n", b"{}\n", b'{"type": 3}\n', b'{"type":"x","data_length":-1}\n',
                  b'{"type":"x","data_length":3}\nabc', b"x" * 70000, b'{"type":"x","data_length":99999999}\n'):
        with socket.create_connection(("127.0.0.1", server.wyoming_port), timeout=10) as s:
            s.sendall(wrong)
            received = b""
            while piece := s.recv(65536):
                received += piece
        assert json.loads(received.split(b"\n")[0])["type"] == "error", wrong
