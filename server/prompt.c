/* SPDX-License-Identifier: Apache-2.0 */
#include "prompt.h"

#include <stdlib.h>
#include <string.h>

static bool copy_turn(csm_turn *to, const csm_turn *from, size_t n_codebooks)
{
    const size_t n_text = strlen(from->text) + 1;
    const size_t n_codes = from->n_frames * n_codebooks * sizeof *from->codes;
    char *text = malloc(n_text);
    int32_t *codes = malloc(n_codes + 1);
    *to = (csm_turn){
        .text = text, .speaker = from->speaker, .codes = codes, .n_frames = from->n_frames};
    if (text == NULL || codes == NULL)
        return false;
    memcpy(text, from->text, n_text);
    memcpy(codes, from->codes, n_codes);
    return true;
}

struct prompt *prompt_new(const csm_turn *turns, size_t n, size_t n_codebooks)
{
    struct prompt *prompt = calloc(1, sizeof *prompt);
    if (prompt == NULL)
        return NULL;
    prompt->n_refs = 1;
    prompt->turns = calloc(n + 1, sizeof *prompt->turns);
    bool is_whole = prompt->turns != NULL;
    while (is_whole && prompt->n < n) {
        is_whole = copy_turn(&prompt->turns[prompt->n], &turns[prompt->n], n_codebooks);
        prompt->n++;
    }
    if (!is_whole) {
        prompt_release(prompt);
        return NULL;
    }
    return prompt;
}

struct prompt *prompt_keep(struct prompt *prompt)
{
    if (prompt != NULL)
        prompt->n_refs++;
    return prompt;
}

void prompt_release(struct prompt *prompt)
{
    if (prompt == NULL || --prompt->n_refs > 0)
        return;
    for (size_t i = 0; prompt->turns != NULL && i < prompt->n; i++) {
        free((char *)prompt->turns[i].text);
        free((int32_t *)prompt->turns[i].codes);
    }
    free(prompt->turns);
    free(prompt);
}
