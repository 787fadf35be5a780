/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_item.h - one line of a manifest: what is to be spoken, and under which name it is
 * written. Lines are csm's own, NeMo's or Lhotse's (docs/CORPORA.md). */
#ifndef CSM_CLI_SYNTH_ITEM_H
#define CSM_CLI_SYNTH_ITEM_H

#include <stdbool.h>

#include <jansson.h>

#include "context.h"

enum { SYNTH_NAME_BYTES = 201 };

/* Strings belong to `line`, but for `name`. */
struct synth_item {
    json_t *line;
    const char *id;
    char name[SYNTH_NAME_BYTES]; /* of its files, without the ending: the id, each byte but
                                  * letters, digits, - _ and inner . as %XX */
    const char *text;
    int speaker; /* 0 or more, or ANY_SPEAKER */
    bool has_seed, has_long_seed; /* given as 2^63 or more, so as a text of digits */
    uint64_t seed;
    struct context_options context; /* its own; none: the command line's */
};

/* Read a line [n]. Paths of context sound count from `folder`. `item` is to be freed with
 * synth_item_free, also when this failed. CSM_BAD_FORMAT: what is wrong with it. */
csm_status synth_item_read(struct synth_item *item, const char *line, size_t n, const char *folder,
                           csm_error *err);
void synth_item_free(struct synth_item *item);

/* The seed of an item that names none: the upper 52 bits of XXH3's 64 of its id, seeded with
 * the seed of the command line. JSON's readers keep such numbers exactly. */
uint64_t synth_seed(const char *id, uint64_t base);

/* Whether it has a voice or context of its own. */
bool synth_has_context(const struct synth_item *item);

/* A place among the keys of a line and of the turns of its context; zero before the first. */
struct synth_key {
    bool is_in_context;
    size_t turn, at;
};

/* The next key that nothing reads, of the line or of a turn; NULL: none. Moves *place behind
 * it. */
const char *synth_unused_key(const struct synth_item *item, struct synth_key *place);

#endif
