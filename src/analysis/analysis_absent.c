/* SPDX-License-Identifier: Apache-2.0
 *
 * analysis_absent.c - what this build leaves out (cmake/CsmFeatures.cmake), answered. */
#include "analysis/canvas.h"
#include "analysis/tokens.h"
#include "base/error.h"

#ifndef CSM_HAS_CAIRO
csm_status csm_canvas_png_begin(double width, double height, struct csm_canvas *canvas,
                                csm_error *err)
{
    (void)width;
    (void)height;
    (void)canvas;
    return csm_fail(err, CSM_NO_ENGINE, "this build draws no PNG: it is without cairo");
}

void csm_canvas_png_move(struct csm_canvas *canvas, double x, double y)
{
    (void)canvas;
    (void)x;
    (void)y;
}

csm_status csm_canvas_png_end(struct csm_canvas *canvas, const char *path, csm_error *err)
{
    (void)path;
    return csm_canvas_png_begin(0, 0, canvas, err);
}
#endif

#ifndef CSM_HAS_MINIZIP
csm_status csm_npz_codes(const char *path, int32_t **codes, size_t *n_frames, size_t *n_codebooks,
                         csm_error *err)
{
    (void)codes;
    (void)n_frames;
    (void)n_codebooks;
    return csm_fail(err, CSM_NO_ENGINE, "%s: this build reads no .npz: it is without minizip", path);
}
#endif
