/* SPDX-License-Identifier: Apache-2.0
 *
 * say_time.c - times of the day, with seconds and zones; am and pm; 16:9 and 3:1. */
#include <string.h>

#include "text/number.h"
#include "text/spell.h"

/* "+02:00", "-5": plus two, minus five. */
static void say_offset(struct csm_builder *out, struct csm_group offset)
{
    if (offset.n == 0)
        return;
    csm_builder_add_word(out, offset.p[0] == '+' ? "plus" : "minus");
    const size_t sign = offset.p[0] == '+' || offset.p[0] == '-' ? 1 : 3;
    size_t n = csm_count_digits(offset.p + sign);
    n = n > 2 ? 2 : n;
    const struct csm_group hours = {offset.p + sign, n};
    csm_say_int(out, csm_group_value(hours, 99));
    const size_t colon = sign + n < offset.n && offset.p[sign + n] == ':'; /* +05: has none */
    const struct csm_group minutes = {offset.p + sign + n + colon, offset.n - sign - n - colon};
    if (csm_group_value(minutes, 59) > 0)
        csm_say_int(out, csm_group_value(minutes, 59));
}

static void say_count(struct csm_builder *out, struct csm_group number, const char *unit)
{
    if (number.n == 0)
        return;
    const int value = csm_group_value(number, 999);
    csm_say_int(out, value);
    csm_builder_add_word(out, unit);
    if (value != 1)
        csm_builder_add_text(out, "s");
}

/* 1h30m, 2h 15m 30s, 5m30s */
static bool duration(struct csm_builder *out, const struct csm_found *found)
{
    say_count(out, csm_group(found, 1), "hour");
    say_count(out, csm_group(found, 2), "minute");
    say_count(out, csm_group(found, 3), "second");
    return true;
}

/* 10:30, 9:00, 7:05, 14:30:05 UTC+2, 10:30Z */
static bool time_of_day(struct csm_builder *out, const struct csm_found *found)
{
    const int hours = csm_group_value(csm_group(found, 1), 99);
    const struct csm_group minutes = csm_group(found, 2), seconds = csm_group(found, 3);
    if (csm_group_value(minutes, 59) < 0)
        return false;
    csm_say_int(out, hours);
    const bool has_half = csm_group(found, 4).n > 0;
    const char *after = found->text + found->bounds[1];
    const bool is_told =
        strncmp(after, " o'clock", 8) == 0 || strncmp(after, " o\xE2\x80\x99", 5) == 0;
    if (strncmp(minutes.p, "00", 2) == 0) {
        if (!has_half && !is_told && seconds.n == 0)
            csm_builder_add_word(out, "o'clock");
    } else if (minutes.p[0] == '0') {
        csm_builder_add_word(out, "oh");
        csm_spell_digits(out, minutes.p + 1, 1);
    } else {
        csm_spell_cardinal(out, minutes.p, 2);
    }
    const int n_seconds = csm_group_value(seconds, 59);
    if (n_seconds > 0) {
        csm_builder_add_word(out, "and");
        csm_say_int(out, n_seconds);
        csm_builder_add_word(out, n_seconds == 1 ? "second" : "seconds");
    }
    const char *zone = csm_group(found, 5).p;
    if (csm_group(found, 5).n > 0)
        csm_say_characters(out, *zone == 'Z' ? "UTC" : zone,
                           *zone == 'Z' ? 3 : csm_group(found, 5).n);
    say_offset(out, csm_group(found, 6));
    say_offset(out, csm_group(found, 7));
    const size_t space = *after == ' ';
    if (csm_ends_word(after + space, "h")) /* 14:30 h */
        *found->n_more = space + 1;
    return true;
}

/* 00:05:12.3, 2:05.31: what lasted so long, hundredths and all. */
static bool lasted(struct csm_builder *out, const struct csm_found *found)
{
    say_count(out, csm_group(found, 1), "hour");
    say_count(out, csm_group(found, 2), "minute");
    const struct csm_group whole = csm_group(found, 3), part = csm_group(found, 4);
    if (csm_group_value(csm_group(found, 2), 59) < 0)
        return false;
    say_count(out, whole, "second");
    if (part.n > 0 && !out->has_failed) {
        out->length -= csm_group_value(whole, 59) == 1 ? strlen(" second") : strlen(" seconds");
        out->text[out->length] = '\0';
        csm_builder_add_word(out, "point");
        csm_spell_digits(out, part.p, part.n);
        csm_builder_add_word(out, "seconds");
    }
    return true;
}

/* 0830 hours: as soldiers say it. */
static bool hours(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group hour = csm_group(found, 1), minutes = csm_group(found, 2);
    csm_spell_cardinal(out, hour.p, hour.n);
    if (strncmp(minutes.p, "00", 2) == 0)
        csm_builder_add_word(out, "hundred");
    else
        csm_spell_cardinal(out, minutes.p, minutes.n);
    csm_builder_add_word(out, "hours");
    return true;
}

/* T-10 */
static bool countdown(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "T minus");
    return true;
}

/* A number of a ratio, and no more: 1:7.3 are 1:7 and what follows. */
static void say_side(struct csm_builder *out, struct csm_group side)
{
    const struct csm_number n = csm_number_read(side.p);
    if (n.length == side.n)
        csm_say_number(out, &n);
    else
        csm_spell_cardinal(out, side.p, side.n);
}

/* 16:9, 2.35:1, 1:50,000: what is no time is a ratio or a score. */
static bool ratio(struct csm_builder *out, const struct csm_found *found)
{
    say_side(out, csm_group(found, 1));
    csm_builder_add_word(out, "to");
    say_side(out, csm_group(found, 2));
    return true;
}

/* UTC+2, GMT, EST after a time or am and pm. */
static bool zone(struct csm_builder *out, const struct csm_found *found)
{
    csm_say_characters(out, csm_group(found, 1).p, csm_group(found, 1).n);
    say_offset(out, csm_group(found, 2));
    return true;
}

/* 10pm, 10 am: the letters alone would be read as a word. */
static size_t half_of_day(struct csm_builder *out, const char *text, size_t at)
{
    size_t before = at;
    while (before > 0 && text[before - 1] == ' ')
        before--;
    if (before == 0 || !csm_is_digit(text[before - 1]))
        return 0;
    const bool is_am = csm_ends_word(text + at, "am") || csm_ends_word(text + at, "AM");
    if (!is_am && !csm_ends_word(text + at, "pm") && !csm_ends_word(text + at, "PM"))
        return 0;
    csm_builder_add_word(out, is_am ? "a m" : "p m");
    const size_t dash = csm_range_dash(text + at + 2);
    if (dash > 0 && csm_is_digit(text[at + 2 + dash])) { /* 9am-5pm */
        csm_builder_add_word(out, "to");
        return 2 + dash;
    }
    return 2;
}

#define ZONE "UTC|GMT|[ECMP][SD]T|CES?T|BST|IST|JST|AE[SD]T|[ECMP]T"
#define OFFSET "([+\\x{2212}-]\\d\\d?(?::?\\d\\d)?)"

/* The dash after a time, as say_number.c has it after a number. */
static bool time_range(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "to");
    return true;
}

const struct csm_say_rule csm_say_times[] = {
    {AT_DIGIT,
     "(?<![\\w:.T])(?<!\\d |at |by )(?!0?0:00:00(?![.,]\\d))(0?0):([0-5]\\d):([0-5]\\d)(?:[.,](\\d{1,3}))?"
     "(?![\\w:]|[.,]\\d| ?[apAP]\\.?[mM]| ?[+-]\\d|Z| (?:UTC|GMT|sharp|local)\\b)",
     lasted, NULL},
    {AT_DIGIT, "(?<![\\w:.])()(\\d{1,2}):([0-5]\\d)\\.(\\d{1,3})(?![\\w:]|[.,]\\d)", lasted, NULL},
    {AT_DIGIT, "(?<![\\w:.,])(0\\d|(?<=at )1\\d|(?<=at )2[0-3])([0-5]\\d)(?: (?:hours|hrs)(?!\\w))"
     "(?! (?:of|a|per|each|every)\\b|/)", hours, NULL},
    {AT_WORD, "(?<!\\w)T-(?=minus|\\d{1,3} (?:(?:second|minute|hour|day|week|month|year)s?|and counting)\\b|"
     "\\d{1,2}:\\d\\d(?!\\w)|(?<=at T-)\\d{1,3}(?: ?[,;!?]|\\.?(?: |$)))", countdown, NULL},
    {AT_DIGIT,
     "(?<![A-SU-Za-z0-9_:])(?<!\\d\\.)(\\d{1,2}):(\\d\\d)(?::(\\d\\d)(?:[.,]\\d+)?)?(?!\\d|:\\d|,\\d{3}(?!\\d))"
     "(?=\\s*([apAP]\\.?[mM])?)(?: ?(Z|UTC|GMT)(?!\\w)" OFFSET
     "?|(?: (?=[+-]\\d{4}(?!\\d)))?(\\+\\d\\d?(?::?\\d\\d)?|(?<= )-\\d{4}))?",
     time_of_day, NULL},
    {AT_DIGIT, "(?<![\\w:.])(\\d{1,2})h([0-5]\\d)()()()()()(?!\\w)", time_of_day, NULL},
    {AT_DIGIT, "(?<![\\w:.])(\\d{1,3})h ?([0-5]?\\d)m(?:in)?(?: ?([0-5]?\\d)s)?(?!\\w)", duration, NULL},
    {AT_DIGIT, "(?<![\\w:.])()(\\d{1,3})m ?([0-5]?\\d)s(?!\\w)", duration, NULL},
    {AT_DIGIT, "(?<![\\w:.])(\\d{1,2})\\.([0-5]\\d)()(?=\\s?([apAP]\\.?[mM])(?!\\w))()()()",
     time_of_day, NULL},
    {AT_DIGIT, "(?<![\\w:.])(\\d{1,4}):(\\d{1,4})(?![\\w:]|,\\d{3}(?!\\d))", ratio, NULL},
    {AT_DIGIT, "(?<![\\w:.,])(\\d{1,4}):(\\d{1,3}(?:,\\d{3})+)(?![\\w:])", ratio, NULL},
    {AT_DIGIT, "(?<![\\w:.,])(\\d{1,2}\\.\\d{1,2}):(\\d{1,2})(?![\\w:.])", ratio, NULL},
    {AT_WORD, "(?<=\\d |[apAP][mM] |m\\. )(" ZONE ")(?!\\w)" OFFSET "?", zone, NULL},
    {AT_WORD, "(?<!\\w)(UTC|GMT)" OFFSET "(?!\\w)", zone, NULL},
    {AT_SIGN, "(?<=:\\d\\d) ?[-\\x{2013}] ?(?=\\d{1,2}:\\d\\d)|"
     "(?<=:\\d|:\\d\\d)[-\\x{2013}](?=\\d{1,3}(?![\\w:-]|\\.\\d))",
     time_range, NULL}, /* John 3:16-18 */
    {AT_WORD, NULL, NULL, half_of_day},
    {0}};
