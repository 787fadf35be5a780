/* SPDX-License-Identifier: Apache-2.0
 *
 * The locale is the thread's own for the length of one call (POSIX.1-2008), so the
 * host's and other threads' stay as they are. */
#include "base/numbers.h"

#include <locale.h>
#include <stdlib.h>
#if defined(__APPLE__)
#include <xlocale.h>
#endif

#include "base/arithmetic.h"

/* The C locale for this thread, until end(), and C's rounding of decimals. */
struct c_locale {
    locale_t own, before;
    fenv_t host;
};

static struct c_locale begin(void)
{
    struct c_locale c = {.own = newlocale(LC_ALL_MASK, "C", (locale_t)0),
                         .host = csm_arithmetic_begin()};
    c.before = c.own != (locale_t)0 ? uselocale(c.own) : (locale_t)0;
    return c;
}

static void end(struct c_locale c)
{
    csm_arithmetic_end(&c.host);
    if (c.own == (locale_t)0) /* no memory for one */
        return;
    uselocale(c.before);
    freelocale(c.own);
}

int csm_vformat(char *text, size_t size, const char *format, va_list args)
{
    struct c_locale c = begin();
    int n = vsnprintf(text, size, format, args);
    end(c);
    return n;
}

int csm_vprint(FILE *to, const char *format, va_list args)
{
    struct c_locale c = begin();
    int n = vfprintf(to, format, args);
    end(c);
    return n;
}

int csm_format(char *text, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = csm_vformat(text, size, format, args);
    va_end(args);
    return n;
}

int csm_print(FILE *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = csm_vprint(to, format, args);
    va_end(args);
    return n;
}

bool csm_read_number(const char *text, double *value)
{
    char *after;
    struct c_locale c = begin();
    double x = strtod(text, &after);
    end(c);
    if (after == text || *after != '\0' || !isfinite(x))
        return false;
    *value = x;
    return true;
}

bool csm_read_float(const char *text, float *value)
{
    char *after;
    struct c_locale c = begin();
    float x = strtof(text, &after);
    end(c);
    if (after == text || *after != '\0' || !isfinite(x))
        return false;
    *value = x;
    return true;
}

bool csm_tensor_floats(const csm_tensor *tensor, size_t first, size_t n, float *out)
{
    if (!csm_is_float(tensor->dtype))
        return false;
    if (tensor->dtype == CSM_DTYPE_F32) {
        if (n > 0)
            memcpy(out, (const float *)tensor->data + first, n * sizeof *out);
        return true;
    }
    if (tensor->dtype == CSM_DTYPE_BF16) { /* a loop of its own, which is vectorised */
        const uint16_t *halves = (const uint16_t *)tensor->data + first;
        for (size_t i = 0; i < n; i++)
            out[i] = csm_from_bf16(halves[i]);
        return true;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = csm_element(tensor, first + i);
    return true;
}
