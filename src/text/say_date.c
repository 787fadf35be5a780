/* SPDX-License-Identifier: Apache-2.0
 *
 * say_date.c - dates: 2025-03-21, 03/21/2025, 21.03.2025, 21 March, March 21st, 2025. With
 * slashes the month comes first where both could be; without a zero in front (3/4/2021)
 * such a date is read as it stands. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "text/number.h"
#include "text/spell.h"

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

/* Small letters only where no other word is written so: may, march and sun are. */
#define MONTH                                                                                      \
    "(Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|"               \
    "Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?|"                                    \
    "JAN(?:UARY)?|FEB(?:RUARY)?|MAR(?:CH)?|APR(?:IL)?|MAY|JUNE?|JULY?|AUG(?:UST)?|"                \
    "SEPT?(?:EMBER)?|OCT(?:OBER)?|NOV(?:EMBER)?|DEC(?:EMBER)?|"                                    \
    "january|february|april|june|july|august|september|october|november|december)\\.?"

static int month_of(struct csm_group name)
{
    for (int m = 0; m < 12; m++)
        if (strncasecmp(months[m], name.p, 3) == 0)
            return m + 1;
    return -1;
}

/* The year of a group of four digits, or two after an apostrophe; nothing for an empty one. */
static void say_year(struct csm_builder *out, struct csm_group year)
{
    if (year.n == 0)
        return;
    csm_builder_add_text(out, ",");
    const struct csm_number n = csm_number_read(year.p);
    csm_say_year_or_number(out, &n);
}

static bool say_month_day(struct csm_builder *out, int month, int day)
{
    if (month < 1 || month > 12 || day < 1 || day > 31)
        return false;
    csm_builder_add_word(out, months[month - 1]);
    csm_say_nth(out, day);
    return true;
}

/* "to" and the last day, for March 3-5. */
static bool say_last_day(struct csm_builder *out, struct csm_group day)
{
    if (day.n == 0)
        return true;
    const int value = csm_group_value(day, 31);
    if (value < 1)
        return false;
    csm_builder_add_word(out, "to");
    csm_say_nth(out, value);
    return true;
}

/* 2025-03-21; what follows a T is a time. */
static bool year_first(struct csm_builder *out, const struct csm_found *found)
{
    if (!say_month_day(out, csm_group_value(csm_group(found, 2), 12),
                       csm_group_value(csm_group(found, 3), 31)))
        return false;
    say_year(out, csm_group(found, 1));
    if (csm_group(found, 4).n > 0)
        csm_builder_add_text(out, ", at ");
    return true;
}

/* 2025-03 */
static bool year_and_month(struct csm_builder *out, const struct csm_found *found)
{
    const int month = csm_group_value(csm_group(found, 2), 12);
    if (month < 1)
        return false;
    const struct csm_number n = csm_number_read(csm_group(found, 1).p);
    csm_builder_add_word(out, months[month - 1]);
    csm_say_year_or_number(out, &n);
    return true;
}

/* A month that cannot be one is the day. */
static bool say_month_day_year(struct csm_builder *out, int month, int day,
                               struct csm_group year)
{
    const bool is_swapped = month > 12;
    if (!say_month_day(out, is_swapped ? day : month, is_swapped ? month : day))
        return false;
    say_year(out, year);
    return true;
}

/* 03/21/2025, 21/03/2025 */
static bool with_slashes(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group first = csm_group(found, 1), second = csm_group(found, 2);
    int month = csm_group_value(first, 31), day = csm_group_value(second, 31);
    const bool is_padded = first.n == 2 && second.n == 2 && csm_group(found, 3).n == 4;
    if (month <= 12 && day <= 12 && month != day && !is_padded)
        return false;
    return say_month_day_year(out, month, day, csm_group(found, 3));
}

/* 21.03.2025: the day first, but where it cannot be (12.25.2024); 31.12.99 */
static bool with_points(struct csm_builder *out, const struct csm_found *found)
{
    int day = csm_group_value(csm_group(found, 1), 31),
        month = csm_group_value(csm_group(found, 2), 31);
    if (csm_group(found, 3).n == 2 && day <= 12)
        return false; /* 1.2.30 may be a version */
    return say_month_day_year(out, month, day, csm_group(found, 3));
}

/* 01/2024 */
static bool month_over_year(struct csm_builder *out, const struct csm_found *found)
{
    csm_builder_add_word(out, months[csm_group_value(csm_group(found, 1), 12) - 1]);
    const struct csm_number n = csm_number_read(csm_group(found, 2).p);
    csm_say_year_or_number(out, &n);
    return true;
}

/* Whether the word at p is a month: May, Oct. and MARCH, not may and Market. */
static bool begins_month(const char *p)
{
    size_t n = 0;
    while (csm_is_letter(p[n]))
        n++;
    const int month = n >= 3 && isupper((unsigned char)*p) ? month_of((struct csm_group){p, 3}) : -1;
    return month > 0 && (n == 3 || (n == 4 && strncasecmp(p, "Sept", n) == 0) ||
                         (n == strlen(months[month - 1]) && strncasecmp(p, months[month - 1], n) == 0));
}

/* "to" before another month, of which a dash is told by: June 19-July 10, 3 May - 2 June. */
static void say_to_month(struct csm_builder *out, const struct csm_found *found)
{
    const char *after = found->text + found->bounds[1];
    const size_t dash = csm_range_dash(after), n_digits = dash > 0 ? csm_count_digits(after + dash) : 0;
    const char *name = after + dash + n_digits + (n_digits > 0 && after[dash + n_digits] == ' ');
    if (dash == 0 || n_digits > 2 || !begins_month(name))
        return;
    csm_builder_add_word(out, "to");
    *found->n_more = dash;
}

/* March 21, March 21st, 2025, Mar. 3-5 */
static bool month_first(struct csm_builder *out, const struct csm_found *found)
{
    if (!say_month_day(out, month_of(csm_group(found, 1)),
                       csm_group_value(csm_group(found, 2), 31)) ||
        !say_last_day(out, csm_group(found, 3)))
        return false;
    say_year(out, csm_group(found, 4));
    say_to_month(out, found);
    return true;
}

/* Whether the words before `at` end in "the", or in "and" after another day. */
static bool follows_the(const char *text, size_t at)
{
    return at >= 4 &&
           (strncmp(text + at - 4, "the ", 4) == 0 || strncmp(text + at - 4, "The ", 4) == 0 ||
            strncmp(text + at - 4, "and ", 4) == 0);
}

/* 21 March 2025, 3-5 March, 21st of March */
static bool day_first(struct csm_builder *out, const struct csm_found *found)
{
    const int day = csm_group_value(csm_group(found, 1), 31);
    const int month = month_of(csm_group(found, 3));
    if (day < 1)
        return false;
    const struct csm_group whole = csm_group(found, 0);
    bool has_of = false; /* 4th of July is said as it stands */
    for (size_t i = 0; i + 4 < whole.n; i++)
        has_of = has_of || strncmp(whole.p + i, " of ", 4) == 0;
    if (!has_of && !follows_the(found->text, found->bounds[0]))
        csm_builder_add_word(out, "the");
    csm_say_nth(out, day);
    if (!say_last_day(out, csm_group(found, 2)))
        return false;
    csm_builder_add_word(out, "of");
    csm_builder_add_word(out, months[month - 1]);
    say_year(out, csm_group(found, 4));
    say_to_month(out, found);
    return true;
}

/* 2008-09: a range whose end has two digits. */
static bool year_range(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group end = csm_group(found, 2);
    const struct csm_number n = csm_number_read(csm_group(found, 1).p);
    if (csm_group_value(end, 99) <=
        csm_group_value((struct csm_group){csm_group(found, 1).p + 2, 2}, 99))
        return false;
    csm_say_year_or_number(out, &n);
    csm_builder_add_word(out, "to");
    if (*end.p == '0') {
        csm_builder_add_word(out, "oh");
        csm_spell_digits(out, end.p + 1, 1);
    } else {
        csm_spell_cardinal(out, end.p, end.n);
    }
    return true;
}

/* AD 79, 50 CE */
static bool era(struct csm_builder *out, const struct csm_found *found)
{
    csm_say_characters(out, csm_group(found, 0).p, csm_group(found, 0).n);
    return true;
}

/* Sep 2025: a month's short name before a year. */
static bool month_and_year(struct csm_builder *out, const struct csm_found *found)
{
    csm_builder_add_word(out, months[month_of(csm_group(found, 1)) - 1]);
    const struct csm_number n = csm_number_read(csm_group(found, 2).p);
    csm_say_year_or_number(out, &n);
    return true;
}

static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                   "Friday", "Saturday", "Sunday"};

static void say_full(struct csm_builder *out, struct csm_group name)
{
    for (size_t i = 0; i < 7; i++)
        if (strncmp(days[i], name.p, 3) == 0)
            csm_builder_add_word(out, days[i]);
    if (month_of(name) > 0)
        csm_builder_add_word(out, months[month_of(name) - 1]);
}

/* Mon-Fri, Jan-Mar */
static bool name_range(struct csm_builder *out, const struct csm_found *found)
{
    for (size_t i = 1; i <= 2; i++) {
        if (i == 2)
            csm_builder_add_word(out, "to");
        say_full(out, csm_group(found, i));
    }
    return true;
}

/* Mon, Tue before a day or a month. */
static bool weekday(struct csm_builder *out, const struct csm_found *found)
{
    say_full(out, csm_group(found, 1));
    csm_builder_add_text(out, ",");
    return true;
}

/* '90s, '98 */
static bool short_year(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group digits = csm_group(found, 1);
    if (csm_group(found, 2).n > 0) {
        csm_spell_cardinal(out, digits.p, digits.n);
        out->length -= !out->has_failed;
        csm_builder_add_text(out, "ies");
    } else if (digits.p[0] == '0') {
        csm_builder_add_word(out, "oh");
        csm_spell_digits(out, digits.p + 1, 1);
    } else {
        csm_spell_cardinal(out, digits.p, digits.n);
    }
    return true;
}

#define DAY "(?:Mon|Tues?|Wed|Thu(?:rs)?|Fri|Sat|Sun)(?:day)?"
#define MONTH_NAME "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
#define YEAR "(1\\d{3}|2\\d{3})"
#define DASH "\\s?[-\\x{2013}]\\s?"

const struct csm_say_rule csm_say_dates[] = {
    {AT_DIGIT,
     "(?<![\\w.-])" YEAR
     "[-/](0?[1-9]|1[0-2])[-/](0?[1-9]|[12]\\d|3[01])(?:(T|,? )(?=\\d\\d?:\\d\\d)|(?![\\w/-]))",
     year_first, NULL},
    {AT_DIGIT, "(?<![\\w.,-])" YEAR "[\\x{2013}-](\\d\\d)(?![\\w-]|[.,]\\d)", year_range, NULL},
    {AT_DIGIT, "(?<![\\w.-])" YEAR "-(0[1-9])(?![\\w-])", year_and_month, NULL},
    {AT_WORD, "(?<!\\w)AD(?= \\d)|(?<=\\d )(?:AD|CE)(?!\\w)", era, NULL},
    {AT_DIGIT, "(?<![\\w./])(\\d{1,2})/(\\d{1,2})/(\\d{4}|\\d\\d)(?![\\w/])", with_slashes, NULL},
    {AT_DIGIT, "(?<![\\w.])(\\d{1,2})\\.(\\d{1,2})\\.(\\d{4}|\\d\\d)(?!\\w|\\.\\d)", with_points,
     NULL},
    {AT_DIGIT, "(?<![\\w./-])(\\d{1,2})-(\\d{1,2})-(\\d{4})(?![\\w-])", with_slashes, NULL},
    {AT_DIGIT, "(?<![\\w./-])(0[1-9]|1[0-2])/(2\\d{3}|1[89]\\d\\d)(?![\\w/])", month_over_year,
     NULL},
    {AT_WORD,
     "(?<!\\w)" MONTH "[ \\x{A0}](0?[1-9]|[12]\\d|3[01])(?:st|nd|rd|th)?(?:" DASH
     "(0?[1-9]|[12]\\d|3[01])(?:st|nd|rd|th)?)?(?![\\w:]|[.,]\\d)(?:,? " YEAR "(?!\\w|[.,]\\d))?",
     month_first, NULL},
    {AT_DIGIT,
     "(?<![\\w.,])(0?[1-9]|[12]\\d|3[01])(?:st|nd|rd|th)?(?:" DASH
     "(0?[1-9]|[12]\\d|3[01])(?:st|nd|rd|th)?)?(?: of )?[ \\x{A0}-]?" MONTH "(?!\\w)(?:,?[ -]" YEAR
     "(?!\\w|[.,]\\d))?",
     day_first, NULL},
    {AT_WORD, "(?<![\\w-])" MONTH "-(0?[1-9]|[12]\\d|3[01])()-" YEAR "(?![\\w-])", month_first, NULL},
    {AT_WORD, "(?<!\\w)(?!May|MAY)" MONTH "[ -]" YEAR "(?!\\w|[.,]\\d)", month_and_year, NULL},
    {AT_WORD,
     "(?<!\\w|[Tt]he )(Mon|Tues?|Wed|Thu(?:rs)?|Fri|Sat|Sun)\\.?,? (?=\\d{1,2}(?:st|nd|rd|th)? |" MONTH
     " \\d)",
     weekday, NULL},
    {AT_WORD, "(?<!\\w)(" DAY "|" MONTH_NAME ")\\.?" DASH "(" DAY "|" MONTH_NAME ")(?!\\w)",
     name_range, NULL},
    {AT_SIGN, "(?<!\\w)['\\x{2019}](\\d\\d)(s)?(?!\\w)", short_year, NULL},
    {0}};
