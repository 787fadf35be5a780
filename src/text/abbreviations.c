/* SPDX-License-Identifier: Apache-2.0 */
#include "text/abbreviations.h"

#include <string.h>

static const struct csm_abbreviation table[] = {
    {"Mr", "Mister", false},     {"Mrs", "Missus", false},      {"Ms", "Miz", false},
    {"Dr", "Doctor", false},     {"Prof", "Professor", false},  {"St", "Saint", false},
    {"Jr", "Junior", true},      {"Sr", "Senior", true},        {"Gen", "General", false},
    {"Col", "Colonel", false},   {"Capt", "Captain", false},    {"Lt", "Lieutenant", false},
    {"Sgt", "Sergeant", false},  {"Rev", "Reverend", false},    {"Hon", "Honorable", false},
    {"Sen", "Senator", false},   {"Rep", "Representative", false}, {"Gov", "Governor", false},
    {"vs", "versus", false},     {"etc", "et cetera", true},    {"e.g", "for example", false},
    {"i.e", "that is", false},   {"cf", "compare", false},      {"approx", "approximately", false},
    {"No", "number", false},     {"Nos", "numbers", false},     {"Vol", "volume", false},
    {"Fig", "figure", false},    {"Ave", "Avenue", true},       {"Blvd", "Boulevard", true},
    {"Rd", "Road", true},        {"Mt", "Mount", false},        {"Ft", "Fort", false},
    {"Inc", "Incorporated", true}, {"Ltd", "Limited", true},    {"Co", "Company", true},
    {"Corp", "Corporation", true}, {"dept", "department", false}, {"est", "established", false},
    {"Jan", "January", false},   {"Feb", "February", false},    {"Mar", "March", false},
    {"Apr", "April", false},     {"Aug", "August", false},      {"Sept", "September", false},
    {"Sep", "September", false}, {"Oct", "October", false},     {"Nov", "November", false},
    {"Dec", "December", false},  {"a.m", "a m", true},          {"p.m", "p m", true},
    {"U.S", "U S", true},        {"U.K", "U K", true},          {"Ph.D", "P H D", true},
};

const struct csm_abbreviation *csm_abbreviation_find(const char *word, size_t n)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strlen(table[i].text) == n && memcmp(table[i].text, word, n) == 0)
            return &table[i];
    return NULL;
}
