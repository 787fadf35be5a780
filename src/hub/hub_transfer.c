/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_transfer.c - revision to commit, commit to its list of files, those that are
 * wanted into the cache. */
#include "hub/hub_transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "hub/blob_fetch.h"
#include "hub/hub_cache.h"
#include "hub/hub_request.h"
#include "hub/hub_search.h"

static csm_status no_memory(csm_error *err)
{
    return csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
}

/* Ask for the revision's commit. */
static csm_status ask_commit(struct csm_hub *hub, struct csm_transport *transport, char commit[41],
                             struct csm_reply *reply, csm_error *err)
{
    const char *const parts[] = {"/api/models/", hub->repo, "/revision/", hub->revision, NULL};
    char *url = csm_hub_url(hub, false, parts), *text = NULL;
    size_t n;
    csm_status status =
        url != NULL ? csm_hub_get_text(hub, transport, url, hub->repo, &text, &n, reply, err)
                    : no_memory(err);
    if (status == CSM_OK) {
        reply->is_transient = false;
        json_t *root = json_loadb(text, n, 0, NULL);
        const char *sha = json_string_value(json_object_get(root, "sha"));
        if (sha != NULL && csm_hub_is_hex(sha, CSM_HUB_COMMIT_LENGTH))
            memcpy(commit, sha, CSM_HUB_COMMIT_LENGTH + 1);
        else
            status = csm_fail(err, CSM_BAD_FORMAT, "%s: not a hub's answer, expected JSON with the "
                                                   "commit's 40 digits in sha", url);
        json_decref(root);
    }
    free(text);
    free(url);
    return status;
}

/* Ask for the commit's list of files, page by page. */
static csm_status ask_tree(struct csm_hub *hub, struct csm_transport *transport, const char *commit,
                           struct csm_hub_tree *tree, csm_error *err)
{
    enum { MAX_PAGES = 200 };
    const char *const parts[] = {"/api/models/", hub->repo, "/tree/", commit, NULL};
    char *bare = csm_hub_url(hub, false, parts), at[4096];
    if (bare == NULL)
        return no_memory(err);
    snprintf(at, sizeof at, "%s?recursive=True", bare);
    free(bare);
    csm_status status = CSM_OK;
    for (int page = 0; status == CSM_OK && at[0] != '\0'; page++) {
        struct csm_reply reply;
        char *text = NULL;
        size_t n;
        if (page == MAX_PAGES)
            return csm_fail(err, CSM_BAD_FORMAT, "%s: more than %d pages of files", hub->repo,
                            MAX_PAGES);
        status = csm_hub_get_text(hub, transport, at, hub->repo, &text, &n, &reply, err);
        if (status == CSM_OK)
            status = csm_hub_tree_add_page(tree, at, text, n, err);
        free(text);
        snprintf(at, sizeof at, "%s", reply.next_page);
        if (status == CSM_OK && at[0] != '\0' &&
            !csm_transport_is_same_origin(transport, hub->endpoint, at))
            status = csm_fail(err, CSM_BAD_FORMAT, "%s: the next page of files is at another host",
                              hub->repo);
    }
    return status;
}

/* Fetch the wanted files that are not `done` yet, and mark them; how many. */
static csm_status fetch_wanted(struct csm_hub *hub, struct csm_transport *transport,
                               const char *commit, const struct csm_hub_tree *tree,
                               const bool *want, bool *done, size_t *n, csm_error *err)
{
    csm_status status = CSM_OK;
    *n = 0;
    hub->progress.total = 0;
    for (size_t i = 0; i < tree->n; i++)
        hub->progress.total += want[i] ? tree->files[i].n_bytes : 0;
    for (size_t i = 0; i < tree->n && status == CSM_OK; i++)
        if (want[i] && !done[i]) {
            status = csm_hub_fetch(hub, transport, commit, &tree->files[i], err);
            done[i] = true;
            ++*n;
        }
    return status;
}

/* Bring what is wanted of a commit into the snapshot. */
static csm_status fetch_snapshot(struct csm_hub *hub, struct csm_transport *transport,
                                 const char *commit, const char *snapshot,
                                 const struct csm_hub_tree *tree, csm_error *err)
{
    bool *want = calloc(tree->n + 1, sizeof *want), *done = calloc(tree->n + 1, sizeof *done);
    csm_status status = want != NULL && done != NULL ? CSM_OK : no_memory(err);
    for (size_t n = 1; status == CSM_OK && n > 0;) {
        status = csm_hub_choose(hub, snapshot, tree, want, err);
        if (status == CSM_OK)
            status = fetch_wanted(hub, transport, commit, tree, want, done, &n, err);
    }
    free(done);
    free(want);
    return status;
}

/* Bring a commit. What a CSM would read and the hub has not is noted, so that nobody
 * need ask again; the ref comes last, so that it leads to a snapshot that is whole. */
static csm_status bring(struct csm_hub *hub, struct csm_transport *transport, const char *commit,
                        char **directory, csm_error *err)
{
    struct csm_hub_tree tree = {0};
    csm_status status = CSM_OK;
    if (!csm_hub_tree_read(&tree, hub->folder, commit)) {
        status = ask_tree(hub, transport, commit, &tree, err);
        if (status == CSM_OK)
            csm_hub_tree_write(&tree, hub->folder, commit);
    }
    char *snapshot = csm_hub_snapshot_path(hub, commit);
    if (status == CSM_OK && snapshot == NULL)
        status = no_memory(err);
    if (status == CSM_OK)
        status = fetch_snapshot(hub, transport, commit, snapshot, &tree, err);
    if (status == CSM_OK) {
        csm_hub_note_missing(hub, commit, &tree);
        csm_hub_tag_cache(hub);
        status = csm_hub_write_ref(hub, commit, err);
    }
    csm_hub_tree_free(&tree);
    if (status == CSM_OK)
        *directory = snapshot;
    else
        free(snapshot);
    return status;
}

csm_status csm_hub_transfer(struct csm_hub *hub, char **directory, csm_error *err)
{
    struct csm_transport *transport;
    struct csm_reply reply = {0};
    char commit[41];
    csm_status status = csm_transport_open(&transport, err);
    if (status != CSM_OK)
        return status;
    if (csm_hub_is_hex(hub->revision, CSM_HUB_COMMIT_LENGTH)) {
        memcpy(commit, hub->revision, sizeof commit);
    } else {
        csm_error failure;
        status = ask_commit(hub, transport, commit, &reply, &failure);
        if (status == CSM_BAD_FILE && reply.is_transient && csm_hub_search(hub, directory, NULL) == CSM_OK) {
            char remark[sizeof failure.text + 64];
            snprintf(remark, sizeof remark, "%s: the cache's copy is taken", failure.text);
            csm_transport_close(transport);
            return csm_hub_remark(hub, remark, err);
        }
        if (status != CSM_OK)
            (void)csm_fail(err, status, "%s", failure.text);
    }
    if (status == CSM_OK)
        status = bring(hub, transport, commit, directory, err);
    csm_transport_close(transport);
    return status;
}
