/* SPDX-License-Identifier: Apache-2.0
 *
 * A model whose files lie in memory: the small random one of tests/golden/csm-a. */
#include "unit/cmocka_all.h"

#include <string.h>
#include <sys/resource.h>

#include <csm/csm.h>

#include "unit/request.h"

static const char dir[] = CSM_SOURCE_DIR "/tests/golden/csm-a";
static const char *const names[] = {"config.json", "generation_config.json", "model.safetensors",
                                    "tokenizer.json"};
enum { N_FILES = 4 };

static void *read_whole(const char *name, size_t *n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *from = fopen(path, "rb");
    assert_non_null(from);
    assert_int_equal(fseek(from, 0, SEEK_END), 0);
    *n = (size_t)ftell(from);
    rewind(from);
    void *bytes = malloc(*n);
    assert_int_equal(fread(bytes, 1, *n, from), *n);
    fclose(from);
    return bytes;
}

static csm_result *say(csm_model *model)
{
    csm_error err;
    csm_result *result = NULL;
    csm_generate_options options = csm_generate_defaults();
    const csm_request request = REQUEST(NULL, 0, "Hello from memory.", 0);
    options.seed = 7;
    options.max_frames = 6;
    if (csm_generate(model, &request, &options, &result, &err) != CSM_OK)
        fail_msg("%s", err.text);
    return result;
}

/* Whether this process may open files: the limit at 0 forbids it, whoever runs it. */
static void allow_files(bool may)
{
    static struct rlimit before;
    struct rlimit now;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    if (!may)
        before = now;
    now.rlim_cur = may ? before.rlim_cur : 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
}

static void a_model_in_memory_says_what_its_directory_says(void **state)
{
    (void)state;
    csm_error err;
    csm_memory_file files[N_FILES];
    csm_model *in_memory = NULL, *on_disk = NULL;
    for (size_t i = 0; i < N_FILES; i++) {
        files[i].name = names[i];
        files[i].bytes = read_whole(names[i], &files[i].n_bytes);
    }
    if (csm_model_open(dir, NULL, &on_disk, &err) != CSM_OK)
        fail_msg("%s", err.text);
    csm_result *expected = say(on_disk);

    allow_files(false);
    csm_status status = csm_model_open_memory("built in", files, N_FILES, NULL, &in_memory, &err);
    if (status != CSM_OK)
        fail_msg("%s", err.text);
    csm_result *result = say(in_memory);
    allow_files(true);

    assert_string_equal(csm_model_describe(in_memory)->path, "built in");
    assert_string_equal(csm_model_describe(in_memory)->digest,
                        csm_model_describe(on_disk)->digest);
    assert_int_equal(result->n_frames, expected->n_frames);
    assert_memory_equal(result->codes, expected->codes,
                        expected->n_frames * expected->n_codebooks * sizeof *expected->codes);
    assert_int_equal(result->n_samples, expected->n_samples);
    assert_memory_equal(result->samples, expected->samples,
                        expected->n_samples * sizeof *expected->samples);
    csm_result_close(result);
    csm_result_close(expected);
    csm_model_close(in_memory);
    csm_model_close(on_disk);
    for (size_t i = 0; i < N_FILES; i++)
        free((void *)files[i].bytes);
}

static void what_is_missing_or_cut_is_named(void **state)
{
    (void)state;
    csm_error err;
    csm_model *model = NULL;
    size_t n_config = 0, n_model = 0;
    void *config = read_whole("config.json", &n_config);
    void *weights = read_whole("model.safetensors", &n_model);
    const csm_memory_file without[] = {{"config.json", config, n_config}};
    const csm_memory_file cut[] = {{"config.json", config, n_config},
                                   {"model.safetensors", weights, n_model / 2}};
    const csm_memory_file nothing[] = {{"config.json", NULL, 1}};
    assert_int_equal(csm_model_open_memory("built in", without, 1, NULL, &model, &err),
                     CSM_BAD_FILE);
    assert_non_null(strstr(err.text, "built in: no weights"));
    assert_int_equal(csm_model_open_memory("built in", cut, 2, NULL, &model, &err),
                     CSM_BAD_FORMAT);
    assert_non_null(strstr(err.text, "built in/model.safetensors"));
    assert_int_equal(csm_model_open_memory("built in", nothing, 1, NULL, &model, &err),
                     CSM_BAD_ARG);
    assert_int_equal(csm_model_open_memory("built in", NULL, 0, NULL, &model, &err), CSM_BAD_ARG);
    assert_null(model);
    free(config);
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_in_memory_says_what_its_directory_says),
        cmocka_unit_test(what_is_missing_or_cut_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
