/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize.c - csm quantize: a model in 1 to 8 bits, as MLX's programs read it. */
#include <csm/quantize.h>

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "options.h"

static const char help[] =
    "usage: csm quantize IN_DIR OUT_DIR [--mode M] [--bits N] [--group N] [--force]\n"
    "Write a model with its weights in fewer bits: smaller, faster, a little less true.\n"
    "\n"
    "  IN_DIR     a model of any layout, not quantized\n"
    "  OUT_DIR    made if it is not there; MLX's layout under mlx-audio's names\n"
    "  --mode M   affine (default), mxfp4, mxfp8, nvfp4\n"
    "  --bits N   affine: 1, 2, 3, 4 (default), 5, 6, 8\n"
    "  --group N  affine: neighbours that share scale and bias, 32, 64 (default), 128\n"
    "  --force    overwrite the model that is in OUT_DIR\n";

int run_quantize(int argc, char **argv)
{
    size_t bits = 0, group = 0;
    const char *mode = "affine";
    bool force = false;
    const char *operands[2] = {NULL, NULL};
    const struct option_spec options[] = {
        {"mode", OPTION_TEXT, &mode},
        {"bits", OPTION_COUNT, &bits},
        {"group", OPTION_COUNT, &group},
        {"force", OPTION_FLAG, &force},
        {NULL, OPTION_FLAG, NULL},
    };
    enum parsed parsed = parse_options(argc, argv, options, help, operands, 2);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    if (operands[1] == NULL) {
        fputs("csm: quantize: expected IN_DIR and OUT_DIR\n", stderr);
        return EXIT_USAGE;
    }
    if (!names_directory("quantize", operands[1]))
        return EXIT_USAGE;
    if (strcmp(mode, "affine") == 0) {
        bits = bits != 0 ? bits : 4;
        group = group != 0 ? group : 64;
    }
    if (bits > 8 || group > 128) {
        fprintf(stderr, "csm: quantize: %zu bits in groups of %zu, expected 1 to 6 or 8 in groups "
                        "of 32, 64 or 128\n", bits, group);
        return EXIT_USAGE;
    }
    csm_error err;
    csm_quantize_report counts;
    csm_status st = csm_quantize(operands[0], operands[1], mode, (int)bits, (int)group, force,
                                 &counts, &err);
    if (st != CSM_OK)
        return report(st, &err);
    if (counts.n_zeroed > 0)
        fprintf(stderr,
                "csm: quantize: %zu of %zu groups of weights are zeros now, too small for %s; "
                "mxfp4 and affine keep them\n",
                counts.n_zeroed, counts.n_groups, mode);
    return EXIT_OK;
}
