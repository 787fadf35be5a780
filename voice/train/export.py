# SPDX-License-Identifier: Apache-2.0
"""Write a trained codec and CSM as a model directory that transformers loads.

    export.py --codec codec.pt --csm csm.pt --out DIR

The language model becomes bfloat16, the codec float16. voice/pack.py makes the directory small.
"""
import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

from codec import load_codec, transformers_config
from csm import Csm, CsmConfig, StackConfig
from flite import SPEAKERS
from segments import BEGIN, END

AUDIO, AUDIO_END, PAD = 258, 259, 260
SPECIAL = {'<|begin_of_text|>': BEGIN, '<|end_of_text|>': END, '<|AUDIO|>': AUDIO,
           '<|audio_eos|>': AUDIO_END, '<|finetune_right_pad_id|>': PAD}
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r'|\s*[\r\n]+|\s+(?!\S)|\s+')            # Llama 3's, as csm-1b's tokenizer has it
TEMPERATURE, TOP_K, MOST_FRAMES = 0.7, 50, 200


def load_csm(path):
    saved = torch.load(path, map_location='cpu', weights_only=True)
    c = saved['config']
    model = Csm(CsmConfig(**{**c, 'backbone': StackConfig(**c['backbone']), 'depth': StackConfig(**c['depth'])}))
    model.load_state_dict(saved['weights'])
    return model.eval()


def byte_characters():
    """GPT-2's printable character of each byte, as byte-level tokenizers spell them"""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def tokenizer_json():
    """A byte-level BPE without merges: the ids of a text are its bytes, between BEGIN and END."""
    def marked(sequence, type_id):
        return [{'SpecialToken': {'id': '<|begin_of_text|>', 'type_id': type_id}},
                {'Sequence': {'id': sequence, 'type_id': type_id}},
                {'SpecialToken': {'id': '<|end_of_text|>', 'type_id': type_id}}]

    def byte_level(**settings):
        return {'type': 'ByteLevel', **settings}

    special = {text: {'id': text, 'ids': [i], 'tokens': [text]} for text, i in SPECIAL.items() if i in (BEGIN, END)}
    return {
        'version': '1.0', 'truncation': None, 'padding': None,
        'added_tokens': [{'id': i, 'content': text, 'single_word': False, 'lstrip': False, 'rstrip': False,
                          'normalized': False, 'special': True} for text, i in SPECIAL.items()],
        'normalizer': None,
        'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [
            {'type': 'Split', 'pattern': {'Regex': SPLIT}, 'behavior': 'Isolated', 'invert': False},
            byte_level(add_prefix_space=False, trim_offsets=True, use_regex=False)]},
        'post_processor': {'type': 'Sequence', 'processors': [
            byte_level(add_prefix_space=True, trim_offsets=False, use_regex=True),
            {'type': 'TemplateProcessing', 'single': marked('A', 0), 'pair': marked('A', 0) + marked('B', 1),
             'special_tokens': special}]},
        'decoder': byte_level(add_prefix_space=True, trim_offsets=True, use_regex=True),
        'model': {'type': 'BPE', 'dropout': None, 'unk_token': None, 'continuing_subword_prefix': None,
                  'end_of_word_suffix': None, 'fuse_unk': False, 'byte_fallback': False, 'ignore_merges': True,
                  'vocab': {character: b for b, character in sorted(byte_characters().items())}, 'merges': []}}


def config_json(csm, codec):
    c = csm.config
    backbone, depth = c.backbone.to_json(), c.depth.to_json()
    common = {'vocab_size': c.vocab_size, 'num_codebooks': c.num_codebooks, 'hidden_act': 'silu',
              'attention_bias': False, 'attention_dropout': 0.0, 'mlp_bias': False, 'initializer_range': 0.02,
              'use_cache': True}
    return {
        'architectures': ['CsmForConditionalGeneration'], 'model_type': 'csm', 'dtype': 'bfloat16',
        **backbone, **common, 'text_vocab_size': c.text_vocab_size, 'max_position_embeddings': 2048,
        'tie_codebooks_embeddings': True, 'tie_word_embeddings': False,
        'bos_token_id': BEGIN, 'eos_token_id': None, 'pad_token_id': PAD,
        'audio_token_id': AUDIO, 'audio_eos_token_id': AUDIO_END,
        'codebook_eos_token_id': 0, 'codebook_pad_token_id': c.vocab_size - 1,
        'depth_decoder_config': {**depth, **common, 'model_type': 'csm_depth_decoder_model',
                                 'backbone_hidden_size': c.backbone.hidden_size, 'max_position_embeddings': 33},
        'codec_config': {**transformers_config(codec.config), 'model_type': 'mimi', 'audio_channels': 1,
                         'compress': 2, 'dilation_growth_rate': 2, 'hidden_act': 'gelu', 'kernel_size': 7,
                         'last_kernel_size': 3, 'residual_kernel_size': 3, 'num_residual_layers': 1,
                         'norm_eps': 1e-5, 'pad_mode': 'constant', 'trim_right_ratio': 1.0,
                         'attention_bias': False, 'use_causal_conv': True, 'use_conv_shortcut': False}}


def generation_json():
    return {'bos_token_id': BEGIN, 'pad_token_id': PAD, 'default_speaker': 0, 'max_new_tokens': MOST_FRAMES,
            'do_sample': True, 'temperature': TEMPERATURE, 'top_k': TOP_K,
            'depth_decoder_do_sample': True, 'depth_decoder_temperature': TEMPERATURE, 'depth_decoder_top_k': TOP_K}


def voices_json():
    return {'voices': [{'name': name, 'speaker': i} for i, (name, _) in enumerate(SPEAKERS)]}


def tokenizer_config_json():
    return {'tokenizer_class': 'PreTrainedTokenizerFast', 'bos_token': '<|begin_of_text|>',
            'eos_token': '<|end_of_text|>', 'pad_token': '<|finetune_right_pad_id|>',
            'clean_up_tokenization_spaces': False, 'model_max_length': 2048,
            'model_input_names': ['input_ids', 'attention_mask']}


def export(codec, csm, out):
    out.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.to(torch.bfloat16).contiguous() for name, t in csm.state_dict().items()}
    tensors |= {f'codec_model.{name}': t.half().contiguous() for name, t in codec.state_dict().items()}
    save_file(tensors, out / 'model.safetensors', {'format': 'pt'})
    for name, content in [('config', config_json(csm, codec)), ('generation_config', generation_json()),
                          ('tokenizer', tokenizer_json()), ('tokenizer_config', tokenizer_config_json()),
                          ('voices', voices_json())]:
        (out / f'{name}.json').write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + '\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--codec', type=pathlib.Path, required=True)
    parser.add_argument('--csm', type=pathlib.Path, required=True)
    parser.add_argument('--out', type=pathlib.Path, required=True)
    args = parser.parse_args()
    export(load_codec(args.codec), load_csm(args.csm), args.out)


if __name__ == '__main__':
    main()
