/* SPDX-License-Identifier: Apache-2.0
 *
 * say_money.c - amounts: $5.20, $3 million, -$5K, 20-30 EUR, 1.234,56 (euro sign), $5/month. */
#include <string.h>

#include "text/number.h"
#include "text/spell.h"

static const struct {
    const char *symbol, *one, *many, *cent, *cents;
} currencies[] = {
    {"US$", "U S dollar", "U S dollars", "cent", "cents"},
    {"USD$", "U S dollar", "U S dollars", "cent", "cents"},
    {"AUD$", "Australian dollar", "Australian dollars", "cent", "cents"},
    {"CAD$", "Canadian dollar", "Canadian dollars", "cent", "cents"},
    {"A$", "Australian dollar", "Australian dollars", "cent", "cents"},
    {"AU$", "Australian dollar", "Australian dollars", "cent", "cents"},
    {"C$", "Canadian dollar", "Canadian dollars", "cent", "cents"},
    {"CA$", "Canadian dollar", "Canadian dollars", "cent", "cents"},
    {"HK$", "Hong Kong dollar", "Hong Kong dollars", "cent", "cents"},
    {"NZ$", "New Zealand dollar", "New Zealand dollars", "cent", "cents"},
    {"S$", "Singapore dollar", "Singapore dollars", "cent", "cents"},
    {"R$", "real", "reais", "centavo", "centavos"},
    {"$", "dollar", "dollars", "cent", "cents"},
    {"\xC2\xA3", "pound", "pounds", "penny", "pence"},
    {"\xE2\x82\xAC", "euro", "euros", "cent", "cents"},
    {"\xC2\xA5", "yen", "yen", "sen", "sen"},
    {"\xE2\x82\xB9", "rupee", "rupees", "paisa", "paise"},
    {"\xE2\x82\xA9", "won", "won", "jeon", "jeon"},
    {"\xE2\x82\xBD", "ruble", "rubles", "kopek", "kopeks"},
    {"\xE2\x82\xBA", "lira", "lira", "kurus", "kurus"},
    {"\xE2\x82\xB4", "hryvnia", "hryvnias", "kopiyka", "kopiykas"},
    {"\xE2\x82\xBF", "bitcoin", "bitcoin", NULL, NULL},
    {"\xE0\xB8\xBF", "baht", "baht", "satang", "satang"},
    {"\xE2\x82\xAA", "shekel", "shekels", "agora", "agorot"},
    {"\xE2\x82\xAB", "dong", "dong", NULL, NULL},
    {"\xE2\x82\xB1", "peso", "pesos", "centavo", "centavos"},
    {"\xE2\x82\xA6", "naira", "naira", "kobo", "kobo"},
    {"Rs", "rupee", "rupees", "paisa", "paise"},
    {"Rs.", "rupee", "rupees", "paisa", "paise"},
    {"z\xC5\x82", "zloty", "zloty", "grosz", "groszy"},
    {"K\xC4\x8D", "koruna", "koruna", "haler", "halers"},
    {"kr", "krone", "kroner", "ore", "ore"},
    {"USD", "U S dollar", "U S dollars", "cent", "cents"},
    {"EUR", "euro", "euros", "cent", "cents"},
    {"GBP", "British pound", "British pounds", "penny", "pence"},
    {"JPY", "Japanese yen", "Japanese yen", "sen", "sen"},
    {"CHF", "Swiss franc", "Swiss francs", "centime", "centimes"},
    {"CAD", "Canadian dollar", "Canadian dollars", "cent", "cents"},
    {"AUD", "Australian dollar", "Australian dollars", "cent", "cents"},
    {"NZD", "New Zealand dollar", "New Zealand dollars", "cent", "cents"},
    {"CNY", "Chinese yuan", "Chinese yuan", "fen", "fen"},
    {"INR", "Indian rupee", "Indian rupees", "paisa", "paise"},
    {"SEK", "Swedish krona", "Swedish kronor", "ore", "ore"},
    {"NOK", "Norwegian krone", "Norwegian kroner", "ore", "ore"},
    {"DKK", "Danish krone", "Danish kroner", "ore", "ore"},
    {"PLN", "Polish zloty", "Polish zloty", "grosz", "groszy"},
    {"BRL", "Brazilian real", "Brazilian reais", "centavo", "centavos"},
    {"MXN", "Mexican peso", "Mexican pesos", "centavo", "centavos"},
    {"KRW", "Korean won", "Korean won", "jeon", "jeon"},
    {"SGD", "Singapore dollar", "Singapore dollars", "cent", "cents"},
    {"BTC", "bitcoin", "bitcoin", NULL, NULL},
};

enum { N_CURRENCIES = sizeof currencies / sizeof *currencies };

static size_t find(struct csm_group symbol)
{
    size_t i = 0;
    while (i < N_CURRENCIES && (strlen(currencies[i].symbol) != symbol.n ||
                                strncmp(currencies[i].symbol, symbol.p, symbol.n) != 0))
        i++;
    return i;
}

/* The number of a group; 3,50 has a comma for its point. */
static struct csm_number read(struct csm_group group)
{
    struct csm_number n = csm_number_read(group.p);
    if (n.length + 3 == group.n && group.p[n.length] == ',') {
        n.decimals = group.p + n.length + 1;
        n.n_decimals = 2;
    }
    return n;
}

static bool is_zero(const struct csm_number *n)
{
    return n->n_digits == 1 && n->digits[0] == '0';
}

/* Without a magnitude: dollars and cents; a $5 bill. */
static void say_coins(struct csm_builder *out, const struct csm_number *n, size_t c,
                      bool is_singular)
{
    const bool has_cents = n->n_decimals == 2 && currencies[c].cent != NULL;
    struct csm_number whole = *n;
    if (has_cents)
        whole.n_decimals = 0;
    const bool has_fraction = has_cents && strncmp(n->decimals, "00", 2) != 0;
    if (!has_fraction || !is_zero(&whole)) {
        csm_say_number(out, &whole);
        csm_builder_add_word(out, csm_number_is_one(&whole) || (is_singular && !has_fraction)
                                      ? currencies[c].one
                                      : currencies[c].many);
        if (has_fraction)
            csm_builder_add_word(out, "and");
    }
    if (has_fraction) {
        const size_t zero = n->decimals[0] == '0';
        const bool is_one_cent = zero && n->decimals[1] == '1';
        csm_spell_cardinal(out, n->decimals + zero, 2 - zero);
        csm_builder_add_word(out, is_one_cent ? currencies[c].cent : currencies[c].cents);
    }
}

static void say_amount(struct csm_builder *out, struct csm_group sign, struct csm_group from,
                       struct csm_group amount, struct csm_group magnitude, size_t c,
                       bool is_singular)
{
    if (sign.n > 0)
        csm_builder_add_word(out, *sign.p == '+' ? "plus" : "minus");
    if (from.n > 0) {
        const struct csm_number n = read(from);
        size_t n_magnitude;
        const char *word = csm_magnitude(from.p + n.length, true, &n_magnitude);
        csm_say_number(out, &n);
        if (word != NULL)
            csm_builder_add_word(out, word);
        csm_builder_add_word(out, "to");
    }
    const struct csm_number n = read(amount);
    size_t length;
    const char *word = magnitude.n > 0 ? csm_magnitude(magnitude.p, true, &length) : NULL;
    if (word == NULL) {
        say_coins(out, &n, c, is_singular);
        return;
    }
    csm_say_number(out, &n);
    csm_builder_add_word(out, word);
    csm_builder_add_word(out, is_singular ? currencies[c].one : currencies[c].many);
}

/* "a $10M valuation": an article before it and a word behind. */
static bool is_attribute(const struct csm_found *found)
{
    const char *after = found->text + found->bounds[1];
    return csm_follows_article(found->text, found->bounds[0]) && *after == ' ' &&
           csm_is_letter(after[1]);
}

/* $5.20, -$3 million, $20-30, $5K+ */
static bool symbol_first(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_group code = csm_group(found, 8); /* $5 USD */
    const size_t c = find(code.n > 0 ? code : csm_group(found, 2));
    if (c == N_CURRENCIES)
        return false;
    struct csm_group sign = csm_group(found, 1);
    if (sign.n == 0)
        sign = csm_group(found, 3);
    const bool has_plus = csm_group(found, 7).n > 0;
    say_amount(out, sign, csm_group(found, 4), csm_group(found, 5), csm_group(found, 6), c,
               is_attribute(found) && !has_plus);
    if (has_plus)
        csm_builder_add_word(out, "plus");
    return true;
}

/* 5 EUR, 20-30 million USD */
static bool symbol_last(struct csm_builder *out, const struct csm_found *found)
{
    const size_t c = find(csm_group(found, 5));
    if (c == N_CURRENCIES)
        return false;
    say_amount(out, csm_group(found, 1), csm_group(found, 2), csm_group(found, 3),
               csm_group(found, 4), c, is_attribute(found));
    return true;
}

static bool cents(struct csm_builder *out, const struct csm_found *found)
{
    const struct csm_number n = csm_number_read(csm_group(found, 1).p);
    csm_say_number(out, &n);
    csm_builder_add_word(out, csm_number_is_one(&n) ? "cent" : "cents");
    return true;
}

/* "/month" after an amount. */
static size_t per(struct csm_builder *out, const char *text, size_t at)
{
    const bool follows_amount =
        at > 0 && text[at] == '/' && (csm_is_digit(text[at - 1]) || csm_is_letter(text[at - 1]));
    size_t begin = at;
    while (begin > 0 && at - begin < 24 && strchr(" \n", text[begin - 1]) == NULL)
        begin--;
    bool has_money = false;
    for (size_t i = begin; i < at; i++)
        has_money = has_money || text[i] == '$' || (unsigned char)text[i] == 0xC2 ||
                    (unsigned char)text[i] == 0xE2;
    return follows_amount && has_money ? csm_say_unit(out, text + at, true) : 0;
}

#define SYMBOL                                                                                     \
    "((?:USD?|AUD?|A|CAD?|C|HK|NZ|S|R)?\\$|[\\x{A3}\\x{20AC}\\x{A5}\\x{20B9}\\x{20A9}\\x{20BD}"    \
    "\\x{20BA}"                                                                                    \
    "\\x{20B4}\\x{20BF}\\x{20AA}\\x{20AB}\\x{20B1}\\x{20A6}\\x{E3F}])"
#define CODE "(USD|EUR|GBP|JPY|CHF|CAD|AUD|NZD|CNY|INR|SEK|NOK|DKK|PLN|BRL|MXN|KRW|SGD|BTC)"
#define AMOUNT                                                                                     \
    "(\\d{1,3}(?:[,.'\\x{A0}\\x{202F}\\x{2009}]\\d{3})+,\\d\\d(?!\\d)|\\d+(?:,\\d{2,3})*(?:,\\d{"  \
    "3})"                                                                                          \
    "(?:\\.\\d+)?|\\d{1,3}(?:[.'\\x{A0}\\x{202F}]\\d{3}){2,}|\\d+,\\d\\d(?!\\d)"                   \
    "|\\d{1,3}(?:['\\x{2019}]\\d{3})+(?:\\.\\d+)?|\\d+(?:\\.\\d+)?)"
#define MAGNITUDE                                                                                  \
    "((?:[ \\x{A0}-]?(?:hundred|thousand|million|billion|trillion|lakh|crore|mln|mn|bn|tn|mil)|"   \
    "MM|[KkMmBbT])(?!\\w))?"
#define FROM "(?:(\\d+(?:[.,]\\d+)*[KkMB]?)\\s?[-\\x{2013}]\\s?(?=[\\d$\\x{A3}\\x{20AC}\\x{A5}]))?"

const struct csm_say_rule csm_say_money[] = {
    {AT_SIGN | AT_WORD,
     "(?<!\\w)([-+\\x{2212}]?)" SYMBOL " ?([-\\x{2212}]?)" FROM
     "(?:(?<=[-\\x{2013} ])\\2)?" AMOUNT MAGNITUDE
     "(\\+(?!\\w))?(?: (USD|AUD|CAD|NZD|SGD)(?!\\w))?",
     symbol_first, NULL},
    {AT_WORD, "(?<!\\w)()(Rs\\.?) ?([-\\x{2212}]?)" FROM AMOUNT MAGNITUDE "(?:/-)?(\\+(?!\\w))?()",
     symbol_first, NULL},
    {AT_WORD, "(?<!\\w)()" CODE " ?([-\\x{2212}]?)" FROM AMOUNT MAGNITUDE "(\\+(?!\\w))?()",
     symbol_first, NULL},
    {AT_DIGIT | AT_SIGN,
     "(?<![\\w.,])([-\\x{2212}]?)" FROM AMOUNT MAGNITUDE
     "[ \\x{A0}\\x{202F}]?([\\x{20AC}\\x{A3}\\x{A5}\\x{20B9}\\x{20A9}\\x{20BD}\\x{20BA}\\x{20B4}"
     "\\x{20AA}\\x{20AB}\\x{20B1}\\x{20A6}\\x{E3F}$](?!\\d)|(?:" CODE "|z\\x{142}|K\\x{10D}|kr)(?!\\w))",
     symbol_last, NULL},
    {AT_DIGIT, "(?<![\\w.])(\\d+)\\x{A2}", cents, NULL},
    {AT_SIGN, NULL, NULL, per},
    {0}};
