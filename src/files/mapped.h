/* SPDX-License-Identifier: Apache-2.0
 *
 * mapped.h - a whole file, or all that a pipe brings, as read-only memory. */
#ifndef CSM_FILES_MAPPED_H
#define CSM_FILES_MAPPED_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/status.h>

/* Zeroed: nothing mapped. An empty file has data NULL and size 0. */
struct csm_mapped {
    const unsigned char *data;
    size_t size;
    bool is_borrowed; /* memory of somebody else's: close leaves it */
    bool is_read;     /* out of a pipe, into memory that close frees */
};

/* Map a regular file. Whoever shortens it while it is mapped makes later reads
 * fault, as with every mapped file; replacing it by rename is safe.
 *
 *   expected  what the file should be, for the message: "a safetensors file"
 *
 * Returns CSM_OK; CSM_BAD_FILE (missing, unreadable, a directory, no regular
 * file); CSM_BAD_FORMAT (a Git LFS pointer in the place of whatever was expected); after which
 * `file` is zeroed. */
CSM_MUST_USE csm_status csm_mapped_open(const char *path, const char *expected,
                                        struct csm_mapped *file, csm_error *err);

/* The same, or, where path is "-" (standard input) or names a pipe (/dev/stdin and the shell's
 * <(...) among them), all that comes out of it, at most 1 GiB. Also CSM_BAD_FORMAT (more than
 * that) and CSM_NO_MEMORY.
 *
 *   called  receives what messages should call it: "standard input" for "-", else path */
CSM_MUST_USE csm_status csm_mapped_read(const char *path, const char *expected,
                                        const char **called, struct csm_mapped *file,
                                        csm_error *err);

/* Let go of the memory that the whole pages of a stretch take: they are read again when they
 * are asked for. Does nothing where the system has no such call, or of borrowed bytes. */
void csm_mapped_forget(const struct csm_mapped *file, const void *from, size_t n);

void csm_mapped_close(struct csm_mapped *file);

#endif
