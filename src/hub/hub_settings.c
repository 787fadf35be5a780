/* SPDX-License-Identifier: Apache-2.0
 *
 * The variables and their order are huggingface_hub 2.4's (constants.py,
 * utils/_auth.py), the shape of a name its validate_repo_id. */
#include "hub/hub_settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/builder.h"
#include "base/error.h"
#include "files/path.h"

void csm_hub_options_init(csm_hub_options *options)
{
    const size_t size = options->size;
    memset(options, 0, size);
    options->size = size;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

bool csm_hub_is_name(const char *text)
{
    const char *slash = strchr(text, '/');
    const size_t n = strlen(text);
    if (slash == NULL || slash == text || slash[1] == '\0' || n > 96 ||
        strstr(text, "--") != NULL || strstr(text, "..") != NULL ||
        csm_path_ends_with(text, ".git"))
        return false;
    for (const char *c = text; *c != '\0'; c++)
        if (c != slash && ((unsigned char)*c >= 0x80 || !is_word(*c)))
            return false;
    const char ends[] = {text[0], slash[-1], slash[1], text[n - 1]};
    return memchr(ends, '-', sizeof ends) == NULL && memchr(ends, '.', sizeof ends) == NULL;
}

bool csm_hub_is_safe_path(const char *path)
{
    for (const char *part = path;;) {
        const size_t n = strcspn(part, "/");
        if (n == 0 || n > 255 || (n == 1 && part[0] == '.') ||
            (n == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)part[i] < ' ' || part[i] == 0x7f || part[i] == '\\')
                return false;
        if (part[n] == '\0')
            return part + n - path < 2048;
        part += n + 1;
    }
}

bool csm_hub_is_hex(const char *text, size_t length)
{
    return strspn(text, "0123456789abcdef") == length && text[length] == '\0';
}

/* A variable that is set to something. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

static bool is_true(const char *name)
{
    static const char *const yes[] = {"1", "on", "yes", "true"};
    const char *value = variable(name);
    for (size_t i = 0; value != NULL && i < sizeof yes / sizeof *yes; i++) {
        size_t c = 0;
        while (tolower((unsigned char)value[c]) == yes[i][c] && yes[i][c] != '\0')
            c++;
        if (value[c] == '\0' && yes[i][c] == '\0')
            return true;
    }
    return false;
}

/* A new string: ~ at the start is the home, $NAME and ${NAME} are variables. */
static char *expand(const char *path)
{
    struct csm_builder b = {0};
    if (path[0] == '~' && (path[1] == '/' || path[1] == '\0') && variable("HOME") != NULL) {
        csm_builder_add_text(&b, variable("HOME"));
        path++;
    }
    while (*path != '\0') {
        const bool is_braced = path[0] == '$' && path[1] == '{';
        const char *name = path + 1 + is_braced;
        size_t n = 0;
        while (path[0] == '$' && (isalnum((unsigned char)name[n]) || name[n] == '_'))
            n++;
        char text[256];
        snprintf(text, sizeof text, "%.*s", (int)n, name);
        const char *value = n > 0 && n < sizeof text && (!is_braced || name[n] == '}')
                                ? getenv(text) : NULL;
        if (value != NULL) {
            csm_builder_add_text(&b, value);
            path = name + n + is_braced;
        } else {
            csm_builder_add(&b, path++, 1);
        }
    }
    return csm_builder_take(&b);
}

/* base/name, expanded. */
static char *expand_in(const char *base, const char *name)
{
    char *joined = csm_path_join(base, name);
    char *path = joined != NULL ? expand(joined) : NULL;
    free(joined);
    return path;
}

static char *hub_home(void)
{
    if (variable("HF_HOME") != NULL)
        return expand(variable("HF_HOME"));
    return variable("XDG_CACHE_HOME") != NULL ? expand_in(variable("XDG_CACHE_HOME"), "huggingface")
                                              : expand("~/.cache/huggingface");
}

static char *find_cache(const csm_hub_options *options, const char *home)
{
    if (options->cache_dir != NULL)
        return expand(options->cache_dir);
    if (variable("HF_HUB_CACHE") != NULL)
        return expand(variable("HF_HUB_CACHE"));
    if (variable("HUGGINGFACE_HUB_CACHE") != NULL)
        return expand(variable("HUGGINGFACE_HUB_CACHE"));
    return csm_path_join(home, "hub");
}

/* Without the blanks around it; NULL when nothing is left. */
static char *clean(const char *token)
{
    const char *end = token + strlen(token);
    while (token < end && isspace((unsigned char)*token))
        token++;
    while (end > token && isspace((unsigned char)end[-1]))
        end--;
    return end > token ? strndup(token, (size_t)(end - token)) : NULL;
}

static csm_status read_token_file(const char *home, char **token, csm_error *err)
{
    char *path = variable("HF_TOKEN_PATH") != NULL ? expand(variable("HF_TOKEN_PATH"))
                                                   : csm_path_join(home, "token");
    if (path == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
    csm_status status = CSM_OK;
    FILE *file = fopen(path, "rb");
    if (file == NULL && errno != ENOENT && errno != ENOTDIR)
        status = csm_fail(err, CSM_BAD_FILE, "%s: the hub's token cannot be read: %s", path,
                          strerror(errno));
    if (file != NULL) {
        char text[1024];
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
        *token = clean(text);
    }
    free(path);
    return status;
}

static csm_status find_token(struct csm_hub *hub, const char *home, csm_error *err)
{
    const char *set = variable("HF_TOKEN") != NULL ? variable("HF_TOKEN")
                                                   : variable("HUGGING_FACE_HUB_TOKEN");
    csm_status status = CSM_OK;
    if (hub->options.token != NULL)
        hub->token = clean(hub->options.token);
    else if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN"))
        return CSM_OK;
    else if (set != NULL)
        hub->token = clean(set);
    else
        status = read_token_file(home, &hub->token, err);
    for (const char *c = hub->token; c != NULL && *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            return csm_fail(err, CSM_BAD_ARG,
                            "the hub's token: holds a blank or a control character, expected "
                            "letters and digits");
    return status;
}

/* Seconds of a variable; `fallback` where it says nothing. */
static csm_status read_seconds(const char *name, long fallback, long *seconds, csm_error *err)
{
    const char *text = variable(name);
    *seconds = fallback;
    if (text == NULL)
        return CSM_OK;
    char *end;
    const long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < 0 || value > 86400)
        return csm_fail(err, CSM_BAD_ARG, "%s: '%s', expected seconds from 0 to 86400", name, text);
    if (value > 0)
        *seconds = value;
    return CSM_OK;
}

static csm_status check_arguments(const struct csm_hub *hub, csm_error *err)
{
    if (!csm_hub_is_name(hub->repo))
        return csm_fail(err, CSM_BAD_ARG, "'%s': no name of a model, expected ORG/NAME", hub->repo);
    if (!csm_hub_is_safe_path(hub->revision) || strlen(hub->revision) > 255)
        return csm_fail(err, CSM_BAD_ARG, "revision '%s': expected a branch, a tag or a commit",
                        hub->revision);
    if ((strncmp(hub->endpoint, "http://", 7) != 0 && strncmp(hub->endpoint, "https://", 8) != 0) ||
        strpbrk(hub->endpoint, " \t\r\n") != NULL)
        return csm_fail(err, CSM_BAD_ARG, "endpoint '%s': expected http:// or https://",
                        hub->endpoint);
    for (size_t i = 0; i < hub->options.n_files; i++)
        if (!csm_hub_is_safe_path(hub->options.files[i]))
            return csm_fail(err, CSM_BAD_ARG, "file '%s': expected a name in the repository",
                            hub->options.files[i]);
    return CSM_OK;
}

static char *repo_folder(const struct csm_hub *hub)
{
    const char *slash = strchr(hub->repo, '/');
    char name[128];
    snprintf(name, sizeof name, "models--%.*s--%s", (int)(slash - hub->repo), hub->repo, slash + 1);
    return csm_path_join(hub->cache_dir, name);
}

csm_status csm_hub_open(struct csm_hub *hub, const char *repo, const csm_hub_options *options,
                        csm_error *err)
{
    memset(hub, 0, sizeof *hub);
    hub->progress = (csm_hub_progress){.size = sizeof hub->progress, .file = ""};
    if (options != NULL) {
        if (options->size < sizeof options->size)
            return csm_fail(err, CSM_BAD_ARG, "hub: options of no size, expected those of "
                                              "csm_hub_defaults()");
        memcpy(&hub->options, options,
               options->size < sizeof hub->options ? options->size : sizeof hub->options);
    }
    const csm_hub_options *o = &hub->options;
    const char *endpoint = o->endpoint != NULL             ? o->endpoint
                           : variable("HF_ENDPOINT") != NULL ? variable("HF_ENDPOINT")
                                                             : "https://huggingface.co";
    char *home = hub_home();
    hub->repo = strdup(repo);
    hub->revision = strdup(o->revision != NULL ? o->revision : "main");
    hub->endpoint = strdup(endpoint);
    hub->cache_dir = home != NULL ? find_cache(o, home) : NULL;
    csm_status status = CSM_OK;
    if (hub->repo == NULL || hub->revision == NULL || hub->endpoint == NULL ||
        hub->cache_dir == NULL)
        status = csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
    if (status == CSM_OK) {
        for (size_t n = strlen(hub->endpoint); n > 0 && hub->endpoint[n - 1] == '/'; n--)
            hub->endpoint[n - 1] = '\0';
        status = check_arguments(hub, err);
    }
    if (status == CSM_OK && (hub->folder = repo_folder(hub)) == NULL)
        status = csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
    hub->is_offline =
        o->is_offline || is_true(variable("HF_HUB_OFFLINE") != NULL ? "HF_HUB_OFFLINE"
                                                                    : "TRANSFORMERS_OFFLINE");
    hub->has_links = !is_true("HF_HUB_DISABLE_SYMLINKS");
    hub->has_shared_blobs = hub->has_links && !is_true("HF_HUB_DISABLE_XET") &&
                            !is_true("HF_HUB_DISABLE_SHARED_BLOBS");
    if (status == CSM_OK)
        status = read_seconds("HF_HUB_ETAG_TIMEOUT", 10, &hub->metadata_timeout_s, err);
    if (status == CSM_OK)
        status = read_seconds("HF_HUB_DOWNLOAD_TIMEOUT", 10, &hub->idle_timeout_s, err);
    if (status == CSM_OK && !hub->is_offline)
        status = find_token(hub, home, err);
    free(home);
    return status;
}

void csm_hub_close(struct csm_hub *hub)
{
    free(hub->repo);
    free(hub->revision);
    free(hub->endpoint);
    free(hub->cache_dir);
    free(hub->folder);
    free(hub->token);
    memset(hub, 0, sizeof *hub);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

csm_status csm_hub_tell(struct csm_hub *hub, bool now, csm_error *err)
{
    if (hub->options.on_progress == NULL || (!now && now_ms() - hub->told_ms < 100))
        return CSM_OK;
    hub->told_ms = now_ms();
    return hub->options.on_progress(hub->options.user, &hub->progress)
               ? CSM_OK
               : csm_fail(err, CSM_CANCELLED, "%s: the download was cancelled", hub->repo);
}

csm_status csm_hub_remark(struct csm_hub *hub, const char *remark, csm_error *err)
{
    hub->progress.remark = remark;
    csm_status status = csm_hub_tell(hub, true, err);
    hub->progress.remark = NULL;
    return status;
}

csm_status csm_hub_wait(struct csm_hub *hub, int64_t ms, csm_error *err)
{
    const int64_t end = now_ms() + ms;
    csm_status status = CSM_OK;
    while (status == CSM_OK && now_ms() < end) {
        const int64_t left = end - now_ms();
        nanosleep(&(struct timespec){.tv_nsec = (left < 50 ? left : 50) * 1000000}, NULL);
        status = csm_hub_tell(hub, false, err);
    }
    return status;
}
