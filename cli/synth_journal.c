/* SPDX-License-Identifier: Apache-2.0 */
#include "synth_journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "synth_item.h"

static csm_status failed(const char *path, csm_error *err)
{
    return csm_fail(err, CSM_BAD_FILE, "%s: %s", path, strerror(errno));
}

/* ---- what a run before has told ------------------------------------------------ */

static csm_status take_line(struct synth_journal *j, const char *line, size_t n,
                            struct synth_ids *ids, csm_error *err)
{
    struct synth_item item;
    csm_error inner;
    csm_status st = synth_item_read(&item, line, n, "", &inner);
    struct synth_id *id = st == CSM_OK ? synth_ids_find(ids, item.name) : NULL;
    if (id != NULL)
        id->told = j->end + 1;
    else
        j->n_others++;
    synth_item_free(&item);
    return st == CSM_OK ? CSM_OK
                        : csm_fail(err, CSM_BAD_FORMAT, "%s: byte %llu: %s, expected a line that "
                                   "csm synth wrote", j->path, (unsigned long long)j->end,
                                   inner.text);
}

static csm_status take_all(struct synth_journal *j, struct synth_ids *ids, csm_error *err)
{
    char *line = NULL;
    size_t room = 0;
    csm_status st = CSM_OK;
    rewind(j->file);
    for (ssize_t n; st == CSM_OK && (n = getline(&line, &room, j->file)) > 0;) {
        if (line[n - 1] != '\n')
            break;
        st = take_line(j, line, (size_t)n, ids, err);
        j->end += (uint64_t)n;
    }
    free(line);
    if (st == CSM_OK && (ferror(j->file) || ftruncate(fileno(j->file), (off_t)j->end) != 0))
        st = failed(j->path, err);
    return st;
}

csm_status synth_journal_open(struct synth_journal *j, const char *directory,
                              const struct synth_shard *shard, bool is_resumed,
                              struct synth_ids *ids, csm_error *err)
{
    char part[64] = "";
    *j = (struct synth_journal){0};
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return failed(directory, err);
    if (shard->n > 1)
        snprintf(part, sizeof part, "-%llu-of-%llu", (unsigned long long)shard->index,
                 (unsigned long long)shard->n);
    const int n =
        snprintf(j->path, sizeof j->path, "%s/manifest%s.jsonl.unfinished", directory, part);
    if (n < 0 || (size_t)n >= sizeof j->path)
        return csm_fail(err, CSM_BAD_ARG, "--output-dir: the path is too long");
    snprintf(j->finished, sizeof j->finished, "%s/manifest%s.jsonl", directory, part);
    const bool is_finished = access(j->finished, F_OK) == 0;
    if (!is_resumed && (is_finished || access(j->path, F_OK) == 0))
        return csm_fail(err, CSM_BAD_FILE, "%s: it is there from a run before, expected --resume or "
                        "another directory", is_finished ? j->finished : j->path);
    if (is_finished && rename(j->finished, j->path) != 0)
        return failed(j->finished, err);
    j->file = fopen(j->path, "a+b");
    if (j->file == NULL)
        return failed(j->path, err);
    if (flock(fileno(j->file), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return csm_fail(err, CSM_BAD_FILE, "%s: another csm synth writes it, expected one a shard",
                        j->path);
    return take_all(j, ids, err);
}

/* ---- line by line --------------------------------------------------------------- */

static csm_status read_line(struct synth_journal *j, const struct synth_id *id, char **line,
                            size_t *room, ssize_t *n, csm_error *err)
{
    if (fseeko(j->file, (off_t)(id->told - 1), SEEK_SET) != 0 ||
        (*n = getline(line, room, j->file)) <= 0)
        return csm_fail(err, CSM_BAD_FILE, "%s: byte %llu: a line is gone that was there", j->path,
                        (unsigned long long)id->told - 1);
    return CSM_OK;
}

csm_status synth_journal_read(struct synth_journal *j, const struct synth_id *id, json_t **line,
                              csm_error *err)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t n = 0;
    csm_status st = read_line(j, id, &text, &room, &n, err);
    *line = st == CSM_OK ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
    free(text);
    if (st == CSM_OK && *line == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", j->path);
    return st;
}

csm_status synth_journal_add(struct synth_journal *j, struct synth_id *id, const json_t *line,
                             csm_error *err)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(15));
    if (text == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", j->path);
    const size_t n = strlen(text);
    const bool is_written = fseeko(j->file, 0, SEEK_END) == 0 &&
                            fwrite(text, 1, n, j->file) == n && putc('\n', j->file) != EOF &&
                            fflush(j->file) == 0;
    free(text);
    if (!is_written)
        return failed(j->path, err);
    id->told = j->end + 1;
    j->end += n + 1;
    return CSM_OK;
}

/* ---- the manifest ---------------------------------------------------------------- */

static csm_status copy_all(struct synth_journal *j, const struct synth_ids *ids, FILE *to,
                           const char *path, csm_error *err)
{
    char *line = NULL;
    size_t room = 0;
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < ids->n; i++) {
        ssize_t n = 0;
        if (ids->items[i].told == 0)
            continue;
        st = read_line(j, &ids->items[i], &line, &room, &n, err);
        if (st == CSM_OK && fwrite(line, 1, (size_t)n, to) != (size_t)n)
            st = failed(path, err);
    }
    free(line);
    return st;
}

csm_status synth_journal_finish(struct synth_journal *j, const struct synth_ids *ids,
                                csm_error *err)
{
    char beside[sizeof j->finished + 8];
    snprintf(beside, sizeof beside, "%s.part", j->finished);
    FILE *to = fopen(beside, "wb");
    if (to == NULL)
        return failed(beside, err);
    csm_status st = copy_all(j, ids, to, beside, err);
    if (st == CSM_OK && (fflush(to) != 0 || fsync(fileno(to)) != 0))
        st = failed(beside, err);
    if (fclose(to) != 0 && st == CSM_OK)
        st = failed(beside, err);
    if (st == CSM_OK && rename(beside, j->finished) != 0)
        st = failed(j->finished, err);
    if (st == CSM_OK && unlink(j->path) != 0)
        st = failed(j->path, err);
    if (st != CSM_OK)
        unlink(beside);
    return st;
}

void synth_journal_close(struct synth_journal *j)
{
    if (j->file != NULL)
        fclose(j->file);
    j->file = NULL;
}
