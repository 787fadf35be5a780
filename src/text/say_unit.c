/* SPDX-License-Identifier: Apache-2.0
 *
 * say_unit.c - units after a number: km, m/s, kg/m^3, MB/s, $5/month's "per". */
#include <ctype.h>
#include <string.h>

#include "text/abbreviations.h"
#include "text/number.h"

static const struct {
    const char *symbol, *one, *many;
    bool is_apart; /* only with a space before it, or after a slash: 6s are sixes */
} units[] = {
    {"km/h", "kilometer per hour", "kilometers per hour", false},
    {"kph", "kilometer per hour", "kilometers per hour", false},
    {"mph", "mile per hour", "miles per hour", false},
    {"km", "kilometer", "kilometers", false},
    {"KM", "kilometer", "kilometers", false},
    {"cm", "centimeter", "centimeters", false},
    {"mm", "millimeter", "millimeters", false},
    {"nm", "nanometer", "nanometers", false},
    {"\xC2\xB5m", "micrometer", "micrometers", false},
    {"\xCE\xBCm", "micrometer", "micrometers", false},
    {"m", "meter", "meters", false},
    {"mi", "mile", "miles", false},
    {"in", "inch", "inches", false}, /* csm_say_unit: only without a space */
    {"yd", "yard", "yards", false},
    {"ft", "foot", "feet", false},
    {"kg", "kilogram", "kilograms", false},
    {"mg", "milligram", "milligrams", false},
    {"mcg", "microgram", "micrograms", false},
    {"\xC2\xB5g", "microgram", "micrograms", false},
    {"\xCE\xBCg", "microgram", "micrograms", false},
    {"KG", "kilogram", "kilograms", false},
    {"g", "gram", "grams", false},
    {"lbs", "pound", "pounds", false},
    {"lb", "pound", "pounds", false},
    {"fl oz", "fluid ounce", "fluid ounces", false},
    {"oz", "ounce", "ounces", false},
    {"ml", "milliliter", "milliliters", false},
    {"mL", "milliliter", "milliliters", false},
    {"\xC2\xB5L", "microliter", "microliters", false},
    {"\xCE\xBCL", "microliter", "microliters", false},
    {"m2", "square meter", "square meters", false},
    {"m3", "cubic meter", "cubic meters", false},
    {"cm2", "square centimeter", "square centimeters", false},
    {"cm3", "cubic centimeter", "cubic centimeters", false},
    {"km2", "square kilometer", "square kilometers", false},
    {"ft2", "square foot", "square feet", false},
    {"Tbsp", "tablespoon", "tablespoons", false},
    {"qt", "quart", "quarts", true},
    {"pt", "pint", "pints", true},
    {"deg", "degree", "degrees", false},
    {"Gbit", "gigabit", "gigabits", false},
    {"Mbit", "megabit", "megabits", false},
    {"kbit", "kilobit", "kilobits", false},
    {"dL", "deciliter", "deciliters", false},
    {"dl", "deciliter", "deciliters", false},
    {"cl", "centiliter", "centiliters", false},
    {"L", "liter", "liters", false},
    {"l", "liter", "liters", true},
    {"gal", "gallon", "gallons", false},
    {"tsp", "teaspoon", "teaspoons", false},
    {"tbsp", "tablespoon", "tablespoons", false},
    {"ha", "hectare", "hectares", true},
    {"sq ft", "square foot", "square feet", false},
    {"sq m", "square meter", "square meters", false},
    {"GHz", "gigahertz", "gigahertz", false},
    {"MHz", "megahertz", "megahertz", false},
    {"kHz", "kilohertz", "kilohertz", false},
    {"Hz", "hertz", "hertz", false},
    {"rpm", "revolution per minute", "revolutions per minute", false},
    {"RPM", "revolution per minute", "revolutions per minute", false},
    {"fps", "frame per second", "frames per second", false},
    {"FPS", "frame per second", "frames per second", false},
    {"bpm", "beat per minute", "beats per minute", false},
    {"dpi", "dot per inch", "dots per inch", false},
    {"ppi", "pixel per inch", "pixels per inch", false},
    {"hp", "horsepower", "horsepower", false},
    {"px", "pixel", "pixels", false},
    {"MP", "megapixel", "megapixels", false},
    {"Tbps", "terabit per second", "terabits per second", false},
    {"Gbps", "gigabit per second", "gigabits per second", false},
    {"Mbps", "megabit per second", "megabits per second", false},
    {"kbps", "kilobit per second", "kilobits per second", false},
    {"Kbps", "kilobit per second", "kilobits per second", false},
    {"mbps", "megabit per second", "megabits per second", false},
    {"gbps", "gigabit per second", "gigabits per second", false},
    {"PB", "petabyte", "petabytes", false},
    {"TB", "terabyte", "terabytes", false},
    {"GB", "gigabyte", "gigabytes", false},
    {"MB", "megabyte", "megabytes", false},
    {"KB", "kilobyte", "kilobytes", false},
    {"kB", "kilobyte", "kilobytes", false},
    {"TiB", "tebibyte", "tebibytes", false},
    {"GiB", "gibibyte", "gibibytes", false},
    {"MiB", "mebibyte", "mebibytes", false},
    {"KiB", "kibibyte", "kibibytes", false},
    {"Gb", "gigabit", "gigabits", false},
    {"Mb", "megabit", "megabits", false},
    {"ms", "millisecond", "milliseconds", false},
    {"\xC2\xB5s", "microsecond", "microseconds", false},
    {"\xCE\xBCs", "microsecond", "microseconds", false},
    {"us", "microsecond", "microseconds", false},
    {"ns", "nanosecond", "nanoseconds", false},
    {"s", "second", "seconds", true},
    {"sec", "second", "seconds", false},
    {"secs", "second", "seconds", false},
    {"min", "minute", "minutes", false},
    {"mins", "minute", "minutes", false},
    {"h", "hour", "hours", false},
    {"hr", "hour", "hours", false},
    {"hrs", "hour", "hours", false},
    {"d", "day", "days", false},
    {"wk", "week", "weeks", false},
    {"wks", "week", "weeks", false},
    {"mo", "month", "months", false},
    {"mos", "month", "months", false},
    {"yr", "year", "years", false},
    {"yrs", "year", "years", false},
    {"GWh", "gigawatt hour", "gigawatt hours", false},
    {"MWh", "megawatt hour", "megawatt hours", false},
    {"kWh", "kilowatt hour", "kilowatt hours", false},
    {"Wh", "watt hour", "watt hours", false},
    {"GW", "gigawatt", "gigawatts", false},
    {"MW", "megawatt", "megawatts", false},
    {"kW", "kilowatt", "kilowatts", false},
    {"mW", "milliwatt", "milliwatts", false},
    {"W", "watt", "watts", false},
    {"mAh", "milliampere hour", "milliampere hours", false},
    {"mA", "milliampere", "milliamperes", false},
    {"kV", "kilovolt", "kilovolts", false},
    {"mV", "millivolt", "millivolts", false},
    {"V", "volt", "volts", false},
    {"k\xCE\xA9", "kiloohm", "kiloohms", false},
    {"\xCE\xA9", "ohm", "ohms", false},
    {"\xE2\x84\xA6", "ohm", "ohms", false},
    {"dBm", "d B m", "d B m", false},
    {"dB", "decibel", "decibels", false},
    {"kcal", "kilocalorie", "kilocalories", false},
    {"cal", "calorie", "calories", false},
    {"kJ", "kilojoule", "kilojoules", false},
    {"MJ", "megajoule", "megajoules", false},
    {"J", "joule", "joules", false},
    {"mF", "millifarad", "millifarads", false},
    {"\xC2\xB5""F", "microfarad", "microfarads", false},
    {"\xCE\xBC""F", "microfarad", "microfarads", false},
    {"uF", "microfarad", "microfarads", false},
    {"nF", "nanofarad", "nanofarads", false},
    {"pF", "picofarad", "picofarads", false},
    {"mH", "millihenry", "millihenries", false},
    {"\xC2\xB5""H", "microhenry", "microhenries", false},
    {"\xCE\xBCH", "microhenry", "microhenries", false},
    {"M\xCE\xA9", "megaohm", "megaohms", false},
    {"\xC2\xB5""A", "microampere", "microamperes", false},
    {"\xCE\xBC""A", "microampere", "microamperes", false},
    {"\xC2\xB5V", "microvolt", "microvolts", false},
    {"\xCE\xBCV", "microvolt", "microvolts", false},
    {"lm", "lumen", "lumens", false},
    {"kN", "kilonewton", "kilonewtons", false},
    {"Nm", "newton meter", "newton meters", false},
    {"hPa", "hectopascal", "hectopascals", false},
    {"kPa", "kilopascal", "kilopascals", false},
    {"MPa", "megapascal", "megapascals", false},
    {"Pa", "pascal", "pascals", false},
    {"psi", "pound per square inch", "pounds per square inch", false},
    {"mmHg", "millimeter of mercury", "millimeters of mercury", false},
    {"mol", "mole", "moles", false},
    {"\xC2\xB0"
     "C",
     "degree Celsius", "degrees Celsius", false},
    {"\xC2\xB0"
     "F",
     "degree Fahrenheit", "degrees Fahrenheit", false},
    {"\xC2\xBA"
     "C",
     "degree Celsius", "degrees Celsius", false},
    {"\xC2\xB0 C", "degree Celsius", "degrees Celsius", false},
    {"\xC2\xB0 F", "degree Fahrenheit", "degrees Fahrenheit", false},
    {"pct", "percent", "percent", false},
    {"IU", "international unit", "international units", false},
    {"N\xC2\xB7m", "newton meter", "newton meters", false},
    {"ppm", "part per million", "parts per million", false},
    {"ppb", "part per billion", "parts per billion", false},
    {"\xC3\x85", "angstrom", "angstroms", false},
    {"\xE2\x84\x83", "degree Celsius", "degrees Celsius", false},
    {"\xE2\x84\x89", "degree Fahrenheit", "degrees Fahrenheit", false},
    {"\xC2\xB0", "degree", "degrees", false},
    {"%", "percent", "percent", false},
    {"\xE2\x80\xB0", "per mille", "per mille", false},
    {"pp", "percentage point", "percentage points", false},
};

enum { N_UNITS = sizeof units / sizeof *units };

/* What a unit may be raised to, and how that is said before it; bytes taken. */
static size_t power(const char *p, const char **spoken)
{
    static const struct {
        const char *written, *spoken;
    } known[] = {{"\xC2\xB2", "square"}, {"\xC2\xB3", "cubic"}, {"^2", "square"},
                 {"^3", "cubic"},        {"^{2}", "square"},    {"^{3}", "cubic"}};
    *spoken = NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(p, known[i].written, strlen(known[i].written)) == 0) {
            *spoken = known[i].spoken;
            return strlen(known[i].written);
        }
    return 0;
}

static bool is_word_end(const char *p)
{
    return !csm_is_digit(*p) && (!csm_is_letter(*p) || strncmp(p, "\xC2\xB2", 2) == 0 ||
                                 strncmp(p, "\xC2\xB3", 2) == 0 || (unsigned char)*p == 0xE2);
}

/* The unit that p begins with: its place in the table, N_UNITS: none. The longest wins. */
static size_t find(const char *p, bool is_apart)
{
    size_t found = N_UNITS, longest = 0;
    for (size_t i = 0; i < N_UNITS; i++) {
        const size_t length = strlen(units[i].symbol);
        if (length > longest && (is_apart || !units[i].is_apart) &&
            strncmp(p, units[i].symbol, length) == 0 && is_word_end(p + length)) {
            found = i;
            longest = length;
        }
    }
    return found;
}

/* Words that stand behind a slash: $5/month. */
static const char *period(const char *p, size_t *length)
{
    static const char *const known[] = {
        "second", "minute", "hour", "day",  "week",  "month", "quarter", "year",    "night",
        "person", "user",   "seat", "item", "piece", "page",  "token",   "request", "capita"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (csm_ends_word(p, known[i])) {
            *length = strlen(known[i]);
            return known[i];
        }
    return NULL;
}

/* "/h" after a unit or an amount: "per hour"; bytes taken. */
static size_t say_per(struct csm_builder *out, const char *p)
{
    if (*p != '/')
        return 0;
    size_t length = 0;
    const char *word = period(p + 1, &length);
    if (word != NULL) {
        csm_builder_add_word(out, "per");
        csm_builder_add_word(out, word);
        return 1 + length;
    }
    const size_t i = find(p + 1, true);
    if (i == N_UNITS)
        return 0;
    const char *raised;
    const size_t n_power = power(p + 1 + strlen(units[i].symbol), &raised);
    csm_builder_add_word(out, "per");
    const bool is_time = strcmp(units[i].one, "second") == 0;
    if (raised != NULL && !is_time)
        csm_builder_add_word(out, raised);
    csm_builder_add_word(out, units[i].one);
    if (raised != NULL && is_time) /* meters per second squared */
        csm_builder_add_word(out, strcmp(raised, "square") == 0 ? "squared" : "cubed");
    return 1 + strlen(units[i].symbol) + n_power;
}

/* The space or hyphen before a unit. */
static size_t space_at(const char *p)
{
    return *p == ' ' || *p == '-'               ? 1
           : strncmp(p, "\xC2\xA0", 2) == 0     ? 2
           : strncmp(p, "\xE2\x80\xAF", 3) == 0 ? 3
                                                : 0;
}

static bool is_imperial(size_t unit)
{
    static const char *const names[] = {"inch", "foot", "yard",   "mile", "pound",      "ounce",
                                        "pint", "quart", "gallon", "cup",  "Fahrenheit", "horsepower"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(units[unit].one, names[i]) != NULL)
            return true;
    return false;
}

bool csm_is_converted(const char *unit, const char *p)
{
    const size_t space = space_at(unit);
    const size_t before = find(unit + space, space > 0);
    if (before < N_UNITS && strcmp(units[before].one, "volt") == 0)
        return true; /* 5V/2A */
    if (before == N_UNITS || *p != '/' || !csm_is_digit(p[1]))
        return false;
    const struct csm_number n = csm_number_read(p + 1);
    const char *behind = p + 1 + n.length;
    const size_t after = find(behind + space_at(behind), true);
    return after < N_UNITS && (is_imperial(before) != is_imperial(after) ||
                               (after == before && strstr(units[after].one, "degree") != NULL));
}

size_t csm_say_unit(struct csm_builder *out, const char *p, bool is_singular)
{
    const size_t space = space_at(p);
    const bool is_hyphen = *p == '-';
    if (space == 0) {
        const size_t per = say_per(out, p);
        if (per > 0)
            return per;
    }
    const size_t i = find(p + space, space > 0);
    if (i == N_UNITS)
        return 0;
    const bool may_be_word = space > 0 && strcmp(units[i].symbol, "in") == 0; /* 5 in the morning */
    const char *raised;
    if (may_be_word && p[space + 2] != '\0' && strchr(".,;:)\n", p[space + 2]) == NULL &&
        power(p + space + 2, &raised) == 0)
        return 0;
    size_t taken = space + strlen(units[i].symbol);
    taken += power(p + taken, &raised);
    if (raised != NULL)
        csm_builder_add_word(out, raised);
    csm_builder_add_word(out, is_singular || is_hyphen ? units[i].one : units[i].many);
    if (p[taken] == '.' &&
        csm_abbreviation_find(units[i].symbol, strlen(units[i].symbol)) != NULL &&
        p[taken + 1] == ' ' && csm_is_digit(p[taken + 2]))
        return taken + 1; /* 1 lb. 4 oz. */
    const bool goes_on = p[taken] == '.' && (strchr(",;:)", p[taken + 1]) != NULL ||
                                             (p[taken + 1] == ' ' && islower((unsigned char)p[taken + 2])));
    if (goes_on && p[taken + 1] != '\0')
        return taken + 1; /* 5 in., 6 ft. long */
    taken += say_per(out, p + taken);
    return taken + say_per(out, p + taken); /* mg/kg/h */
}
