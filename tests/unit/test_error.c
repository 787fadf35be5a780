/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include <string.h>

#include "base/error.h"

static void fail_writes_the_message_and_returns_the_status(void **state)
{
    (void)state;
    csm_error err;
    assert_int_equal(csm_fail(&err, CSM_BAD_FORMAT, "%s: %d", "x", 3), CSM_BAD_FORMAT);
    assert_string_equal(err.text, "x: 3");
}

static void fail_may_quote_the_old_message(void **state)
{
    (void)state;
    csm_error err;
    (void)csm_fail(&err, CSM_BAD_FORMAT, "inner");
    (void)csm_fail(&err, CSM_BAD_FILE, "outer: %s", err.text);
    assert_string_equal(err.text, "outer: inner");
}

static void fail_cuts_a_long_message(void **state)
{
    (void)state;
    csm_error err;
    char text[2 * sizeof err.text];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)csm_fail(&err, CSM_BAD_ARG, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static void fail_keeps_to_one_line_and_gives_no_orders_to_a_terminal(void **state)
{
    (void)state;
    csm_error err;
    (void)csm_fail(&err, CSM_BAD_FORMAT, "%s", "a\nb\033[2Jc\x7f");
    assert_string_equal(err.text, "a?b?[2Jc?");
}

static void fail_takes_no_buffer(void **state)
{
    (void)state;
    assert_int_equal(csm_fail(NULL, CSM_NO_MEMORY, "x"), CSM_NO_MEMORY);
}

static void every_value_has_a_text(void **state)
{
    (void)state;
    assert_string_equal(csm_status_text(CSM_OK), "success");
    assert_string_equal(csm_status_text(CSM_ENGINE), "the engine reported an error");
    assert_string_equal(csm_status_text((csm_status)12345), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_writes_the_message_and_returns_the_status),
        cmocka_unit_test(fail_may_quote_the_old_message),
        cmocka_unit_test(fail_cuts_a_long_message),
        cmocka_unit_test(fail_keeps_to_one_line_and_gives_no_orders_to_a_terminal),
        cmocka_unit_test(fail_takes_no_buffer),
        cmocka_unit_test(every_value_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
