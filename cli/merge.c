/* SPDX-License-Identifier: Apache-2.0
 *
 * merge.c - csm merge: a model with its adapters merged, as one of its own. */
#include <csm/merge.h>

#include <stdio.h>

#include "adapters.h"
#include "command.h"
#include "options.h"

static const char help[] =
    "usage: csm merge IN_DIR OUT_DIR [--adapter DIR[:SCALE]]...\n"
    "Write a model with adapters (LoRA, rsLoRA, DoRA of PEFT; csm-mlx's) merged into its\n"
    "weights, in its own layout.\n"
    "\n"
    "  IN_DIR     a model, not quantized\n"
    "  OUT_DIR    a new or empty directory\n"
    "  --adapter DIR[:SCALE]  repeatable; default: the adapter that lies in IN_DIR\n";

int run_merge(int argc, char **argv)
{
    struct option_list given = {.n = 0};
    const char *operands[2] = {NULL, NULL};
    const struct option_spec options[] = {
        {"adapter", OPTION_LIST, &given},
        {NULL, OPTION_FLAG, NULL},
    };
    enum parsed parsed = parse_options(argc, argv, options, help, operands, 2);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    if (operands[1] == NULL) {
        fputs("csm: merge: expected IN_DIR and OUT_DIR\n", stderr);
        return EXIT_USAGE;
    }
    if (!names_directory("merge", operands[1]))
        return EXIT_USAGE;
    struct adapters adapters;
    csm_error err;
    csm_status st = adapters_read(&given, &adapters, &err);
    if (st == CSM_OK)
        st = csm_merge(operands[0], adapters.list, adapters.n, operands[1], &err);
    return st == CSM_OK ? EXIT_OK : report(st, &err);
}
