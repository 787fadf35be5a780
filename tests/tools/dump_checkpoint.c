/* SPDX-License-Identifier: Apache-2.0
 *
 * dump_checkpoint DIR OUT.safetensors NEEDS: all weights of a model directory
 * under the names of their roles, "PART.ROLE.INDEX" by number, as they are bound
 * (quantized ones with .scales and .biases), and the configuration as metadata.
 * For tests that compare what was bound with the model that it was written from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/checkpoint_parts.h"

enum { MAX_WEIGHTS = 4096, NAME_MAX_BYTES = 64, MAX_FACTS = 64 };

static csm_tensor tensors[MAX_WEIGHTS];
static char names[MAX_WEIGHTS][NAME_MAX_BYTES];
static size_t n_tensors;

static void add(const csm_tensor *tensor, int part, int role, size_t index, const char *suffix)
{
    if (n_tensors == MAX_WEIGHTS)
        abort();
    snprintf(names[n_tensors], NAME_MAX_BYTES, "%d.%d.%zu%s", part, role, index, suffix);
    tensors[n_tensors] = *tensor;
    tensors[n_tensors].name = names[n_tensors];
    n_tensors++;
}

static char facts[2 * MAX_FACTS][NAME_MAX_BYTES];
static const char *metadata[2 * MAX_FACTS];
static size_t n_facts;

static void tell(const char *key, double value)
{
    if (n_facts == MAX_FACTS)
        abort();
    snprintf(facts[2 * n_facts], NAME_MAX_BYTES, "%s", key);
    snprintf(facts[2 * n_facts + 1], NAME_MAX_BYTES, "%.17g", value);
    n_facts++;
}

static void tell_transformer(const char *part, const struct csm_transformer_config *t)
{
    char key[NAME_MAX_BYTES];
#define TELL(member)                                                                               \
    snprintf(key, sizeof key, "%s.%s", part, #member);                                             \
    tell(key, (double)t->member)
    TELL(n_layers);
    TELL(width);
    TELL(n_heads);
    TELL(n_kv_heads);
    TELL(head_dim);
    TELL(hidden);
    TELL(norm_eps);
    TELL(max_positions);
    TELL(window);
    TELL(rope.theta);
    TELL(rope.factor);
    TELL(rope.low_freq_factor);
    TELL(rope.high_freq_factor);
    TELL(rope.original_max_positions);
    TELL(rope.interleaved);
#undef TELL
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    csm_error err;
    csm_checkpoint *checkpoint;
    csm_status status = csm_checkpoint_open(argv[1], atoi(argv[3]), &checkpoint, &err);
    if (status != CSM_OK) {
        fprintf(stderr, "csm: %s\n", err.text);
        return 3;
    }
    const struct csm_config *config = csm_checkpoint_config(checkpoint);
    const struct csm_checkpoint_info info = csm_checkpoint_describe(checkpoint);
    for (int part = CSM_BACKBONE; part <= CSM_DECODER; part++) {
        if ((part <= CSM_DEPTH ? info.layout : info.codec_layout) == CSM_LAYOUT_NONE)
            continue;
        for (int role = 0; role < CSM_ROLE_COUNT; role++)
            for (size_t i = 0; i < csm_role_count(config, (enum csm_part)part, (enum csm_role)role);
                 i++) {
                struct csm_weight_source source;
                if (csm_checkpoint_find(checkpoint, (enum csm_part)part, (enum csm_role)role, i,
                                        &source, &err) != CSM_OK) {
                    fprintf(stderr, "csm: %s\n", err.text);
                    return 3;
                }
                add(&source.tensor, part, role, i, source.transposed ? ".transposed" : "");
                if (source.format != CSM_WEIGHT_FLOAT) {
                    add(&source.scales, part, role, i, ".scales");
                    add(&source.biases, part, role, i, ".biases");
                }
            }
    }
    tell_transformer("backbone", &config->backbone);
    tell_transformer("depth", &config->depth);
    tell_transformer("codec", &config->codec.transformer);
    tell("n_parameters", (double)info.n_parameters);
    tell("n_bytes", (double)info.n_bytes);
    tell("n_codec_parameters", (double)info.n_codec_parameters);
    for (size_t i = 0; i < 2 * n_facts; i++)
        metadata[i] = facts[i];
    status = csm_tensors_write(argv[2], tensors, n_tensors, metadata, n_facts, &err);
    if (status != CSM_OK)
        fprintf(stderr, "csm: %s\n", err.text);
    printf("%s %s %s %s\n", csm_layout_text(info.layout), csm_layout_text(info.codec_layout),
           info.stored_dtype, info.digest);
    csm_checkpoint_close(checkpoint);
    return status == CSM_OK ? 0 : 3;
}
