/* SPDX-License-Identifier: Apache-2.0 */
#include "text/abbreviations.h"

#include <string.h>

enum { MIDDLE = 0, MAY_END = CSM_ABBREVIATION_MAY_END, BEFORE_NUMBER = CSM_ABBREVIATION_BEFORE_NUMBER };

static const struct csm_abbreviation table[] = {
    {"A.D", "A D", MAY_END}, {"Adm", "Admiral", MIDDLE}, {"Apr", "April", MIDDLE}, {"Apt", "Apartment", BEFORE_NUMBER}, {"Ste", "Suite", BEFORE_NUMBER},
    {"max", "maximum", BEFORE_NUMBER}, {"min", "minimum", BEFORE_NUMBER}, {"Max", "Maximum", BEFORE_NUMBER},
    {"Min", "Minimum", BEFORE_NUMBER},
    {"Assoc", "Associate", MIDDLE}, {"Aug", "August", MIDDLE}, {"Ave", "Avenue", MAY_END},
    {"B.A", "B A", MAY_END}, {"B.C", "B C", MAY_END}, {"B.C.E", "B C E", MAY_END},
    {"B.S", "B S", MAY_END}, {"B.Sc", "B S C", MAY_END}, {"M.Sc", "M S C", MAY_END},
    {"Bldg", "Building", BEFORE_NUMBER}, {"Pt", "part", BEFORE_NUMBER}, {"Blvd", "Boulevard", MAY_END}, {"C.E", "C E", MAY_END},
    {"Capt", "Captain", MIDDLE}, {"Ch", "chapter", BEFORE_NUMBER}, {"Cmdr", "Commander", MIDDLE},
    {"Co", "Company", MAY_END}, {"Col", "Colonel", MIDDLE}, {"Corp", "Corporation", MAY_END},
    {"Cpl", "Corporal", MIDDLE}, {"D.C", "D C", MAY_END}, {"Dec", "December", MIDDLE},
    {"Dept", "Department", MIDDLE}, {"Dr", "Doctor", MIDDLE}, {"E.U", "E U", MAY_END},
    {"Eq", "equation", MIDDLE}, {"Esq", "Esquire", MAY_END}, {"Feb", "February", MIDDLE},
    {"Fig", "figure", MIDDLE}, {"Figs", "figures", MIDDLE}, {"Fri", "Friday", BEFORE_NUMBER},
    {"Ft", "Fort", MIDDLE}, {"Gen", "General", MIDDLE}, {"Gov", "Governor", MIDDLE},
    {"Hon", "Honorable", MIDDLE}, {"Inc", "Incorporated", MAY_END}, {"Jan", "January", MIDDLE},
    {"Jr", "Junior", MAY_END}, {"Lt", "Lieutenant", MIDDLE}, {"Ltd", "Limited", MAY_END},
    {"M.A", "M A", MAY_END}, {"M.D", "M D", MAY_END}, {"M.S", "M S", MAY_END},
    {"Maj", "Major", MIDDLE}, {"Mar", "March", MIDDLE}, {"Messrs", "Messieurs", MIDDLE},
    {"Mlle", "Mademoiselle", MIDDLE}, {"Mme", "Madame", MIDDLE}, {"Mon", "Monday", BEFORE_NUMBER},
    {"Mr", "Mister", MIDDLE}, {"Mrs", "Missus", MIDDLE}, {"Ms", "Miz", MIDDLE},
    {"Mt", "Mount", MIDDLE}, {"No", "number", BEFORE_NUMBER}, {"Nos", "numbers", BEFORE_NUMBER},
    {"Nov", "November", MIDDLE}, {"Oct", "October", MIDDLE}, {"P.S", "P S", MIDDLE},
    {"Ph.D", "P H D", MAY_END}, {"Prof", "Professor", MIDDLE}, {"Rd", "Road", MAY_END},
    {"Rep", "Representative", MIDDLE}, {"Rev", "Reverend", MIDDLE},
    {"Sec", "section", BEFORE_NUMBER}, {"Sen", "Senator", MIDDLE}, {"Sep", "September", MIDDLE},
    {"Sept", "September", MIDDLE}, {"Sgt", "Sergeant", MIDDLE}, {"Sr", "Senior", MAY_END},
    {"St", "Saint", MIDDLE}, {"Tel", "telephone", MIDDLE}, {"Thu", "Thursday", BEFORE_NUMBER},
    {"Tue", "Tuesday", BEFORE_NUMBER}, {"U.K", "U K", MAY_END}, {"U.N", "U N", MAY_END},
    {"U.S", "U S", MAY_END}, {"U.S.A", "U S A", MAY_END}, {"Univ", "University", MIDDLE},
    {"Vol", "volume", MIDDLE}, {"Wed", "Wednesday", BEFORE_NUMBER}, {"a.k.a", "A K A", MIDDLE}, {"p.a", "per annum", MAY_END},
    {"a.m", "a m", MAY_END}, {"al", "al", MAY_END}, {"approx", "approximately", MIDDLE},
    {"c", "circa", BEFORE_NUMBER}, {"ca", "circa", BEFORE_NUMBER}, {"cf", "compare", MIDDLE}, {"ch", "chapter", BEFORE_NUMBER},
    {"dept", "department", MIDDLE}, {"e.g", "for example", MIDDLE}, {"est", "established", MIDDLE},
    {"etc", "et cetera", MAY_END}, {"ext", "extension", BEFORE_NUMBER},
    {"fig", "figure", BEFORE_NUMBER}, {"i.e", "that is", MIDDLE},
    {"no", "number", BEFORE_NUMBER}, {"p", "page", BEFORE_NUMBER}, {"p.m", "p m", MAY_END},
    {"pp", "pages", BEFORE_NUMBER}, {"tel", "telephone", MIDDLE}, {"vol", "volume", BEFORE_NUMBER},
    {"vs", "versus", MIDDLE},
};

const struct csm_abbreviation *csm_abbreviation_find(const char *word, size_t n)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strlen(table[i].text) == n && memcmp(table[i].text, word, n) == 0)
            return &table[i];
    return NULL;
}
