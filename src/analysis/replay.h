/* SPDX-License-Identifier: Apache-2.0
 *
 * replay.h - draw again from captured logits, and find the settings under which
 * the codes come out as they did. */
#ifndef CSM_ANALYSIS_REPLAY_H
#define CSM_ANALYSIS_REPLAY_H

#include <csm/analysis.h>
#include <csm/sampling.h>

/* How a stream was drawn. */
struct csm_settings {
    csm_sampler_kind sampler;
    csm_stream_kind stream;
    csm_dtype dtype;
    uint64_t seed;
    double temperature[2]; /* of codebook 0, of the others; 0: greedy */
    size_t top_k[2];       /* 0: all */
    double top_p[2];       /* 1: all */
    double min_p[2];       /* 0: all */
    csm_cutoffs cutoffs[2];
    char mlx_version[32];  /* "": the newest known */
    long ahead;            /* draws that the stream was ahead when this one began */
    long ahead_outputs;    /* and single 32-bit numbers of the generator */
    /* A stream that slips: at this draw (0: never) it is ahead by `ahead` more. */
    size_t slip_at;
    long ahead_per_frame;  /* draws beyond a frame's own that each frame moves the stream by */
    size_t batch;          /* rows that share a call, of which this stream is number `ahead`; 0: alone */
};

/* What the metadata says; the rest as csm draws by default.
 *
 *   has_seed  whether the metadata names a seed
 *
 * False if what it says is none that csm knows (an unknown sampler, say), or names rules over
 * codes, which the file does not hold. */
bool csm_settings_claimed(const csm_tokens *tokens, struct csm_settings *settings, bool *has_seed);

/* Codes under logits, as frames in order: codes of one stream and the logits that
 * they were drawn from, which may be another's while histories are equal. */
struct csm_replay {
    const csm_tokens *codes;
    const csm_tokens *logits;
    size_t n_draws; /* frame-major, from the first */
};

struct csm_replay_result {
    size_t n, n_hits;   /* draws made (rows that can be drawn from), and those that came out */
    size_t first_miss;  /* the draw; n_draws if none */
    bool is_complete;   /* not given up for its misses */
};

/* Draw again. Stops early when more than max_misses do not come out, or more than
 * 3 and a twenty-fifth of those so far. */
csm_status csm_replay_run(const struct csm_replay *replay, const struct csm_settings *settings,
                          size_t max_misses, struct csm_replay_result *result, csm_error *err);

/* How a stream's code fared in a race drawn again. */
struct csm_race {
    bool is_known;
    double behind; /* in the unit of margins; 0: it won. INFINITY: it could not be drawn */
};

/* Draw number `draw` of a stream under its own logits. Not known of MLX's streams, where there
 * is no race p / q, and of rows that are none to draw from. */
csm_status csm_replay_race(const csm_tokens *tokens, const struct csm_settings *settings,
                           size_t draw, struct csm_race *race, csm_error *err);

/* Whether codes were drawn with the noise of these settings, whatever the sampler. With other
 * noise, a code comes out again by its own probability alone; so
 *
 *   z  = (draws that come out - what is expected of other noise) in standard errors
 *
 * is 0 give or take 1, and far above in step. */
struct csm_noise_hits {
    size_t n, n_hits;
    double z;
    size_t n_parts_missed;  /* of the two, codebook 0 and the others, those with draws that do not come out */
    bool is_one_codebook;   /* all that do not come out are of `codebook` */
    size_t codebook;        /* of the first that does not */
};
csm_status csm_replay_hits(const struct csm_replay *replay, const struct csm_settings *settings,
                           struct csm_noise_hits *hits, csm_error *err);

struct csm_explanation {
    bool is_explained; /* all draws but 2 % come out under `settings` */
    struct csm_settings settings;
    struct csm_replay_result result;
    struct csm_replay_result claimed; /* under what the metadata says */
    bool is_greedy;
};

/* Find settings that explain the codes: what the metadata says, then what `other`
 * (may be NULL) was explained by, then one change of setting, then two, offsets of
 * the stream, seeds.
 *
 *   has_claim   the metadata names a seed
 *   may_search  go beyond the claims of both: not for a few draws, which many settings
 *               explain */
csm_status csm_replay_explain(const struct csm_replay *replay, const struct csm_settings *claimed,
                              bool has_claim, bool may_search, const struct csm_settings *other,
                              struct csm_explanation *out, csm_error *err);

/* ---- noise without logits ------------------------------------------------------- */

/* A code wins a race p / q most often where its own noise q is small. So codes and
 * the noise of a stream alone tell whether the codes were drawn with that noise: out
 * of step with it, the noise at the codes drawn is as any other, and
 *
 *   z  = (0.5 - mean of (1 - exp(-q))) in standard errors
 *
 * is 0 give or take 1; in step it is far above. For PyTorch's streams, whose noise
 * is that of a race. */
struct csm_noise_step {
    bool is_known;      /* the metadata names a seed and a stream of PyTorch */
    bool is_in_step;    /* the codes were drawn with the noise that the metadata names */
    double z;           /* under it */
    bool is_elsewhere;  /* not so, but with other noise: */
    uint64_t seed;
    long ahead;         /* draws */
    csm_stream_kind stream;
};

/*   vocab  values a draw, which decide how far a draw moves the stream */
csm_status csm_noise_step_find(const csm_tokens *codes, size_t vocab,
                               const struct csm_settings *claimed, bool has_seed,
                               struct csm_noise_step *out, csm_error *err);

#endif
