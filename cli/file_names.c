/* SPDX-License-Identifier: Apache-2.0 */
#include "file_names.h"

#include <string.h>
#include <strings.h>

#include <csm/audio.h>

bool promises_a_file(const char *path, const char *except)
{
    static const char *const endings[] = {".safetensors", ".gguf", ".npy", ".npz",
                                          ".pt",          ".pth",  ".bin", ".json"};
    const char *ending = strrchr(path, '.');
    if (ending == NULL || (except != NULL && strcasecmp(ending, except) == 0))
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(ending, endings[i]) == 0)
            return true;
    return csm_audio_format_of_file(path) != CSM_AUDIO_FORMAT_COUNT;
}
