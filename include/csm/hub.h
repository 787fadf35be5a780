/* SPDX-License-Identifier: Apache-2.0
 *
 * hub.h - models by name, "ORG/NAME", from a Hugging Face hub, in the cache that
 * huggingface_hub keeps: what either has downloaded, the other finds. docs/HUB.md.
 *
 *     csm_error err;
 *     char *directory;
 *     csm_hub_options options = csm_hub_defaults();
 *     if (csm_hub_download("unsloth/csm-1b", &options, &directory, &err) == CSM_OK)
 *         ...csm_model_open(directory, ...)...
 *     csm_free(directory);
 *
 * Only what a CSM reads is taken: config.json, generation_config.json,
 * tokenizer.json, voices.json, adapter_config.json; the weights (what config.json
 * names as transformers_weights, else transformers.safetensors.index.json, else
 * model.safetensors, else another index, each index with its shards, else
 * ckpt.safetensors, else every other *.safetensors, else the one *.gguf); codecs
 * beside them (mimi.safetensors, tokenizer-*.safetensors). Never a pickle.
 *
 * Environment, as huggingface_hub reads it: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE,
 * HF_HOME, XDG_CACHE_HOME; HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH,
 * HF_HUB_DISABLE_IMPLICIT_TOKEN; HF_ENDPOINT; HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE;
 * HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT; HF_HUB_DISABLE_SYMLINKS,
 * HF_HUB_DISABLE_XET, HF_HUB_DISABLE_SHARED_BLOBS. A variable that is empty counts
 * as not set.
 *
 * Threads and processes: any number of calls at once, of the same model too; each
 * file is transferred by one of them while the others wait. */
#ifndef CSM_HUB_H
#define CSM_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How far a download is. Made by the library; `size` says which members it has. */
typedef struct csm_hub_progress {
    size_t size;
    const char *file;               /* the one in hand, as the repository names it; "": none */
    uint64_t file_bytes, file_size; /* of it */
    uint64_t bytes, total;          /* of all files wanted, those already there included;
                                     * grows once an index has named its shards */
    const char *remark;             /* NULL, or one line that the user should see */
} csm_hub_progress;

/* All but `size` zero is the default. */
typedef struct csm_hub_options {
    size_t size;           /* sizeof of the caller's struct; csm_hub_defaults sets it */
    const char *revision;  /* branch, tag or commit; NULL: "main" */
    const char *endpoint;  /* http:// or https://; NULL: HF_ENDPOINT, else huggingface.co */
    const char *cache_dir; /* NULL: of the environment, else ~/.cache/huggingface/hub */
    const char *token;     /* NULL: of the environment or the token file; "": none */
    bool is_offline;       /* what the cache has: no request is made, and libcurl not needed;
                            * also if HF_HUB_OFFLINE is set */
    const char *const *files; /* names in the repository, in place of what a CSM reads; */
    size_t n_files;           /* 0: what a CSM reads */

    /* Told some ten times a second and of every remark, from the calling thread,
     * while transferring and while waiting; false cancels. May be NULL. */
    bool (*on_progress)(void *user, const csm_hub_progress *progress);
    void *user;
} csm_hub_options;

/* The defaults, in what options->size covers; csm_hub_defaults sets the size too. */
CSM_API void csm_hub_options_init(csm_hub_options *options);
static inline csm_hub_options csm_hub_defaults(void)
{
    csm_hub_options options;
    options.size = sizeof options;
    csm_hub_options_init(&options);
    return options;
}

/* Whether a text has the shape of ORG/NAME: letters, digits, - _ and ., no "--",
 * no "..", none of - and . at the ends, at most 96. Says nothing of what there is. */
CSM_API bool csm_hub_is_name(const char *text);

/* Bring a model into the cache, or find that it is there.
 *
 *   repo       "ORG/NAME"
 *   options    NULL: the defaults
 *   directory  receives the path of the snapshot, to be freed with csm_free
 *
 * A file that is complete is not transferred again; one that was cut off, by a
 * kill too, goes on where it was. Every file's size and checksum (SHA-256 of large
 * ones, git's SHA-1 of small ones) is compared with the hub's before it gets its
 * name. Failures that pass (408, 429, 5xx, a broken line) are tried five times. A
 * hub that cannot be reached at all gives the cache's copy, if there is one, and a
 * remark.
 *
 * Returns CSM_OK; CSM_BAD_ARG: a name, revision, file, endpoint or token that is
 * none, or a repository of several GGUF files; CSM_BAD_FILE: no such repository,
 * revision or file, private or gated, offline and not in the cache, the hub not
 * reached, the disk full or not writable; CSM_BAD_FORMAT: an answer that is not a
 * hub's, or a content of another checksum; CSM_NO_ENGINE: without libcurl;
 * CSM_CANCELLED; CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_hub_download(const char *repo, const csm_hub_options *options,
                                                 char **directory, csm_error *err);

#ifdef __cplusplus
}
#endif
#endif
