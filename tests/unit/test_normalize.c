/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <csm/csm.h>
#include <csm/text.h>

static void check(const char *text, const char *expected)
{
    char *normalized = NULL;
    csm_error err;
    assert_int_equal(csm_text_normalize(text, &normalized, &err), CSM_OK);
    assert_string_equal(normalized, expected);
    csm_free(normalized);
}

static void plain_text_comes_back_as_it_was(void **state)
{
    (void)state;
    const char *const texts[] = {"", "Hello, world!", "Isn't it? Yes; no: \"well\" - so.",
                                 ("Gr\xC3\xBC\xC3\x9F"
                                  "e aus K\xC3\xB6ln"),
                                 "well-known"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check(texts[i], texts[i]);
}

static void cardinals_are_spelled(void **state)
{
    (void)state;
    check("0", "zero");
    check("13 and 40", "thirteen and forty");
    check("100 1000 1001000", "one hundred one thousand one million one thousand");
    check("1,234,567.89", "one million two hundred thirty four thousand five hundred sixty seven "
                          "point eight nine");
    check("-5", "minus five");
    check("007", "zero zero seven");
    check("999999999999999", "nine hundred ninety nine trillion nine hundred ninety nine billion "
                             "nine hundred ninety nine million nine hundred ninety nine thousand "
                             "nine hundred ninety nine");
    check("1234567890123456", "one two three four five six seven eight nine zero one two three "
                              "four five six");
}

static void more_digits_than_fit_are_all_read(void **state)
{
    (void)state;
    char digits[201];
    memset(digits, '7', 200);
    digits[200] = '\0';
    char *normalized = NULL;
    csm_error err;
    assert_int_equal(csm_text_normalize(digits, &normalized, &err), CSM_OK);
    size_t sevens = 0;
    for (const char *p = normalized; (p = strstr(p, "seven")) != NULL; p++)
        sevens++;
    assert_int_equal(sevens, 200);
    csm_free(normalized);
}

static void ordinals_and_years_are_read_as_people_do(void **state)
{
    (void)state;
    check("1st 2nd 3rd 5th 12th 20th 100th 21st",
          "first second third fifth twelfth twentieth one hundredth twenty first");
    check("in 1984", "in nineteen eighty four");
    check("1905 1900 2000 2007 2010 2025", "nineteen oh five nineteen hundred two thousand "
                                           "two thousand seven twenty ten twenty twenty five");
    check("the 1990s, 80s, 747s, 6s",
          "the nineteen nineties, eighties, seven hundred forty sevens, "
          "sixes");
    check("3D, BA2490, COVID-19", "three D, BA two thousand four hundred ninety, COVID nineteen");
}

static void money_times_and_units_are_read(void **state)
{
    (void)state;
    check("$5.20", "five dollars and twenty cents");
    check("$1, $3 million, $2.05", "one dollar, three million dollars, two dollars and five cents");
    check("\xC2\xA3"
          "3.01",
          "three pounds and one penny");
    check("10:30", "ten thirty");
    check("9:00", "nine o'clock");
    check("7:05 a.m. and 9:00pm", "seven oh five a m and nine p m");
    check("5 km, 1kg, 50%, 20 \xC2\xB0"
          "C",
          "five kilometers, one kilogram, fifty percent, "
          "twenty degrees Celsius");
    check("1/2 or 3/4", "one half or three quarters");
    check("10-20", "ten to twenty");
    check("10:30+05:", "ten thirty plus five:"); /* the colon is no part of the zone */
    check("555-1234", "five five five, one two three four");
    check("1-800-555-0199", "one, eight zero zero, five five five, zero one nine nine");
    check("1-800-FLOWERS", "one, eight zero zero, FLOWERS");
    check("888-GET-THIS now", "eight eight eight, GET THIS now");
    check("In 1h30m, 2h 15m 30s or 5m30s.", "In one hour thirty minutes, two hours fifteen minutes thirty "
                                            "seconds or five minutes thirty seconds.");
    check("1h1m1s, 0h05m, 10h30", "one hour one minute one second, zero hours five minutes, ten thirty");
    check("Figure 800-A, 5m 30s", "Figure eight hundred-A, five minutes thirty seconds");
    check("24/7, 3/4/2021, 5 km/h",
          "twenty four seven, three four twenty twenty one, five kilometers "
          "per hour");
    check("\xC2\xA5"
          "500",
          "five hundred yen");
}

static void abbreviations_and_symbols_become_words(void **state)
{
    (void)state;
    check("Dr. Smith vs. Mr. Jones, etc.", "Doctor Smith versus Mister Jones, et cetera.");
    check("No. 5. No. I won't.", "number five. No. I won't.");
    check("St. James, Main St., Elm St.", "Saint James, Main Street, Elm Street.");
    check("C# #1", "C sharp number one");
    check("R&D, a+b=c", "R and D, a plus b equals c");
    check("really (yes) - no [hm].", "really, yes, - no, hm.");
    check("\xE2\x80\x9Cso\xE2\x80\x9D it\xE2\x80\x99s\xE2\x80\xA6", "\"so\" it's...");
    check("ok \xF0\x9F\x98\x80 then", "ok then");
    check(" a \t b\n\nc ", "a b c");
}

/* A character of four bytes is not a picture because of its length. */
static void letters_beyond_the_first_plane_stay(void **state)
{
    (void)state;
    check("\xF0\xA0\x80\x80 is Han", "\xF0\xA0\x80\x80 is Han"); /* U+20000 */
    check("\xF0\x9D\x90\x80\xF0\x9D\x9F\x8E", "A zero");         /* bold A and 0 */
    check("\xF0\x9F\x87\xA9\xF0\x9F\x87\xAA flag", "flag");
}

/* The pieces of a text, joined by '|', the pauses in brackets. */
static void check_pieces(const char *text, size_t max_bytes, const char *expected)
{
    csm_text_piece *pieces = NULL;
    size_t n = 0;
    csm_error err;
    char joined[512] = "";
    assert_int_equal(csm_text_pieces(text, max_bytes, &pieces, &n, &err), CSM_OK);
    for (size_t i = 0; i < n; i++) {
        const size_t at = strlen(joined);
        snprintf(joined + at, sizeof joined - at, i > 0 ? "|%s" : "%s", pieces[i].text);
        const size_t end = strlen(joined);
        if (pieces[i].pause_ms > 0)
            snprintf(joined + end, sizeof joined - end, "[%d]", pieces[i].pause_ms);
    }
    csm_text_pieces_free(pieces, n);
    assert_string_equal(joined, expected);
}

static void pauses_stand_between_pieces(void **state)
{
    (void)state;
    check_pieces("Hello <break time=\"300ms\"/> there", 0, "Hello[300]|there");
    check_pieces(
        "a<break/>b<break strength='weak'/>c<break time=\"0.25s\"/>d<break time=\"99s\"/>e", 0,
        "a[500]|b[250]|c[250]|d[10000]|e");
    check_pieces("<break time=\"1s\"/>Now.", 0, "[1000]|Now.");
    check_pieces("Then.<break time=\"1s\"/><break time=\"1s\"/>", 0, "Then.[2000]");
    check_pieces("<break strength=\"none\"/>So.", 0, "So.");
    check_pieces("One. Two.<break time=\"200ms\"/> Three. Four.", 240,
                 "One.|Two.[200]|Three.|Four.");
    check_pieces("# Title\n\nFirst. Second.\n\n- a\n- b", 240, "Title.|First.|Second.|a.|b");
    check_pieces("", 240, "");
    check_pieces("***", 0, "");
    check_pieces("...", 0, ""); /* marks alone are no words */
    check_pieces("\"?!\"", 240, "");
    check_pieces("Well... ... Yes. !!! No.<break time=\"1s\"/>...", 240, "Well...|Yes.|No.[1000]");
    check("Hello <break time=\"300ms\"/> there", "Hello, there");
    check("Wait.<break time=\"2s\"/>Go.", "Wait. Go.");
}

static void letters_that_are_not_latin_are_counted(void **state)
{
    (void)state;
    const char *script = "";
    assert_int_equal(csm_text_unspoken("Gr\xC3\xBC\xC3\x9F"
                                       "e, caf\xC3\xA9, \xC5\x81\xC3\xB3"
                                       "d\xC5\xBA, Vi\xE1\xBB\x87t",
                                       &script),
                     0);
    assert_null(script);
    assert_int_equal(csm_text_unspoken("\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E", &script), 3);
    assert_string_equal(script, "Han");
    assert_int_equal(csm_text_unspoken("say \xD0\xBF\xD1\x80\xD0\xB8!", &script), 3);
    assert_string_equal(script, "Cyrillic");
    assert_int_equal(csm_text_unspoken("\xD9\x85\xD8\xB1\xD8\xAD", &script), 3);
    assert_string_equal(script, "Arabic");
    assert_int_equal(csm_text_unspoken("\xE3\x81\x82 \xED\x95\x9C \xF0\x9F\x98\x80", &script), 2);
    assert_string_equal(script, "Hiragana");
}

static void text_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    char *normalized = NULL;
    csm_error err;
    assert_int_equal(csm_text_normalize("a\xFF"
                                        "b",
                                        &normalized, &err),
                     CSM_BAD_ARG);
    assert_null(normalized);
}

/* The sentences of a text, joined by '|'. */
static void check_sentences(const char *text, size_t max_bytes, const char *expected)
{
    char joined[512] = "";
    while (*text != '\0') {
        size_t n = csm_text_sentence(text, max_bytes);
        assert_true(n > 0);
        if (joined[0] != '\0')
            strcat(joined, "|");
        strncat(joined, text, n);
        text += n;
        text += strspn(text, " \r\n");
    }
    assert_string_equal(joined, expected);
}

static void sentences_end_where_people_end_them(void **state)
{
    (void)state;
    check_sentences("One. Two! Three? Four", 0, "One.|Two!|Three?|Four");
    check_sentences("Dr. Smith met J. Doe at 5 p.m. on Friday. Then he left.", 0,
                    "Dr. Smith met J. Doe at 5 p.m. on Friday.|Then he left.");
    check_sentences("\"Really?\" she asked. \"Yes.\" Good.", 0,
                    "\"Really?\" she asked.|\"Yes.\"|Good.");
    check_sentences("It cost 3.50... wow. E.g. this, e.g. that. End", 0,
                    "It cost 3.50... wow.|E.g. this, e.g. that.|End");
    check_sentences("No stop here\n\nNew paragraph", 0, "No stop here|New paragraph");
    check_sentences("Chapter One\r\n \r\nIt was", 0, "Chapter One|It was");
    check_sentences("Apples, etc. Then pears.", 0, "Apples, etc.|Then pears.");
    check_sentences("\xE2\x80\x9C" "Dr. No\xE2\x80\x9D is Roe v. Wade by Smith et al. 2020. In the U.S. $5.", 0,
                    "\xE2\x80\x9C" "Dr. No\xE2\x80\x9D is Roe v. Wade by Smith et al. 2020.|In the U.S. $5.");
    check_sentences("The speed is v. The mass is m.", 0, "The speed is v.|The mass is m.");
}

static void sentences_of_other_scripts_end_without_a_space(void **state)
{
    (void)state;
    check_sentences("\u4F60\u597D\u3002\u300C\u8D70\uFF01\u300D\u518D\u89C1?\u597D", 0,
                    "\u4F60\u597D\u3002|\u300C\u8D70\uFF01\u300D|\u518D\u89C1?|\u597D");
    check_sentences("\u0928\u0964 \u0915\u0964", 0, "\u0928\u0964|\u0915\u0964");
    check_sentences("\u0645\u061F \u0646.", 0, "\u0645\u061F|\u0646.");
    check_sentences("\u4F60\u597D\uFF0C\u518D\u89C1\u518D\u89C1", 14, "\u4F60\u597D\uFF0C|\u518D\u89C1\u518D\u89C1");
}

static void a_long_sentence_is_cut_at_a_clause_or_word(void **state)
{
    (void)state;
    check_sentences("one two, three four five six", 16, "one two,|three four five|six");
    check_sentences("abcdefghijkl", 5, "abcde|fghij|kl");
    check_sentences("\xC3\xA4\xC3\xB6\xC3\xBC", 1, "\xC3\xA4|\xC3\xB6|\xC3\xBC");
    check_sentences("\xF0\x9F\x98\x80"
                    "a",
                    2, "\xF0\x9F\x98\x80|a");
    check_sentences("\xC3\xA4\xC3\xB6\xC3\xBC", 3, "\xC3\xA4|\xC3\xB6|\xC3\xBC");
}

static const char *const many[] = {"On 3 May 2024 at 10:30 we paid $5.20 for 3/4 of it.",
                                   "# A list\n\n1. See http://example.org/a\n2. 5 km <break time=\"300ms\"/> on",
                                   "Dr. No isn't here; well-known words stay.", ""};
enum { N_MANY = sizeof many / sizeof *many };

static void *says_many(void *rules)
{
    csm_error err;
    for (int i = 0; i < 40; i++) {
        csm_text_piece *found, *expected;
        size_t n_found, n_expected;
        if (csm_text_rules_say(rules, many[i % N_MANY], 60, &found, &n_found, &err) != CSM_OK ||
            csm_text_pieces(many[i % N_MANY], 60, &expected, &n_expected, &err) != CSM_OK ||
            n_found != n_expected)
            return "another number of pieces";
        for (size_t k = 0; k < n_found; k++)
            if (strcmp(found[k].text, expected[k].text) != 0 ||
                found[k].pause_ms != expected[k].pause_ms)
                return "another piece";
        csm_text_pieces_free(found, n_found);
        csm_text_pieces_free(expected, n_expected);
    }
    return NULL;
}

static void rules_are_opened_once_for_all_threads(void **state)
{
    (void)state;
    csm_text_rules *rules;
    csm_error err;
    pthread_t threads[4];
    assert_int_equal(csm_text_rules_open(&rules, &err), CSM_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, says_many, rules), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    csm_text_rules_close(rules);
}

static void of_subtitles_the_cues_are_said(void **state)
{
    (void)state;
    check("WEBVTT\nKind: captions\nLanguage: en\n\n00:00:00.000 --> 00:00:02.000 align:start\n"
          "hello<00:00:00.500><c> world</c>\n\n00:00:02.000 --> 00:00:04.000\nthis is<00:00:02.500><c> next</c>\n",
          "hello world this is next");
    check("WEBVTT - title\r\n\r\nSTYLE\r\n::cue { color: red }\r\n\r\nNOTE A comment\r\non two lines\r\n\r\n"
          "intro\r\n00:01.000 --> 00:03.000\r\n<v Bob>Hi there</v>\r\n\r\nNOTE\r\nanother\r\n\r\n"
          "00:04.000 --> 00:05.000\r\n- Who's there?\r\n- Me.\r\n",
          "Hi there. Who's there? Me.");
}

/* Processor seconds that n times `part` take, the shorter of two. */
static double seconds_of(const csm_text_rules *rules, const char *part, size_t n)
{
    const size_t length = strlen(part);
    char *text = malloc(n * length + 1), *said;
    double shortest = 1e9;
    csm_error err;
    for (size_t i = 0; i < n; i++)
        strcpy(text + i * length, part);
    for (int i = 0; i < 2; i++) {
        const clock_t start = clock();
        assert_int_equal(csm_text_rules_normalize(rules, text, &said, &err), CSM_OK);
        const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        shortest = seconds < shortest ? seconds : shortest;
        csm_free(said);
    }
    free(text);
    return shortest;
}

static void a_text_costs_no_more_than_it_is_long(void **state)
{
    (void)state;
    static const char *const parts[] = {"http://", "\xE2\x80\x94", "[a", "x = 1 - "};
    csm_text_rules *rules;
    csm_error err;
    assert_int_equal(csm_text_rules_open(&rules, &err), CSM_OK);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) /* 8 for what grows with the length, 64 with its square */
        if (seconds_of(rules, parts[i], 8000) > 24 * seconds_of(rules, parts[i], 1000))
            fail_msg("'%s'", parts[i]);
    csm_text_rules_close(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_comes_back_as_it_was),
        cmocka_unit_test(rules_are_opened_once_for_all_threads),
        cmocka_unit_test(cardinals_are_spelled),
        cmocka_unit_test(more_digits_than_fit_are_all_read),
        cmocka_unit_test(ordinals_and_years_are_read_as_people_do),
        cmocka_unit_test(money_times_and_units_are_read),
        cmocka_unit_test(abbreviations_and_symbols_become_words),
        cmocka_unit_test(letters_beyond_the_first_plane_stay),
        cmocka_unit_test(pauses_stand_between_pieces),
        cmocka_unit_test(letters_that_are_not_latin_are_counted),
        cmocka_unit_test(text_that_is_not_utf8_is_refused),
        cmocka_unit_test(of_subtitles_the_cues_are_said),
        cmocka_unit_test(a_text_costs_no_more_than_it_is_long),
        cmocka_unit_test(sentences_end_where_people_end_them),
        cmocka_unit_test(sentences_of_other_scripts_end_without_a_space),
        cmocka_unit_test(a_long_sentence_is_cut_at_a_clause_or_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
