/* SPDX-License-Identifier: Apache-2.0 */
#include "generate/hidden.h"

#include <stdlib.h>
#include <string.h>

/* The tensor's index; n_tensors if there is no memory for a new one. */
static size_t find_or_add(struct csm_hidden_states *s, const char *name, size_t width)
{
    size_t n = s->n_tensors;
    for (size_t i = 0; i < n; i++)
        if (strcmp(s->tensors[i].name, name) == 0)
            return i;
    csm_hidden *tensors = realloc(s->tensors, (n + 1) * sizeof *tensors);
    if (tensors == NULL)
        return n;
    s->tensors = tensors;
    size_t *rooms = realloc(s->rooms, (n + 1) * sizeof *rooms);
    if (rooms == NULL)
        return n;
    s->rooms = rooms;
    char *copy = strdup(name);
    if (copy == NULL)
        return n;
    tensors[n] = (csm_hidden){.name = copy, .width = width};
    rooms[n] = 0;
    s->n_tensors++;
    return n;
}

/* Room for rows [0, end), those that nobody brings all zero. */
static bool make_room(struct csm_hidden_states *s, size_t i, size_t end)
{
    csm_hidden *t = &s->tensors[i];
    if (end > s->rooms[i]) {
        size_t room = 2 * end;
        float *grown = realloc((float *)t->data, room * t->width * sizeof *grown);
        if (grown == NULL)
            return false;
        memset(grown + s->rooms[i] * t->width, 0, (room - s->rooms[i]) * t->width * sizeof *grown);
        t->data = grown;
        s->rooms[i] = room;
    }
    t->n_rows = end > t->n_rows ? end : t->n_rows;
    return true;
}

void csm_hidden_keep(struct csm_hidden_states *s, const char *name, size_t frame, size_t at,
                     const float *data, size_t rows, size_t cols)
{
    if (frame >= s->n_frames || strcmp(name, "logits") == 0 || s->has_no_memory)
        return;
    bool is_depth = strncmp(name, "depth.", 6) == 0;
    size_t first = is_depth ? frame * s->n_codebooks + at : at;
    size_t i = find_or_add(s, name, cols);
    if (i == s->n_tensors || !make_room(s, i, first + rows)) {
        s->has_no_memory = true;
        return;
    }
    memcpy((float *)s->tensors[i].data + first * cols, data, rows * cols * sizeof *data);
}

void csm_hidden_free(struct csm_hidden_states *s)
{
    for (size_t i = 0; i < s->n_tensors; i++) {
        free((char *)s->tensors[i].name);
        free((float *)s->tensors[i].data);
    }
    free(s->tensors);
    free(s->rooms);
    *s = (struct csm_hidden_states){0};
}
