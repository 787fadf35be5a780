/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/markup_prepare.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <csm/text.h>
#include <pcre2.h>

#include "base/builder.h"
#include "base/error.h"
#include "base/utf8.h"

/* Fences and spans of code, which no pattern below may touch; the fence is group 1. */
#define NOT_IN_CODE                                                                                \
    "(?:(?m:^ {0,3}(`{3,}|~{3,})[^\\n]*(?:\\n|\\z)(?s:.*?)(?:^ {0,3}\\1[`~]*[ \\t]*$|\\z))"        \
    "|(?<!`)`[^`\\n]+`)(*SKIP)(*F)|"
/* For private use: no text to be said has them. */
#define STAR "\xEE\x80\xAA"
#define TILDE "\xEE\x81\xBE"
#define PICTURE "[\\x{2600}-\\x{27BF}\\x{1F300}-\\x{1FAFF}\\x{2B00}-\\x{2BFF}]\\x{FE0F}?"
#define BULLET                                                                                     \
    "[\\x{2022}\\x{25E6}\\x{25AA}\\x{25AB}\\x{2023}\\x{25CF}\\x{25CB}\\x{25A0}\\x{25B8}\\x{25BA}"  \
    "\\x{2043}\\x{2219}\\x{00B7}\\x{2013}\\x{2192}]"

#define TAGS                                                                                       \
    "a|abbr|article|aside|audio|b|big|blockquote|body|br|button|caption|center|cite|code|dd|del|"  \
    "details|dfn|div|dl|dt|em|figure|figcaption|font|footer|form|h[1-6]|head|header|hr|html|i|"    \
    "iframe|img|input|ins|kbd|label|li|link|main|mark|meta|nav|ol|option|p|pre|q|s|samp|script|"   \
    "section|select|small|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|textarea|"   \
    "tfoot|th|thead|time|title|tr|tt|u|ul|var|video|wbr|speak|break|emphasis|prosody|voice|lang|"  \
    "say-as|phoneme|paragraph|sentence|think|thinking|answer"

/* 00:01:02,345; the hours may be left out. */
#define CUE_TIME "(?:\\d{1,3}:)?\\d\\d:\\d\\d[.,]\\d{1,3}"

/* What a model was thinking; its tag is group 2. */
#define THOUGHTS "(?i)<(think|thinking)>(?:[^<]++|<(?!/?think))*+</\\2>"

static const struct {
    const char *pattern, *with; /* groups are counted from 2 */
} changes[] = {
    /* of chat models */
    {"<\\|[\\w ]{1,40}\\|>", ""},
    {"\\x{3010}[^\\x{3010}\\x{3011}\\n]{0,20}\\x{2020}[^\\x{3010}\\x{3011}\\n]{0,80}\\x{3011}", ""},
    /* of subtitles, SRT and WebVTT: head, notes, names and times of cues, which nobody says, and who speaks */
    {"\\AWEBVTT[^\\n]*\\n(?:(?!" CUE_TIME ")[^\\n]*[^\\s][^\\n]*\\n)*+(?=(?s:.{0,4000}?)[.,]\\d{1,3}[ \\t]+-->)", "\n"},
    {"(?m)(?<=\\n\\n|\\n\\r\\n|\\A\\n)^(?:NOTE(?:[ \\t][^\\n]*)?|STYLE\\s*?|REGION\\s*?)\\r?\\n"
     "(?:[^\\n]*[^\\s][^\\n]*\\n)*+"
     "(?=(?s:.{0,4000}?)[.,]\\d{1,3}[ \\t]+-->)", ""},
    {"(?m)\\s{0,16}^(?:(?:\\d{1,6}|(?<=\\n\\n|\\n\\r\\n)(?![^\\n]*-->)[^\\n]{1,100}?)[ \\t]*\\r?\\n)?"
     CUE_TIME "[ \\t]+-->[ \\t]+" CUE_TIME "[^\\n]*$", "\n"},
    {"<(?:v[. ][^<>\\n]{1,60}|" CUE_TIME ")>", ""},
    /* of ASS: all but the text of a line of dialogue, whose line breaks are \N; styles are SRT's, too */
    {"(?s)\\A\\[Script Info\\]\\r?\\n.{0,16000}?\\n(?=Dialogue:)", "\n"},
    {"(?m)(?:^Dialogue: ?[^,\\n]{0,20},\\d:\\d\\d:|\\G(?!\\A))[^\\n\\\\]*+(?:\\\\(?![Nn])[^\\n\\\\]*+)*+\\K\\\\[Nn]", " "},
    {"(?m)^Dialogue: ?[^,\\n]{0,20}(?:,\\d:\\d\\d:\\d\\d\\.\\d\\d){2}(?:,[^,\\n]{0,100}){6},", "\n"},
    {"\\{(?:\\\\\\d?[a-z]{1,5}(?:-?[\\d.]+|&H[0-9A-Fa-f]{1,8}&|\\([^(){}\\n]{1,60}\\)))+\\}", ""},
    /* of LRC and of Whisper: times before a line, and what is told of a song before the first */
    {"(?m)^\\[(?:ti|ar|al|au|by|re|ve|la|length|offset):[^\\]\\n]{0,100}\\]\\s{1,8}"
     "(?=(?s:.{0,1000}?)^\\[" CUE_TIME "\\])", ""},
    {"(?m)^(?:\\[" CUE_TIME "(?:[ \\t]-->[ \\t]" CUE_TIME ")?\\])+[ \\t]*", "\n"},
    /* footnotes */
    {"(?m)^ {0,3}\\[\\^(\\d{1,4})\\]:[ \\t]*", "\nNote $2: "},
    {"(?m)^ {0,3}\\[\\^([^\\]\\s]{1,40})\\]:[ \\t]*", "\nNote: "},
    {"\\[\\^[^\\]\\s]{1,40}\\]", ""},
    {"(?m)^([ \\t]*>[ \\t]*)\\[!(\\w{1,20})\\][ \\t]*$", "$2$3."},
    /* >5 compares, in a line of its own; what is marked so in more than one is a quote, as is >1. */
    {"(?m)^[ \\t]*>[^\\n]*(?:\\n[ \\t]*>[^\\n]*)++(*SKIP)(*F)|^[ \\t]*>(?=\\d)(?!\\d+[.)] )", "\\\\>"},
    /* a line break that was written out, and marks of other dialects */
    {"(?<![\\\\\\w:])\\\\n(?=[A-Z#*\\d -]|\\\\n|$)|(?<=\\w|[.!?:,;])\\\\n(?=[A-Z#*\\d -]|\\\\n|$)",
     "\n"},
    {"(?<![\\w=])==(?=\\w)([^=\\n]{1,200}?)(?<=\\S)==(?![\\w=])", "$2"},
    {"(?<![\\w+])\\+\\+(?=\\w)([^+\\n]{1,200}?)(?<=\\S)\\+\\+(?![\\w+])", "$2"},
    {"</?[A-Za-z][\\w-]{0,20}:[\\w-]{1,40}(?:\\s[^<>]{0,200})?>", ""}, /* of a name space */
    {THOUGHTS, "\n\n"},
    {"</[A-Za-z]\\w{0,20}_\\w{1,40}>|(?s)<([A-Za-z]\\w{0,20}_\\w{1,40})>(?=[^<]{0,8000}</\\2>)", ""}, /* <tool_call> */
    /* a space that was left out */
    {"(?:https?|ftp)://\\S++(*SKIP)(*F)|(?<=[a-z]{2}[?!])(?=[A-Z][a-z']* )", " "},
    {"(?<![\\w.])(Mrs?|Ms|Dr|Prof|St)\\.(?=[A-Z][a-z])", "$2. "},
    {"(?m)^([ \\t]*)\\(?([a-z]|[ivx]{2,4})\\)[ \\t]+(?=\\S)", "$2- $3, "},
    {"(?m)^([ \\t]*)([ivx]{1,4})\\.[ \\t]+(?=\\S)", "$2- $3, "},
    /* lists by other signs, and cells of tables */
    {"(?m)^([ \\t]*)([1-9])\\x{FE0F}?\\x{20E3}[ \\t]*", "$2$3. "},
    {"(?m)^([ \\t]*)(?:" BULLET "|" PICTURE ")[ \\t]+(?=\\S)", "$2- "},
    {"\\|[ \\t]*[\\x{2705}\\x{2714}\\x{2713}\\x{2611}]\\x{FE0F}?[ \\t]*(?=\\|)", "| yes "},
    {"\\|[ \\t]*[\\x{274C}\\x{2717}\\x{2718}\\x{2716}\\x{274E}]\\x{FE0F}?[ \\t]*(?=\\|)", "| no "},
    {"(?m)(?:^(?=[^\\n]*\\|)(?=[ \\t:|-]*-[ \\t:|-]*$)|\\G(?!^))([ \\t:|]*)(-+)", "$2$3--"},
    /* lines of signs alone */
    {"(?m)^[ \\t]*\\+[-=+]{3,}[ \\t]*$", ""},
    {"(?m)(?<=\\n\\n|\\A)[ \\t]*[=~+]{3,}[ \\t]*$", ""},
    /* SSML and HTML that change what is said */
    {"(?is)<sub\\s+alias\\s*=\\s*[\"']([^\"'<>]{0,400})[\"'][^<>]{0,100}>.{0,400}?</sub>", "$2"},
    {"(?i)<img\\b[^<>]{0,400}\\balt\\s*=\\s*[\"']([^\"'<>]{0,400})[\"'][^<>]{0,400}>", " $2 "},
    {"(?<=[\\w)])<(?=[^<>=/!?\\n]{1,40}\\s[^<>=/!?\\n]{0,40}>)", " \\< "},
    /* <your name>; of one that ends within a hundred tags the name is not said */
    {"<(?!(?i:" TAGS ")\\b)([A-Za-z][\\w -]{0,40})>(?![^<]*+(?:<(?!/\\2>)[^<]*+){0,100}+</\\2>)",
     " $2 "},
    {"(?i)<sup>\\s*(st|nd|rd|th)\\s*</sup>", "$2"},
    {"(?i)(?<=[\\w)])<sup>\\s*(-?\\w{1,8})\\s*</sup>", "^{$2}"},
    /* a loss, as accounts have it */
    {"\\$ ?\\((\\d[\\d,]{0,20}(?:\\.\\d{1,4})?)\\)", "-$$$2"},
    /* formulas */
    {"(?s)\\$\\$(.{1,2000}?)\\$\\$", " $2 "},
    {"\\\\\\(((?:[^\\\\\\n]++|\\\\(?![()]))++)\\\\\\)", "$2"},
    {"\\\\\\[((?:[^\\\\]++|\\\\(?![\\[\\]]))++)\\\\\\]", " $2 "},
    {"(?<![\\w$\\\\])\\$(?=[^\\s$])(?=[^$\\n]{0,200}[\\\\^_={}]|[A-Za-z]\\$)([^$\\n]{1,200}?)(?<="
     "\\S)\\$(?!\\w)",
     "$2"},
    {"\\\\int_\\{?([^{}\\s^]{1,20})\\}?\\^\\{?([^{}\\s]{1,20}?)\\}?(?=[\\s\\\\])",
     " the integral from $2 to $3 of "},
    {"\\\\sum_\\{?([^{}\\s^]{1,20})\\}?\\^\\{?([^{}\\s]{1,20}?)\\}?(?=[\\s\\\\])",
     " the sum from $2 to $3 of "},
    {"\\\\(?:text|mathrm|mathbf|mathit|operatorname|textbf|textit|boxed)\\{([^{}\\n]{0,200})\\}",
     " $2 "},
    {"\\\\sqrt\\{([^{}\\n]{0,200})\\}", "\\\\sqrt $2 "},
    {"\\\\[dt]?frac\\s?\\{([^{}\\n]{1,200})\\}\\s?\\{([^{}\\n]{1,200})\\}", " $2 over $3 "},
    {"\\\\[dt]?frac\\s?\\{([^{}\\n]{1,200})\\}\\s?\\{([^{}\\n]{1,200})\\}", " $2 over $3 "},
    {"(\\\\[A-Za-z]{2,14})\\{([^{}\\n]{0,200})\\}", "$2 $3 "},
    {"_\\{([^{}\\n]{1,40})\\}", "_$2"},
    /* signs in an address, which to some versions of md4c would be emphasis: hidden */
    {"(?:https?://|\\G(?!\\A))[^\\s*<>]*+(?:\\K\\*(?=\\w)|(*SKIP)(*F))", STAR},
    {"(?:https?://|\\G(?!\\A))[^\\s~<>]*+(?:\\K~(?=\\w)|(*SKIP)(*F))", TILDE},
    /* products and powers with stars, which would be emphasis */
    {"(?<=\\d) ?\\*\\* ?(?=\\d)", "^"},
    {"(?<=[\\d)]) ?\\* ?(?=[\\d(])", "\xC3\x97"},
};

/* Letters of several in one. */
static const char *ligature(uint32_t c)
{
    static const char *const plain[] = {"ff", "fi", "fl", "ffi", "ffl"};
    static const char *const circled[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"};
    static const struct {
        uint32_t c;
        const char *plain;
    } units[] = {{0x338E, "mg"}, {0x338F, "kg"}, {0x3396, "ml"},           {0x339C, "mm"},          {0x339D, "cm"},
                 {0x339E, "km"}, {0x2113, "L"},  {0x33A1, "m\xC2\xB2"}, {0x33A5, "m\xC2\xB3"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (units[i].c == c)
            return units[i].plain;
    static const char *const roman[] = {"I",  "II",  "III",  "IV", "V",
                                        "VI", "VII", "VIII", "IX", "X"};
    return c >= 0xFB00 && c <= 0xFB04   ? plain[c - 0xFB00]
           : c >= 0x2460 && c <= 0x2469 ? circled[c - 0x2460]
           : c >= 0x2160 && c <= 0x2169 ? roman[c - 0x2160]
           : c == 0x2044                ? "/"
           : c == 0x2012                ? "\xE2\x80\x93" /* a dash as wide as a digit */
                                        : NULL;
}

/* Mathematical letters and digits, full-width and lowered ones, as what they look like. */
static char plain_letter(uint32_t c)
{
    if (c >= 0x1D400 && c <= 0x1D6A3) {
        const uint32_t i = (c - 0x1D400) % 52;
        return (char)(i < 26 ? 'A' + i : 'a' + i - 26);
    }
    if (c >= 0x1D7CE && c <= 0x1D7FF)
        return (char)('0' + (c - 0x1D7CE) % 10);
    if (c >= 0x2080 && c <= 0x2089)
        return (char)('0' + c - 0x2080);
    if (c >= 0xFF01 && c <= 0xFF5E) {
        const char plain = (char)(c - 0xFF01 + '!');
        return isalnum((unsigned char)plain) || strchr(".,;:!?%", plain) != NULL ? plain : '\0';
    }
    return '\0';
}

static void add_plain(struct csm_builder *out, const char *text)
{
    while (*text != '\0') {
        uint32_t c;
        const size_t n = csm_utf8_next(text, &c);
        const char plain = plain_letter(c), *several = ligature(c);
        if (several != NULL)
            csm_builder_add_text(out, several);
        else if (plain != '\0')
            csm_builder_add(out, &plain, 1);
        else
            csm_builder_add(out, text, n);
        text += n;
    }
}

/* A pattern that matches outside of code; NULL: out of memory. */
static pcre2_code *compile(const char *pattern)
{
    char whole[1024];
    int code = 0;
    PCRE2_SIZE offset;
    whole[0] = '\0';
    strcat(strcat(whole, NOT_IN_CODE), pattern); /* both are constants of this file, and fit */
    return pcre2_compile((PCRE2_SPTR)whole, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &offset, NULL);
}

static pcre2_match_context *limits_new(void)
{
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    if (limits != NULL)
        pcre2_set_match_limit(limits, 1000000);
    return limits;
}

enum { N_CHANGES = sizeof changes / sizeof *changes };

struct csm_markup {
    pcre2_code *compiled[N_CHANGES];
};

csm_status csm_markup_open(struct csm_markup **out, csm_error *err)
{
    struct csm_markup *markup = calloc(1, sizeof *markup);
    bool is_whole = markup != NULL;
    for (size_t i = 0; is_whole && i < N_CHANGES; i++)
        is_whole = (markup->compiled[i] = compile(changes[i].pattern)) != NULL;
    if (!is_whole) {
        csm_markup_close(markup);
        return csm_fail(err, CSM_NO_MEMORY, "text: patterns: out of memory");
    }
    *out = markup;
    return CSM_OK;
}

void csm_markup_close(struct csm_markup *markup)
{
    for (size_t i = 0; markup != NULL && i < N_CHANGES; i++)
        pcre2_code_free(markup->compiled[i]);
    free(markup);
}

/* Change all places of a pattern; what PCRE2 gives up on stays as it is. */
static csm_status change(char **text, const pcre2_code *compiled, const char *with,
                         pcre2_match_context *limits, csm_error *err)
{
    PCRE2_SIZE n = strlen(*text) + 64;
    csm_status status = CSM_OK;
    for (int attempt = 0; attempt < 2; attempt++) {
        char *changed = malloc(n + 1);
        if (changed == NULL) {
            status = csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
            break;
        }
        PCRE2_SIZE room = n + 1;
        const int found = pcre2_substitute(compiled, (PCRE2_SPTR)*text, PCRE2_ZERO_TERMINATED, 0,
                                           PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_UNSET_EMPTY |
                                               PCRE2_SUBSTITUTE_OVERFLOW_LENGTH,
                                           NULL, limits, (PCRE2_SPTR)with, PCRE2_ZERO_TERMINATED,
                                           (PCRE2_UCHAR *)changed, &room);
        if (found >= 0) {
            free(*text);
            *text = changed;
            break;
        }
        free(changed);
        if (found != PCRE2_ERROR_NOMEMORY)
            break;
        n = room;
    }
    return status;
}

size_t csm_markup_restore(char *text, size_t n)
{
    size_t length = 0;
    for (size_t i = 0; i < n; length++) {
        const bool is_star = n - i >= 3 && memcmp(text + i, STAR, 3) == 0;
        const bool is_tilde = n - i >= 3 && memcmp(text + i, TILDE, 3) == 0;
        text[length] = is_star ? '*' : is_tilde ? '~' : text[i];
        i += is_star || is_tilde ? 3 : 1;
    }
    text[length] = '\0';
    return length;
}

csm_status csm_markup_prepare(const struct csm_markup *markup, const char *text, char **out, csm_error *err)
{
    struct csm_builder plain = {0};
    add_plain(&plain, text);
    char *made = csm_builder_take(&plain);
    pcre2_match_context *limits = limits_new();
    csm_status status = made != NULL && limits != NULL
                            ? CSM_OK
                            : csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
    for (size_t i = 0; status == CSM_OK && i < N_CHANGES; i++)
        status = change(&made, markup->compiled[i], changes[i].with, limits, err);
    pcre2_match_context_free(limits);
    if (status == CSM_OK)
        *out = made;
    else
        free(made);
    return status;
}

const char *csm_text_thoughts(const char *text)
{
    const char *tag = NULL;
    if (strchr(text, '<') == NULL)
        return NULL;
    pcre2_code *compiled = compile(THOUGHTS);
    pcre2_match_context *limits = limits_new();
    pcre2_match_data *match = compiled != NULL ? pcre2_match_data_create_from_pattern(compiled, NULL) : NULL;
    if (limits != NULL && match != NULL &&
        pcre2_match(compiled, (PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, 0, 0, match, limits) > 0) {
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(match);
        tag = at[5] - at[4] == strlen("think") ? "think" : "thinking";
    }
    pcre2_match_data_free(match);
    pcre2_match_context_free(limits);
    pcre2_code_free(compiled);
    return tag;
}
