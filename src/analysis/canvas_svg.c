/* SPDX-License-Identifier: Apache-2.0 */
#include "analysis/canvas.h"
#include "base/numbers.h"
#include "analysis/escape.h"

const char *csm_ink_colour(enum csm_ink ink, int is_dark)
{
    static const char *const colours[CSM_INK_COUNT][2] = {
        [CSM_INK_TEXT] = {"#1c2430", "#e6e9ef"},
        [CSM_INK_MUTED] = {"#677081", "#97a1b3"},
        [CSM_INK_GRID] = {"#e3e7ee", "#2c3442"},
        [CSM_INK_A] = {"#2f6fd0", "#6aa5f8"},
        [CSM_INK_B] = {"#d9822b", "#f2a65a"},
        [CSM_INK_BAD] = {"#c9372c", "#ff7a6e"},
        [CSM_INK_HEAT + 0] = {"#eef1f6", "#1f2633"},
        [CSM_INK_HEAT + 1] = {"#dbe3f4", "#2a3550"},
        [CSM_INK_HEAT + 2] = {"#c3d0ee", "#3a4676"},
        [CSM_INK_HEAT + 3] = {"#b3b5e0", "#55519a"},
        [CSM_INK_HEAT + 4] = {"#b58fc9", "#8257a6"},
        [CSM_INK_HEAT + 5] = {"#c9659f", "#b65a93"},
        [CSM_INK_HEAT + 6] = {"#cf4a6a", "#e0686f"},
        [CSM_INK_HEAT + 7] = {"#b3262f", "#ff9a62"},
    };
    return colours[ink][is_dark != 0];
}

static void boxes(void *surface, enum csm_ink ink, const struct csm_box *all, size_t n)
{
    FILE *to = surface;
    if (n == 0)
        return;
    csm_print(to, "<path class=\"i%d\" d=\"", ink);
    for (size_t i = 0; i < n; i++)
        csm_print(to, "M%.5g %.5gh%.4gv%.4gh-%.4gz", all[i].x, all[i].y, all[i].width, all[i].height,
                all[i].width);
    fputs("\"/>\n", to);
}

static void text(void *surface, enum csm_ink ink, double x, double y, enum csm_anchor anchor,
                 double size, const char *string)
{
    static const char *const anchors[] = {"start", "middle", "end"};
    FILE *to = surface;
    csm_print(to, "<text class=\"i%d\" x=\"%.5g\" y=\"%.5g\" font-size=\"%.3g\" text-anchor=\"%s\">",
            ink, x, y, size, anchors[anchor]);
    csm_escape_html(to, string);
    fputs("</text>\n", to);
}

struct csm_canvas csm_canvas_svg(FILE *to)
{
    return (struct csm_canvas){.surface = to, .boxes = boxes, .text = text};
}
