/* SPDX-License-Identifier: Apache-2.0 */
#include "text/abbreviations.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum {
    MIDDLE = 0,
    MAY_END = CSM_ABBREVIATION_MAY_END,
    BEFORE_NUMBER = CSM_ABBREVIATION_BEFORE_NUMBER
};

static const struct csm_abbreviation table[] = {
    {"A.D", "A D", MAY_END},
    {"Adm", "Admiral", MIDDLE},
    {"Apr", "April", MIDDLE},
    {"Apt", "Apartment", BEFORE_NUMBER},
    {"Art", "article", BEFORE_NUMBER},
    {"Assoc", "Associate", MIDDLE},
    {"Aug", "August", MIDDLE},
    {"Ave", "Avenue", MAY_END},
    {"Avg", "average", BEFORE_NUMBER},
    {"B.A", "B A", MAY_END},
    {"B.C", "B C", MAY_END},
    {"B.C.E", "B C E", MAY_END},
    {"B.S", "B S", MAY_END},
    {"B.Sc", "B S C", MAY_END},
    {"Bldg", "Building", BEFORE_NUMBER},
    {"Blvd", "Boulevard", MAY_END},
    {"C.E", "C E", MAY_END},
    {"Capt", "Captain", MIDDLE},
    {"Ch", "chapter", BEFORE_NUMBER},
    {"Cmdr", "Commander", MIDDLE},
    {"Co", "Company", MAY_END},
    {"Col", "Colonel", MIDDLE},
    {"Corp", "Corporation", MAY_END},
    {"Cpl", "Corporal", MIDDLE},
    {"Ct", "Court", MAY_END},
    {"D.C", "D C", MAY_END},
    {"Dec", "December", MIDDLE},
    {"Dept", "Department", MIDDLE},
    {"Dr", "Doctor", MIDDLE},
    {"Drs", "Doctors", MIDDLE},
    {"E.U", "E U", MAY_END},
    {"Eq", "equation", MIDDLE},
    {"Esq", "Esquire", MAY_END},
    {"Feb", "February", MIDDLE},
    {"Fig", "figure", MIDDLE},
    {"Figs", "figures", MIDDLE},
    {"Fr", "Father", MIDDLE},
    {"Fri", "Friday", BEFORE_NUMBER},
    {"Ft", "Fort", MIDDLE},
    {"Gen", "General", MIDDLE},
    {"Gov", "Governor", MIDDLE},
    {"Hon", "Honorable", MIDDLE},
    {"Hwy", "Highway", MIDDLE},
    {"Inc", "Incorporated", MAY_END},
    {"Incl", "Including", MIDDLE},
    {"Jan", "January", MIDDLE},
    {"Jr", "Junior", MAY_END},
    {"Jul", "July", MIDDLE},
    {"Jun", "June", MIDDLE},
    {"Ln", "Lane", MAY_END},
    {"Lt", "Lieutenant", MIDDLE},
    {"Ltd", "Limited", MAY_END},
    {"M.A", "M A", MAY_END},
    {"M.D", "M D", MAY_END},
    {"M.S", "M S", MAY_END},
    {"M.Sc", "M S C", MAY_END},
    {"Maj", "Major", MIDDLE},
    {"Mar", "March", MIDDLE},
    {"Max", "Maximum", BEFORE_NUMBER},
    {"Messrs", "Messieurs", MIDDLE},
    {"Min", "Minimum", BEFORE_NUMBER},
    {"Mio", "million", MIDDLE},
    {"Mlle", "Mademoiselle", MIDDLE},
    {"Mme", "Madame", MIDDLE},
    {"Mon", "Monday", BEFORE_NUMBER},
    {"Mr", "Mister", MIDDLE},
    {"Mrd", "billion", MIDDLE},
    {"Mrs", "Missus", MIDDLE},
    {"Ms", "Miz", MIDDLE},
    {"Mt", "Mount", MIDDLE},
    {"No", "number", BEFORE_NUMBER},
    {"Nos", "numbers", BEFORE_NUMBER},
    {"Nov", "November", MIDDLE},
    {"Nr", "number", BEFORE_NUMBER},
    {"Oct", "October", MIDDLE},
    {"P.O", "P O", MIDDLE},
    {"P.S", "P S", MIDDLE},
    {"Ph.D", "P H D", MAY_END},
    {"Pkwy", "Parkway", MAY_END},
    {"Pl", "Place", MAY_END},
    {"Pp", "pages", BEFORE_NUMBER},
    {"Pres", "President", MIDDLE},
    {"Prof", "Professor", MIDDLE},
    {"Profs", "Professors", MIDDLE},
    {"Pt", "part", BEFORE_NUMBER},
    {"Rd", "Road", MAY_END},
    {"Rep", "Representative", MIDDLE},
    {"Rev", "Reverend", MIDDLE},
    {"Rs", "rupees", BEFORE_NUMBER},
    {"Sat", "Saturday", BEFORE_NUMBER},
    {"Sec", "section", BEFORE_NUMBER},
    {"Sen", "Senator", MIDDLE},
    {"Sep", "September", MIDDLE},
    {"Sept", "September", MIDDLE},
    {"Sgt", "Sergeant", MIDDLE},
    {"Sq", "Square", MAY_END},
    {"Sr", "Senior", MAY_END},
    {"St", "Saint", MIDDLE},
    {"Ste", "Suite", BEFORE_NUMBER},
    {"Sun", "Sunday", BEFORE_NUMBER},
    {"Tel", "telephone", MIDDLE},
    {"Thu", "Thursday", BEFORE_NUMBER},
    {"Thur", "Thursday", BEFORE_NUMBER},
    {"Thurs", "Thursday", BEFORE_NUMBER},
    {"Tue", "Tuesday", BEFORE_NUMBER},
    {"Tues", "Tuesday", BEFORE_NUMBER},
    {"U.K", "U K", MAY_END},
    {"U.N", "U N", MAY_END},
    {"U.S", "U S", MAY_END},
    {"U.S.A", "U S A", MAY_END},
    {"Univ", "University", MIDDLE},
    {"Ver", "version", BEFORE_NUMBER},
    {"Vol", "volume", MIDDLE},
    {"Wed", "Wednesday", BEFORE_NUMBER},
    {"a.k.a", "A K A", MIDDLE},
    {"a.m", "a m", MAY_END},
    {"al", "al", MAY_END},
    {"avg", "average", BEFORE_NUMBER},
    {"approx", "approximately", MIDDLE},
    {"c", "circa", BEFORE_NUMBER},
    {"ca", "circa", BEFORE_NUMBER},
    {"cf", "compare", MIDDLE},
    {"ch", "chapter", BEFORE_NUMBER},
    {"dept", "department", MIDDLE},
    {"e.g", "for example", MIDDLE},
    {"est", "established", MIDDLE},
    {"etc", "et cetera", MAY_END},
    {"ext", "extension", BEFORE_NUMBER},
    {"fig", "figure", BEFORE_NUMBER},
    {"ft", "feet", BEFORE_NUMBER},
    {"i.e", "that is", MIDDLE},
    {"incl", "including", MIDDLE},
    {"lb", "pounds", BEFORE_NUMBER},
    {"lbs", "pounds", BEFORE_NUMBER},
    {"max", "maximum", BEFORE_NUMBER},
    {"min", "minimum", BEFORE_NUMBER},
    {"no", "number", BEFORE_NUMBER},
    {"oz", "ounces", BEFORE_NUMBER},
    {"p", "page", BEFORE_NUMBER},
    {"p.a", "per annum", MAY_END},
    {"p.m", "p m", MAY_END},
    {"pp", "pages", BEFORE_NUMBER},
    {"tel", "telephone", MIDDLE},
    {"ver", "version", BEFORE_NUMBER},
    {"vol", "volume", BEFORE_NUMBER},
    {"vs", "versus", MIDDLE},
};

const struct csm_abbreviation *csm_abbreviation_find(const char *word, size_t n)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strlen(table[i].text) == n && memcmp(table[i].text, word, n) == 0)
            return &table[i];
    return NULL;
}

/* Whether the word [n] is a given name of Germans, and no party of a case that is often cited: Hans,
 * Ernst and Alexander are. */
static bool is_german(const char *word, size_t n)
{
    static const char *const names[] = {
        "Ludwig", "Otto",     "Johann",  "Wolfgang", "Heinrich", "Friedrich", "Karl",    "Claus",  "Wernher",
        "Manfred", "Ursula",  "Ferdinand", "Franz",  "Wilhelm",  "Georg",     "Bernhard", "Clemens", "Achim"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == n && memcmp(names[i], word, n) == 0)
            return true;
    return false;
}

/* What "v." at text[at] is between names: versus in Roe v. Wade; a letter behind an initial, a
 * title or a German's given name, as in J. v. Neumann; NULL: it is not between names. */
static const struct csm_abbreviation *between_names(const char *text, size_t at)
{
    static const struct csm_abbreviation versus = {"v", "versus", MIDDLE}, von = {"v", "v", MIDDLE};
    size_t before = at > 0 ? at - 1 : 0;
    while (before > 0 && strchr(" \t\n(\"", text[before - 1]) == NULL && at - before < 64)
        before--;
    if (at < before + 2 || !isupper((unsigned char)text[before]) || text[at + 1] != '.' || text[at + 2] != ' ' ||
        !isupper((unsigned char)text[at + 3]))
        return NULL;
    const size_t n = at - before - 2; /* of the word before, without its point */
    const struct csm_abbreviation *title = csm_abbreviation_find(text + before, n);
    const bool is_person = is_german(text + before, n + 1) ||
                           (text[at - 2] == '.' && (n == 1 || (title != NULL && title->use == MIDDLE)));
    return is_person ? &von : &versus;
}

/* Whether the word at text[at] stands behind a digit and a space: 10 Mio. */
static bool is_behind_number(const char *text, size_t at)
{
    const bool is_wide = at > 2 && strncmp(text + at - 2, "\xC2\xA0", 2) == 0;
    const size_t space = is_wide ? 2 : 1;
    return at > space && (is_wide || text[at - 1] == ' ') && isdigit((unsigned char)text[at - space - 1]);
}

/* MR. SMITH, SEPT. 15 and NO. 5 in capitals alone, before a number or more of them; NULL: the word [n] is
 * none of that kind. ST. may be a street, FT. feet, and what may end a sentence is left alone. */
static const struct csm_abbreviation *find_shouted(const char *word, size_t n)
{
    char capitalized[8];
    if (n < 2 || n >= sizeof capitalized || strncmp(word, "ST", n) == 0 || strncmp(word, "FT", n) == 0)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (!isupper((unsigned char)word[i]))
            return NULL;
        capitalized[i] = (char)(i == 0 ? word[i] : tolower((unsigned char)word[i]));
    }
    const char *next = word + n + (word[n] == '.') + (word[n] == '.' && word[n + 1] == ' ');
    const struct csm_abbreviation *found = csm_abbreviation_find(capitalized, n);
    const bool is_before = isupper((unsigned char)*next) || isdigit((unsigned char)*next);
    return found != NULL && found->use != MAY_END && is_before ? found : NULL;
}

const struct csm_abbreviation *csm_abbreviation_at(const char *text, size_t at, size_t n)
{
    if (n == 1 && text[at] == 'v')
        return between_names(text, at);
    if (n == 3 && (strncmp(text + at, "Mio", n) == 0 || strncmp(text + at, "Mrd", n) == 0) &&
        !is_behind_number(text, at))
        return NULL;
    static const struct csm_abbreviation review = {"Rev", "Review", MIDDLE},
                                         revision = {"Rev", "revision", MIDDLE},
                                         revelation = {"Rev", "Revelation", MIDDLE},
                                         genesis = {"Gen", "Genesis", MIDDLE},
                                         generation = {"Gen", "generation", MIDDLE};
    const char *number = text + at + n + 1 + (text[at + n] == '.' && text[at + n + 1] == ' ');
    const size_t n_digits = text[at + n] == '.' ? strspn(number, "0123456789") : 0;
    const bool is_verse = n_digits > 0 && number[n_digits] == ':';
    if (n == 3 && strncmp(text + at, "Rev", n) == 0) {
        if (at >= 3 && strncmp(text + at - 3, "L. ", 3) == 0)
            return &review; /* 75 Colum. L. Rev. 559 */
        if (n_digits > 0)
            return is_verse ? &revelation : &revision; /* Rev. 21:4, Rev. 2.1 */
    }
    if (n == 3 && strncmp(text + at, "Gen", n) == 0 && n_digits > 0)
        return is_verse ? &genesis : &generation; /* Gen. 1:1, USB 3.2 Gen. 2 */
    const struct csm_abbreviation *shouted = find_shouted(text + at, n);
    if (shouted != NULL)
        return shouted;
    const bool is_star = n == 3 && at >= 4 && strncmp(text + at - 3, "he Sun", 6) == 0;
    return is_star ? NULL : csm_abbreviation_find(text + at, n);
}
