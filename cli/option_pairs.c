/* SPDX-License-Identifier: Apache-2.0
 *
 * option_pairs.c - two tables: what excludes what, and what needs what. Every pair that is in
 * neither is accepted and honoured; tests/cli/test_option_pairs.py tries them all. Names are
 * those of the option table, and "-" for standard input. */
#include "option_pairs.h"

#include <stdio.h>
#include <string.h>

#define DRAWS                                                                                      \
    "mlx-version seed temperature topk top-p min-p depth-temperature depth-topk depth-top-p depth-min-p "      \
    "stream sampler strategy use-exact-sampling pytorch-tokens dtype "

/* Each of the names in `options` excludes each of those in `others`; those that need others
 * stand before them, for the first one that was given is named. */
static const struct {
    const char *options, *others, *reason;
} exclusions[] = {
    {"text", "text-file script -", "one text at a time"},
    {"text-file", "script -", "one text at a time"},
    {"script", "-", "one text at a time"},
    {"from-tokens", "text text-file cast script - dry-run normalize no-normalize sentences whole",
     "the codes are there, no text is read"},
    {"from-tokens", DRAWS "speculate no-speculate adapter guard no-guard max-audio-length-ms min-audio-length-ms",
     "the codes are there, nothing is drawn"},
    {"from-tokens", "speaker voice context-speaker context-audio context-text",
     "the codes are there, no context is read"},
    {"from-tokens", "per-turn batch resume play", "one file of codes becomes one of sound"},
    {"from-tokens", "save-logits save-hidden forced-tokens save-tokens json debug",
     "nothing is drawn that it could tell"},
    {"strategy", "use-exact-sampling pytorch-tokens", "both choose the strategy"},
    {"use-exact-sampling", "pytorch-tokens", "both choose the strategy"},
    {"pytorch-tokens",
     "top-p min-p depth-top-p depth-min-p min-audio-length-ms mlx-version speculate",
     "PyTorch's draws here have no such thing; --use-exact-sampling may"},
    {"sentences", "whole", "each is the other's opposite"},
    {"normalize", "no-normalize", "each is the other's opposite"},
    {"speculate", "no-speculate", "each is the other's opposite"},
    {"speculate", "save-hidden", "hidden states are seen code by code"},
    {"guard", "no-guard", "each is the other's opposite"},
    {"save-logits save-hidden forced-tokens save-tokens", "cast script sentences batch resume per-turn",
     "a token file holds one utterance"},
    {"forced-tokens", "min-audio-length-ms guard", "speech is as long as the file of codes"},
    {"cast script", "speaker", "its lines name their speakers"},
    {"cast script", "sentences whole", "its lines are the utterances"},
    {"cast script", "batch", "each line has those before it as context"},
    {"batch", "whole", "a batch is of sentences"},
    {"batch", "debug", "what is shown of the draws would be mixed up"},
    {"resume", "per-turn", "what is kept belongs to one output"},
    {"cast", "text text-file -", "it names the speakers of a script"},
    {"dry-run", "json", "it prints what would be spoken, not what was"},
};

static const struct {
    const char *option, *needed;
} needs[] = {
    {"save-logits", "save-tokens"},     {"save-hidden", "save-tokens"},
    {"forced-tokens", "save-tokens"},   {"mark-key", "mark"},
    {"cast", "script"},                 {"context-audio", "context-text"},
    {"context-text", "context-audio"},  {"context-speaker", "context-audio"},
    {"c2pa-cert", "c2pa-key"},          {"c2pa-key", "c2pa-cert"},
};

struct choice {
    const struct option_spec *options;
    const bool *given;
    bool has_dash;
};

static bool has(const struct choice *c, const char *name, size_t length)
{
    if (length == 1 && *name == '-')
        return c->has_dash;
    for (size_t i = 0; c->options[i].name != NULL; i++)
        if (strlen(c->options[i].name) == length && strncmp(c->options[i].name, name, length) == 0)
            return c->given[i];
    return false;
}

/* The first of the names in the list that was given, or NULL. */
static const char *first_of(const struct choice *c, const char *list, size_t *length)
{
    for (const char *p = list; *p != '\0'; p += *length + (p[*length] == ' ')) {
        *length = strcspn(p, " ");
        if (has(c, p, *length))
            return p;
    }
    return NULL;
}

static const char *dashes(const char *name)
{
    return *name == '-' ? "" : "--";
}

bool options_go_together(const struct option_spec *options, const bool *given, bool has_dash)
{
    const struct choice c = {options, given, has_dash};
    for (size_t i = 0; i < sizeof exclusions / sizeof *exclusions; i++) {
        size_t n_one, n_other;
        const char *one = first_of(&c, exclusions[i].options, &n_one);
        const char *other = one != NULL ? first_of(&c, exclusions[i].others, &n_other) : NULL;
        if (other == NULL)
            continue;
        fprintf(stderr, "csm: --%.*s with %s%.*s: %s\n", (int)n_one, one, dashes(other),
                (int)n_other, other, exclusions[i].reason);
        return false;
    }
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (has(&c, needs[i].option, strlen(needs[i].option)) &&
            !has(&c, needs[i].needed, strlen(needs[i].needed))) {
            fprintf(stderr, "csm: --%s: expected --%s with it\n", needs[i].option, needs[i].needed);
            return false;
        }
    return true;
}
