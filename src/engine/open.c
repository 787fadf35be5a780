/* SPDX-License-Identifier: Apache-2.0
 *
 * RTLD_LOCAL keeps the symbols of libmlx and libtorch from each other.
 * RTLD_LAZY: an engine tells of a library of another version before it calls what
 * that one has not.
 * RTLD_NODELETE: their worker threads outlive the engine that started them, and
 * would run on in code that is gone. */
#define _GNU_SOURCE /* RTLD_NODELETE */
#include "engine/open.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/place.h"

struct kind {
    const char *name;
    const char *entry;   /* what its shared object exports */
    const char *install; /* how one gets it */
};

static const struct kind kinds[] = {
    {"mlx", "csm_engine_mlx", "pip install mlx==0.32.4, then build csm with -DCSM_BUILD_MLX=ON"},
    {"torch", "csm_engine_torch",
     "pip install torch==2.13.0, then build csm with -DCSM_BUILD_TORCH=ON"},
    {"cuda", "csm_engine_cuda",
     "install the CUDA toolkit (nvcc) 12 or newer, then build csm with -DCSM_BUILD_CUDA=ON"},
};

/* Where the engine's shared object is; false if nowhere. */
static bool locate(const struct kind *kind, char *path, size_t size)
{
    const char *only = csm_place_from_environment("CSM_ENGINE_DIR");
    if (only != NULL) {
        snprintf(path, size, "%s/csm_engine_%s.so", only, kind->name);
        return access(path, F_OK) == 0;
    }
    char own[2048];
    csm_own_directory(own, sizeof own);
    static const char *const beside[] = {"", "/csm", "/../lib", "/../lib/csm"};
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        snprintf(path, size, "%s%s/csm_engine_%s.so", own, beside[i], kind->name);
        if (access(path, F_OK) == 0)
            return true;
    }
    snprintf(path, size, "%s/csm_engine_%s.so", CSM_ENGINE_INSTALL_DIR, kind->name);
    return access(path, F_OK) == 0;
}

/* POSIX has object and function pointers of one size; ISO C no cast between them. */
static void find(void *library, const char *name, void *function, size_t size)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, size);
}

static void tell_bits(const char *name, struct csm_engine *engine)
{
    char symbol[64];
    csm_engine_bits_of of = NULL;
    snprintf(symbol, sizeof symbol, "csm_engine_%s_bits", name);
    if (engine->library != NULL)
        find(engine->library, symbol, &of, sizeof of);
    if (of != NULL)
        of(&engine->bits);
}

static csm_status load(const struct kind *kind, struct csm_engine *out, csm_error *err)
{
    char path[4096];
    if (!locate(kind, path, sizeof path))
        return csm_fail(err, CSM_NO_ENGINE, "engine %s is not installed: %s", kind->name,
                        kind->install);
    if (!csm_is_trusted(path))
        return csm_fail(err, CSM_NO_ENGINE,
                        "engine %s: %s: others could have put it there; expected file and "
                        "directory to be yours or root's, and not writable for everybody",
                        kind->name, path);
    out->library = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    if (out->library == NULL)
        return csm_fail(err, CSM_NO_ENGINE, "engine %s does not load: %s: %s", kind->name,
                        dlerror(), kind->install);
    csm_engine_entry entry = NULL;
    find(out->library, kind->entry, &entry, sizeof entry);
    if (entry != NULL)
        out->ops = entry(CSM_ENGINE_ABI);
    if (out->ops == NULL)
        return csm_fail(err, CSM_NO_ENGINE,
                        "engine %s: %s was built for another csm than this one, version %s: "
                        "build csm again with it",
                        kind->name, path, csm_version());
    return CSM_OK;
}

csm_status csm_engine_open(const char *name, const struct csm_engine_options *options,
                           struct csm_engine *out, csm_error *err)
{
    const struct csm_engine_options defaults = {0};
    csm_status status = CSM_BAD_ARG;
    memset(out, 0, sizeof *out);

    if (strcmp(name, "native") == 0) {
        out->ops = &csm_engine_native;
        status = CSM_OK;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(name, kinds[i].name) == 0) {
            status = load(&kinds[i], out, err);
            if (status != CSM_OK)
                goto fail;
        }
    if (status != CSM_OK)
        return csm_fail(err, status, "engine '%s': expected native, mlx, torch or cuda", name);

    status = out->ops->open(options != NULL ? options : &defaults, &out->ctx, err);
    if (status == CSM_OK) {
        tell_bits(name, out);
        return CSM_OK;
    }
fail:
    out->ctx = NULL;
    csm_engine_close(out);
    return status;
}

bool csm_engine_is(const struct csm_engine *engine, const char *name)
{
    return engine->ops != NULL && strcmp(engine->ops->name, name) == 0;
}

void csm_engine_close(struct csm_engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->ctx != NULL)
        engine->ops->close(engine->ctx);
    if (engine->library != NULL)
        dlclose(engine->library);
    memset(engine, 0, sizeof *engine);
}
