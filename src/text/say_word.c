/* SPDX-License-Identifier: Apache-2.0
 *
 * say_word.c - abbreviations, acronyms that are spelled, Roman numerals after names. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "text/abbreviations.h"
#include "text/number.h"
#include "text/spell.h"

/* Whether the word before text[at] is a name by its capital, or counts: Oak Dr., 5th Dr., not the Dr. or My Dr. */
static bool follows_name(const char *text, size_t at)
{
    static const char *const others[] = {"The ",  "My ",   "Our ",  "Your ", "His ",  "Her ", "Their ",
                                         "This ", "That ", "Dear ", "And ",  "But ",  "Is ",  "Ask ",
                                         "Call ", "See ",  "Any ",  "No ",   "Every "};
    size_t begin = at > 0 && text[at - 1] == ' ' ? at - 1 : 0;
    while (begin > 0 && csm_is_letter(text[begin - 1]))
        begin--;
    const bool counts = begin > 0 && csm_is_digit(text[begin - 1]) && begin + 3 == at; /* 5th */
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strncmp(text + begin, others[i], strlen(others[i])) == 0)
            return false;
    return counts || (isupper((unsigned char)text[begin]) && begin + 2 < at);
}

/* Whether p begins a sentence by its word: behind George V. and Elm St. such a word is no name. */
static bool begins_sentence_at(const char *p)
{
    static const char *const beginnings[] = {"The", "He",  "She",   "It",   "His",  "Her", "In",
                                             "A",   "An",  "After", "When", "This", "At",  "On",
                                             "But", "And", "As",    "By",   "For",  "With"};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (csm_ends_word(p, beginnings[i]))
            return true;
    return false;
}

/* Dr. Smith, 10 a.m.; the full stop goes, unless a sentence may end there. */
static size_t abbreviation(struct csm_builder *out, const char *text, size_t at)
{
    const char *p = text + at;
    if (csm_follows_letter(text, at) || (at > 0 && text[at - 1] == '.'))
        return 0;
    enum { LONGEST = 16 }; /* no abbreviation is: a run of dashes is not looked through at each of them */
    size_t n = 0;
    while (n < LONGEST && (csm_is_letter(p[n]) || (p[n] == '.' && csm_is_letter(p[n + 1]))))
        n++;
    const struct csm_abbreviation *found = p[n] == '.' ? csm_abbreviation_at(text, at, n) : NULL;
    if (found == NULL)
        return 0;
    const char *after = p + n + 1, *next = after + strspn(after, " \n");
    const bool is_followed = next > after;
    const bool is_enumerated = *after == ','; /* Mon., Tue. */
    if (found->use == CSM_ABBREVIATION_BEFORE_NUMBER && !is_enumerated &&
        !csm_is_digit(*next))
        return 0; /* "No." is a sentence */
    const bool is_street = strcmp(found->text, "St") == 0;
    const bool is_drive = strcmp(found->text, "Dr") == 0 && follows_name(text, at);
    const bool is_addressed = strncmp(next, "Apt", 3) == 0 || strncmp(next, "Ste", 3) == 0 ||
                              strncmp(next, "Suite", 5) == 0 || strncmp(next, "Unit", 4) == 0;
    const bool is_last = is_followed && follows_name(text, at) && begins_sentence_at(next); /* Elm St. It was */
    if ((is_street || is_drive) && (is_last || !(!is_addressed && is_followed && isupper((unsigned char)*next)))) {
        csm_builder_add_word(out, is_street ? "Street" : "Drive");
        return *next == '\0' || is_last ? n : n + 1;
    }
    csm_part_hyphen(out);
    csm_builder_add_word(out, found->spoken);
    const bool is_rank = strcmp(found->text, "Sr") == 0 || strcmp(found->text, "Jr") == 0;
    const bool is_title = is_rank && !follows_name(text, at) && !(at > 1 && text[at - 2] == ','); /* Sr. Engineer */
    const bool begins_sentence =
        !is_title && is_followed && isupper((unsigned char)next[0]) && !isupper((unsigned char)next[1]);
    const bool ends_text = *next == '\0' || begins_sentence;
    const bool ends_block = strncmp(after, "\n\n", 2) == 0;
    return ends_block || (found->use == CSM_ABBREVIATION_MAY_END && ends_text) ? n : n + 1;
}

/* w/o, WWII, Dr Smith: what is written short without a full stop. */
static bool short_form(struct csm_builder *out, const struct csm_found *found)
{
    static const struct {
        const char *written, *spoken;
    } known[] = {{"w/o", "without"},
                 {"w/", "with"},
                 {"b/c", "because"},
                 {"N/A", "not applicable"},
                 {"n/a", "not applicable"},
                 {"c/o", "care of"},
                 {"TL;DR", "T L D R"},
                 {"WWII", "World War two"},
                 {"WWI", "World War one"},
                 {"Dr", "Doctor"},
                 {"Mr", "Mister"},
                 {"Mrs", "Missus"},
                 {"Ms", "Miz"},
                 {"Prof", "Professor"},
                 {"Blvd", "Boulevard"},
                 {"Hwy", "Highway"},
                 {"Pkwy", "Parkway"}};
    char all[8];
    csm_group_copy(csm_group(found, 0), all, sizeof all);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].written, all) == 0) {
            csm_builder_add_word(out, known[i].spoken);
            return true;
        }
    return false;
}

/* 12 Oak St, Town: as addresses have it, without a full stop. */
static bool street(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group word = csm_group(found, 0);
    if (!follows_name(found->text, found->bounds[0]))
        return false;
    const bool is_street = strncmp(word.p, "St", word.n) == 0, is_drive = strncmp(word.p, "Dr", word.n) == 0;
    csm_builder_add_word(out, is_street  ? "Street"
                              : is_drive ? "Drive"
                                         : csm_abbreviation_find(word.p, word.n)->spoken);
    return true;
}

/* U.S.A., J.R.R.: the letters; the last full stop stays where a sentence may end. */
static bool initials(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group all = csm_group(found, 1);
    csm_part_hyphen(out);
    for (size_t i = 0; i < all.n; i += 2)
        csm_say_characters(out, all.p + i, 1);
    const char *after = all.p + all.n;
    if (*after == '\0' || *after == '\n')
        csm_builder_add_text(out, ".");
    return true;
}

/* Whether capitals are read letter by letter: those without a vowel, and those that are
 * known. What is read as a word (NASA) stays. */
static bool is_spelled(struct csm_group word)
{
    static const char *const known[] = {
        "AI",   "API",  "AWS",  "ATM", "AKA",  "ASAP", "BBC", "CEO", "CFO", "CIA", "CIO", "COO",
        "CPU",  "CTO",  "CV",   "DIY", "DNA",  "EU",   "ETA", "FAQ", "FBI", "FYI", "GDP", "GPU",
        "MBA",  "TBA",  "IMO",  "GUI", "HIV",  "HR",   "IBM", "ICU", "ID",  "IDE", "IP",  "IPO",
        "IQ",   "IRS",  "ISO",  "ISP", "KPI",  "LA",   "LED", "LLM", "MIT", "MRI", "NBA", "NLP",
        "NYC",  "OECD", "OS",   "PIN", "PR",   "QA",   "QR",  "RNA", "ROI", "SDK", "SEO", "SUV",
        "TPU",  "UAE",  "UI",   "UK",  "UN",   "URI",  "URL", "US",  "USA", "USB", "USD", "USSR",
        "UTC",  "UV",   "UX",   "VAT", "VIP",  "VPN",  "IT",  "AC",  "AD",  "BCE", "CE",  "CEO",
        "ADHD", "CAD",  "CIO",  "EV",  "IEEE", "OLED", "UTF", "AMD", "ARM", "RGB", "SSD", "SMS",
        "TTS",  "WTO",  "YMCA", "ADA", "IUPAC"};
    static const char *const shouted[] = {"IT", "US", "LA", "AD", "CE", "ARM", "PIN", "LED", "ADA"};
    static const char *const murmured[] = {"HM", "HMM", "SH", "SHH", "PSST", "BRR", "PFFT", "GRR",
                                           "MR", "MRS", "MS", "DR",  "ST",   "VS",  "LTD",  "NTH"};
    if (word.n < 2 || word.n > 6)
        return false;
    char text[8];
    csm_group_copy(word, text, sizeof text);
    for (size_t i = 0; i < sizeof shouted / sizeof *shouted; i++)
        if (strcmp(text, shouted[i]) == 0 && strcmp(text, "US") != 0)
            return false; /* words too: left as they are */
    for (size_t i = 0; i < sizeof murmured / sizeof *murmured; i++)
        if (strcmp(text, murmured[i]) == 0)
            return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(text, known[i]) == 0)
            return true;
    return strpbrk(text, "AEIOUY") == NULL;
}

/* FBI, GPUs, CEO's */
static bool acronym(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group word = csm_group(found, 1), ending = csm_group(found, 2);
    if (!is_spelled(word))
        return false;
    csm_part_hyphen(out);
    csm_say_characters(out, word.p, word.n);
    csm_builder_add(out, ending.p, ending.n);
    return true;
}

/* The value of a canonical numeral, else 0. */
static int roman_value(struct csm_group g)
{
    static const struct {
        const char *written;
        int value;
    } parts[] = {{"M", 1000}, {"CM", 900}, {"D", 500}, {"CD", 400}, {"C", 100},
                 {"XC", 90},  {"L", 50},   {"XL", 40}, {"X", 10},   {"IX", 9},
                 {"V", 5},    {"IV", 4},   {"I", 1}};
    int value = 0;
    size_t at = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const size_t n = strlen(parts[i].written);
        const bool may_repeat = strchr("MCXI", *parts[i].written) != NULL && n == 1;
        for (int times = 0; times < (may_repeat ? 3 : 1); times++) {
            if (at + n > g.n || strncmp(g.p + at, parts[i].written, n) != 0)
                break;
            value += parts[i].value;
            at += n;
        }
    }
    return at == g.n ? value : 0;
}

static bool is_one_of(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcasecmp(word, words[i]) == 0)
            return true;
    return false;
}

/* Henry VIII is the eighth, Chapter IV four. */
static bool roman(struct csm_builder *out, const struct csm_found *found)
{
    static const char *const rulers[] = {
        "Henry",     "Louis",    "Charles",  "George",    "Edward",      "Elizabeth",
        "James",     "William",  "Richard",  "Mary",      "Philip",      "Felipe",
        "Alexander", "Nicholas", "Peter",    "Catherine", "Frederick",   "Francis",
        "Ferdinand", "Pius",     "Paul",     "Benedict",  "Gregory",     "Leo",
        "Clement",   "Innocent", "Urban",    "Ivan",      "Alfonso",     "Otto",
        "Ramesses",  "Ramses",   "Thutmose", "Ptolemy",   "Darius",      "Xerxes",
        "Cleopatra", "Napoleon", "Umberto",  "Victor",    "Emmanuel",    "Haakon",
        "Christian", "Olaf",     "Gustav",   "Carl",      "Harald",      "Margrethe",
        "Carlos",    "Wilhelm",  "David",    "Robert",    "Constantine", "Theodosius",
        "Mehmed",    "Murad",    "Selim",    "Suleiman",  "Rama",        "Amenhotep",
        "Seti",      "Baldwin",  "Boniface", "Celestine", "Sixtus",      "Julius",
        "Adrian",    "Stephen",  "Leopold",  "Joseph",    "Albert",      "Rainier",
        "Willem",    "Pedro",    "Philippe", "Henri",     "Friedrich",   "Karl",
        "Pope",      "Sancho",   "Casimir",  "Sigismund", "Bela",        "Harold",
        "Edgar"};
    static const char *const parts[] = {
        "Chapter", "Part",  "Volume",   "Book",    "Act",     "Scene",  "War",
        "Phase",   "Type",  "Class",    "Title",   "Section", "Level",  "Grade",
        "Article", "Stage", "Appendix", "Episode", "Season",  "Figure", "Table",
        "Unit",    "Bowl",  "Category", "Tier",    "Step",    "Vol",    "Ch",
        "Sec",     "Pt",    "Fig",      "Canto",   "Lesson"};
    static const char *const plain[] = {"The",     "An",   "A",   "His",   "Her",  "Its",
                                        "My",      "Your", "Our", "Their", "This", "That",
                                        "Malcolm", "And",  "Or",  "In",    "On"};
    char name[32];
    csm_group_copy(csm_group(found, 1), name, sizeof name);
    const struct csm_group numeral = csm_group(found, 2);
    const int value = roman_value(numeral);
    if (value == 0 || is_one_of(name, plain, sizeof plain / sizeof *plain))
        return false;
    const bool is_ruler = is_one_of(name, rulers, sizeof rulers / sizeof *rulers);
    const bool is_part = is_one_of(name, parts, sizeof parts / sizeof *parts);
    const bool is_shouted = isupper((unsigned char)name[1]); /* CHAPTER IV; other words in capitals are no such names */
    if (is_shouted && !is_ruler && !is_part)
        return false;
    const char *after = numeral.p + numeral.n;
    const bool is_initial =
        strncmp(after, ". ", 2) == 0 && isupper((unsigned char)after[2]) && !begins_sentence_at(after + 2);
    const bool is_ended = strchr(".,;:)'\"\n", *after) != NULL || strncmp(after, " of ", 4) == 0 ||
                          strncmp(after, "\xE2\x80\x99", 3) == 0;
    const size_t quote = *after == '\'' ? 1 : strncmp(after, "\xE2\x80\x99", 3) == 0 ? 3 : 0;
    const bool is_word = quote > 0 && csm_is_letter(after[quote]) && after[quote] != 's'; /* CLEOPATRA I'll */
    if (value == 1 && (is_word || (is_shouted && !is_ended && strncmp(after, " -", 2) != 0))) /* THE PART I LIKE */
        return false;
    if (numeral.n == 1 && !is_part && !(is_ruler && (value != 1 || is_ended) && !is_initial))
        return false; /* I is a word, Malcolm X a name, George V. Higgins has an initial */
    const bool has_stop = csm_group(found, 1).p[csm_group(found, 1).n] == '.';
    const struct csm_abbreviation *full =
        has_stop ? csm_abbreviation_at(found->text, found->bounds[2], strlen(name)) : NULL;
    if (has_stop && (full == NULL || !is_part))
        return false;
    if (full != NULL)
        csm_builder_add_word(out, full->spoken);
    else
        csm_say_as_written(out, csm_group(found, 1).p, csm_group(found, 1).n);
    if (is_ruler) {
        csm_builder_add_word(out, "the");
        csm_say_nth(out, value);
    } else {
        csm_say_int(out, value);
    }
    return true;
}

/* MMXXIV: a year; what is shorter may be a word. */
static bool roman_year(struct csm_builder *out, const struct csm_found *found)
{
    const int value = roman_value(csm_group(found, 0));
    if (value < 1100 || value > 2099)
        return false;
    char digits[8];
    snprintf(digits, sizeof digits, "%d", value);
    csm_spell_year(out, digits);
    return true;
}

/* XXI century */
static bool roman_century(struct csm_builder *out, const struct csm_found *found)
{
    const int value = roman_value(csm_group(found, 1));
    if (value == 0)
        return false;
    csm_say_nth(out, value);
    return true;
}

const struct csm_say_rule csm_say_words[] = {
    {AT_WORD, "(?<![\\w-])(?:MM|MC|MD)[MDCLXVI]{3,}(?![\\w-])", roman_year, NULL},
    {AT_WORD, "(?<![\\w-])([IVX]{1,5})(?:th|st|nd|rd)?(?=[- ][cC]entur(?:y|ies)(?!\\w))",
     roman_century, NULL},
    {AT_WORD, "(?<!\\w)([A-Z](?:[a-z]+|[A-Z]+))\\.? ([IVXL]{1,8})(?![\\w&-])", roman, NULL},
    {AT_WORD, NULL, NULL, abbreviation},
    {AT_WORD, "(?<![\\w/])(?:(?:w/o|b/c|N/A|n/a|c/o)(?![\\w/])|w/(?=[\\s\\w])(?![bvw](?!\\w)))", short_form, NULL},
    {AT_WORD, "(?<=[a-z] )(?:St|Dr|Ave|Rd|Ln|Ct|Pl|Sq)(?=,|\\n|$| (?:Apt|Suite|Ste|Unit|#))", street, NULL},
    {AT_WORD, "(?<!\\w)(?:TL;DR|WWII?)(?!\\w)|(?<!\\w)(?:Dr|Mrs?|Ms|Prof)(?= [A-Z][a-z]| and (?:Mrs|Ms|Mr|Dr)\\b)|"
     "(?<!\\w)(?:Blvd|Hwy|Pkwy)(?![\\w.])",
     short_form, NULL},
    {AT_WORD, "(?<![\\w.])((?:[A-Z]\\.){2,6})", initials, NULL},
    {AT_WORD, "(?<![\\w'])([A-Z]{2,6})(s|'s|\\x{2019}s)?(?![A-Za-z_])", acronym, NULL},
    {0}};
