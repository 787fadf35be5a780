/* SPDX-License-Identifier: Apache-2.0
 *
 * npz.c - the codes of a .npz, a zip of .npy files, by minizip. */
#include <minizip/unzip.h>

#include <stdlib.h>
#include <string.h>

#include "analysis/tokens.h"
#include "base/error.h"

enum { MAX_ENTRY_BYTES = 1 << 30 };

/* The current entry, whole; the checksum is checked. */
static csm_status read_entry(unzFile zip, const char *where, unsigned char **bytes, size_t *n,
                             csm_error *err)
{
    unz_file_info64 info;
    if (unzGetCurrentFileInfo64(zip, &info, NULL, 0, NULL, 0, NULL, 0) != UNZ_OK ||
        unzOpenCurrentFile(zip) != UNZ_OK)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: entry cannot be read, expected it stored or "
                        "deflated", where);
    csm_status status = CSM_OK;
    *bytes = NULL;
    *n = (size_t)info.uncompressed_size;
    if (info.uncompressed_size > MAX_ENTRY_BYTES)
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: entry of more than a GiB", where);
    else if ((*bytes = malloc(*n + 1)) == NULL)
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", where);
    else if (unzReadCurrentFile(zip, *bytes, (unsigned)*n) != (int)*n)
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: entry is cut off or damaged", where);
    if (unzCloseCurrentFile(zip) != UNZ_OK && status == CSM_OK)
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: entry's checksum does not hold", where);
    if (status != CSM_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}

csm_status csm_npz_codes(const char *path, int32_t **codes, size_t *n_frames, size_t *n_codebooks,
                         csm_error *err)
{
    unzFile zip = unzOpen64(path);
    if (zip == NULL)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: no zip directory, expected .npz", path);

    char chosen[256] = "";
    csm_status status = CSM_OK;
    bool has_named = unzLocateFile(zip, "codes.npy", 1) == UNZ_OK ||
                     unzLocateFile(zip, "tokens.npy", 1) == UNZ_OK;
    int step = has_named ? UNZ_OK : unzGoToFirstFile(zip);
    for (; step == UNZ_OK && status == CSM_OK; step = unzGoToNextFile(zip)) {
        char name[256] = "";
        unsigned char *bytes = NULL;
        size_t n_bytes = 0;
        if (unzGetCurrentFileInfo64(zip, NULL, name, sizeof name - 1, NULL, 0, NULL, 0) != UNZ_OK)
            break;
        size_t length = strlen(name);
        if (strstr(name, "data.pkl") != NULL)
            status = csm_refuse_pickled_codes(path, err);
        if (status != CSM_OK || length < 4 || strcmp(name + length - 4, ".npy") != 0)
            continue;
        status = read_entry(zip, path, &bytes, &n_bytes, err);
        if (status == CSM_OK && (has_named || csm_npy_holds_array(bytes, n_bytes))) {
            if (*chosen != '\0')
                status = csm_fail(err, CSM_BAD_FORMAT,
                                  "%s: both %s and %s may be codes, expected one named codes", path,
                                  chosen, name);
            else
                status = csm_npy_codes(bytes, n_bytes, path, codes, n_frames, n_codebooks, err);
            memcpy(chosen, name, sizeof chosen);
        }
        free(bytes);
        if (has_named)
            break;
    }
    if (status == CSM_OK && *chosen == '\0')
        status = csm_fail(err, CSM_BAD_FORMAT,
                          "%s: no integer array (frames, codebooks), expected one named codes",
                          path);
    unzClose(zip);
    if (status != CSM_OK) {
        free(*codes);
        *codes = NULL;
    }
    return status;
}
