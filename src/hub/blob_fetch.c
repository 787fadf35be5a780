/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes go to blobs/ETAG.63736d00.incomplete, named as huggingface_hub names such
 * files, but always the same, so that the next process goes on with it. One process
 * writes it, the one that has the file's lock. Where locks do nothing (some network
 * file systems), two may: both write the same bytes to the same places, nobody
 * shortens the file, and the first to end gives it its name. A content that turns
 * out wrong is removed and begun as a new file. */
#include "hub/blob_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "files/path.h"
#include "hub/checksum.h"
#include "hub/hub_request.h"

struct fetch {
    struct csm_hub *hub;
    const struct csm_hub_file *file;
    const char *commit, *etag;
    char what[2200];       /* "ORG/NAME: FILE" */
    char *blob;            /* the path it gets */
    char incomplete[4096]; /* where it grows */
    int fd;
    uint64_t n_bytes; /* that are there, and in the sum */
    uint64_t before;  /* progress.bytes without this file */
    struct csm_checksum *sum;
    bool is_resumed;
};

static csm_status bad_file(const struct fetch *f, csm_error *err)
{
    return csm_fail(err, CSM_BAD_FILE, "%s: cannot be written: %s", f->incomplete, strerror(errno));
}

/* n more bytes are there. */
static csm_status count(struct fetch *f, const void *bytes, size_t n, csm_error *err)
{
    csm_checksum_add(f->sum, bytes, n);
    f->n_bytes += n;
    f->hub->progress.file_bytes = f->n_bytes;
    f->hub->progress.bytes = f->before + f->n_bytes;
    return csm_hub_tell(f->hub, false, err);
}

static csm_status begin_sum(struct fetch *f, csm_error *err)
{
    csm_checksum_end(f->sum, NULL);
    f->n_bytes = 0;
    f->sum = csm_checksum_begin(f->etag, f->file->n_bytes);
    return f->sum != NULL ? CSM_OK : csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
}

/* Begin the file as a new one. */
static csm_status start_anew(struct fetch *f, csm_error *err)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    if (unlink(f->incomplete) != 0 && errno != ENOENT)
        return bad_file(f, err);
    f->is_resumed = false;
    f->fd = open(f->incomplete, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    return f->fd >= 0 ? begin_sum(f, err) : bad_file(f, err);
}

/* Open what an earlier transfer left, and sum it up; else begin. */
static csm_status go_on(struct fetch *f, csm_error *err)
{
    struct stat info;
    f->fd = open(f->incomplete, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (f->fd < 0 || fstat(f->fd, &info) != 0 || !S_ISREG(info.st_mode) ||
        (uint64_t)info.st_size > f->file->n_bytes)
        return start_anew(f, err);
    csm_status status = begin_sum(f, err);
    enum { PIECE = 1 << 20 };
    char *piece = malloc(PIECE);
    if (piece == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
    ssize_t n = 0;
    while (status == CSM_OK && (n = read(f->fd, piece, PIECE)) > 0)
        status = count(f, piece, (size_t)n, err);
    free(piece);
    if (status == CSM_OK && n < 0)
        status = csm_fail(err, CSM_BAD_FILE, "%s: cannot be read: %s", f->incomplete,
                          strerror(errno));
    f->is_resumed = f->n_bytes > 0;
    return status;
}

/* ---- the transfer ----------------------------------------------------------- */

static uint64_t first_byte(void *user)
{
    return ((struct fetch *)user)->n_bytes;
}

static bool is_complete(void *user)
{
    const struct fetch *f = user;
    return f->n_bytes == f->file->n_bytes;
}

/* The hub's own head must speak of the file that was listed. */
static csm_status check_head(void *user, const struct csm_reply *reply, csm_error *err)
{
    const struct fetch *f = user;
    const char *etag = reply->linked_etag[0] != '\0' ? reply->linked_etag : reply->etag;
    if (reply->commit[0] != '\0' && strcmp(reply->commit, f->commit) != 0)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: the hub answers of commit %s, expected %s",
                        f->what, reply->commit, f->commit);
    if (etag[0] != '\0' && strcmp(etag, f->etag) != 0 &&
        (reply->linked_etag[0] != '\0' || reply->code < 300))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: the hub answers of %s, expected %s as it listed",
                        f->what, etag, f->etag);
    return CSM_OK;
}

/* Whether a 206 goes on where this one stands, and a length is what is still missing. */
static csm_status check_length(const struct fetch *f, const struct csm_reply *reply, csm_error *err)
{
    const uint64_t left = f->file->n_bytes - f->n_bytes;
    if (reply->code == 206 &&
        (reply->range_start != (int64_t)f->n_bytes ||
         (reply->range_size >= 0 && (uint64_t)reply->range_size != f->file->n_bytes)))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: another part than bytes %llu on of %llu", f->what,
                        (unsigned long long)f->n_bytes, (unsigned long long)f->file->n_bytes);
    if (reply->n_bytes >= 0 && (uint64_t)reply->n_bytes != left)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: Content-Length %lld, expected %llu as the hub "
                                             "listed it", f->what, (long long)reply->n_bytes,
                        (unsigned long long)left);
    return CSM_OK;
}

static csm_status write_at(const struct fetch *f, const char *bytes, size_t n, csm_error *err)
{
    for (size_t done = 0; done < n;) {
        const ssize_t written =
            pwrite(f->fd, bytes + done, n - done, (off_t)(f->n_bytes + done));
        if (written < 0 && errno != EINTR)
            return bad_file(f, err);
        done += written > 0 ? (size_t)written : 0;
    }
    return CSM_OK;
}

struct stream {
    struct fetch *fetch;
    bool is_begun; /* the head of this answer was looked at */
};

static void begin(void *user)
{
    ((struct stream *)user)->is_begun = false;
}

static csm_status take(void *user, const struct csm_reply *reply, const void *bytes, size_t n,
                       csm_error *err)
{
    struct stream *stream = user;
    struct fetch *f = stream->fetch;
    csm_status status = CSM_OK;
    if (!stream->is_begun && reply->code == 200 && f->n_bytes > 0)
        status = start_anew(f, err); /* a server without ranges sends all of it */
    if (!stream->is_begun && status == CSM_OK)
        status = check_length(f, reply, err);
    stream->is_begun = true;
    if (status == CSM_OK && n > f->file->n_bytes - f->n_bytes)
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: more than %llu bytes come, as the hub listed it",
                          f->what, (unsigned long long)f->file->n_bytes);
    if (status == CSM_OK)
        status = write_at(f, bytes, n, err);
    return status == CSM_OK ? count(f, bytes, n, err) : status;
}

static uint64_t stream_first_byte(void *user)
{
    return first_byte(((struct stream *)user)->fetch);
}

static bool stream_is_complete(void *user)
{
    return is_complete(((struct stream *)user)->fetch);
}

static csm_status stream_check(void *user, const struct csm_reply *reply, csm_error *err)
{
    return check_head(((struct stream *)user)->fetch, reply, err);
}

static csm_status transfer(struct fetch *f, struct csm_transport *transport, csm_error *err)
{
    if (is_complete(f))
        return CSM_OK;
    const char *const parts[] = {"/", f->hub->repo, "/resolve/", f->commit, "/", f->file->path,
                                 NULL};
    char *url = csm_hub_url(f->hub, true, parts);
    if (url == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
    struct stream stream = {.fetch = f};
    const struct csm_hub_sink sink = {.begin = begin,
                                      .first_byte = stream_first_byte,
                                      .take = take,
                                      .is_complete = stream_is_complete,
                                      .check = stream_check,
                                      .user = &stream};
    struct csm_reply reply;
    csm_status status = csm_hub_get(f->hub, transport, url, f->what, true, &sink, &reply, err);
    free(url);
    return status;
}

/* ---- from the first byte to its name ----------------------------------------- */

static csm_status check_space(const struct fetch *f, csm_error *err)
{
    struct statvfs info;
    struct stat have;
    const uint64_t there = stat(f->incomplete, &have) == 0 ? (uint64_t)have.st_size : 0;
    const uint64_t left = f->file->n_bytes > there ? f->file->n_bytes - there : 0;
    if (statvfs(f->hub->folder, &info) == 0 &&
        left / (info.f_frsize != 0 ? info.f_frsize : 1) >= info.f_bavail && left > 0)
        return csm_fail(err, CSM_BAD_FILE, "%s: needs %.1f MB in %s, which has %.1f MB left", f->what,
                        (double)left / 1e6, f->hub->cache_dir,
                        (double)info.f_bavail * (double)info.f_frsize / 1e6);
    return CSM_OK;
}

/* Compare the sum: CSM_BAD_FORMAT when the content is another. */
static csm_status verify(struct fetch *f, csm_error *err)
{
    char digits[CSM_CHECKSUM_SIZE];
    csm_checksum_end(f->sum, digits);
    f->sum = NULL;
    if (strcmp(digits, f->etag) == 0)
        return CSM_OK;
    return csm_fail(err, CSM_BAD_FORMAT, "%s: checksum %s, expected %s: it was not kept", f->what,
                    digits, f->etag);
}

/* Give it its name. It may have been given by a process that lock did not stop. */
static csm_status publish(struct fetch *f, csm_error *err)
{
    if (fsync(f->fd) != 0)
        return bad_file(f, err);
    if (rename(f->incomplete, f->blob) != 0 &&
        !(errno == ENOENT && csm_hub_has_file(f->blob, f->file->n_bytes)))
        return bad_file(f, err);
    return CSM_OK;
}

static csm_status fetch_blob(struct fetch *f, struct csm_transport *transport, csm_error *err)
{
    csm_status status = check_space(f, err);
    if (status == CSM_OK)
        status = go_on(f, err);
    for (bool is_last = false; status == CSM_OK; is_last = true) {
        csm_error wrong;
        status = transfer(f, transport, err);
        if (status != CSM_OK)
            break;
        status = verify(f, &wrong);
        if (status == CSM_OK) {
            status = publish(f, err);
            break;
        }
        const bool was_resumed = f->is_resumed;
        (void)unlink(f->incomplete);
        if (is_last || !was_resumed)
            return csm_fail(err, status, "%s", wrong.text);
        status = csm_hub_remark(f->hub, "what an earlier transfer left is not of this file: it is "
                                        "taken from its start", err);
        if (status == CSM_OK)
            status = start_anew(f, err);
    }
    return status;
}

static csm_status fetch_locked(struct csm_hub *hub, struct csm_transport *transport,
                               const char *commit, const struct csm_hub_file *file, csm_error *err)
{
    struct fetch f = {.hub = hub,
                      .file = file,
                      .commit = commit,
                      .etag = csm_hub_file_etag(file),
                      .blob = csm_hub_blob_path(hub, file),
                      .before = hub->progress.bytes,
                      .fd = -1};
    if (f.blob == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
    snprintf(f.what, sizeof f.what, "%s: %s", hub->repo, file->path);
    snprintf(f.incomplete, sizeof f.incomplete, "%s.63736d00.incomplete", f.blob);
    csm_status status = CSM_OK;
    if (!csm_hub_is_in_snapshot(hub, commit, file)) { /* another process may have been first */
        status = csm_path_make_parents(f.blob, err);
        if (status == CSM_OK && !csm_hub_has_file(f.blob, file->n_bytes) &&
            !csm_hub_share_blob(hub, file))
            status = fetch_blob(&f, transport, err);
        if (status == CSM_OK)
            status = csm_hub_link(hub, commit, file, err);
    }
    csm_checksum_end(f.sum, NULL);
    if (f.fd >= 0)
        close(f.fd);
    free(f.blob);
    hub->progress.bytes = f.before + (status == CSM_OK ? file->n_bytes : 0);
    return status;
}

csm_status csm_hub_fetch(struct csm_hub *hub, struct csm_transport *transport, const char *commit,
                         const struct csm_hub_file *file, csm_error *err)
{
    if (csm_hub_is_in_snapshot(hub, commit, file)) {
        hub->progress.bytes += file->n_bytes;
        return CSM_OK;
    }
    hub->progress.file = file->path;
    hub->progress.file_bytes = 0;
    hub->progress.file_size = file->n_bytes;
    int lock;
    csm_status status = csm_hub_lock(hub, file, &lock, err);
    if (status == CSM_OK)
        status = fetch_locked(hub, transport, commit, file, err);
    csm_hub_unlock(lock);
    if (status == CSM_OK)
        status = csm_hub_tell(hub, true, err);
    return status;
}
