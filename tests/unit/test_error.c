/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include <string.h>

#include "base/error.h"
#include "base/utf8.h"

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

static void an_empty_name_is_seen(void **state)
{
    (void)state;
    csm_error err;
    (void)csm_fail(&err, CSM_BAD_FILE, "%s: cannot be read", "");
    assert_string_equal(err.text, "'': cannot be read");
    (void)csm_fail(&err, CSM_BAD_FILE, "%s: cannot be read", ":0.wav");
    assert_string_equal(err.text, ":0.wav: cannot be read");
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

/* A message is handed to Python and JSON, which take UTF-8 alone. */
static void a_message_ends_with_a_whole_character(void **state)
{
    (void)state;
    static const char *const characters[] = {"\u00e4", "\u2019", "\U0001d400"};
    for (size_t i = 0; i < 3; i++)
        for (size_t before = 0; before < 4; before++) {
            csm_error err;
            char text[2 * sizeof err.text];
            size_t n = 0, length = strlen(characters[i]);
            memset(text, 'a', before);
            for (n = before; n + length < sizeof text; n += length)
                memcpy(text + n, characters[i], length);
            text[n] = '\0';
            (void)csm_fail(&err, CSM_BAD_ARG, "%s", text);
            n = strlen(err.text);
            assert_int_equal(csm_utf8_valid(err.text, n), n);
            assert_memory_equal(err.text, text, n);
            assert_true(n < sizeof err.text && n + length >= sizeof err.text);
        }
}

static void bytes_of_no_character_become_question_marks(void **state)
{
    (void)state;
    csm_error err;
    (void)csm_fail(&err, CSM_BAD_FILE, "%s", "l\xe4rm \xc3\xa4 \xff\xc3");
    assert_string_equal(err.text, "l?rm \xc3\xa4 ??");
    (void)csm_fail(&err, CSM_BAD_FILE, "%s", "\xc2\x9b" "2J"); /* CSI in one character */
    assert_string_equal(err.text, "??2J");
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
        cmocka_unit_test(an_empty_name_is_seen),
        cmocka_unit_test(fail_cuts_a_long_message),
        cmocka_unit_test(fail_keeps_to_one_line_and_gives_no_orders_to_a_terminal),
        cmocka_unit_test(a_message_ends_with_a_whole_character),
        cmocka_unit_test(bytes_of_no_character_become_question_marks),
        cmocka_unit_test(fail_takes_no_buffer),
        cmocka_unit_test(every_value_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
