/* SPDX-License-Identifier: Apache-2.0
 *
 * canvas_cairo.c - pictures as PNG. cairo and the twenty libraries that it brings
 * are loaded when a picture is asked for, so that nobody else waits for them. */
#include "analysis/canvas.h"

#include <cairo.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/output.h"

#define FUNCTIONS(X)                                                                               \
    X(cairo_image_surface_create)                                                                  \
    X(cairo_surface_destroy)                                                                       \
    X(cairo_surface_write_to_png_stream)                                                           \
    X(cairo_create)                                                                                \
    X(cairo_destroy)                                                                               \
    X(cairo_status)                                                                                \
    X(cairo_translate)                                                                             \
    X(cairo_scale)                                                                                 \
    X(cairo_set_source_rgb)                                                                        \
    X(cairo_paint)                                                                                 \
    X(cairo_rectangle)                                                                             \
    X(cairo_fill)                                                                                  \
    X(cairo_select_font_face)                                                                      \
    X(cairo_set_font_size)                                                                         \
    X(cairo_text_extents)                                                                          \
    X(cairo_move_to)                                                                               \
    X(cairo_show_text)

struct picture {
    void *library;
    cairo_surface_t *surface;
    cairo_t *cr;
#define MEMBER(name) __typeof__(name) *name;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

static csm_status load(struct picture *p, csm_error *err)
{
    static const char *const names[] = {"libcairo.so.2", "libcairo.2.dylib", CSM_CAIRO_FILE};
    for (size_t i = 0; i < sizeof names / sizeof *names && p->library == NULL; i++)
        p->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (p->library == NULL)
        return csm_fail(err, CSM_NO_ENGINE, "pictures need cairo: libcairo.so.2 does not load");
    void *symbol;
#define FIND(name)                                                                                 \
    symbol = dlsym(p->library, #name);                                                             \
    if (symbol == NULL)                                                                            \
        return csm_fail(err, CSM_NO_ENGINE, "pictures need cairo: it has no %s", #name);           \
    memcpy(&p->name, &symbol, sizeof symbol);
    FUNCTIONS(FIND)
#undef FIND
    return CSM_OK;
}

static void set_ink(struct picture *p, enum csm_ink ink)
{
    long rgb = strtol(csm_ink_colour(ink, 0) + 1, NULL, 16);
    p->cairo_set_source_rgb(p->cr, (double)(rgb >> 16 & 255) / 255, (double)(rgb >> 8 & 255) / 255,
                            (double)(rgb & 255) / 255);
}

static void boxes(void *surface, enum csm_ink ink, const struct csm_box *all, size_t n)
{
    struct picture *p = surface;
    set_ink(p, ink);
    for (size_t i = 0; i < n; i++)
        p->cairo_rectangle(p->cr, all[i].x, all[i].y, all[i].width, all[i].height);
    p->cairo_fill(p->cr);
}

static void text(void *surface, enum csm_ink ink, double x, double y, enum csm_anchor anchor,
                 double size, const char *string)
{
    struct picture *p = surface;
    cairo_text_extents_t extents;
    set_ink(p, ink);
    p->cairo_set_font_size(p->cr, size);
    p->cairo_text_extents(p->cr, string, &extents);
    double shift = anchor == CSM_ANCHOR_START ? 0
                   : anchor == CSM_ANCHOR_END ? extents.x_advance
                                              : extents.x_advance / 2;
    p->cairo_move_to(p->cr, x - shift, y);
    p->cairo_show_text(p->cr, string);
}

static void release(struct picture *p)
{
    if (p->cr != NULL)
        p->cairo_destroy(p->cr);
    if (p->surface != NULL)
        p->cairo_surface_destroy(p->surface);
    if (p->library != NULL)
        dlclose(p->library);
    free(p);
}

csm_status csm_canvas_png_begin(double width, double height, struct csm_canvas *canvas,
                                csm_error *err)
{
    enum { SCALE = 2 };
    struct picture *p = calloc(1, sizeof *p);
    if (p == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "picture: out of memory");
    csm_status status = load(p, err);
    if (status == CSM_OK) {
        p->surface = p->cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(width * SCALE),
                                                   (int)(height * SCALE));
        p->cr = p->cairo_create(p->surface);
        if (p->cairo_status(p->cr) != CAIRO_STATUS_SUCCESS)
            status = csm_fail(err, CSM_NO_MEMORY, "picture of %g by %g: out of memory", width,
                              height);
    }
    if (status != CSM_OK) {
        release(p);
        return status;
    }
    p->cairo_scale(p->cr, SCALE, SCALE);
    p->cairo_set_source_rgb(p->cr, 1, 1, 1);
    p->cairo_paint(p->cr);
    p->cairo_select_font_face(p->cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                              CAIRO_FONT_WEIGHT_NORMAL);
    *canvas = (struct csm_canvas){.surface = p, .boxes = boxes, .text = text};
    return CSM_OK;
}

void csm_canvas_png_move(struct csm_canvas *canvas, double x, double y)
{
    struct picture *p = canvas->surface;
    p->cairo_translate(p->cr, x, y);
}

struct sink {
    csm_output *out;
    csm_status status;
    csm_error *err;
};

static cairo_status_t write_bytes(void *closure, const unsigned char *bytes, unsigned length)
{
    struct sink *sink = closure;
    sink->status = csm_output_write(sink->out, bytes, length, sink->err);
    return sink->status == CSM_OK ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

csm_status csm_canvas_png_end(struct csm_canvas *canvas, const char *path, csm_error *err)
{
    struct picture *p = canvas->surface;
    struct sink sink = {.status = CSM_OK, .err = err};
    if (path != NULL)
        sink.status = csm_output_open(path, &sink.out, err);
    if (path != NULL && sink.status == CSM_OK) {
        cairo_status_t drawn =
            p->cairo_surface_write_to_png_stream(p->surface, write_bytes, &sink);
        if (drawn != CAIRO_STATUS_SUCCESS && sink.status == CSM_OK)
            sink.status = csm_fail(err, CSM_NO_MEMORY, "%s: cairo could not draw it", path);
        if (sink.status == CSM_OK)
            sink.status = csm_output_commit(sink.out, err);
        else
            csm_output_discard(sink.out);
    }
    release(p);
    memset(canvas, 0, sizeof *canvas);
    return sink.status;
}
