/* SPDX-License-Identifier: Apache-2.0
 *
 * download.c - csm download: a model into the hub cache. */
#include <stdio.h>

#include <csm/csm.h>

#include "command.h"
#include "model_path.h"
#include "options.h"

static const char help[] =
    "usage: csm download ORG/NAME [--revision R] [--endpoint URL] [--file F]... [--offline] [--quiet]\n"
    "Brings what a CSM needs of a model into the cache that huggingface_hub keeps, and\n"
    "prints the directory. What is there already is not transferred again; what was cut\n"
    "off goes on. --model-path ORG/NAME of other commands does the same.\n\n"
    "  --revision R   branch, tag or commit (main)\n"
    "  --endpoint URL another hub than $HF_ENDPOINT, https://huggingface.co\n"
    "  --file F       this file, in place of what a CSM needs; repeatable\n"
    "  --offline      only look into the cache; also $HF_HUB_OFFLINE\n"
    "  --quiet        no progress, no remarks\n\n"
    "Private and gated models: $HF_TOKEN, or the token that hf auth login has kept.\n"
    "docs/HUB.md has the cache, the variables, and which files are taken.\n";

int run_download(int argc, char **argv)
{
    const char *repo = NULL;
    struct option_list files = {.n = 0};
    bool is_quiet = false;
    csm_hub_options o = csm_hub_defaults();
    const struct option_spec options[] = {
        {"revision", OPTION_TEXT, &o.revision}, {"endpoint", OPTION_TEXT, &o.endpoint},
        {"file", OPTION_LIST, &files},          {"offline", OPTION_FLAG, &o.is_offline},
        {"quiet", OPTION_FLAG, &is_quiet},      {NULL, OPTION_FLAG, NULL},
    };
    enum parsed parsed = parse_options(argc, argv, options, help, &repo, 1);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    if (repo == NULL) {
        fputs("csm: download: expected ORG/NAME\n", stderr);
        return EXIT_USAGE;
    }
    o.files = files.items;
    o.n_files = files.n;
    csm_error err;
    char *directory;
    csm_status st = model_download(repo, &o, is_quiet, &directory, &err);
    if (st != CSM_OK)
        return report(st, &err);
    puts(directory);
    csm_free(directory);
    return EXIT_OK;
}
