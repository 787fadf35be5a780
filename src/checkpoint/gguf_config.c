/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/gguf_config.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/numbers.h"

/* A key of the file and the key of config.json. */
struct key {
    const char *from, *to;
};

/* Copies values; the first failure stays. */
struct copier {
    const csm_gguf *file;
    const char *path;
    csm_status status;
    csm_error *err;
};

static void put(struct copier *c, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0 && c->status == CSM_OK)
        c->status = csm_fail(c->err, CSM_NO_MEMORY, "%s: out of memory", c->path);
}

static void copy_integers(struct copier *c, const struct key *keys, json_t *object)
{
    for (; keys->from != NULL && c->status == CSM_OK; keys++) {
        int64_t value;
        if (!csm_gguf_has(c->file, keys->from))
            continue;
        if (!csm_gguf_integer(c->file, keys->from, &value))
            c->status = csm_fail(c->err, CSM_BAD_FORMAT, "%s: %s: expected an integer", c->path,
                                 keys->from);
        else
            put(c, object, keys->to, json_integer(value));
    }
}

static void copy_numbers(struct copier *c, const struct key *keys, json_t *object)
{
    for (; keys->from != NULL && c->status == CSM_OK; keys++) {
        double value;
        if (!csm_gguf_has(c->file, keys->from))
            continue;
        if (!csm_gguf_number(c->file, keys->from, &value) || !isfinite(value))
            c->status = csm_fail(c->err, CSM_BAD_FORMAT, "%s: %s: expected a number", c->path,
                                 keys->from);
        else
            put(c, object, keys->to, json_real(value));
    }
}

/* csm-1b's: what Llama 3.2 has. */
enum { FACTOR = 32, LOW = 1, HIGH = 4, POSITIONS = 8192 };

static void put_rescaling(struct copier *c, json_t *object, bool is_rescaled)
{
    put(c, object, "rope_scaling",
        is_rescaled ? json_pack("{s:s, s:i, s:i, s:i, s:i}", "rope_type", "llama3", "factor",
                                FACTOR, "low_freq_factor", LOW, "high_freq_factor", HIGH,
                                "original_max_position_embeddings", POSITIONS)
                    : json_null());
}

/* ---- CrispASR ------------------------------------------------------------------ */

csm_status csm_gguf_config_crispasr(const csm_gguf *file, const char *path, json_t **out,
                                    csm_error *err)
{
    static const struct key backbone[] = {{"csm.backbone.n_layers", "num_hidden_layers"},
                                          {"csm.backbone.d_model", "hidden_size"},
                                          {"csm.backbone.n_heads", "num_attention_heads"},
                                          {"csm.backbone.n_kv_heads", "num_key_value_heads"},
                                          {"csm.backbone.head_dim", "head_dim"},
                                          {"csm.backbone.ff_dim", "intermediate_size"},
                                          {"csm.backbone.max_pos", "max_position_embeddings"},
                                          {"csm.text_vocab_size", "text_vocab_size"},
                                          {"csm.audio_vocab_size", "vocab_size"},
                                          {"csm.audio_num_codebooks", "num_codebooks"},
                                          {"csm.audio_eos_token_id", "audio_eos_token_id"},
                                          {"csm.audio_token_id", "audio_token_id"},
                                          {"csm.bos_token_id", "bos_token_id"},
                                          {"csm.codebook_eos_token_id", "codebook_eos_token_id"},
                                          {"csm.codebook_pad_token_id", "codebook_pad_token_id"},
                                          {NULL, NULL}};
    static const struct key depth[] = {{"csm.depth.n_layers", "num_hidden_layers"},
                                       {"csm.depth.d_model", "hidden_size"},
                                       {"csm.depth.n_heads", "num_attention_heads"},
                                       {"csm.depth.n_kv_heads", "num_key_value_heads"},
                                       {"csm.depth.head_dim", "head_dim"},
                                       {"csm.depth.ff_dim", "intermediate_size"},
                                       {"csm.depth.backbone_hidden", "backbone_hidden_size"},
                                       {NULL, NULL}};
    static const struct key mimi[] = {{"csm.mimi.dim", "hidden_size"},
                                      {"csm.mimi.n_heads", "num_attention_heads"},
                                      {"csm.mimi.n_heads", "num_key_value_heads"},
                                      {"csm.mimi.n_layers", "num_hidden_layers"},
                                      {"csm.mimi.codebook_dim", "codebook_dim"},
                                      {"csm.mimi.codebook_size", "codebook_size"},
                                      {"csm.mimi.n_quantizers", "num_quantizers"},
                                      {"csm.mimi.n_semantic", "num_semantic_quantizers"},
                                      {"csm.mimi.sample_rate", "sampling_rate"},
                                      {NULL, NULL}};
    static const struct key backbone_numbers[] = {{"csm.backbone.rope_theta", "rope_theta"},
                                                  {"csm.backbone.rms_norm_eps", "rms_norm_eps"},
                                                  {NULL, NULL}};
    struct copier c = {file, path, CSM_OK, err};
    json_t *root = json_object(), *inner = json_object(), *codec = json_object();
    put(&c, root, "model_type", json_string("csm"));
    copy_integers(&c, backbone, root);
    copy_numbers(&c, backbone_numbers, root);
    put_rescaling(&c, root, true);
    copy_integers(&c, depth, inner);
    put_rescaling(&c, inner, true);
    copy_integers(&c, mimi, codec);
    put(&c, root, "depth_decoder_config", inner);
    put(&c, root, "codec_config", codec);
    if (c.status == CSM_OK)
        *out = root;
    else
        json_decref(root);
    return c.status;
}

/* ---- codec.cpp ----------------------------------------------------------------- */

static const struct csm_gguf_tensor *find_tensor(const csm_gguf *file, const char *name)
{
    for (size_t i = 0; i < csm_gguf_count(file); i++)
        if (strcmp(csm_gguf_at(file, i)->name, name) == 0)
            return csm_gguf_at(file, i);
    return NULL;
}

/* How much slower than without the rescaling the i-th pair turns. */
static double factor_of(double theta, size_t head_dim, size_t i)
{
    const double frequency = pow(theta, -2.0 * (double)i / (double)head_dim);
    const double wavelength = 2 * 3.14159265358979323846 / frequency;
    if (wavelength < (double)POSITIONS / HIGH)
        return 1;
    if (wavelength > (double)POSITIONS / LOW)
        return FACTOR;
    const double smooth = (POSITIONS / wavelength - LOW) / (HIGH - LOW);
    return 1 / ((1 - smooth) / FACTOR + smooth);
}

/* The rescaling that a tensor of factors stands for. */
static void read_factors(struct copier *c, const char *name, double theta, json_t *object)
{
    const struct csm_gguf_tensor *t = find_tensor(c->file, name);
    bool is_plain = true, is_known = true;
    for (size_t i = 0; t != NULL && t->type == CSM_GGUF_F32 && i < t->n_bytes / sizeof(float);
         i++) {
        float found;
        memcpy(&found, (const char *)t->data + i * sizeof found, sizeof found);
        const double known = factor_of(theta, 2 * (t->n_bytes / sizeof(float)), i);
        is_plain = is_plain && found == 1;
        /* float32 arithmetic on the way to a factor leaves about 1e-6 of it. */
        is_known = is_known && fabs((double)found - known) < 1e-5 * known;
    }
    if (c->status == CSM_OK && t != NULL && (t->type != CSM_GGUF_F32 || !(is_plain || is_known)))
        c->status = csm_fail(c->err, CSM_BAD_FORMAT,
                             "%s: %s: expected csm-1b's factors in f32 (Llama 3.2's, 1 to %d), or "
                             "all 1",
                             c->path, name, FACTOR);
    put_rescaling(c, object, t != NULL && !is_plain);
}

static double theta_of(const csm_gguf *file, const char *key)
{
    double theta;
    return csm_gguf_number(file, key, &theta) && theta > 1 ? theta : 500000;
}

static void read_backbone(struct copier *c, json_t *root)
{
    static const struct key integers[] = {{"llama.block_count", "num_hidden_layers"},
                                          {"llama.embedding_length", "hidden_size"},
                                          {"llama.attention.head_count", "num_attention_heads"},
                                          {"llama.attention.head_count_kv", "num_key_value_heads"},
                                          {"llama.attention.key_length", "head_dim"},
                                          {"llama.feed_forward_length", "intermediate_size"},
                                          {"llama.context_length", "max_position_embeddings"},
                                          {"llama.vocab_size", "text_vocab_size"},
                                          {"tokenizer.ggml.bos_token_id", "bos_token_id"},
                                          {NULL, NULL}};
    static const struct key numbers[] = {
        {"llama.rope.freq_base", "rope_theta"},
        {"llama.attention.layer_norm_rms_epsilon", "rms_norm_eps"},
        {NULL, NULL}};
    static const char type[] = "llama.rope.scaling.type";
    const char *text;
    size_t n;
    copy_integers(c, integers, root);
    copy_numbers(c, numbers, root);
    read_factors(c, "rope_freqs.weight", theta_of(c->file, numbers[0].from), root);
    if (c->status == CSM_OK && csm_gguf_has(c->file, type) &&
        !(csm_gguf_text(c->file, type, &text, &n) && n == strlen("none") &&
          memcmp(text, "none", n) == 0))
        c->status = csm_fail(c->err, CSM_BAD_FORMAT, "%s: %s: expected none, as csm-1b has it",
                             c->path, type);
}

static void read_depth(struct copier *c, json_t *root)
{
    static const struct key integers[] = {
        {"codec.lm.residual.depth_layers", "num_hidden_layers"},
        {"codec.lm.residual.depth_hidden", "hidden_size"},
        {"codec.lm.residual.depth_n_heads", "num_attention_heads"},
        {"codec.lm.residual.depth_n_kv_heads", "num_key_value_heads"},
        {"codec.lm.residual.depth_head_dim", "head_dim"},
        {"codec.lm.residual.depth_intermediate", "intermediate_size"},
        {"codec.lm.residual.depth_max_position", "max_position_embeddings"},
        {"codec.lm.hidden_dim", "backbone_hidden_size"},
        {NULL, NULL}};
    static const struct key numbers[] = {
        {"codec.lm.residual.depth_rope_theta", "rope_theta"},
        {"codec.lm.residual.depth_rms_norm_eps", "rms_norm_eps"},
        {NULL, NULL}};
    static const struct key of_root[] = {{"codec.lm.n_codebook", "num_codebooks"},
                                         {"codec.lm.eos_code_c0", "codebook_eos_token_id"},
                                         {NULL, NULL}};
    static const char sizes[] = "codec.lm.codebook_sizes";
    json_t *depth = json_object();
    copy_integers(c, integers, depth);
    copy_numbers(c, numbers, depth);
    read_factors(c, "lm.depth.rope_freq_factors", theta_of(c->file, numbers[0].from), depth);
    copy_integers(c, of_root, root);
    struct csm_gguf_array array;
    int64_t vocab = 0;
    bool is_one = csm_gguf_integers(c->file, sizes, &array) && array.left > 0;
    if (is_one)
        vocab = csm_gguf_next_integer(&array);
    while (is_one && array.left > 0)
        is_one = csm_gguf_next_integer(&array) == vocab;
    if (c->status == CSM_OK && !is_one)
        c->status = csm_fail(c->err, CSM_BAD_FORMAT,
                             "%s: %s: expected one number of codes for all codebooks", c->path,
                             sizes);
    put(c, root, "vocab_size", json_integer(vocab));
    put(c, root, "depth_decoder_config", depth);
}

csm_status csm_gguf_config_pair(const csm_gguf *codec, const char *codec_path,
                                const csm_gguf *backbone, const char *backbone_path,
                                json_t **out, csm_error *err)
{
    static const struct key mimi[] = {{"codec.latent_dim", "hidden_size"},
                                      {"codec.num_attention_heads", "num_attention_heads"},
                                      {"codec.num_attention_heads", "num_key_value_heads"},
                                      {"codec.num_hidden_layers", "num_hidden_layers"},
                                      {"codec.intermediate_size", "intermediate_size"},
                                      {"codec.codebook_dim", "codebook_dim"},
                                      {"codec.codebook_size", "codebook_size"},
                                      {"codec.num_semantic_quantizers", "num_semantic_quantizers"},
                                      {"codec.sample_rate", "sampling_rate"},
                                      {NULL, NULL}};
    static const struct key mimi_numbers[] = {{"codec.rope_theta", "rope_theta"}, {NULL, NULL}};
    struct copier of_codec = {codec, codec_path, CSM_OK, err};
    struct copier of_backbone = {backbone, backbone_path, CSM_OK, err};
    json_t *root = json_object(), *inner = json_object();
    put(&of_codec, root, "model_type", json_string("csm"));
    copy_integers(&of_codec, mimi, inner);
    copy_numbers(&of_codec, mimi_numbers, inner);
    put(&of_codec, root, "codec_config", inner);
    if (backbone != NULL && of_codec.status == CSM_OK)
        read_backbone(&of_backbone, root);
    if (backbone != NULL && of_backbone.status == CSM_OK)
        read_depth(&of_codec, root);
    const csm_status st = of_codec.status != CSM_OK ? of_codec.status : of_backbone.status;
    if (st == CSM_OK)
        *out = root;
    else
        json_decref(root);
    return st;
}
