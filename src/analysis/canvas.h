/* SPDX-License-Identifier: Apache-2.0
 *
 * canvas.h - a surface to draw a report's pictures on: SVG inside the page, or
 * PNG by cairo. Units are CSS pixels, y grows downwards. Colours are roles. */
#ifndef CSM_ANALYSIS_CANVAS_H
#define CSM_ANALYSIS_CANVAS_H

#include <stddef.h>
#include <stdio.h>

#include <csm/status.h>

enum csm_ink {
    CSM_INK_TEXT,
    CSM_INK_MUTED, /* less important text */
    CSM_INK_GRID,
    CSM_INK_A,
    CSM_INK_B,
    CSM_INK_BAD,
    CSM_INK_HEAT, /* + 0..CSM_HEAT_LEVELS-1, cold to hot */
    CSM_INK_COUNT = CSM_INK_HEAT + 8
};
enum { CSM_HEAT_LEVELS = 8 };

enum csm_anchor { CSM_ANCHOR_START, CSM_ANCHOR_MIDDLE, CSM_ANCHOR_END };

struct csm_box {
    double x, y, width, height;
};

struct csm_canvas {
    void *surface;
    void (*boxes)(void *surface, enum csm_ink ink, const struct csm_box *boxes, size_t n);
    /* One line of text; (x, y) is on its baseline. size in pixels. */
    void (*text)(void *surface, enum csm_ink ink, double x, double y, enum csm_anchor anchor,
                 double size, const char *text);
};

/* What each ink is in a light and in a dark page: "#rrggbb". */
const char *csm_ink_colour(enum csm_ink ink, int is_dark);

/* SVG text into `to`, whose inks are classes i0, i1, ...: the page defines them. */
struct csm_canvas csm_canvas_svg(FILE *to);

/* A light PNG of a size in pixels, drawn at twice that. Begin, draw, end; end writes
 * the file (unless `path` is NULL: give up) and frees.
 * CSM_NO_ENGINE if cairo cannot be loaded; CSM_BAD_FILE; CSM_NO_MEMORY. */
csm_status csm_canvas_png_begin(double width, double height, struct csm_canvas *canvas,
                                csm_error *err);
/* What is drawn from now on is drawn from (x, y). */
void csm_canvas_png_move(struct csm_canvas *canvas, double x, double y);
csm_status csm_canvas_png_end(struct csm_canvas *canvas, const char *path, csm_error *err);

#endif
