/* SPDX-License-Identifier: Apache-2.0
 *
 * pictures.h - what a report shows, drawn on any canvas. */
#ifndef CSM_ANALYSIS_PICTURES_H
#define CSM_ANALYSIS_PICTURES_H

#include <csm/analysis.h>

#include "analysis/canvas.h"

struct csm_picture {
    const char *name; /* of the file, without .png */
    const char *title;
    const char *caption;
    /* Its height at CSM_PICTURE_WIDTH; 0 if the analysis has nothing to show. */
    double (*height)(const csm_analysis *analysis);
    /* False if out of memory. */
    bool (*draw)(const csm_analysis *analysis, const struct csm_canvas *canvas);
};

enum { CSM_PICTURE_WIDTH = 960 };

/* All, in the order of the page; *n of them. */
const struct csm_picture *csm_pictures(size_t *n);

#endif
