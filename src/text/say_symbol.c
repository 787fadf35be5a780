/* SPDX-License-Identifier: Apache-2.0
 *
 * say_symbol.c - signs as words, brackets and dashes as pauses, what has no sound as
 * nothing. After these rules no sign of markup is left. */
#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "text/number.h"

static const struct {
    const char *symbol, *spoken;
} symbols[] = {
    {"\xE2\x81\xBA", "plus"},
    {"&&", "and"},
    {"||", "or"},
    {"&", "and"},
    {"+", "plus"},
    {"@", "at"},
    {"%", "percent"},
    {"#", "number"},
    {"$", "dollar"},
    {"-->", "to"},
    {"->", "to"},
    {"=>", "to"},
    {"<-", "from"},
    {">=", "is at least"},
    {"<=", "is at most"},
    {"!==", "is not"},
    {"===", "equals"},
    {"!=", "is not"},
    {"==", "equals"},
    {"=", "equals"},
    {"\xC3\x97", "times"},
    {"\xC3\xB7", "divided by"},
    {"\xC2\xB1", "plus or minus"},
    {"\xE2\x88\x92", "minus"},
    {"\xE2\x89\x88", "is approximately"},
    {"\xE2\x89\xA0", "is not"},
    {"\xE2\x89\xA4", "is at most"},
    {"\xE2\x89\xA5", "is at least"},
    {"\xE2\x86\x92", "to"},
    {"\xE2\x9E\x9C", "to"},
    {"\xE2\x9E\xA1", "to"},
    {"\xE2\x86\x90", "from"},
    {"\xE2\x86\x94", "to and from"},
    {"\xE2\x87\x92", "implies"},
    {"\xE2\x87\x94", "is equivalent to"},
    {"\xE2\x86\x91", "up"},
    {"\xE2\x86\x93", "down"},
    {"\xE2\x88\x9A", "the square root of"},
    {"\xE2\x88\x9B", "the cube root of"},
    {"\xE2\x88\x9E", "infinity"},
    {"\xE2\x88\x91", "the sum of"},
    {"\xE2\x88\xAB", "the integral of"},
    {"\xE2\x88\x88", "in"},
    {"\xE2\x88\xA9", "and"},
    {"\xE2\x88\xAA", "or"},
    {"\xE2\x88\x80", "for all"},
    {"\xE2\x88\x83", "there is"},
    {"\xE2\x88\x82", "partial"},
    {"\xE2\x88\x87", "nabla"},
    {"\xE2\x88\x9D", "is proportional to"},
    {"\xE2\x89\xA1", "is equivalent to"},
    {"\xE2\x88\xB4", "therefore"},
    {"\xE2\x8A\x82", "is a subset of"},
    {"\xE2\x88\x89", "not in"},
    {"\xE2\x84\x9D", "R"},
    {"\xE2\x84\xA4", "Z"},
    {"\xE2\x84\x95", "N"},
    {"\xE2\x84\x9A", "Q"},
    {"\xE2\x84\x82", "C"},
    {"\xC2\xA7\xC2\xA7", "sections"},
    {"\xC2\xA7", "section"},
    {"\xC2\xB6", "paragraph"},
    {"\xC2\xA9", "copyright"},
    {"\xC2\xB0", "degrees"},
    {"\xE2\x84\x96", "number"},
    {"\xC2\xA3", "pounds"},
    {"\xE2\x82\xAC", "euros"},
    {"\xC2\xA5", "yen"},
    {"\xC2\xA2", "cents"},
    {"\xE2\x82\xB9", "rupees"},
    {"\xCE\xB1", "alpha"},
    {"\xCE\xB2", "beta"},
    {"\xCE\xB3", "gamma"},
    {"\xCE\xB4", "delta"},
    {"\xCE\xB5", "epsilon"},
    {"\xCE\xB8", "theta"},
    {"\xCE\xBB", "lambda"},
    {"\xCE\xBC", "mu"},
    {"\xC2\xB5", "micro"},
    {"\xCF\x80", "pi"},
    {"\xCF\x81", "rho"},
    {"\xCF\x83", "sigma"},
    {"\xCF\x84", "tau"},
    {"\xCF\x86", "phi"},
    {"\xCF\x87", "chi"},
    {"\xCF\x88", "psi"},
    {"\xCE\xB6", "zeta"},
    {"\xCE\xB7", "eta"},
    {"\xCE\xBA", "kappa"},
    {"\xCE\xBD", "nu"},
    {"\xCE\xBE", "xi"},
    {"\xCE\x93", "gamma"},
    {"\xCE\x98", "theta"},
    {"\xCE\x9B", "lambda"},
    {"\xCE\xA0", "pi"},
    {"\xCE\xA6", "phi"},
    {"\xCE\xA8", "psi"},
    {"\xCF\x89", "omega"},
    {"\xCE\x94", "delta"},
    {"\xCE\xA3", "sigma"},
    {"\xCE\xA9", "omega"},
};

static size_t symbol(struct csm_builder *out, const char *text, size_t at)
{
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        const char *sign = symbols[i].symbol;
        const size_t n = strlen(sign);
        if (strncmp(text + at, sign, n) != 0)
            continue;
        const bool is_greek = (unsigned char)*sign == 0xCE || (unsigned char)*sign == 0xCF;
        if (is_greek && ((at > 0 && (unsigned char)text[at - 1] >= 0x80) ||
                         (unsigned char)text[at + n] >= 0xC3))
            return 0; /* a word in Greek */
        const bool is_sharp = *sign == '#' && at > 0 && csm_is_letter(text[at - 1]); /* C# */
        csm_builder_add_word(out, is_sharp ? "sharp" : symbols[i].spoken);
        return n;
    }
    return 0;
}

/* < and > between things are compared; 5 * 3 and 2*x are products; a/b is two words. */
static bool less(struct csm_builder *out, const struct csm_found *found)
{
    csm_builder_add_word(out, *csm_group(found, 0).p == '<' ? "is less than" : "is greater than");
    return true;
}

static bool more_than(struct csm_builder *out, const struct csm_found *found)
{
    csm_builder_add_word(out, *csm_group(found, 0).p == '<' ? "less than" : "more than");
    return true;
}

static bool times(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "times");
    return true;
}

static bool to_the_power(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "to the power of");
    return true;
}

static bool letter(struct csm_builder *out, const struct csm_found *found)
{
    csm_say_as_written(out, csm_group(found, 1).p, 1);
    return true;
}

static bool about(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "about");
    return true;
}

static bool divided(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "divided by");
    return true;
}

static bool by(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "by");
    return true;
}

/* NÂº 5 */
static bool number_sign(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "number");
    return true;
}

static bool over(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "over");
    return true;
}

/* &c. */
static bool et_cetera(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "et cetera");
    return true;
}

static bool minus(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "minus");
    return true;
}

static bool nothing(struct csm_builder *out, const struct csm_found *found)
{
    (void)out;
    (void)found;
    return true;
}

static bool to(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "to");
    return true;
}

static bool apart(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    if (out->length > 0)
        csm_builder_add_word(out, "");
    return true;
}

static bool comma(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    while (out->length > 0 && !out->has_failed && out->text[out->length - 1] == ' ')
        out->text[--out->length] = '\0';
    csm_builder_add_text(out, out->length > 0 ? "," : "");
    return true;
}

/* - / * and ! of a formula. */
static bool operation(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group all = csm_group(found, 0);
    const char sign = all.p[all.n - 1];
    if (!csm_is_in_formula(found->text, found->bounds[0]))
        return false;
    csm_builder_add_word(out, sign == '-'   ? "minus"
                              : sign == '*' ? "times"
                              : sign == '!' ? "factorial"
                                            : "divided by");
    return true;
}

/* A comment of code. */
static bool remark(struct csm_builder *out, const struct csm_found *found)
{
    comma(out, found);
    const size_t n = out->length;
    if (n > 1 && !out->has_failed && strchr(".,;:!?", out->text[n - 2]) != NULL)
        out->text[--out->length] = '\0';
    return true;
}

static bool slash(struct csm_builder *out, const struct csm_found *found)
{
    (void)found;
    csm_builder_add_word(out, "slash");
    return true;
}

/* -m, --help: the flags of a command. */
static bool flag(struct csm_builder *out, const struct csm_found *found)
{
    for (size_t i = 0; i < csm_group(found, 1).n; i++)
        csm_builder_add_word(out, "dash");
    csm_builder_add_text(out, " ");
    return true;
}

/* Written differently, meant the same. */
static const struct {
    const char *from, *to;
} replacements[] = {
    {"\xE2\x80\x99", "'"},  /* right single quote */
    {"\xE2\x80\x98", "'"},  /* left single quote */
    {"\xE2\x80\x9C", "\""}, /* left double quote */
    {"\xE2\x80\x9D", "\""}, /* right double quote */
    {"\xE2\x80\x9E", "\""}, /* low double quote */
    {"\xC2\xAB", "\""},     /* guillemets */
    {"\xC2\xBB", "\""},
    {"\xE2\x80\xA6", "..."}, /* ellipsis */
    {"\xE2\x80\x90", "-"},   /* hyphen */
    {"\xE2\x80\x91", "-"},   /* no-break hyphen */
    {"\xC2\xAD", ""},        /* soft hyphen */
    {"\xC2\xAE", ""},        /* registered */
    {"\xE2\x84\xA2", ""},    /* trade mark */
    {"\xE2\x80\xA0", ""},    /* dagger */
    {"`", ""},
    {"*", ""},
    {"~", ""},
    {"^", ""},
};

static size_t replacement(struct csm_builder *out, const char *text, size_t at)
{
    for (size_t i = 0; i < sizeof replacements / sizeof *replacements; i++) {
        const size_t n = strlen(replacements[i].from);
        if (strncmp(text + at, replacements[i].from, n) == 0) {
            const bool closes = strcmp(replacements[i].from, "\xC2\xBB") == 0 && !csm_is_letter(text[at + n]);
            if (closes && !out->has_failed && out->length > 1 && out->text[out->length - 1] == ' ')
                out->text[--out->length] = '\0'; /* as in French, a space inside */
            csm_builder_add_text(out, replacements[i].to);
            return n;
        }
    }
    return 0;
}

/* Bytes of a bracket, a bar, a bullet or a long dash at p; 0: none. */
static size_t pause_sign(const char *p)
{
    static const char *const wide[] = {"\xE2\x80\x93", "\xE2\x80\x94", "\xE2\x80\x95",
                                       "\xE2\x80\xA2", "\xE3\x80\x90", "\xE3\x80\x91",
                                       "\xC2\xB7"};
    if (*p != '\0' && strchr("()[]{}<>|", *p) != NULL)
        return 1;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (strncmp(p, wide[i], strlen(wide[i])) == 0)
            return strlen(wide[i]);
    return strncmp(p, "--", 2) == 0 ? 1 + strspn(p + 1, "-") : 0;
}

/* Whether the square bracket at text[at] is of words put into a sentence, which goes on through
 * them: they saw [the worms] do it, "[It] can", Dear [Name],. */
static bool is_inserted(const char *text, size_t at)
{
    enum { MOST = 60 };
    size_t open = at, close = at;
    while (text[open] != '[' && open > 0 && at - open < MOST && text[open - 1] != ']')
        open--;
    while (text[close] != ']' && text[close] != '\0' && close - open < MOST)
        close++;
    if (text[open] != '[' || text[close] != ']' || !csm_is_letter(text[open + 1]) ||
        strncmp(text + open, "[sic]", 5) == 0)
        return false;
    for (size_t i = open + 1; i < close; i++)
        if (!csm_is_letter(text[i]) && strchr(" -'", text[i]) == NULL)
            return false;
    const char before = open > 0 ? text[open - 1] : '\0', *after = text + close + 1;
    const bool is_quoted = before == '"' || before == '\'' ||
                           (open > 2 && strncmp(text + open - 3, "\xE2\x80\x9C", 3) == 0);
    const bool is_within = before == ' ' && open > 1 && csm_is_letter(text[open - 2]);
    const bool goes_on = *after == ' ' && islower((unsigned char)after[1]);
    const bool is_name = isupper((unsigned char)text[open + 1]) && *after != '\0' &&
                         strchr(".,;:!?'\"", *after) != NULL;
    return (is_quoted || is_within) && (goes_on || is_name);
}

/* A pause: brackets and long dashes become a comma, where there is none. */
static size_t pause(struct csm_builder *out, const char *text, size_t at)
{
    const size_t n = pause_sign(text + at);
    if (n == 0 || (strchr("[]", text[at]) != NULL && is_inserted(text, at)))
        return n;
    enum { MOST_SIGNS = 64 }; /* of a run that are looked behind, at each of them */
    const char *after = text + at + n, *next = after;
    for (int i = 0; i < MOST_SIGNS && (*next == ' ' || pause_sign(next) > 0); i++)
        next += *next == ' ' ? 1 : pause_sign(next);
    while (out->length > 0 && !out->has_failed && out->text[out->length - 1] == ' ')
        out->text[--out->length] = '\0';
    if (strchr(")]}", text[at]) != NULL && (*after == '"' || *after == '\''))
        return n; /* the quote ends here, too */
    const bool is_needed = out->length > 0 &&
                           strchr(".,;:!?", out->text[out->length - 1]) == NULL && *next != '\0' &&
                           strchr(".,;:!?", *next) == NULL;
    if (is_needed)
        csm_builder_add_text(out, ",");
    if (*after != '\0' && strchr(" \n.,;:!?", *after) == NULL && out->length > 0)
        csm_builder_add_text(out, " ");
    return n;
}

/* Whether a character has no sound: pictures, their parts, marks of direction and width. */
static bool is_silent(uint32_t c)
{
    return (c >= 0x1F000 && c <= 0x1FBEF) || (c >= 0x2600 && c <= 0x27BF) ||
           (c >= 0x2B00 && c <= 0x2BFF) || (c >= 0x2300 && c <= 0x23FF) ||
           (c >= 0x2500 && c <= 0x25FF) || (c >= 0xFE00 && c <= 0xFE0F) ||
           (c >= 0x200B && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) || c == 0x2060 ||
           c == 0x20E3 || c == 0xFFFC || c == 0xFEFF || c == 0xFFFD ||
           (c >= 0xE0000 && c <= 0xE0FFF) || (c >= 0xE000 && c <= 0xF8FF) ||
           (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F;
}

static size_t silent(struct csm_builder *out, const char *text, size_t at)
{
    (void)out;
    uint32_t c;
    const size_t n = csm_utf8_next(text + at, &c);
    return is_silent(c) ? n : 0;
}

static size_t white_space(struct csm_builder *out, const char *text, size_t at)
{
    size_t n = 0;
    for (uint32_t c;;) {
        const size_t length = csm_utf8_next(text + at + n, &c);
        if (!csm_utf8_is_space(c))
            break;
        n += length;
    }
    if (n > 0 && out->length > 0 && !out->has_failed && out->text[out->length - 1] != ' ')
        csm_builder_add_text(out, " ");
    return n;
}

const struct csm_say_rule csm_say_symbols[] = {
    {AT_SIGN, "(?<=\\d |\\d\\) |\\W\\w |^\\w )[<>](?= )|[<>](?= [-(]?\\d)", less, NULL},
    {AT_SIGN, "(?<![\\w:;])[:;]-?[)(DPp](?!\\w)", nothing, NULL}, /* a face */
    {AT_SIGN, "(?<=\\w)::(?=\\w)", apart, NULL},
    {AT_SIGN, "(?<=\\w)[<>](?=\\d)|(?<=(?<!\\w)[a-z\\d])[<>](?=[a-z](?!\\w))", less, NULL},
    {AT_SIGN, "(?<![\\w<>-])[<>] ?(?=[$\\x{A3}\\x{20AC}]?\\d)", more_than, NULL},
    {AT_SIGN, "(?<=[\\w)] )\\*\\*(?= \\d)", to_the_power, NULL},
    {AT_SIGN, "(?<=\\d |\\) |\\W\\w |^\\w )\\*(?= [\\w(])|(?<=[\\w)])\\*(?=[\\w(])", times, NULL},
    {AT_WORD, "(?<![\\w.])([A-Z])\\.(?=\\d)", letter, NULL}, /* H.264 */
    {AT_SIGN, "-->(?=\\n|$)", apart, NULL}, /* a comment's end */
    {AT_WORD, "(?<!\\w)[Nn][\\x{B0}\\x{BA}](?= ?\\d)", number_sign, NULL},
    {AT_SIGN, "(?<![\\w~])~ ?(?=[$\\x{A3}\\x{20AC}]?\\d)", about, NULL},
    {AT_SIGN, "(?<=\\w)\\x{B7}(?=\\w)", times, NULL},
    {AT_SIGN,
     "(?<=\\d{3})\\x{D7}(?=\\d{3,4}(?!\\d))|"
     "(?<=\\d|\\d )\\x{D7}(?= ?\\d+(?:\\.\\d+)?(?: ?\\x{D7} ?\\d+(?:\\.\\d+)?){0,2} "
     "?(?:mm|cm|m|km|in|ft|px|inch|inches|feet|pixels|meters|metres)(?!\\w))",
     by, NULL}, /* 1920 by 1080; 3 by 4 m */
    {AT_SIGN, "(?<=[\\x{391}-\\x{3C9}])/(?=[\\w(\\x{391}-\\x{3C9}])|(?<=[\\w)])/(?=\\x{2202})", over, NULL},
    {AT_SIGN, "(?<=\\d )/(?= \\d+(?![\\w,.]))", divided, NULL},
    {AT_SIGN,
     "(?:(?<=[\\d)])|(?<=(?<!\\w)[A-Za-z])|(?<=(?<!\\w)[a-z]{2}))/(?=[\\d(])|(?<=[\\w)]) /(?= [\\d(])|"
     "(?<=[\\w)] )(?<!(?i:select|import) |(?i:the) )\\*(?= [\\w($\\x{A3}\\x{20AC}])|"
     "(?:(?<=[\\d)] )|(?<=(?<!\\w)[A-Za-z] ))-(?= \\d)|"
     "(?<=[a-z] )-(?= \\d[\\d.,]*+(?! ?[A-Za-z]))|"
     "(?<=\\d|(?<!\\w)[a-z]|\\))!(?= ?[=*/)\\x{D7}]| [-+])",
     operation, NULL}, /* 14 miles / 48 = */
    {AT_SIGN, "(?<!\\d) /(?= )| /(?= (?!\\d+(?![\\w,.])))", comma, NULL},
    {AT_SIGN, "(?<=\\d)\\.{2,3}(?=\\d)", to, NULL},
    {AT_SIGN, "(?<=(?<!\\w)[a-z])-(?=\\d)|(?<== |=  )-(?=[a-z](?![\\w-]))", minus, NULL},
    {AT_SIGN, "\\)(?= ?[=+*/^] ?\\w)", apart, NULL},
    {AT_SIGN, "[_\\\\]+", apart, NULL},
    {AT_SIGN, "(?<=[\\w)] )-(?= \\d+(?:\\.\\d+)?(?:[a-z]? ?[-+=*/]|[a-z]{1,3}(?!\\w)))", minus,
     NULL},
    {AT_SIGN, "(?<=\\d )-(?= -\\d)", minus, NULL}, /* 5 - -3 */
    {AT_SIGN, "(?<=[ (\\d][b-zA-HJ-Z0-9] )-(?= [b-zA-HJ-Z0-9](?!\\w))", minus, NULL},
    {AT_SIGN, "\\(\\)", nothing, NULL}, /* main() */
    {AT_SIGN, "(?<=(?<!\\w)[A-Z])\\x{2013}(?=[A-Z](?!\\w))|(?<=(?<!\\w)A)-(?=Z(?!\\w))", to, NULL},
    {AT_SIGN, "(?<=[AaPp]\\.m\\. |[ap]m |[AP]M )[-\\x{2013}](?= \\d)", to, NULL}, /* 5 a.m. - 6 p.m. */
    {AT_SIGN, "(?<=\\d)[-\\x{2013}](?=[$\\x{A3}\\x{20AC}]\\d)", to, NULL},
    {AT_SIGN, "(?<=[\\w.,;!?)\"'])/(?=[\\w(\"'\\x{BC}-\\x{BE}\\x{2153}-\\x{215E}])", apart, NULL},
    {AT_SIGN, /* a comment */
     "(?:(?<=[;{}] |[;{}]|  |\\n)|^)//+(?= )|(?<=[\\d)\\]\"'] )//+(?= [A-Za-z][\\w']* [\\w'\"])|"
     "(?<![^\\s;{})])#+(?= [A-Z][a-z])|(?:(?<=  |;|\\n)|^)#+(?= [A-Za-z])", remark, NULL},
    {AT_SIGN, "##+", nothing, NULL},
    {AT_SIGN, "/+", slash, NULL},
    {AT_SIGN, "^-(?=[A-Z][a-z]|[a-z]{3})|(?<=[.!?] )-(?=[A-Za-z][a-z])|(?<=[.!?,])-$", nothing, NULL}, /* - she said */
    {AT_SIGN, "(?<=[\\s(=]|^|^[\"'`]|[\\s(=[{][\"'`])(-(?=[A-Za-z])|--(?=[a-z]))", flag, NULL},
    {AT_SIGN, "&c(?:\\.(?= [a-z]|[,;:)])|(?=\\.(?!\\w)))|(?<=[a-z] |[a-z], )&c(?=[ ;]|$)", et_cetera, NULL},
    {AT_SIGN, NULL, NULL, symbol},
    {AT_SIGN, NULL, NULL, pause},
    {AT_SIGN, NULL, NULL, replacement},
    {AT_SIGN, NULL, NULL, silent},
    {AT_SIGN, NULL, NULL, white_space},
    {0}};
