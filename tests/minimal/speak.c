/* SPDX-License-Identifier: Apache-2.0
 *
 * speak.c - a program that has its model linked in (model.S) and speaks without a file:
 * how many samples, how loud, and the FNV-1a of codes and of samples, by which two builds
 * are compared. Links libcsm.a of a CSM_MINIMAL build. */
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>

#include <csm/audio.h>
#include <csm/csm.h>

#define FILE_OF(name) extern const unsigned char name##_begin[], name##_end[];
FILE_OF(config)
FILE_OF(generation_config)
FILE_OF(tokenizer)
FILE_OF(model)
FILE_OF(mimi)
#undef FILE_OF

static unsigned long long fnv1a(const void *bytes, size_t n)
{
    unsigned long long hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

static int fail(const char *what)
{
    fprintf(stderr, "speak: %s\n", what);
    return 1;
}

int main(void)
{
    const csm_memory_file files[] = {
        {"config.json", config_begin, (size_t)(config_end - config_begin)},
        {"generation_config.json", generation_config_begin,
         (size_t)(generation_config_end - generation_config_begin)},
        {"tokenizer.json", tokenizer_begin, (size_t)(tokenizer_end - tokenizer_begin)},
        {"model.safetensors", model_begin, (size_t)(model_end - model_begin)},
        {"mimi.safetensors", mimi_begin, (size_t)(mimi_end - mimi_begin)}};
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 0; /* from here on no file can be opened */
    setrlimit(RLIMIT_NOFILE, &limit);

    csm_error err;
    csm_model *model = NULL;
    csm_result *result = NULL;
    csm_generate_options options = csm_generate_defaults();
    csm_request request = {.size = sizeof request, .text = "Hello from memory."};
    options.seed = 1;
    if (csm_model_open_memory("built in", files, 5, NULL, &model, &err) != CSM_OK ||
        csm_generate(model, &request, &options, &result, &err) != CSM_OK)
        return fail(err.text);
    double energy = 0;
    for (size_t i = 0; i < result->n_samples; i++)
        energy += (double)result->samples[i] * (double)result->samples[i];
    printf("%zu samples, rms %.4f, codes %016llx, sound %016llx\n", result->n_samples,
           sqrt(energy / (double)result->n_samples),
           fnv1a(result->codes, result->n_frames * csm_model_describe(model)->n_codebooks * sizeof *result->codes),
           fnv1a(result->samples, result->n_samples * sizeof *result->samples));
    bool is_heard = result->n_samples >= 12000 && energy / (double)result->n_samples > 1e-5;

    /* What was left out says so. */
    float *samples = NULL;
    size_t n = 0;
    if (csm_audio_read("sound.wav", 24000, CSM_RESAMPLER_SOXR, &samples, &n, &err) == CSM_OK)
        return fail("a sound file was read");
    csm_result_close(result);
    csm_model_close(model);
    return is_heard ? 0 : fail("silence");
}
