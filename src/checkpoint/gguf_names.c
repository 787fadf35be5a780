/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_names.c - patterns on both sides. # is a number; @ is Mimi's half, "encoder" or
 * "decoder" on HF's side; % a matrix of a layer, by the table of leaves. */
#include "checkpoint/gguf_names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct rule {
    const char *from, *to;
    enum csm_gguf_way way;
};

/* A layer's matrices and norms: ggml's names and codec.cpp's short ones. */
static const struct {
    const char *from, *to;
} leaves[] = {
    {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},      {"attn_output", "self_attn.o_proj"},
    {"attn_norm", "input_layernorm"},    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},       {"q", "self_attn.q_proj"},
    {"k", "self_attn.k_proj"},           {"v", "self_attn.v_proj"},
    {"o", "self_attn.o_proj"},
};

static const struct {
    const char *from, *to;
} halves[] = {{"encoder", "encoder"}, {"decoder", "decoder"}, {"enc", "encoder"},
              {"dec", "decoder"},     {"etr", "encoder"},     {"dtr", "decoder"}};

#define SEMANTIC "codec_model.quantizer.semantic_residual_vector_quantizer."
#define ACOUSTIC "codec_model.quantizer.acoustic_residual_vector_quantizer."
#define MIMI_LAYER "codec_model.@_transformer.layers.#."

static const struct rule crispasr[] = {
    {"backbone.blk.#.%.weight", "backbone_model.layers.#.%.weight", CSM_GGUF_AS_IS},
    {"depth.blk.#.%.weight", "depth_decoder.model.layers.#.%.weight", CSM_GGUF_AS_IS},
    {"backbone.audio_embd.weight", "backbone_model.embed_tokens.embed_audio_tokens.weight",
     CSM_GGUF_AS_IS},
    {"backbone.text_embd.weight", "embed_text_tokens.weight", CSM_GGUF_AS_IS},
    {"backbone.codebook0_head.weight", "lm_head.weight", CSM_GGUF_AS_IS},
    {"backbone.output_norm.weight", "backbone_model.norm.weight", CSM_GGUF_AS_IS},
    {"depth.token_embd.weight", "depth_decoder.model.embed_tokens.weight", CSM_GGUF_AS_IS},
    {"depth.projection.weight", "depth_decoder.model.inputs_embeds_projector.weight",
     CSM_GGUF_AS_IS},
    {"depth.output_norm.weight", "depth_decoder.model.norm.weight", CSM_GGUF_AS_IS},
    {"depth.codebooks_head.weight", "depth_decoder.codebooks_head.weight", CSM_GGUF_AS_IS},

    {"mimi.@.model.#.conv2.weight", "codec_model.@.layers.#.conv.weight", CSM_GGUF_AS_IS},
    {"mimi.@.model.#.conv2.bias", "codec_model.@.layers.#.conv.bias", CSM_GGUF_AS_IS},
    {"mimi.@.model.#.blk#.weight", "codec_model.@.layers.#.block.#.conv.weight", CSM_GGUF_AS_IS},
    {"mimi.@.model.#.blk#.bias", "codec_model.@.layers.#.block.#.conv.bias", CSM_GGUF_AS_IS},
    {"mimi.@_tfm.layers.#.norm1.weight", MIMI_LAYER "input_layernorm.weight", CSM_GGUF_AS_IS},
    {"mimi.@_tfm.layers.#.norm1.bias", MIMI_LAYER "input_layernorm.bias", CSM_GGUF_AS_IS},
    {"mimi.@_tfm.layers.#.norm2.weight", MIMI_LAYER "post_attention_layernorm.weight",
     CSM_GGUF_AS_IS},
    {"mimi.@_tfm.layers.#.norm2.bias", MIMI_LAYER "post_attention_layernorm.bias",
     CSM_GGUF_AS_IS},
    {"mimi.@_tfm.layers.#.ls1", MIMI_LAYER "self_attn_layer_scale.scale", CSM_GGUF_AS_IS},
    {"mimi.@_tfm.layers.#.ls2", MIMI_LAYER "mlp_layer_scale.scale", CSM_GGUF_AS_IS},
    {"mimi.@_tfm.layers.#.ffn_up_w", MIMI_LAYER "mlp.fc1.weight", CSM_GGUF_AS_IS},
    {"mimi.@_tfm.layers.#.ffn_down_w", MIMI_LAYER "mlp.fc2.weight", CSM_GGUF_AS_IS},
    {"mimi.@_tfm.layers.#.attn.out_w", MIMI_LAYER "self_attn.o_proj.weight", CSM_GGUF_AS_IS},
    {"mimi.@_tfm.layers.#.attn.qkv_w", MIMI_LAYER "self_attn.?_proj.weight", CSM_GGUF_SPLIT},
    {"mimi.downsample.conv3.weight", "codec_model.downsample.conv.weight", CSM_GGUF_AS_IS},
    {"mimi.upsample.conv3.weight", "codec_model.upsample.conv.weight", CSM_GGUF_AS_IS},
    {"mimi.quantizer.rvq_first.input_proj.weight", SEMANTIC "input_proj.weight", CSM_GGUF_AS_IS},
    {"mimi.quantizer.rvq_first.output_proj.weight", SEMANTIC "output_proj.weight",
     CSM_GGUF_AS_IS},
    {"mimi.quantizer.rvq_rest.input_proj.weight", ACOUSTIC "input_proj.weight", CSM_GGUF_AS_IS},
    {"mimi.quantizer.rvq_rest.output_proj.weight", ACOUSTIC "output_proj.weight", CSM_GGUF_AS_IS},
    {"mimi.quantizer.rvq_first.vq.layers.#._codebook.embedding",
     SEMANTIC "layers.#.codebook.embed_sum", CSM_GGUF_ENTRIES},
    {"mimi.quantizer.rvq_rest.vq.layers.#._codebook.embedding",
     ACOUSTIC "layers.#.codebook.embed_sum", CSM_GGUF_ENTRIES},
    {NULL, NULL, CSM_GGUF_AS_IS},
};

static const struct rule llama[] = {
    {"blk.#.attn_q.weight", "backbone_model.layers.#.self_attn.q_proj.weight", CSM_GGUF_UNPAIR},
    {"blk.#.attn_k.weight", "backbone_model.layers.#.self_attn.k_proj.weight", CSM_GGUF_UNPAIR},
    {"blk.#.%.weight", "backbone_model.layers.#.%.weight", CSM_GGUF_AS_IS},
    {"token_embd.weight", "embed_text_tokens.weight", CSM_GGUF_AS_IS},
    {"output_norm.weight", "backbone_model.norm.weight", CSM_GGUF_AS_IS},
    {"rope_freqs.weight", "", CSM_GGUF_ROPE},
    {NULL, NULL, CSM_GGUF_AS_IS},
};

static const struct rule codec_cpp[] = {
    {"lm.depth.blk_#.%.weight", "depth_decoder.model.layers.#.%.weight", CSM_GGUF_AS_IS},
    {"lm.depth.output_norm.weight", "depth_decoder.model.norm.weight", CSM_GGUF_AS_IS},
    {"lm.depth.in_proj.weight", "depth_decoder.model.inputs_embeds_projector.weight",
     CSM_GGUF_AS_IS},
    {"lm.c0_head.weight", "lm_head.weight", CSM_GGUF_AS_IS},
    {"lm.audio_embd_#.weight", "backbone_model.embed_tokens.embed_audio_tokens.weight",
     CSM_GGUF_TABLE},
    {"lm.depth.heads_#.weight", "depth_decoder.codebooks_head.weight", CSM_GGUF_HEAD},
    {"lm.depth.rope_freq_factors", "", CSM_GGUF_ROPE},

    {"@.l#.conv.w", "codec_model.@.layers.#.conv.weight", CSM_GGUF_AS_IS},
    {"@.l#.conv.b", "codec_model.@.layers.#.conv.bias", CSM_GGUF_AS_IS},
    {"@.l#.block.#.conv.w", "codec_model.@.layers.#.block.#.conv.weight", CSM_GGUF_AS_IS},
    {"@.l#.block.#.conv.b", "codec_model.@.layers.#.block.#.conv.bias", CSM_GGUF_AS_IS},
    {"@.l#.inln.w", MIMI_LAYER "input_layernorm.weight", CSM_GGUF_AS_IS},
    {"@.l#.inln.b", MIMI_LAYER "input_layernorm.bias", CSM_GGUF_AS_IS},
    {"@.l#.paln.w", MIMI_LAYER "post_attention_layernorm.weight", CSM_GGUF_AS_IS},
    {"@.l#.paln.b", MIMI_LAYER "post_attention_layernorm.bias", CSM_GGUF_AS_IS},
    {"@.l#.sa_ls.scale", MIMI_LAYER "self_attn_layer_scale.scale", CSM_GGUF_AS_IS},
    {"@.l#.mlp_ls.scale", MIMI_LAYER "mlp_layer_scale.scale", CSM_GGUF_AS_IS},
    {"@.l#.attn.q_proj.w", MIMI_LAYER "self_attn.q_proj.weight", CSM_GGUF_AS_IS},
    {"@.l#.attn.k_proj.w", MIMI_LAYER "self_attn.k_proj.weight", CSM_GGUF_AS_IS},
    {"@.l#.attn.v_proj.w", MIMI_LAYER "self_attn.v_proj.weight", CSM_GGUF_AS_IS},
    {"@.l#.attn.o_proj.w", MIMI_LAYER "self_attn.o_proj.weight", CSM_GGUF_AS_IS},
    {"@.l#.mlp.fc1.w", MIMI_LAYER "mlp.fc1.weight", CSM_GGUF_AS_IS},
    {"@.l#.mlp.fc2.w", MIMI_LAYER "mlp.fc2.weight", CSM_GGUF_AS_IS},
    {"dn.cv.w", "codec_model.downsample.conv.weight", CSM_GGUF_AS_IS},
    {"up.cv.w", "codec_model.upsample.conv.weight", CSM_GGUF_DIAGONAL},
    {"q.s.ip.w", SEMANTIC "input_proj.weight", CSM_GGUF_WITH_KERNEL},
    {"q.s.op.w", SEMANTIC "output_proj.weight", CSM_GGUF_WITH_KERNEL},
    {"q.a.ip.w", ACOUSTIC "input_proj.weight", CSM_GGUF_WITH_KERNEL},
    {"q.a.op.w", ACOUSTIC "output_proj.weight", CSM_GGUF_WITH_KERNEL},
    /* What codec.cpp plays: the vectors, not the sums and usages that lie beside them. */
    {"q.s.layers.#.codebook.embed", SEMANTIC "layers.#.codebook.embed_sum", CSM_GGUF_ENTRIES},
    {"q.a.layers.#.codebook.embed", ACOUSTIC "layers.#.codebook.embed_sum", CSM_GGUF_ENTRIES},
    {"q.s.layers.#.cb.", "", CSM_GGUF_UNUSED},
    {"q.a.layers.#.cb.", "", CSM_GGUF_UNUSED},
    {"dec.transformer.blocks.#.", "", CSM_GGUF_UNUSED},
    {"up.r#.c#.", "", CSM_GGUF_UNUSED},
    {"mimi.decode.kernel", "", CSM_GGUF_UNUSED},
    {"mimi.encode.kernel", "", CSM_GGUF_UNUSED},
    {NULL, NULL, CSM_GGUF_AS_IS},
};

/* What a name has where a pattern has signs. */
struct parts {
    size_t numbers[2];
    size_t n_numbers;
    const char *half, *leaf;
};

static bool take_number(const char **at, struct parts *parts)
{
    size_t n = 0, value = 0;
    for (; n < 6 && isdigit((unsigned char)**at); n++, (*at)++)
        value = 10 * value + (size_t)(**at - '0');
    if (n == 0 || parts->n_numbers == sizeof parts->numbers / sizeof *parts->numbers)
        return false;
    parts->numbers[parts->n_numbers++] = value;
    return true;
}

static bool take_half(const char **at, struct parts *parts)
{
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
        const size_t n = strlen(halves[i].from);
        if (strncmp(*at, halves[i].from, n) == 0) {
            parts->half = halves[i].to;
            *at += n;
            return true;
        }
    }
    return false;
}

static bool take_leaf(const char **at, struct parts *parts)
{
    const size_t n = strcspn(*at, ".");
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
        if (strlen(leaves[i].from) == n && strncmp(*at, leaves[i].from, n) == 0) {
            parts->leaf = leaves[i].to;
            *at += n;
            return true;
        }
    return false;
}

/* A pattern of what is not used may be a beginning. */
static bool fits(const char *name, const struct rule *rule, struct parts *parts)
{
    *parts = (struct parts){.n_numbers = 0};
    for (const char *p = rule->from; *p != '\0'; p++) {
        const bool is_taken = *p == '#'   ? take_number(&name, parts)
                              : *p == '@' ? take_half(&name, parts)
                              : *p == '%' ? take_leaf(&name, parts)
                                          : *name++ == *p;
        if (!is_taken)
            return false;
    }
    return *name == '\0' || rule->way == CSM_GGUF_UNUSED;
}

static void fill(const char *pattern, const struct parts *parts, char to[CSM_NAME_MAX])
{
    size_t n = 0, number = 0;
    to[0] = '\0';
    for (const char *p = pattern; *p != '\0' && n < CSM_NAME_MAX; p++)
        n += (size_t)(*p == '#'   ? snprintf(to + n, CSM_NAME_MAX - n, "%zu",
                                             parts->numbers[number++])
                      : *p == '@' ? snprintf(to + n, CSM_NAME_MAX - n, "%s", parts->half)
                      : *p == '%' ? snprintf(to + n, CSM_NAME_MAX - n, "%s", parts->leaf)
                                  : snprintf(to + n, CSM_NAME_MAX - n, "%c", *p));
}

bool csm_gguf_rename(enum csm_gguf_dialect dialect, const char *name, char to[CSM_NAME_MAX],
                     enum csm_gguf_way *way, size_t *index)
{
    const struct rule *rules = dialect == CSM_GGUF_CRISPASR ? crispasr
                               : dialect == CSM_GGUF_LLAMA  ? llama
                                                            : codec_cpp;
    for (const struct rule *rule = rules; rule->from != NULL; rule++) {
        struct parts parts;
        if (!fits(name, rule, &parts))
            continue;
        fill(rule->to, &parts, to);
        *way = rule->way;
        *index = parts.numbers[0];
        return true;
    }
    return false;
}
