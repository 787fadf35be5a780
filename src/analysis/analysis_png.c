/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "analysis/pictures.h"
#include "base/error.h"

/* A picture with its title and some air around it. */
static csm_status draw_one(const csm_analysis *analysis, const struct csm_picture *picture,
                           double height, const char *path, csm_error *err)
{
    enum { MARGIN = 20, TITLE = 34 };
    struct csm_canvas canvas;
    csm_status status = csm_canvas_png_begin(CSM_PICTURE_WIDTH + 2 * MARGIN,
                                             height + TITLE + 2 * MARGIN, &canvas, err);
    if (status != CSM_OK)
        return status;
    canvas.text(canvas.surface, CSM_INK_TEXT, MARGIN, MARGIN + 14, CSM_ANCHOR_START, 16,
                picture->title);
    csm_canvas_png_move(&canvas, MARGIN, MARGIN + TITLE);
    if (!picture->draw(analysis, &canvas)) {
        (void)csm_canvas_png_end(&canvas, NULL, NULL);
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    }
    return csm_canvas_png_end(&canvas, path, err);
}

csm_status csm_analysis_png(const csm_analysis *analysis, const char *directory, csm_error *err)
{
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return csm_fail(err, CSM_BAD_FILE, "%s: cannot be made: %s", directory, strerror(errno));
    size_t n, size = strlen(directory) + 64;
    const struct csm_picture *pictures = csm_pictures(&n);
    char *path = malloc(size);
    if (path == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
    csm_status status = CSM_OK;
    for (size_t i = 0; i < n && status == CSM_OK; i++) {
        double height = pictures[i].height(analysis);
        snprintf(path, size, "%s/%s.png", directory, pictures[i].name);
        if (height > 0)
            status = draw_one(analysis, &pictures[i], height, path, err);
    }
    free(path);
    return status;
}
