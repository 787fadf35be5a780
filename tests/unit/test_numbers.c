/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include <locale.h>
#if defined(__APPLE__)
#include <xlocale.h>
#endif
#include <stdlib.h>

#include "base/error.h"
#include "base/numbers.h"
#include "base/release.h"

/* IEEE 754's own definition, in doubles. */
static double value_of_half(uint16_t half)
{
    int exponent = half >> 10 & 31;
    double magnitude = exponent == 0 ? ldexp(half & 1023, -24)
                                     : ldexp((half & 1023) + 1024, exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
}

static void every_half_is_widened_as_ieee_754_says_and_comes_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float wide = csm_from_f16((uint16_t)h), brain = csm_from_bf16((uint16_t)h);
        if ((h & 0x7c00) != 0x7c00)
            assert_true((double)wide == value_of_half((uint16_t)h));
        else
            assert_true((h & 0x3ff) != 0 ? isnan(wide) : isinf(wide));
        if (!isnan(wide))
            assert_int_equal(csm_to_f16(wide), h);
        assert_int_equal(csm_bits_of_float(brain), h << 16);
        if (!isnan(brain))
            assert_int_equal(csm_to_bf16(brain), h);
    }
}

/* Both ways of rounding, for floats next to every half and every tie between two. */
static void rounding_in_place_is_the_way_there_and_back(void **state)
{
    (void)state;
    for (uint32_t high = 0; high < 65536; high++) {
        static const uint32_t low[] = {0x0000, 0x0fff, 0x1000, 0x1001, 0x1fff, 0x2000,
                                       0x7fff, 0x8000, 0x8001, 0xf000, 0xffff};
        for (size_t i = 0; i < sizeof low / sizeof *low; i++) {
            float x = csm_float_of_bits(high << 16 | low[i]);
            if (isnan(x)) {
                assert_int_equal(csm_bits_of_float(csm_round_f16(x)), high << 16 | low[i]);
                assert_int_equal(csm_bits_of_float(csm_round_bf16(x)), high << 16 | low[i]);
                continue;
            }
            assert_int_equal(csm_bits_of_float(csm_round_f16(x)),
                             csm_bits_of_float(csm_from_f16(csm_to_f16(x))));
            assert_int_equal(csm_bits_of_float(csm_round_bf16(x)),
                             csm_bits_of_float(csm_from_bf16(csm_to_bf16(x))));
        }
    }
}

static void tensors_of_every_float_dtype_are_widened(void **state)
{
    (void)state;
    static const double f64[] = {1.5, -2.0};
    static const float f32[] = {1.5f, -2.0f};
    static const uint16_t f16[] = {0x3e00, 0xc000}, bf16[] = {0x3fc0, 0xc000};
    static const int32_t i32[] = {1, 2};
    const csm_tensor tensors[] = {{.dtype = CSM_DTYPE_F64, .data = f64},
                                  {.dtype = CSM_DTYPE_F32, .data = f32},
                                  {.dtype = CSM_DTYPE_F16, .data = f16},
                                  {.dtype = CSM_DTYPE_BF16, .data = bf16}};
    for (size_t i = 0; i < 4; i++) {
        float out[2] = {0, 0};
        assert_true(csm_tensor_floats(&tensors[i], 0, 2, out));
        assert_true(out[0] == 1.5f && out[1] == -2.0f);
        assert_true(csm_tensor_floats(&tensors[i], 1, 1, out));
        assert_true(out[0] == -2.0f);
    }
    float out = 7;
    assert_false(csm_tensor_floats(&(csm_tensor){.dtype = CSM_DTYPE_I32, .data = i32}, 0, 1, &out));
    assert_true(out == 7);
}

static void numbers_have_a_point_in_every_locale(void **state)
{
    (void)state;
    char text[64], file[64] = "";
    csm_error err;
    FILE *to = tmpfile();
    assert_non_null(to);
    assert_int_equal(csm_format(text, sizeof text, "%.2f|%d", 1234.5, 3), 9);
    assert_string_equal(text, "1234.50|3");
    assert_int_equal(csm_print(to, "%g", 0.25), 4);
    rewind(to);
    assert_non_null(fgets(file, sizeof file, to));
    fclose(to);
    assert_string_equal(file, "0.25");
    (void)csm_fail(&err, CSM_BAD_ARG, "%g", 0.9);
    assert_string_equal(err.text, "0.9");
}

static void numbers_are_read_whole_or_not_at_all(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "0,9", "0.9x", "nan", "inf", "1e999", "x"};
    double x = 5;
    float narrow = 5;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(csm_read_number(wrong[i], &x));
        assert_false(csm_read_float(wrong[i], &narrow));
    }
    assert_true(x == 5 && narrow == 5);
    assert_true(csm_read_number("0.9", &x) && x == 0.9);
    assert_true(csm_read_float("0.9", &narrow) && narrow == 0.9f);
}

/* What the host set stays as it is: setlocale's, and the thread's own. */
static void the_hosts_locale_stays(void **state)
{
    (void)state;
    char before[16], after[16], ours[16];
    locale_t host = uselocale((locale_t)0);
    snprintf(before, sizeof before, "%.1f", 0.5);
    csm_format(ours, sizeof ours, "%.1f", 0.5);
    snprintf(after, sizeof after, "%.1f", 0.5);
    assert_string_equal(before, after);
    assert_string_equal(ours, "0.5");
    assert_true(uselocale((locale_t)0) == host);
    if (getenv("CSM_TEST_LOCALE") != NULL) /* or the tests under it show nothing */
        assert_string_equal(before, "0,5");
}

static void a_release_is_told_from_one_that_begins_like_it(void **state)
{
    (void)state;
    assert_true(csm_is_release("0.32.1", "0.32.1"));
    assert_true(csm_is_release("0.32.1+cpu", "0.32.1"));
    assert_true(csm_is_release("0.32.1.dev20260101", "0.32.1"));
    assert_false(csm_is_release("0.32.10", "0.32.1"));
    assert_false(csm_is_release("0.32.2", "0.32.1"));
    assert_false(csm_is_release("0.32", "0.32.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_is_widened_as_ieee_754_says_and_comes_back),
        cmocka_unit_test(rounding_in_place_is_the_way_there_and_back),
        cmocka_unit_test(tensors_of_every_float_dtype_are_widened),
        cmocka_unit_test(numbers_have_a_point_in_every_locale),
        cmocka_unit_test(numbers_are_read_whole_or_not_at_all),
        cmocka_unit_test(the_hosts_locale_stays),
        cmocka_unit_test(a_release_is_told_from_one_that_begins_like_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
