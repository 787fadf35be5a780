# SPDX-License-Identifier: Apache-2.0
"""The training code's own forward passes are transformers'."""

import pathlib
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
VOICE = pathlib.Path(__file__).resolve().parents[2] / "voice"
sys.path.insert(0, str(VOICE / "train"))

import codec as codec_module
import csm as csm_module
import export
import segments
import sentences

SMALL_CODEC = codec_module.CodecConfig(num_filters=4, hidden_size=64, intermediate_size=64, num_hidden_layers=1,
                                       codebook_size=64, codebook_dim=16, num_quantizers=4)
SMALL_CSM = csm_module.CsmConfig(
    csm_module.StackConfig(64, 96, 2, 4, 2, 16),
    csm_module.StackConfig(32, 48, 1, 2, 1, 16, rope_low=0.001953125, rope_high=0.0078125, rope_original=16),
    num_codebooks=4, vocab_size=67)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A random small model, as trained and as transformers reads it: (codec, csm, theirs, tokenizer)"""
    torch.manual_seed(0)
    codec, model = codec_module.Codec(SMALL_CODEC).eval(), csm_module.Csm(SMALL_CSM).eval()
    codec.initialize(torch.randn(8, 24 * codec_module.FRAME) * 0.1)
    codec.freeze_codebooks()
    model.initialize()
    directory = tmp_path_factory.mktemp("voice")
    for module in codec, model:                 # what the files keep is what we compare
        for value in module.state_dict().values():
            value.copy_(value.half().to(torch.bfloat16) if module is model else value.half())
    export.export(codec, model, directory)
    theirs = transformers.CsmForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
    return codec, model, theirs, transformers.AutoTokenizer.from_pretrained(directory), directory


def distance(a, b):
    return float((a - b).norm() / b.norm())


@torch.no_grad()
def test_the_codec_decodes_as_transformers_does(exported):
    codec, _, theirs, *_ = exported
    codes = torch.randint(1, 64, (2, 12, 4))
    theirs = theirs.codec_model.decode(codes.transpose(1, 2)).audio_values[:, 0]
    assert distance(codec.decode(codes), theirs) < 1e-5      # float32, other order of sums


@torch.no_grad()
def test_the_codec_encodes_as_transformers_does_and_never_says_zero_first(exported):
    codec, _, theirs, *_ = exported
    sound = torch.randn(4, 24 * codec_module.FRAME) * 0.1
    ours, theirs = codec.encode(sound), theirs.codec_model.encode(sound[:, None]).audio_codes.transpose(1, 2)
    # entries of a random codebook lie close together: a near tie may fall to either
    assert (ours[..., 0] == theirs[..., 0]).float().mean() > 0.98
    assert (ours[..., 0] > 0).all()


@torch.no_grad()
def test_backbone_and_depth_decoder_are_those_of_transformers(exported):
    _, model, theirs, tokenizer, _ = exported
    ids = tokenizer("[1]Hello there.")["input_ids"]
    codes = torch.randint(1, 64, (10, 4))
    text = torch.tensor([ids + [-1] * 10])
    frames = torch.cat([torch.full((len(ids), 4), -1), codes])[None]
    alone = torch.zeros(text.shape, dtype=torch.long)
    hidden = model.backbone(text, frames, csm_module.conversation_mask(alone, torch.float32))
    embedded = torch.cat([theirs.embed_text_tokens(torch.tensor([ids])),
                          theirs.backbone_model.embed_tokens(codes[None])], 1)
    # from here on float32 again, in another order
    assert distance(hidden, theirs.backbone_model(inputs_embeds=embedded).last_hidden_state) < 1e-5
    before = hidden[0, len(ids) - 1:-1]
    logits = theirs.depth_decoder(input_ids=torch.nn.functional.pad(codes, (1, 0))[:, :4],
                                  backbone_last_hidden_state=before).logits
    assert distance(model.depth(before, codes[:, :-1]), logits[:, -3:]) < 1e-5

    # packed behind another conversation, nothing changes
    twice = csm_module.conversation_mask(torch.cat([alone, alone + 1], 1), torch.float32)
    packed = model.backbone(torch.cat([text, text], 1), torch.cat([frames, frames], 1), twice)
    assert distance(packed[:, text.shape[1]:], hidden) < 1e-5


@torch.no_grad()
def test_the_loss_learns_what_is_marked_alone(exported):
    _, model, *_ = exported
    turn = segments.Turn(segments.byte_tokens(0, "Hi."), np.random.default_rng(0).integers(1, 64, (6, 4)))
    losses = []
    for silenced in False, True:
        row = segments.Row(40, 4)
        row.add([turn])
        row.add([segments.Turn(turn.text, turn.codes, learn=not silenced)])
        text, codes, conversation, learn = segments.stack([row])
        loss, others, _ = csm_module.csm_loss(model, text.long(), codes.long(), conversation, learn, 1000)
        losses.append((float(loss), float(others.mean())))
    assert int(learn.sum()) == 7                # six frames and the end
    # both turns are the same, so the mean over both is the loss of one, but for float32's order
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_tokenizer_ids_are_the_bytes(exported):
    tokenizer = exported[3]
    for text in "It's 7:30, isn't it?", "$4.50 & 20%!":
        assert tokenizer(f"[3]{text}")["input_ids"] == segments.byte_tokens(3, text)


def test_held_out_sentences_do_not_leak():
    held_out = sentences.HeldOut(VOICE / "heldout.txt")
    assert len(held_out.whole) == 100
    assert held_out.leaked_by("The old lighthouse keeper polished his lamp every evening")
    assert held_out.leaked_by("We walked, and did you remember to water them")
    assert not held_out.leaked_by("Did you remember to lock the door?")
