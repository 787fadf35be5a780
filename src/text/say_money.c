/* SPDX-License-Identifier: Apache-2.0
 *
 * say_money.c - amounts: $5.20, $3 million, -$5K, 20-30 EUR, 1.234,56 (euro sign), $5/month. */
#include <string.h>

#include "text/number.h"
#include "text/spell.h"

static const struct {
    const char *symbol, *one, *many, *cent, *cents;
    bool has_points; /* 1.234 of it are a thousand and more */
} currencies[] = {
    {"US$", "U S dollar", "U S dollars", "cent", "cents", false},
    {"USD$", "U S dollar", "U S dollars", "cent", "cents", false},
    {"AUD$", "Australian dollar", "Australian dollars", "cent", "cents", false},
    {"CAD$", "Canadian dollar", "Canadian dollars", "cent", "cents", false},
    {"A$", "Australian dollar", "Australian dollars", "cent", "cents", false},
    {"AU$", "Australian dollar", "Australian dollars", "cent", "cents", false},
    {"C$", "Canadian dollar", "Canadian dollars", "cent", "cents", false},
    {"CA$", "Canadian dollar", "Canadian dollars", "cent", "cents", false},
    {"HK$", "Hong Kong dollar", "Hong Kong dollars", "cent", "cents", false},
    {"NZ$", "New Zealand dollar", "New Zealand dollars", "cent", "cents", false},
    {"S$", "Singapore dollar", "Singapore dollars", "cent", "cents", false},
    {"R$", "real", "reais", "centavo", "centavos", true},
    {"$", "dollar", "dollars", "cent", "cents", false},
    {"\xC2\xA3", "pound", "pounds", "penny", "pence", false},
    {"\xE2\x82\xAC", "euro", "euros", "cent", "cents", true},
    {"\xC2\xA5", "yen", "yen", "sen", "sen", false},
    {"\xE2\x82\xB9", "rupee", "rupees", "paisa", "paise", false},
    {"\xE2\x82\xA9", "won", "won", "jeon", "jeon", false},
    {"\xE2\x82\xBD", "ruble", "rubles", "kopek", "kopeks", false},
    {"\xE2\x82\xBA", "lira", "lira", "kurus", "kurus", true},
    {"\xE2\x82\xB4", "hryvnia", "hryvnias", "kopiyka", "kopiykas", false},
    {"\xE2\x82\xBF", "bitcoin", "bitcoin", NULL, NULL, false},
    {"\xE0\xB8\xBF", "baht", "baht", "satang", "satang", false},
    {"\xE2\x82\xAA", "shekel", "shekels", "agora", "agorot", false},
    {"\xE2\x82\xAB", "dong", "dong", NULL, NULL, true},
    {"\xE2\x82\xB1", "peso", "pesos", "centavo", "centavos", false},
    {"\xE2\x82\xA6", "naira", "naira", "kobo", "kobo", false},
    {"Rs", "rupee", "rupees", "paisa", "paise", false},
    {"Rs.", "rupee", "rupees", "paisa", "paise", false},
    {"z\xC5\x82", "zloty", "zloty", "grosz", "groszy", false},
    {"K\xC4\x8D", "koruna", "koruna", "haler", "halers", false},
    {"kr", "krone", "kroner", "ore", "ore", true},
    {"USD", "U S dollar", "U S dollars", "cent", "cents", false},
    {"EUR", "euro", "euros", "cent", "cents", true},
    {"GBP", "British pound", "British pounds", "penny", "pence", false},
    {"JPY", "Japanese yen", "Japanese yen", "sen", "sen", false},
    {"CHF", "Swiss franc", "Swiss francs", "centime", "centimes", false},
    {"CAD", "Canadian dollar", "Canadian dollars", "cent", "cents", false},
    {"AUD", "Australian dollar", "Australian dollars", "cent", "cents", false},
    {"NZD", "New Zealand dollar", "New Zealand dollars", "cent", "cents", false},
    {"CNY", "Chinese yuan", "Chinese yuan", "fen", "fen", false},
    {"INR", "Indian rupee", "Indian rupees", "paisa", "paise", false},
    {"SEK", "Swedish krona", "Swedish kronor", "ore", "ore", true},
    {"NOK", "Norwegian krone", "Norwegian kroner", "ore", "ore", true},
    {"DKK", "Danish krone", "Danish kroner", "ore", "ore", true},
    {"PLN", "Polish zloty", "Polish zloty", "grosz", "groszy", false},
    {"BRL", "Brazilian real", "Brazilian reais", "centavo", "centavos", true},
    {"MXN", "Mexican peso", "Mexican pesos", "centavo", "centavos", false},
    {"KRW", "Korean won", "Korean won", "jeon", "jeon", false},
    {"SGD", "Singapore dollar", "Singapore dollars", "cent", "cents", false},
    {"BTC", "bitcoin", "bitcoin", NULL, NULL, false},
    {"NT$", "Taiwan dollar", "Taiwan dollars", "cent", "cents", false},
    {"MX$", "Mexican peso", "Mexican pesos", "centavo", "centavos", false},
    {"CN\xC2\xA5", "Chinese yuan", "Chinese yuan", "fen", "fen", false},
    {"RMB", "Chinese yuan", "Chinese yuan", "fen", "fen", false},
    {"\xE5\x85\x83", "yuan", "yuan", "fen", "fen", false},
    {"\xE5\x86\x86", "yen", "yen", "sen", "sen", false},
    {"\xEC\x9B\x90", "won", "won", "jeon", "jeon", false},
    {"GH\xE2\x82\xB5", "Ghanaian cedi", "Ghanaian cedis", "pesewa", "pesewas", false},
    {"\xE2\x82\xB5", "cedi", "cedis", "pesewa", "pesewas", false},
    {"\xE2\x82\xB8", "tenge", "tenge", "tiyn", "tiyn", false},
    {"\xE2\x82\xBE", "lari", "lari", "tetri", "tetri", false},
    {"\xE2\x82\xA1", "colon", "colones", "centimo", "centimos", false},
    {"\xE0\xA7\xB3", "taka", "taka", "poisha", "poisha", false},
    {"\xD1\x80\xD1\x83\xD0\xB1", "ruble", "rubles", "kopek", "kopeks", false},
    {"TL", "lira", "lira", "kurus", "kurus", true},
    {"RM", "ringgit", "ringgit", "sen", "sen", false},
    {"Rp", "rupiah", "rupiah", NULL, NULL, true},
    {"Fr.", "franc", "francs", "centime", "centimes", false},
    {"SFr.", "Swiss franc", "Swiss francs", "centime", "centimes", false},
    {"Ksh", "Kenyan shilling", "Kenyan shillings", "cent", "cents", false},
    {"KSh", "Kenyan shilling", "Kenyan shillings", "cent", "cents", false},
    {"KES", "Kenyan shilling", "Kenyan shillings", "cent", "cents", false},
    {"HKD", "Hong Kong dollar", "Hong Kong dollars", "cent", "cents", false},
    {"TWD", "Taiwan dollar", "Taiwan dollars", "cent", "cents", false},
    {"ZAR", "South African rand", "South African rand", "cent", "cents", false},
    {"CZK", "Czech koruna", "Czech korunas", "haler", "halers", false},
    {"HUF", "Hungarian forint", "Hungarian forints", NULL, NULL, false},
    {"RUB", "Russian ruble", "Russian rubles", "kopek", "kopeks", false},
    {"UAH", "Ukrainian hryvnia", "Ukrainian hryvnias", "kopiyka", "kopiykas", false},
    {"ILS", "Israeli shekel", "Israeli shekels", "agora", "agorot", false},
    {"THB", "Thai baht", "Thai baht", "satang", "satang", false},
    {"AED", "dirham", "dirhams", "fils", "fils", false},
    {"SAR", "Saudi riyal", "Saudi riyals", "halala", "halalas", false},
    {"NGN", "Nigerian naira", "Nigerian naira", "kobo", "kobo", false},
    {"IDR", "Indonesian rupiah", "Indonesian rupiah", NULL, NULL, true},
    {"VND", "Vietnamese dong", "Vietnamese dong", NULL, NULL, true},
    {"PKR", "Pakistani rupee", "Pakistani rupees", "paisa", "paise", false},
};

enum { N_CURRENCIES = sizeof currencies / sizeof *currencies };

/* A symbol's row; US $ is US$, CHF with its no-break space CHF. */
static size_t find(struct csm_group symbol)
{
    const bool is_parted = symbol.n == 4 && strncmp(symbol.p, "US $", 4) == 0;
    const struct csm_group whole = is_parted ? (struct csm_group){"US$", 3} : symbol;
    size_t i = 0;
    while (i < N_CURRENCIES && (strlen(currencies[i].symbol) != whole.n ||
                                strncmp(currencies[i].symbol, whole.p, whole.n) != 0))
        i++;
    return i;
}

/* Where the decimals of an amount of n bytes begin, behind its last point or comma; n: it has none.
 * Three digits behind a comma, or behind a point that is not the first, are a group; behind the
 * only point they are one where the currency is written so, but for the price of a liter. */
static size_t decimals_at(const char *p, size_t n, size_t c)
{
    size_t mark = n, n_marks = 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] == '.' || p[i] == ',') {
            n_marks = mark < n && p[mark] == p[i] ? n_marks + 1 : 1;
            mark = i;
        }
    if (mark == n || n - mark != 4)
        return mark < n ? mark + 1 : n;
    const bool has_other = memchr(p, p[mark] == '.' ? ',' : '.', n) != NULL;
    const bool is_price = p[n] == '/' || strncmp(p + n, " per ", 5) == 0;
    const bool is_group =
        !has_other && (p[mark] == ',' || n_marks > 1 ||
                       (mark > 0 && *p != '0' && currencies[c].has_points && !is_price));
    return is_group ? n : mark + 1;
}

/* An amount: its digits, whatever groups them, and its decimals. */
static struct csm_number read(struct csm_group group, size_t c)
{
    struct csm_number n = {0};
    while (n.length < group.n && strchr("KkMmBb", group.p[n.length]) == NULL)
        n.length++;
    const size_t decimals = decimals_at(group.p, n.length, c);
    for (size_t i = 0; i < decimals; i++)
        if (csm_is_digit(group.p[i]) && n.n_digits < sizeof n.digits)
            n.digits[n.n_digits++] = group.p[i];
    if (n.n_digits == 0)
        n.digits[n.n_digits++] = '0'; /* .99 */
    n.decimals = group.p + decimals;
    n.n_decimals = n.length - decimals;
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
        const struct csm_number n = read(from, c);
        size_t n_magnitude;
        const char *word = csm_magnitude(from.p + n.length, true, &n_magnitude);
        if (word == NULL && magnitude.n == 0 && n.n_decimals == 2)
            say_coins(out, &n, c, false);
        else
            csm_say_number(out, &n);
        if (word != NULL)
            csm_builder_add_word(out, word);
        csm_builder_add_word(out, "to");
    }
    const struct csm_number n = read(amount, c);
    size_t length;
    const char *word = magnitude.n > 0 ? csm_magnitude(magnitude.p, true, &length) : NULL;
    if (word == NULL) {
        say_coins(out, &n, c, is_singular);
        return;
    }
    csm_say_number(out, &n);
    csm_builder_add_word(out, word);
    is_singular = is_singular || *magnitude.p == '-'; /* a $5-million deal */
    csm_builder_add_word(out, is_singular ? currencies[c].one : currencies[c].many);
}

/* "a $10M valuation", $5-a-share: an article before it and a word behind. */
static bool is_attribute(const struct csm_found *found)
{
    const char *after = found->text + found->bounds[1];
    if (strncmp(after, "-a-", 3) == 0 || strncmp(after, "-an-", 4) == 0)
        return true;
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
    const char *after = found->text + found->bounds[1];
    if (*after == ' ' && csm_ends_word(after + 1, currencies[c].many)) /* $5 dollars */
        *found->n_more = 1 + strlen(currencies[c].many);
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

/* Whether p begins with $, or with a sign of money of two or three bytes. */
static bool is_sign(const char *p)
{
    return *p == '$' || strncmp(p, "\xC2\xA3", 2) == 0 || strncmp(p, "\xC2\xA5", 2) == 0 ||
           strncmp(p, "\xE2\x82", 2) == 0;
}

static bool has_digit(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (csm_is_digit(p[i]))
            return true;
    return false;
}

/* Whether p begins with a round number that is counted: 1K tokens, 100 g, 1,000 views. */
static bool is_round(const char *p)
{
    const size_t n = *p == '1' ? 1 + strspn(p + 1, "0,") : 0;
    const char *after = p + n + (n > 0 && strchr("KkM", p[n]) != NULL && p[n] != '\0');
    return n > 0 && *after == ' ' && csm_is_letter(after[1]);
}

/* "/month", "/MTok", "/1K tokens" after an amount. */
static size_t per(struct csm_builder *out, const char *text, size_t at)
{
    const bool follows_amount =
        at > 0 && text[at] == '/' && (csm_is_digit(text[at - 1]) || csm_is_letter(text[at - 1]));
    size_t begin = at;
    while (begin > 0 && at - begin < 24 && strchr(" \n", text[begin - 1]) == NULL)
        begin--;
    bool has_money = false;
    for (size_t i = begin; i < at; i++)
        has_money = has_money || (is_sign(text + i) && has_digit(text + i, at - i));
    if (!follows_amount || !has_money)
        return 0;
    const size_t taken = csm_say_unit(out, text + at, true);
    const bool is_other = (unsigned char)text[at + 1] < 0x80 && csm_is_letter(text[at + 1]);
    if (taken > 0 || !(is_other || is_round(text + at + 1)))
        return taken;
    csm_builder_add_word(out, "per");
    return 1;
}

#define SYMBOL                                                                                     \
    "((?:US |USD?|AUD?|A|CAD?|C|HK|NZ|NT|MX|S|R)?\\$|(?:CN)?\\x{A5}|(?:GH)?\\x{20B5}|"             \
    "[\\x{A3}\\x{20AC}\\x{20B9}\\x{20A9}\\x{20BD}\\x{20BA}\\x{20B4}\\x{20BF}\\x{20AA}\\x{20AB}"    \
    "\\x{20B1}\\x{20A6}\\x{E3F}\\x{20B8}\\x{20BE}\\x{20A1}\\x{9F3}])"
#define CODE                                                                                       \
    "(USD|EUR|GBP|JPY|CHF|CAD|AUD|NZD|CNY|INR|SEK|NOK|DKK|PLN|BRL|MXN|KRW|SGD|BTC|RMB|KES|HKD|"    \
    "TWD|ZAR|CZK|HUF|RUB|UAH|ILS|THB|AED|SAR|NGN|IDR|VND|PKR)"
/* Whether a group behind a plain space is none, as things follow that are counted: $5 100 times. */
#define COUNTED                                                                                    \
    "\\d{1,3} (?!000)\\d{3}(?: ?%|(?!z\\x{142}|(?:[kmb]|[bmt]n|mil|mln|kr)\\b)[a-z]|"                 \
    " (?:km|kg|cm|ml)\\b|"                                                                          \
    " (?!(?:and|per|for|from|with|was|were|but|each|more|less|after|before|when|than|while|plus|"    \
    "into|because|which|that|due|this|last|next|now|today|total|net|off|[mb]illion|thousand|"        \
    "dollars|euros|pounds)\\b)[a-z]{3})"
/* 10 000,50  1.234,56  1'000.50  1,00,000.50  3,5  .99; 5.- and 5,- are whole. */
#define AMOUNT_                                                                                    \
    "(?:(?!" COUNTED ")\\d{1,3}(?:[ \\x{A0}\\x{202F}\\x{2009}]\\d{3})+(?![\\d\\x{A0}\\x{202F}]| \\d)"             \
    "(?:[.,]\\d{1,2}(?!\\d))?"                                                                     \
    "|\\d{1,3}(?:['\\x{2019}]\\d{3})+(?:[.,]\\d\\d?(?!\\d))?"                                      \
    "|\\d{1,3}(?:\\.\\d{3})+(?:,\\d\\d?)?(?![\\d,]|\\.\\d)"                                        \
    "|\\d{1,3}(?:,\\d{2,3})*,\\d{3}(?:\\.\\d+)?|\\d{1,40},\\d\\d?(?![\\d,])"                       \
    "|\\d{1,40}(?:\\.\\d+)?|\\.\\d+)"
#define AMOUNT "(" AMOUNT_ ")(?:[.,][-\\x{2013}\\x{2014}]+(?!\\w))?"
#define MAGNITUDE                                                                                  \
    "((?:[ \\x{A0}-]?(?:hundred|thousand|million|billion|trillion|lakh|crore|mln|mn|[bB]n|tn|mil|"  \
    "mm|Mio\\.?|Mrd\\.?)|"                                                                         \
    "MM|[KkMmBbT])(?!\\w))?"
#define FROM                                                                                       \
    "(?:(" AMOUNT_ "[KkMmB]?)\\s?[-\\x{2013}]\\s?(?=[\\d$\\x{A3}\\x{20AC}\\x{A5}]|[A-Z]{1,3}\\$))?"

const struct csm_say_rule csm_say_money[] = {
    {AT_SIGN | AT_WORD,
     "(?<!\\w)([-+\\x{2212}]?)" SYMBOL "[ \\x{A0}\\x{202F}]?([-\\x{2212}]?)" FROM
     "(?:(?<=[-\\x{2013} ])\\2 ?)?" AMOUNT MAGNITUDE
     "(\\+(?!\\w))?(?: ?(USD|AUD|CAD|NZD|SGD)(?!\\w))?",
     symbol_first, NULL},
    {AT_WORD,
     "(?<!\\w)()(Rs\\.?|Rp|RM(?!\\d\\d? \\d[A-Z])(?=\\d)|" /* RM10 7XS is a postcode */
     "K[sS]h|SFr\\.|Fr\\.(?= ?(?:\\d{3}|\\d+['.,][\\d-]))|kr(?=[ \\x{A0}]))"
     "[ \\x{A0}]?([-\\x{2212}]?)" FROM AMOUNT MAGNITUDE "(?:/-)?(\\+(?!\\w))?()",
     symbol_first, NULL},
    {AT_WORD,
     "(?<!\\w)()" CODE "[ \\x{A0}\\x{202F}]?([-\\x{2212}]?)" FROM AMOUNT MAGNITUDE
     "(\\+(?!\\w))?()",
     symbol_first, NULL},
    {AT_DIGIT | AT_SIGN,
     "(?<![\\w.,])(?<!(?<!\\d{3})\\d )([-\\x{2212}]?)" FROM AMOUNT MAGNITUDE
     "[ \\x{A0}\\x{202F}]?([\\x{20AC}\\x{A3}\\x{A5}\\x{20B9}\\x{20A9}\\x{20BD}\\x{20BA}\\x{20B4}"
     "\\x{20AA}\\x{20AB}\\x{20B1}\\x{20A6}\\x{E3F}\\x{20B8}\\x{20BE}$](?!\\d)|"
     "[\\x{5143}\\x{5186}\\x{C6D0}]|"
     "(?:" CODE "|z\\x{142}|K\\x{10D}|kr|TL|Fr\\.(?! [A-Z])|\\x{440}\\x{443}\\x{431})(?!\\w))",
     symbol_last, NULL},
    {AT_DIGIT, "(?<![\\w.])(\\d+)\\x{A2}", cents, NULL},
    {AT_SIGN, NULL, NULL, per},
    {0}};
