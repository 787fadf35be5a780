/* SPDX-License-Identifier: Apache-2.0 */
#include "generate/model.h"

#include <stdlib.h>
#include <string.h>

#include <csm/experimental.h>

#include "base/arithmetic.h"
#include "base/cores.h"
#include "base/error.h"
#include "base/sized.h"
#include "generate/nothing.h"
#include "generate/speculation.h"
#include "generate/warm_up.h"
#include "text/prompt.h"
#include "text/tokenizer_beside.h"

const char *csm_precision_name(csm_precision precision)
{
    switch (precision) {
    case CSM_PRECISION_STORED:
        return "stored";
    case CSM_PRECISION_F32:
        return "f32";
    case CSM_PRECISION_BF16:
        return "bf16";
    case CSM_PRECISION_F16:
        return "f16";
    case CSM_PRECISION_Q8:
        return "q8";
    case CSM_PRECISION_Q4:
        return "q4";
    }
    return "?";
}

static csm_transformer_info sizes(const struct csm_transformer_config *c)
{
    return (csm_transformer_info){.n_layers = c->n_layers,
                                  .width = c->width,
                                  .n_heads = c->n_heads,
                                  .n_kv_heads = c->n_kv_heads,
                                  .head_dim = c->head_dim,
                                  .hidden = c->hidden};
}

static bool is_same(const csm_transformer_info *a, const csm_transformer_info *b)
{
    return a->n_layers == b->n_layers && a->width == b->width && a->n_heads == b->n_heads &&
           a->n_kv_heads == b->n_kv_heads && a->head_dim == b->head_dim && a->hidden == b->hidden;
}

/* Sesame's model has a name; others of its kind do not. */
static const char *known_name(const struct csm_config *config)
{
    static const csm_transformer_info backbone = {16, 2048, 32, 8, 64, 8192};
    static const csm_transformer_info depth = {4, 1024, 8, 2, 128, 8192};
    const csm_transformer_info b = sizes(&config->backbone), d = sizes(&config->depth);
    return is_same(&b, &backbone) && is_same(&d, &depth) && config->n_codebooks == 32 ? "csm-1b"
                                                                                      : "csm";
}

static const struct csm_engine *codec_engine(const csm_model *m)
{
    return m->codec_engine.ops != NULL ? &m->codec_engine : &m->host.engine;
}

static void describe(csm_model *m, const csm_model_options *options)
{
    const struct csm_config *config = csm_checkpoint_config(m->checkpoint);
    struct csm_checkpoint_info files = csm_checkpoint_describe(m->checkpoint);
    bool has_codec = files.codec_layout != CSM_LAYOUT_NONE;
    const struct csm_engine *language = &m->host.engine, *codec = codec_engine(m);

    m->info = (csm_model_info){
        .path = m->path,
        .layout = csm_layout_text(files.layout),
        .codec_layout = csm_layout_text(files.codec_layout),
        .digest = files.digest,
        .name = known_name(config),
        .strategy = m->host.strategy,
        .strategy_reason = m->host.reason,
        .is_strategy_asked = m->host.is_asked,
        .engine = language->ops->name,
        .engine_version = language->ops->version(language->ctx),
        .codec_engine = has_codec ? codec->ops->name : "none",
        .codec_engine_version = has_codec ? codec->ops->version(codec->ctx) : "",
        .device = options->device != NULL ? options->device : "",
        .precision = options->precision,
        .stored_dtype = files.stored_dtype,
        .n_threads = m->host.traits->n_threads,
        .n_codebooks = config->n_codebooks,
        .vocab = config->vocab,
        .text_vocab = config->text_vocab,
        .has_codec = has_codec,
        .n_entries = has_codec ? config->codec.n_entries : 0,
        .backbone = sizes(&config->backbone),
        .depth = sizes(&config->depth),
        .max_positions = config->backbone.max_positions,
        .n_parameters = files.n_parameters,
        .n_bytes = files.n_bytes,
        .n_codec_parameters = files.n_codec_parameters,
        .n_codec_bytes = files.n_codec_bytes,
        .sample_rate_hz = config->codec.sample_rate_hz,
        .frame_samples = config->codec.frame_samples,
        .frame_ms =
            1e3 * (double)config->codec.frame_samples / (double)config->codec.sample_rate_hz,
        .temperature = config->generation.temperature,
        .depth_temperature = config->generation.depth_temperature,
        .top_k = config->generation.top_k,
        .depth_top_k = config->generation.depth_top_k,
        .top_p = config->generation.top_p,
        .depth_top_p = config->generation.depth_top_p,
        .min_p = config->generation.min_p,
        .depth_min_p = config->generation.depth_min_p,
        .max_frames = config->generation.max_frames,
        .default_speaker = config->generation.default_speaker,
    };
}

static csm_status open_tokenizer(csm_model *m, csm_error *err)
{
    const char *path;
    struct csm_mapped file;
    if (csm_checkpoint_tokenizer(m->checkpoint, NULL, &path, NULL) == CSM_BAD_FILE)
        return CSM_OK; /* said when a text is to be tokenized */
    csm_status st = csm_checkpoint_tokenizer(m->checkpoint, &file, &path, err);
    if (st != CSM_OK)
        return st;
    struct csm_tokenizer_beside beside = {0};
    st = csm_checkpoint_beside_tokenizer(m->checkpoint, "tokenizer_config.json", &beside.config, err);
    if (st == CSM_OK)
        st = csm_checkpoint_beside_tokenizer(m->checkpoint, "special_tokens_map.json",
                                             &beside.special_map, err);
    if (st == CSM_OK)
        st = csm_checkpoint_beside_tokenizer(m->checkpoint, "added_tokens.json", &beside.added, err);
    if (st == CSM_OK)
        st = csm_tokenizer_read(path, (const char *)file.data, file.size, &beside, &m->tokenizer,
                                err);
    if (st == CSM_OK) {
        const struct csm_prompt_ends ends = csm_prompt_ends(m->tokenizer);
        st = csm_checkpoint_note_ends(m->checkpoint, ends.before, ends.after, err);
    }
    csm_beside_free(&beside);
    csm_mapped_close(&file);
    return st;
}

static csm_status open_parts(csm_model *m, const csm_model_options *options, csm_error *err)
{
    csm_status st = CSM_OK;
    if (m->checkpoint == NULL)
        st = csm_checkpoint_open(m->path, CSM_NEEDS_LANGUAGE, &m->checkpoint, err);
    m->n_threads = options->n_threads;
    m->is_described_only = options->describe_only;
    if (st == CSM_OK)
        st = csm_checkpoint_adapt(m->checkpoint, options->adapters, options->n_adapters,
                                  options->n_threads,
                                  options->describe_only ? CSM_ADAPT_DESCRIBED : CSM_ADAPT_ROWS,
                                  err);
    if (st == CSM_OK && options->describe_only)
        m->host = (struct csm_host){.reason = "nothing is loaded",
                                    .engine = {.ops = &csm_engine_nothing},
                                    .traits = csm_engine_nothing.traits(NULL)};
    else if (st == CSM_OK)
        st = csm_engines_open(options, &m->host, &m->codec_engine, err);
    if (st == CSM_OK)
        st = open_tokenizer(m, err);
    if (st != CSM_OK)
        return st;
    describe(m, options);
    st = options->describe_only
             ? csm_language_open(&m->host.language, &m->host.engine, m->checkpoint, err)
             : csm_host_open(&m->host, m->checkpoint, err);
    if (st == CSM_OK && !options->describe_only && options->speculation != CSM_SPECULATION_OFF)
        st = csm_speculation_open(&m->host, m->checkpoint,
                                  options->speculation == CSM_SPECULATION_ON, err);
    m->info.has_draft = m->host.speculation != NULL;
    if (st == CSM_OK)
        st = csm_model_adapt(m, options, err);
    if (st == CSM_OK && m->info.has_codec)
        st = csm_codec_bind(&m->codec, codec_engine(m), options->describe_only ? NULL : &m->turns,
                            m->checkpoint, err);
    if (st == CSM_OK && m->info.has_codec && m->info.n_codebooks > m->codec.info.n_codebooks)
        st = csm_fail(err, CSM_BAD_FORMAT,
                      "%s: the codec has %zu codebooks, expected at least the model's %zu", m->path,
                      m->codec.info.n_codebooks, m->info.n_codebooks);
    if (st == CSM_OK && !options->describe_only)
        st = csm_warm_up(m, options->max_lanes, err);
    if (st == CSM_OK)
        csm_scheduler_open(&m->scheduler, m, options->max_lanes, options->prefix_cache_bytes);
    return st;
}

void csm_model_options_init(csm_model_options *options)
{
    const csm_model_options defaults = {.prefix_cache_bytes = (size_t)256 << 20};
    csm_sized_write(options, &defaults, sizeof defaults);
}

static csm_status read_options(const csm_model_options *given, csm_model_options *known,
                               csm_error *err)
{
    csm_status st = given == NULL
                        ? CSM_OK
                        : csm_sized_read(given, known, sizeof *known, "model options", err);
    if (st == CSM_OK && ((unsigned)known->strategy > CSM_STRATEGY_HYBRID ||
                         (unsigned)known->precision > CSM_PRECISION_Q4 ||
                         (unsigned)known->speculation > CSM_SPECULATION_OFF))
        st = csm_fail(err, CSM_BAD_ARG,
                      "model options: strategy %d, precision %d, speculation %d: expected values of "
                      "csm_strategy, csm_precision and csm_speculation_use",
                      (int)known->strategy, (int)known->precision, (int)known->speculation);
    return st;
}

static csm_status open_model(const char *path, csm_checkpoint *checkpoint,
                             const csm_model_options *options, csm_model **out, csm_error *err)
{
    csm_model_options known = csm_model_defaults();
    const csm_status read = read_options(options, &known, err);
    if (read != CSM_OK) {
        csm_checkpoint_close(checkpoint);
        return read;
    }
    csm_model *m = calloc(1, sizeof *m);
    if (m != NULL)
        m->path = strdup(path);
    if (m == NULL || m->path == NULL) {
        free(m);
        csm_checkpoint_close(checkpoint);
        return csm_fail(err, CSM_NO_MEMORY, "model: %zu bytes", sizeof *m);
    }
    m->checkpoint = checkpoint;
    csm_turns_open(&m->turns);
    csm_status st = open_parts(m, &known, err);
    if (st != CSM_OK) {
        csm_model_close(m);
        return st;
    }
    *out = m;
    return CSM_OK;
}

csm_status csm_model_open_checkpoint(const char *path, csm_checkpoint *checkpoint,
                                     const csm_model_options *options, csm_model **out,
                                     csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = open_model(path, checkpoint, options, out, err);
    csm_arithmetic_end(&host);
    return st;
}

csm_status csm_model_open(const char *dir, const csm_model_options *options, csm_model **out,
                          csm_error *err)
{
    char voice[4096];
    csm_status st = dir == NULL ? csm_voice_dir(voice, sizeof voice, err) : CSM_OK;
    if (st != CSM_OK)
        return st;
    return csm_model_open_checkpoint(dir != NULL ? dir : voice, NULL, options, out, err);
}

static csm_status open_memory(const char *name, const csm_memory_file *files, size_t n_files,
                              const csm_model_options *options, csm_model **out, csm_error *err)
{
    csm_checkpoint *checkpoint = NULL;
    if (name == NULL || files == NULL || n_files == 0)
        return csm_fail(err, CSM_BAD_ARG, "model: expected a name and its files");
    for (size_t i = 0; i < n_files; i++)
        if (files[i].name == NULL || (files[i].bytes == NULL && files[i].n_bytes > 0))
            return csm_fail(err, CSM_BAD_ARG, "model %s: file %zu has no name or no bytes", name, i);
    csm_status st = csm_checkpoint_open_memory(name, files, n_files, CSM_NEEDS_LANGUAGE,
                                               &checkpoint, err);
    return st == CSM_OK ? csm_model_open_checkpoint(name, checkpoint, options, out, err) : st;
}

csm_status csm_model_open_memory(const char *name, const csm_memory_file *files, size_t n_files,
                                 const csm_model_options *options, csm_model **out, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin(); /* numbers of the configuration are rounded, too */
    const csm_status st = open_memory(name, files, n_files, options, out, err);
    csm_arithmetic_end(&host);
    return st;
}

void csm_model_close(csm_model *m)
{
    if (m == NULL || !csm_turns_are_ours(&m->turns))
        return; /* a fork's copy goes with the fork */
    csm_scheduler_close(&m->scheduler);
    csm_codec_release(&m->codec);
    csm_engine_close(&m->codec_engine);
    csm_host_close(&m->host);
    csm_tokenizer_close(m->tokenizer);
    csm_checkpoint_close(m->checkpoint);
    csm_turns_close(&m->turns);
    csm_model_adapters_free(m);
    free(m->path);
    free(m);
}

const csm_model_info *csm_model_describe(const csm_model *model)
{
    return &model->info;
}

csm_status csm_model_tokenize(const csm_model *model, const char *text, int speaker, int32_t **ids,
                              size_t *n_ids, csm_error *err)
{
    const char *path;
    if (text == NULL)
        return csm_fail(err, CSM_BAD_ARG, "text: none, expected one");
    if (model->tokenizer == NULL) /* this call says what is missing */
        return csm_checkpoint_tokenizer(model->checkpoint, NULL, &path, err);
    const bool has_space = csm_checkpoint_config(model->checkpoint)->has_speaker_space;
    return csm_prompt_encode(model->tokenizer, has_space, text, speaker, ids, n_ids, err);
}

int csm_cores(void)
{
    return csm_usable_cores();
}
