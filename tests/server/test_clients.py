# SPDX-License-Identifier: Apache-2.0
"""The voice agents' frameworks, by their own OpenAI services: pipecat and LiveKit."""

import asyncio

import pytest

from conftest import TEXT

pipecat_tts = pytest.importorskip("pipecat.services.openai.tts", reason="pipecat-ai is not installed")
livekit_openai = pytest.importorskip("livekit.plugins.openai", reason="livekit-plugins-openai is not installed")


def test_pipecat_hears_pcm(server):
    """Its service sends frames of raw sound: those of the text, nothing else."""

    async def run():
        service = pipecat_tts.OpenAITTSService(
            api_key="none", base_url=server.base + "/v1",
            settings=pipecat_tts.OpenAITTSService.Settings(voice="alloy", model="gpt-4o-mini-tts"))
        service._sample_rate = 24000  # a pipeline's StartFrame would set it
        frames = [f async for f in service.run_tts(TEXT, "context")]
        await service._client.close()
        return frames

    frames = asyncio.run(run())
    kinds = [type(f).__name__ for f in frames]
    assert "ErrorFrame" not in kinds, frames
    sound = b"".join(f.audio for f in frames if type(f).__name__ == "TTSAudioRawFrame")
    assert len(sound) >= 3840 and len(sound) % 3840 == 0
    assert not sound.startswith(b"RIFF")


@pytest.mark.parametrize("model", ["gpt-4o-mini-tts", "tts-1"])
@pytest.mark.parametrize("format", ["mp3", "pcm", "wav", "opus", "flac", "aac"])
def test_livekit_hears_every_format_both_ways(server, model, format):
    """Events where the model is a new one, bytes with tts-1; the content type decides."""

    async def run():
        tts = livekit_openai.TTS(api_key="none", base_url=server.base + "/v1", model=model,
                                 response_format=format, voice="ash")
        tts.prewarm()
        n = 0
        async with tts.synthesize(TEXT) as stream:
            async for piece in stream:
                assert piece.frame.sample_rate == 24000 and piece.frame.num_channels == 1
                n += piece.frame.samples_per_channel
        await tts.aclose()
        return n

    n = asyncio.run(run())
    assert n >= 1920
