/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_settings.h - what a call of the hub goes by: options and environment, read
 * once, at its start. */
#ifndef CSM_HUB_SETTINGS_H
#define CSM_HUB_SETTINGS_H

#include <csm/hub.h>

enum { CSM_HUB_COMMIT_LENGTH = 40 };

struct csm_hub {
    csm_hub_options options; /* every member there is, whatever the caller's size */
    char *repo;              /* "ORG/NAME" */
    char *revision;
    char *endpoint;      /* without a slash at its end */
    char *cache_dir;
    char *folder;        /* cache_dir/models--ORG--NAME */
    char *token;         /* NULL: none */
    bool is_offline, has_links, has_shared_blobs;
    long metadata_timeout_s, idle_timeout_s;
    csm_hub_progress progress;
    int64_t told_ms; /* when on_progress was called last */
};

/* Read options (may be NULL) and environment. `hub` is to be closed in any case.
 * CSM_OK; CSM_BAD_ARG; CSM_BAD_FILE: a token file that cannot be read; CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_hub_open(struct csm_hub *hub, const char *repo,
                                     const csm_hub_options *options, csm_error *err);
void csm_hub_close(struct csm_hub *hub);

/* Call on_progress: at most ten times a second, unless `now`. CSM_CANCELLED when
 * it says so. */
CSM_MUST_USE csm_status csm_hub_tell(struct csm_hub *hub, bool now, csm_error *err);

/* Say one line to the user. */
CSM_MUST_USE csm_status csm_hub_remark(struct csm_hub *hub, const char *remark, csm_error *err);

/* Let `ms` go by, telling the caller meanwhile. */
CSM_MUST_USE csm_status csm_hub_wait(struct csm_hub *hub, int64_t ms, csm_error *err);

/* Whether a name is one for a file below a directory: relative, no empty part, no
 * "." or "..", no backslash, no control characters, at most 255 bytes a part. */
bool csm_hub_is_safe_path(const char *path);

/* Whether text is `length` hexadecimal digits in lower case. */
bool csm_hub_is_hex(const char *text, size_t length);

#endif
