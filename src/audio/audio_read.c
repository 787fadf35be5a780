/* SPDX-License-Identifier: Apache-2.0
 *
 * audio_read.c - sound files: mapped (pipes: read whole), decoded, at the rate that is asked
 * for. */
#include "audio/audio_read.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "files/mapped.h"

enum { MAX_PIPED_BYTES = 1 << 30 };

/* All that comes out of a pipe; *bytes is to be freed. */
static csm_status read_pipe(const char *path, int fd, char **bytes, size_t *n, csm_error *err)
{
    size_t room = 1 << 16;
    *bytes = malloc(room);
    *n = 0;
    while (*bytes != NULL) {
        const ssize_t n_now = read(fd, *bytes + *n, room - *n);
        if (n_now < 0 && errno == EINTR)
            continue;
        if (n_now < 0)
            return csm_fail(err, CSM_BAD_FILE, "%s: cannot be read: %s", path, strerror(errno));
        *n += (size_t)n_now;
        if (n_now == 0)
            return CSM_OK;
        if (*n == MAX_PIPED_BYTES)
            return csm_fail(err, CSM_BAD_FORMAT, "%s: more than 1 GiB, expected a sound file",
                            path);
        if (*n < room)
            continue;
        char *grown = realloc(*bytes, room *= 2);
        if (grown == NULL)
            break;
        *bytes = grown;
    }
    return csm_fail(err, CSM_NO_MEMORY, "%s: %zu bytes: out of memory", path, room);
}

static csm_status decode_pipe(const char *path, int fd, double longest_s, float **samples,
                              size_t *n_samples, int *rate_hz, csm_error *err)
{
    char *bytes = NULL;
    size_t n = 0;
    csm_status status = read_pipe(path, fd, &bytes, &n, err);
    if (status == CSM_OK)
        status = csm_audio_decode(path, bytes, n, longest_s, samples, n_samples, rate_hz, err);
    free(bytes);
    return status;
}

/* A pipe by name, /dev/stdin and the shell's <(...) among them. */
static bool is_pipe(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISFIFO(info.st_mode);
}

/* The sound at its own rate. */
static csm_status decode(const char *path, double longest_s, float **samples, size_t *n_samples,
                         int *rate_hz, csm_error *err)
{
    if (strcmp(path, "-") == 0)
        return decode_pipe("standard input", STDIN_FILENO, longest_s, samples, n_samples, rate_hz, err);
    if (is_pipe(path)) {
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return csm_fail(err, CSM_BAD_FILE, "%s: cannot be read: %s", path, strerror(errno));
        csm_status status = decode_pipe(path, fd, longest_s, samples, n_samples, rate_hz, err);
        close(fd);
        return status;
    }
    struct csm_mapped file;
    csm_status status = csm_mapped_open(path, "a sound file", &file, err);
    if (status == CSM_OK)
        status = csm_audio_decode(path, file.data, file.size, longest_s, samples, n_samples, rate_hz,
                                  err);
    csm_mapped_close(&file);
    return status;
}

csm_status csm_audio_read(const char *path, int rate_hz, csm_resampler resampler, float **samples,
                          size_t *n_samples, csm_error *err)
{
    return csm_audio_read_within(path, rate_hz, resampler, HUGE_VAL, samples, n_samples, err);
}

csm_status csm_audio_read_within(const char *path, int rate_hz, csm_resampler resampler,
                                 double longest_s, float **samples, size_t *n_samples,
                                 csm_error *err)
{
    float *own = NULL;
    size_t n_own = 0;
    int own_hz = 0;
    csm_status status = decode(path, longest_s, &own, &n_own, &own_hz, err);
    if (status == CSM_OK)
        status =
            csm_audio_resample(resampler, own, n_own, own_hz, rate_hz, samples, n_samples, err);
    if (status == CSM_BAD_ARG && own_hz != rate_hz && (own_hz < 1 || own_hz > 768000))
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: %d Hz, expected 1 to 768000", path, own_hz);
    free(own);
    return status;
}
