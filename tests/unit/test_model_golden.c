/* SPDX-License-Identifier: Apache-2.0
 *
 * The model against stored tensors of the references (tests/golden/README.md):
 * every hidden state and logit within 2e-4 of the largest magnitude of its
 * tensor (quantized weights on engine native: 1e-3), greedy tokens identical;
 * Mimi's sound within 1e-4 of full scale, its codes identical but where two
 * entries are closer than 1e-5.
 *
 *   test_model_golden [MODEL_DIR GOLDEN_FILE]      (default: tests/golden/csm-a)
 *   CSM_TEST_ENGINE   scalar, native (default), mlx, torch */
#include "unit/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/checkpoint.h"
#include "generate/prompt.h"
#include "model/pass.h"
#include "model/mimi.h"
#include "unit/scalar_engine.h"

static const char *model_dir = CSM_SOURCE_DIR "/tests/golden/csm-a";
static const char *const inputs_file = CSM_SOURCE_DIR "/tests/golden/csm-a/golden.safetensors";
static const char *golden_file = CSM_SOURCE_DIR "/tests/golden/csm-a/golden.safetensors";

static csm_checkpoint *checkpoint;
static csm_tensors *golden; /* outputs */
static csm_tensors *inputs; /* prompts and sound: csm-a's, whatever the layout of the weights */
static struct csm_engine engine;
static float language_tolerance = 2e-4f;

static const csm_tensor *find(const char *prefix, const char *name)
{
    char key[96];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    return csm_tensors_find(golden, key);
}

static void ok(csm_status st, const csm_error *err)
{
    if (st != CSM_OK)
        fail_msg("%s", err->text);
}

/* got [n] against the tensor's values from `at` on; turned: the tensor is [cols,
 * rows] of got [rows, cols]. */
static void near(const csm_tensor *want, size_t at, const float *got, size_t n, float tolerance)
{
    const float *values = (const float *)want->data + at;
    float most = 0.0f, worst = 0.0f;
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(values[i]));
    for (size_t i = 0; i < n; i++) {
        float off = fabsf(values[i] - got[i]);
        worst = !(off <= worst) ? off : worst;
    }
    if (!(worst <= tolerance * most))
        fail_msg("%s: off by %g at most, expected %g of %g", want->name, (double)worst,
                 (double)(tolerance * most), (double)most);
}

static void turn(const float *x, size_t rows, size_t cols, float *out)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            out[c * rows + r] = x[r * cols + c];
}

/* ---- the language model -------------------------------------------------- */

struct seen {
    const char *prefix; /* "nc.f32." */
    size_t n;           /* tensors compared */
};

static void compare(void *user, const char *name, size_t frame, size_t at, const float *data,
                    size_t rows, size_t cols)
{
    struct seen *seen = user;
    char key[96];
    if (frame != 0)
        return;
    if (strncmp(name, "depth.", 6) == 0)
        snprintf(key, sizeof key, "%sdepth0.%s", seen->prefix, name + 6);
    else
        snprintf(key, sizeof key, "%s%s", seen->prefix, name);
    const csm_tensor *want = csm_tensors_find(golden, key);
    if (want == NULL)
        return;
    near(want, at * cols, data, rows * cols, language_tolerance);
    seen->n++;
}

static void run_case(const char *name, const char *dtype)
{
    char prefix[32], at_name[32];
    snprintf(prefix, sizeof prefix, "%s.%s.", name, dtype);
    snprintf(at_name, sizeof at_name, "%s.", name);
    const csm_tensor *tokens = find(prefix, "greedy.tokens");
    if (tokens == NULL)
        skip();
    csm_error err;
    char key[64];
    snprintf(key, sizeof key, "%sframes", at_name);
    const csm_tensor *frames = csm_tensors_find(inputs, key);
    snprintf(key, sizeof key, "%sframes_mask", at_name);
    const csm_tensor *mask = csm_tensors_find(inputs, key);

    struct csm_language language = {0};
    struct csm_sequence sequence = {0}, *const sequences[] = {&sequence};
    struct csm_pass pass = {0};
    ok(csm_language_open(&language, &engine, checkpoint, &err), &err);
    size_t k = language.n_codebooks, vocab = language.vocab;
    struct csm_prompt prompt = {.n = frames->shape[0]};
    prompt.text = malloc(prompt.n * sizeof *prompt.text);
    prompt.codes = malloc(prompt.n * k * sizeof *prompt.codes);
    for (size_t i = 0; i < prompt.n; i++) {
        const int32_t *row = (const int32_t *)frames->data + i * (k + 1);
        bool is_text = ((const uint8_t *)mask->data)[i * (k + 1) + k] != 0;
        prompt.text[i] = is_text ? row[k] : -1;
        memcpy(prompt.codes + i * k, row, k * sizeof *row);
    }
    size_t n_frames = tokens->shape[0];
    ok(csm_pass_open(&language, &pass, &err), &err);
    ok(csm_sequence_open(&language, prompt.n + n_frames, &sequence, &err), &err);
    struct seen seen = {.prefix = prefix};
    sequence.watch = (struct csm_watch){.observe = compare, .user = &seen};
    struct csm_feed feed = {&sequence, prompt.text, prompt.codes, prompt.n};
    ok(csm_pass_feed(&pass, &feed, 1, &err), &err);

    const csm_tensor *stored = find(prefix, "greedy.logits");
    const csm_tensor *last = find(prefix, "greedy.backbone_last");
    float *logits = malloc(vocab * sizeof *logits);
    float *hidden = malloc(language.width * sizeof *hidden);
    int32_t *codes = malloc(k * sizeof *codes);
    for (size_t f = 0; f < n_frames; f++) {
        sequence.watch.frame = f;
        feed = (struct csm_feed){&sequence, NULL, codes, 1};
        if (f > 0)
            ok(csm_pass_feed(&pass, &feed, 1, &err), &err);
        ok(engine.ops->read(engine.ctx, sequence.hidden, 1, language.width, hidden, &err), &err);
        if (last != NULL)
            near(last, f * language.width, hidden, language.width, language_tolerance);
        for (size_t c = 0; c < k; c++) {
            ok(c == 0 ? csm_pass_first(&pass, sequences, 1, logits, &err)
                      : csm_pass_depth(&pass, sequences, 1, 0, c, &codes[c - 1], logits, &err),
               &err);
            if (f < stored->shape[0])
                near(stored, (f * k + c) * vocab, logits, vocab, language_tolerance);
            codes[c] = 0;
            for (size_t v = 1; v < vocab; v++)
                if (logits[v] > logits[codes[c]])
                    codes[c] = (int32_t)v;
            assert_int_equal(codes[c], ((const int32_t *)tokens->data)[f * k + c]);
        }
    }
    if (find(prefix, "inputs_embeds") != NULL)
        assert_true(seen.n > 8);
    free(logits);
    free(hidden);
    free(codes);
    free(prompt.text);
    free(prompt.codes);
    csm_sequence_close(&sequence);
    csm_pass_close(&pass);
    csm_language_close(&language);
}

static void hidden_states_logits_and_greedy_tokens_without_context(void **unused)
{
    (void)unused;
    run_case("nc", find("nc.f32act.", "greedy.tokens") != NULL ? "f32act" : "f32");
}

static void hidden_states_logits_and_greedy_tokens_with_context(void **unused)
{
    (void)unused;
    run_case("ctx", find("ctx.f32act.", "greedy.tokens") != NULL ? "f32act" : "f32");
}

/* ---- Mimi ----------------------------------------------------------------- */

static void open_mimi(struct csm_mimi *mimi)
{
    csm_error err;
    if (csm_checkpoint_describe(checkpoint).codec_layout == CSM_LAYOUT_NONE)
        skip();
    ok(csm_mimi_open(mimi, &engine, checkpoint, &err), &err);
}

/* The golden's names are "mimi.dec_enc.wave", kyutai's "dec_enc.wave". */
static const csm_tensor *find_mimi(const char *run, const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "mimi.%s.%s", run, name);
    const csm_tensor *found = csm_tensors_find(golden, key + strlen("mimi."));
    if (found == NULL)
        found = csm_tensors_find(golden, key);
    return found != NULL ? found : csm_tensors_find(inputs, key);
}

struct mimi_seen {
    const char *run;
    size_t at; /* rows of "transformer" compared so far */
};

static void compare_mimi(void *user, const char *name, size_t frame, size_t at, const float *data,
                         size_t rows, size_t cols)
{
    (void)frame;
    (void)at;
    struct mimi_seen *seen = user;
    const csm_tensor *want = find_mimi(seen->run, name);
    if (want == NULL || want->shape[1] != rows)
        return;
    float *turned = malloc(rows * cols * sizeof *turned);
    turn(data, rows, cols, turned);
    near(want, 0, turned, rows * cols, 2e-4f);
    free(turned);
}

/* Pieces of `piece` frames; 0: all at once. */
static void decode(struct csm_mimi *mimi, const csm_tensor *codes, size_t n_codebooks,
                   size_t n_frames, size_t piece, const struct csm_watch *watch, float *samples)
{
    csm_error err;
    int32_t *turned = malloc(n_frames * n_codebooks * sizeof *turned);
    for (size_t t = 0; t < n_frames; t++)
        for (size_t k = 0; k < n_codebooks; k++)
            turned[t * n_codebooks + k] =
                ((const int32_t *)codes->data)[k * codes->shape[1] + t];
    struct csm_mimi_stream stream = {0};
    ok(csm_mimi_decoder_open(mimi, CSM_MIMI_PIECE, &stream, &err), &err);
    for (size_t at = 0; at < n_frames;) {
        size_t n = piece == 0 || piece > n_frames - at ? n_frames - at : piece;
        ok(csm_mimi_decode(&stream, turned + at * n_codebooks, n, n_codebooks, watch,
                           samples + at * mimi->frame_samples, &err),
           &err);
        at += n;
    }
    csm_mimi_stream_close(&stream);
    free(turned);
}

static void mimi_decodes_as_the_reference(void **unused)
{
    (void)unused;
    static const char *const runs[] = {"dec_enc", "dec_rand"};
    struct csm_mimi mimi = {0};
    open_mimi(&mimi);
    for (size_t i = 0; i < 2; i++) {
        const csm_tensor *codes = find_mimi(runs[i], "codes");
        const csm_tensor *wave = find_mimi(runs[i], "wave");
        if (codes == NULL)
            continue;
        float *samples = malloc(wave->n_bytes);
        struct mimi_seen seen = {.run = runs[i]};
        const struct csm_watch watch = {.observe = compare_mimi, .user = &seen, .name = ""};
        decode(&mimi, codes, codes->shape[0], codes->shape[1], 0, &watch, samples);
        near(wave, 0, samples, wave->shape[0], 1e-4f);
        free(samples);
    }
    csm_mimi_close(&mimi);
}

static void mimi_decodes_fewer_codebooks(void **unused)
{
    (void)unused;
    struct csm_mimi mimi = {0};
    const csm_tensor *wave = find("mimi.dec_first3.", "wave");
    if (wave == NULL)
        skip();
    open_mimi(&mimi);
    float *samples = malloc(wave->n_bytes);
    decode(&mimi, find("mimi.dec_enc.", "codes"), 3, 12, 0, NULL, samples);
    near(wave, 0, samples, wave->shape[0], 1e-4f);
    free(samples);
    csm_mimi_close(&mimi);
}

static void mimi_decodes_in_pieces_what_it_decodes_whole(void **unused)
{
    (void)unused;
    struct csm_mimi mimi = {0};
    open_mimi(&mimi);
    const csm_tensor *codes = find_mimi("dec_rand", "codes");
    size_t n = codes->shape[1] * mimi.frame_samples;
    float *whole = malloc(n * sizeof *whole);
    float *pieces = malloc(n * sizeof *pieces);
    decode(&mimi, codes, codes->shape[0], codes->shape[1], 0, NULL, whole);
    for (size_t piece = 1; piece <= 7; piece++) {
        decode(&mimi, codes, codes->shape[0], codes->shape[1], piece, NULL, pieces);
        for (size_t i = 0; i < n; i++) /* float32 in another order, of sound below 1 */
            assert_true(fabsf(whole[i] - pieces[i]) <= 1e-5f);
    }
    free(whole);
    free(pieces);
    csm_mimi_close(&mimi);
}

/* As the scheduler has it: streams of other lengths join and leave, and each one's sound is,
 * bit for bit, what it is alone, frame by frame; all of them in one pass, or two. */
static void mimi_decodes_streams_together_as_alone(void **unused)
{
    (void)unused;
    enum { STREAMS = 130, FRAMES = 2, ROUNDS = 4 };
    struct csm_mimi mimi = {0};
    csm_error err;
    open_mimi(&mimi);
    if (mimi.engine->ops->conv_lanes == NULL) {
        csm_mimi_close(&mimi);
        skip();
    }
    const size_t k = mimi.n_codebooks, n = mimi.frame_samples;
    static struct csm_mimi_stream streams[STREAMS];
    size_t at[STREAMS] = {0};
    int32_t *codes = malloc(STREAMS * FRAMES * k * sizeof *codes), *asked = malloc(STREAMS * k * sizeof *asked);
    float *alone = malloc(STREAMS * FRAMES * n * sizeof *alone), *sound = malloc(STREAMS * n * sizeof *sound);
    assert_true(codes != NULL && asked != NULL && alone != NULL && sound != NULL);
    for (size_t i = 0; i < STREAMS * FRAMES * k; i++)
        codes[i] = i % 97 == 5 ? CSM_MIMI_SILENT : (int32_t)(i * 7919 % mimi.n_entries);
    for (size_t i = 0; i < STREAMS; i++) {
        ok(csm_mimi_decoder_open(&mimi, 1, &streams[i], &err), &err);
        for (size_t f = 0; f < FRAMES; f++)
            ok(csm_mimi_decode(&streams[i], codes + (i * FRAMES + f) * k, 1, k, NULL,
                               alone + (i * FRAMES + f) * n, &err), &err);
        ok(csm_mimi_reset(&streams[i], &err), &err);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        struct csm_mimi_stream *who[STREAMS];
        float *to[STREAMS];
        size_t from[STREAMS], n_asked = 0;
        for (size_t i = 0; i < STREAMS; i++) {
            if (round != 1 && (i * 31 + round * 17) % 5 == 0) /* not in this one */
                continue;
            if (at[i] == FRAMES) { /* it leaves, and another comes */
                csm_mimi_stream_close(&streams[i]);
                ok(csm_mimi_decoder_open(&mimi, 1, &streams[i], &err), &err);
                at[i] = 0;
            }
            from[n_asked] = i * FRAMES + at[i]++;
            memcpy(asked + n_asked * k, codes + from[n_asked] * k, k * sizeof *asked);
            to[n_asked] = sound + n_asked * n;
            who[n_asked++] = &streams[i];
        }
        const size_t first = n_asked / 3;
        if (round % 2 == 0) {
            ok(csm_mimi_begin_together(&mimi, who, first, asked, k, &err), &err);
            ok(csm_mimi_begin_together(&mimi, who + first, n_asked - first, asked + first * k, k, &err), &err);
            ok(csm_mimi_finish_together(&mimi, to, &err), &err);
        }
        ok(csm_mimi_beside_open(&mimi, 1, &err), &err);
        for (size_t j = 0; round % 2 == 1 && j < n_asked; j += CSM_MIMI_BESIDE) {
            const size_t count = n_asked - j < CSM_MIMI_BESIDE ? n_asked - j : CSM_MIMI_BESIDE;
            ok(csm_mimi_decode_beside(who + j, count, 0, asked + j * k, k, to + j, &err), &err);
        }
        for (size_t j = 0; j < n_asked; j++)
            assert_memory_equal(to[j], alone + from[j] * n, n * sizeof *alone);
    }
    for (size_t i = 0; i < STREAMS; i++)
        csm_mimi_stream_close(&streams[i]);
    free(codes);
    free(asked);
    free(alone);
    free(sound);
    csm_mimi_close(&mimi);
}

static void check_codes(const char *run, const csm_tensor *want, const int32_t *codes)
{
    const csm_tensor *margin = find_mimi(run, "margin");
    size_t k = want->shape[0], n = want->shape[1];
    for (size_t t = 0; t < n; t++)
        for (size_t c = 0; c < k; c++) {
            if (margin != NULL && ((const float *)margin->data)[c * n + t] < 1e-5f)
                break; /* the residuals after a near tie are others */
            assert_int_equal(codes[t * k + c], ((const int32_t *)want->data)[c * n + t]);
        }
}

static void mimi_encodes_as_the_reference(void **unused)
{
    (void)unused;
    static const char *const runs[] = {"enc_full", "enc_part", "enc_short"};
    struct csm_mimi mimi = {0};
    open_mimi(&mimi);
    for (size_t i = 0; i < 3; i++) {
        csm_error err;
        const csm_tensor *wave = find_mimi(runs[i], "wave_i16");
        const csm_tensor *want = find_mimi(runs[i], "codes");
        size_t n = wave->shape[0];
        float *samples = malloc(n * sizeof *samples);
        int32_t *codes = malloc(want->n_bytes);
        for (size_t s = 0; s < n; s++)
            samples[s] = (float)((const int16_t *)wave->data)[s] / 32768.0f;
        struct mimi_seen seen = {.run = runs[i]};
        const struct csm_watch watch = {.observe = compare_mimi, .user = &seen, .name = ""};
        struct csm_mimi_stream stream = {0};
        ok(csm_mimi_encoder_open(&mimi, &stream, &err), &err);
        ok(csm_mimi_encode(&stream, samples, n, want->shape[0], &watch, codes, &err), &err);
        check_codes(runs[i], want, codes);
        csm_mimi_stream_close(&stream);

        /* The same in pieces of three frames. */
        size_t piece = 3 * mimi.frame_samples;
        ok(csm_mimi_encoder_open(&mimi, &stream, &err), &err);
        for (size_t at = 0; at < n; at += piece)
            ok(csm_mimi_encode(&stream, samples + at, n - at < piece ? n - at : piece,
                               want->shape[0], NULL,
                               codes + at / mimi.frame_samples * want->shape[0], &err),
               &err);
        check_codes(runs[i], want, codes);
        csm_mimi_stream_close(&stream);
        free(samples);
        free(codes);
    }
    csm_mimi_close(&mimi);
}

int main(int argc, char **argv)
{
    csm_error err;
    if (argc == 3) {
        model_dir = argv[1];
        golden_file = argv[2];
    }
    const struct csm_engine_options options = {.precision = CSM_PRECISION_F32}; /* the references' */
    const char *name = getenv("CSM_TEST_ENGINE");
    if (name == NULL)
        name = "native";
    if (strcmp(name, "scalar") == 0) {
        engine.ops = &scalar_engine;
    } else if (csm_engine_open(name, &options, &engine, &err) != CSM_OK) {
        fprintf(stderr, "SKIP: %s\n", err.text);
        return 77;
    }
    if (csm_tensors_open(golden_file, &golden, &err) != CSM_OK ||
        csm_tensors_open(inputs_file, &inputs, &err) != CSM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const bool is_quantized = find("nc.f32act.", "greedy.tokens") != NULL;
    const bool has_language = is_quantized || find("nc.f32.", "greedy.tokens") != NULL;
    /* Affine products take an activation as two bytes, off by up to 1/65278 of its
     * group's largest, and some twenty follow each other: 4e-4 was seen. */
    if (is_quantized && strcmp(name, "native") == 0)
        language_tolerance = 1e-3f;
    if (csm_checkpoint_open(model_dir, has_language ? CSM_NEEDS_LANGUAGE : 0, &checkpoint, &err) !=
        CSM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const struct CMUnitTest language_tests[] = {
        cmocka_unit_test(hidden_states_logits_and_greedy_tokens_without_context),
        cmocka_unit_test(hidden_states_logits_and_greedy_tokens_with_context),
    };
    const struct CMUnitTest mimi_tests[] = {
        cmocka_unit_test(mimi_decodes_as_the_reference),
        cmocka_unit_test(mimi_decodes_fewer_codebooks),
        cmocka_unit_test(mimi_decodes_in_pieces_what_it_decodes_whole),
        cmocka_unit_test(mimi_decodes_streams_together_as_alone),
        cmocka_unit_test(mimi_encodes_as_the_reference),
    };
    int failed = 0;
    struct csm_checkpoint_info info = csm_checkpoint_describe(checkpoint);
    if (has_language)
        failed += cmocka_run_group_tests(language_tests, NULL, NULL);
    if (info.codec_layout != CSM_LAYOUT_NONE)
        failed += cmocka_run_group_tests(mimi_tests, NULL, NULL);
    csm_checkpoint_close(checkpoint);
    csm_tensors_close(golden);
    csm_tensors_close(inputs);
    csm_engine_close(&engine);
    return failed;
}
