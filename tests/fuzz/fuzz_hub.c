/* SPDX-License-Identifier: Apache-2.0
 *
 * Of a hub's list of files only names below the repository and checksums that are
 * some are taken, and no pickle is ever wanted. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "files/path.h"
#include "hub/hub_tree.h"

static void check_file(const struct csm_hub_file *file)
{
    const char *etag = csm_hub_file_etag(file);
    CHECK(file->path[0] != '/' && strstr(file->path, "//") == NULL);
    CHECK(strncmp(file->path, "../", 3) != 0 && strstr(file->path, "/../") == NULL);
    CHECK(strcmp(file->path, "..") != 0 && !csm_path_ends_with(file->path, "/.."));
    CHECK(strlen(etag) == 40 || strlen(etag) == 64);
    CHECK(strspn(etag, "0123456789abcdef") == strlen(etag));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct csm_hub_tree tree = {0};
    struct csm_hub hub = {.repo = "org/name", .revision = "main"};
    csm_error err = {""};
    csm_status status = csm_hub_tree_add_page(&tree, "page", (const char *)data, n, &err);
    CHECK(status == CSM_OK || err.text[0] != '\0');
    for (size_t i = 0; i < tree.n; i++)
        check_file(&tree.files[i]);
    bool *want = calloc(tree.n + 1, sizeof *want);
    if (want != NULL && status == CSM_OK)
        (void)!csm_hub_choose(&hub, "/nowhere", &tree, want, &err);
    for (size_t i = 0; want != NULL && i < tree.n; i++)
        CHECK(!want[i] || !csm_path_ends_with(tree.files[i].path, ".pt"));
    free(want);
    csm_hub_tree_free(&tree);
    return 0;
}
