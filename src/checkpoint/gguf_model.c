/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/gguf_model.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/builder.h"
#include "base/error.h"
#include "base/utf8.h"
#include "checkpoint/gguf_config.h"
#include "checkpoint/gguf_tensors.h"
#include "checkpoint/gguf_tokenizer.h"
#include "files/path.h"

static bool says(const csm_gguf *file, const char *key, const char *value)
{
    const char *text;
    size_t n;
    return csm_gguf_text(file, key, &text, &n) && n == strlen(value) && memcmp(text, value, n) == 0;
}

/* Whose file it is; of codec.cpp's, whether it is a half of a model. */
static enum csm_gguf_dialect dialect_of(const csm_gguf *file, bool *is_half)
{
    static const char key[] = "general.architecture";
    *is_half = says(file, key, "llama") ||
               (says(file, key, "mimi") && says(file, "codec.lm.kind", "residual_depth_ar"));
    return says(file, key, "csm-tts") ? CSM_GGUF_CRISPASR
           : says(file, key, "llama") ? CSM_GGUF_LLAMA
           : says(file, key, "mimi")  ? CSM_GGUF_CODEC_CPP
                                      : CSM_GGUF_NONE;
}

static csm_status refuse_architecture(const csm_gguf *file, const char *path, csm_error *err)
{
    const char *text;
    size_t n;
    if (!csm_gguf_text(file, "general.architecture", &text, &n))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: general.architecture: missing, expected csm-tts (CrispASR), or llama "
                        "and mimi (codec.cpp)",
                        path);
    return csm_fail(err, CSM_BAD_FORMAT,
                    "%s: general.architecture %.*s, expected csm-tts (CrispASR), or llama and mimi "
                    "(codec.cpp)%s",
                    path, (int)csm_utf8_valid(text, n < 40 ? n : 40), text,
                    n == 3 && memcmp(text, "csm", 3) == 0
                        ? ": csm.rs packs its own way, and has neither codec nor tokenizer"
                        : "");
}

/* ---- which file ---------------------------------------------------------------- */

static bool begins_as_gguf(const char *path)
{
    char bytes[4];
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    const bool is = fd >= 0 && read(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes &&
                    csm_gguf_is(bytes, sizeof bytes);
    if (fd >= 0)
        close(fd);
    return is;
}

/* The directory that a file lies in; to be freed. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? strdup(".") : slash == path ? strdup("/")
                                                        : strndup(path, (size_t)(slash - path));
}

/* One file, opened to see what it is. */
struct seen {
    enum csm_gguf_dialect dialect;
    bool is_half;
};

static csm_status look(const char *path, struct seen *seen, csm_error *err)
{
    csm_gguf *file = NULL;
    csm_status st = csm_gguf_open(path, &file, err);
    if (st == CSM_OK)
        seen->dialect = dialect_of(file, &seen->is_half);
    csm_gguf_close(file);
    return st;
}

/* Of a directory's GGUF files those that `wants` wants: the first, to be freed, how many,
 * and their names. A file that does not open is none of them. */
static csm_status choose(const char *directory, const struct csm_listing *listing,
                         bool (*wants)(const struct seen *), char **first, size_t *n,
                         struct csm_builder *names, csm_error *err)
{
    *first = NULL;
    *n = 0;
    for (size_t i = 0; i < listing->n; i++) {
        struct seen seen;
        csm_error ignored;
        if (!csm_path_ends_with(listing->names[i], ".gguf"))
            continue;
        char *path = csm_path_join(directory, listing->names[i]);
        if (path == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
        if (look(path, &seen, &ignored) != CSM_OK || !wants(&seen)) {
            free(path);
            continue;
        }
        csm_builder_add_text(names, (*n)++ == 0 ? "" : ", ");
        csm_builder_add_text(names, listing->names[i]);
        if (*first == NULL)
            *first = path;
        else
            free(path);
    }
    return CSM_OK;
}

/* A model each: CrispASR's files, and backbones, which have one half in a pair. */
static bool is_model(const struct seen *seen)
{
    return seen->dialect == CSM_GGUF_CRISPASR || seen->dialect == CSM_GGUF_LLAMA;
}
static bool is_codec(const struct seen *seen)
{
    return seen->dialect == CSM_GGUF_CODEC_CPP;
}
static bool is_backbone(const struct seen *seen)
{
    return seen->dialect == CSM_GGUF_LLAMA;
}
static bool is_rest(const struct seen *seen)
{
    return seen->dialect == CSM_GGUF_CODEC_CPP && seen->is_half;
}

/* The one file that is wanted; of none *path stays NULL. */
static csm_status choose_one(const char *directory, bool (*wants)(const struct seen *),
                             const char *what, char **path, csm_error *err)
{
    struct csm_listing listing;
    struct csm_builder names = {.text = NULL};
    size_t n = 0;
    csm_status st = csm_listing_read(directory, &listing, err);
    if (st != CSM_OK)
        return st;
    st = choose(directory, &listing, wants, path, &n, &names, err);
    csm_listing_free(&listing);
    if (st == CSM_OK && n > 1)
        st = csm_fail(err, CSM_BAD_FORMAT, "%s: several GGUF files are %s (%.200s), expected one",
                      directory, what, names.text != NULL ? names.text : "");
    csm_builder_clear(&names);
    if (st != CSM_OK) {
        free(*path);
        *path = NULL;
    }
    return st;
}

csm_status csm_gguf_find(const char *path, char **file, csm_error *err)
{
    struct stat info;
    *file = NULL;
    if (stat(path, &info) != 0)
        return CSM_OK;
    if (!S_ISDIR(info.st_mode)) {
        if (S_ISREG(info.st_mode) && begins_as_gguf(path) && (*file = strdup(path)) == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
        return CSM_OK;
    }
    struct csm_listing listing;
    csm_status st = csm_listing_read(path, &listing, err);
    if (st != CSM_OK)
        return st;
    static const char *const before[] = {".safetensors", ".safetensors.index.json", ".pt", ".pth",
                                         ".bin",         ".ckpt"};
    bool has_gguf = false, has_others = false;
    for (size_t i = 0; i < listing.n; i++) {
        has_gguf = has_gguf || csm_path_ends_with(listing.names[i], ".gguf");
        for (size_t k = 0; k < sizeof before / sizeof *before; k++)
            has_others = has_others || csm_path_ends_with(listing.names[i], before[k]);
    }
    csm_listing_free(&listing);
    if (!has_gguf || has_others)
        return CSM_OK;
    st = choose_one(path, is_model, "models", file, err);
    return st == CSM_OK && *file == NULL ? choose_one(path, is_codec, "codecs", file, err) : st;
}

/* ---- opening ------------------------------------------------------------------- */

static void close_file(void *file)
{
    csm_gguf_close(file);
}

/* Open a file for as long as the set, which keeps its path too. */
static csm_status open_file(struct csm_tensor_set *set, const char *path,
                            struct csm_gguf_source *source, bool *is_half, csm_error *err)
{
    csm_gguf *file = NULL;
    char *kept = strdup(path);
    csm_status st = kept == NULL ? csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path)
                                 : csm_tensor_set_keep(set, kept, free, err);
    if (st == CSM_OK)
        st = csm_gguf_open(path, &file, err);
    if (st == CSM_OK)
        st = csm_tensor_set_keep(set, file, close_file, err);
    if (st != CSM_OK)
        return st;
    *source = (struct csm_gguf_source){file, dialect_of(file, is_half), kept, 0};
    size_t n;
    const void *header = csm_gguf_header(file, &n);
    st = csm_tensor_set_add_header(set, header, n, err);
    return st == CSM_OK && source->dialect == CSM_GGUF_NONE ? refuse_architecture(file, path, err)
                                                             : st;
}

/* The other half of a pair, beside the first. */
static csm_status open_other(struct csm_tensor_set *set, const struct csm_gguf_source *first,
                             struct csm_gguf_source *other, csm_error *err)
{
    const bool has_backbone = first->dialect == CSM_GGUF_LLAMA;
    const char *what = has_backbone ? "codec.cpp's mimi with codec.lm" : "backbones (llama)";
    char *directory = directory_of(first->path), *path = NULL;
    bool is_half;
    csm_status st = directory == NULL
                        ? csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", first->path)
                        : choose_one(directory, has_backbone ? is_rest : is_backbone, what, &path,
                                     err);
    if (st == CSM_OK && path == NULL)
        st = csm_fail(err, CSM_BAD_FILE,
                      "%s: half of a model (%s), expected the other half beside it: %s",
                      first->path, has_backbone ? "the backbone" : "all but the backbone",
                      has_backbone ? "codec.cpp's GGUF of mimi with codec.lm"
                                   : "a GGUF of architecture llama");
    if (st == CSM_OK)
        st = open_file(set, path, other, &is_half, err);
    free(path);
    free(directory);
    return st;
}

/* From the keys of both files; `rest` has no file where there is one alone. */
static csm_status read_keys(const struct csm_gguf_source *main,
                            const struct csm_gguf_source *rest, struct csm_gguf_model *out,
                            csm_error *err)
{
    csm_status st = main->dialect == CSM_GGUF_CRISPASR
                        ? csm_gguf_config_crispasr(main->file, main->path, &out->config, err)
                    : main->dialect == CSM_GGUF_LLAMA
                        ? csm_gguf_config_pair(rest->file, rest->path, main->file, main->path,
                                               &out->config, err)
                        : csm_gguf_config_pair(main->file, main->path, NULL, NULL, &out->config,
                                               err);
    return st == CSM_OK ? csm_gguf_tokenizer(main->file, main->path, &out->tokenizer,
                                             &out->n_tokenizer, err)
                        : st;
}

/* How many tensors of each type the files have. */
static csm_status name_types(const struct csm_gguf_source files[2], char **out, csm_error *err)
{
    size_t counts[CSM_GGUF_BF16 + 1] = {0};
    for (size_t f = 0; f < 2; f++)
        for (size_t i = 0; files[f].file != NULL && i < csm_gguf_count(files[f].file); i++)
            counts[csm_gguf_at(files[f].file, i)->type]++;
    struct csm_builder b = {.text = NULL};
    for (int type = 0; type <= CSM_GGUF_BF16; type++) {
        char text[64];
        if (counts[type] == 0)
            continue;
        snprintf(text, sizeof text, "%s%zu%s of %s", b.length > 0 ? ", " : "", counts[type],
                 b.length > 0 ? "" : " tensors",
                 csm_gguf_format((enum csm_gguf_type)type)->name);
        csm_builder_add_text(&b, text);
    }
    *out = csm_builder_take(&b);
    return *out != NULL ? CSM_OK
                        : csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", files[0].path);
}

static csm_status fill(const char *path, bool needs_language, struct csm_gguf_model *out,
                       csm_error *err)
{
    struct csm_gguf_source main = {NULL, CSM_GGUF_NONE, NULL, 0}, rest = main;
    bool is_half = false;
    csm_status st = open_file(out->set, path, &main, &is_half, err);
    if (st == CSM_OK && is_half && (needs_language || main.dialect == CSM_GGUF_LLAMA))
        st = open_other(out->set, &main, &rest, err);
    if (st == CSM_OK && rest.dialect == CSM_GGUF_LLAMA) { /* the backbone is the main one */
        const struct csm_gguf_source swapped = main;
        main = rest;
        rest = swapped;
    }
    if (st == CSM_OK)
        st = read_keys(&main, &rest, out, err);
    if (st == CSM_OK && main.dialect == CSM_GGUF_LLAMA) {
        const json_int_t n_heads =
            json_integer_value(json_object_get(out->config, "num_attention_heads"));
        const json_int_t width = json_integer_value(json_object_get(out->config, "hidden_size"));
        const json_t *said = json_object_get(out->config, "head_dim");
        const json_int_t size = said != NULL  ? json_integer_value(said)
                                : n_heads > 0 ? width / n_heads
                                              : 0;
        if (size < 2 || size > 1 << 24 || size % 2 != 0)
            st = csm_fail(err, CSM_BAD_FORMAT,
                          "%s: llama.attention.head_count and llama.embedding_length: expected "
                          "heads of an even width",
                          main.path);
        main.head_dim = (size_t)size;
    }
    if (st == CSM_OK)
        st = csm_gguf_add(out->set, &main, err);
    if (st == CSM_OK && rest.file != NULL)
        st = csm_gguf_add(out->set, &rest, err);
    return st == CSM_OK ? name_types((struct csm_gguf_source[2]){main, rest}, &out->types, err)
                        : st;
}

static void release(struct csm_gguf_model *model)
{
    csm_tensor_set_free(model->set);
    json_decref(model->config);
    free(model->tokenizer);
    free(model->types);
    *model = (struct csm_gguf_model){.set = NULL};
}

csm_status csm_gguf_model_open(const char *path, bool needs_language, struct csm_gguf_model *out,
                               csm_error *err)
{
    *out = (struct csm_gguf_model){.set = NULL};
    csm_status st = csm_tensor_set_new(path, &out->set, err);
    if (st == CSM_OK)
        st = fill(path, needs_language, out, err);
    if (st != CSM_OK)
        release(out);
    return st;
}
