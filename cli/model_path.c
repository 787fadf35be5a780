/* SPDX-License-Identifier: Apache-2.0 */
#include "model_path.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "interrupt.h"

/* The line of progress. */
struct line {
    bool is_quiet, is_terminal;
    bool is_drawn;
    double start_ms;
    uint64_t start_bytes; /* that were there before */
};

static void clear(struct line *line)
{
    if (line->is_drawn)
        fputs("\r\033[K", stderr);
    line->is_drawn = false;
}

static void draw(struct line *line, const csm_hub_progress *p)
{
    const double seconds = (clock_ms() - line->start_ms) / 1e3;
    const double rate = seconds > 1 ? (double)(p->bytes - line->start_bytes) / 1e6 / seconds : 0;
    fprintf(stderr, "\r\033[K%.40s  %.1f of %.1f MB  %.0f %%", p->file, (double)p->bytes / 1e6,
            (double)p->total / 1e6, p->total > 0 ? 100.0 * (double)p->bytes / (double)p->total : 0);
    if (rate > 0)
        fprintf(stderr, "  %.1f MB/s", rate);
    line->is_drawn = true;
}

static bool on_progress(void *user, const csm_hub_progress *p)
{
    struct line *line = user;
    if (p->remark != NULL && !line->is_quiet) {
        clear(line);
        fprintf(stderr, "csm: %s\n", p->remark);
    } else if (p->file[0] != '\0' && line->is_terminal && !line->is_quiet) {
        if (!line->is_drawn && line->start_ms == 0) {
            line->start_ms = clock_ms();
            line->start_bytes = p->bytes;
        }
        draw(line, p);
    }
    return !is_interrupted();
}

csm_status model_download(const char *repo, csm_hub_options *options, bool is_quiet,
                          char **directory, csm_error *err)
{
    struct line line = {.is_quiet = is_quiet, .is_terminal = isatty(STDERR_FILENO) != 0};
    options->on_progress = on_progress;
    options->user = &line;
    interrupt_watch();
    csm_status st = csm_hub_download(repo, options, directory, err);
    clear(&line);
    interrupt_obey();
    interrupt_unwatch();
    return st;
}

/* Refuse what is no path here but names a repository in another way: by its address, or with a
 * revision. */
static csm_status refuse_address(const char *path, csm_error *err)
{
    static const char *const hosts[] = {"https://huggingface.co/", "https://hf.co/", "hf://"};
    const char *rest = path;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (strncmp(path, hosts[i], strlen(hosts[i])) == 0)
            rest = path + strlen(hosts[i]);
    char name[128];
    const size_t n_org = strcspn(rest, "/"), n = n_org + strcspn(rest + n_org + (rest[n_org] == '/'), "/@") + 1;
    const bool is_other = rest != path || (n < strlen(rest) && rest[n] == '@');
    if (!is_other || rest[n_org] != '/' || n >= sizeof name)
        return CSM_OK;
    snprintf(name, sizeof name, "%.*s", (int)n, rest);
    return csm_hub_is_name(name)
               ? csm_fail(err, CSM_BAD_FILE,
                          "%s: no path here, expected a directory or %s (csm download %s --revision R brings "
                          "a revision, and prints its directory)",
                          path, name, name)
               : CSM_OK;
}

csm_status model_path_resolve(const char **path, bool is_quiet, char **owned, csm_error *err)
{
    *owned = NULL;
    if (*path == NULL || access(*path, F_OK) == 0)
        return CSM_OK;
    if (!csm_hub_is_name(*path))
        return refuse_address(*path, err);
    csm_hub_options options = csm_hub_defaults();
    csm_status st = model_download(*path, &options, is_quiet, owned, err);
    if (st == CSM_OK)
        *path = *owned;
    return st;
}
