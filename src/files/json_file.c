/* SPDX-License-Identifier: Apache-2.0 */
#include "files/json_file.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"
#include "base/numbers.h"
#include "files/mapped.h"

enum { MAX_BYTES = 100 * 1000 * 1000 };

static csm_status parse(const char *path, const void *bytes, size_t n, size_t flags, json_t **out,
                        csm_error *err)
{
    if (n > MAX_BYTES)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %zu bytes of JSON, expected at most %d", path, n,
                        MAX_BYTES);
    json_error_t json;
    json_t *value = json_loadb(bytes == NULL ? "" : bytes, n, flags, &json);
    if (value == NULL)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: line %d, column %d: %s", path, json.line,
                        json.column, json.text);
    if (!json_is_object(value)) {
        json_decref(value);
        return csm_fail(err, CSM_BAD_FORMAT, "%s: expected a JSON object", path);
    }
    *out = value;
    return CSM_OK;
}

csm_status csm_json_parse(const char *path, const void *bytes, size_t n, json_t **out,
                          csm_error *err)
{
    return parse(path, bytes, n, JSON_REJECT_DUPLICATES, out, err);
}

csm_status csm_json_parse_reals(const char *path, const void *bytes, size_t n, json_t **out,
                                csm_error *err)
{
    return parse(path, bytes, n, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, out, err);
}

csm_status csm_json_load(const char *path, json_t **out, csm_error *err)
{
    struct csm_mapped file;
    csm_status status = csm_mapped_open(path, "a JSON file", &file, err);
    if (status == CSM_OK)
        status = csm_json_parse(path, file.data, file.size, out, err);
    csm_mapped_close(&file);
    return status;
}

void csm_json_refuse(struct csm_json_reader *reader, const char *key, const char *format, ...)
{
    if (reader->status != CSM_OK)
        return;
    char what[sizeof reader->err->text];
    va_list args;
    va_start(args, format);
    csm_vformat(what, sizeof what, format, args);
    va_end(args);
    reader->status = csm_fail(reader->err, CSM_BAD_FORMAT, "%s: %s: %s", reader->path, key, what);
}

/* The member, or NULL where there is none or null. */
static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

int64_t csm_json_integer(struct csm_json_reader *reader, const json_t *object, const char *key,
                         int64_t fallback, int64_t low, int64_t high)
{
    const json_t *value = member(object, key);
    if (value == NULL)
        return fallback;
    if (!json_is_integer(value) || json_integer_value(value) < low ||
        json_integer_value(value) > high) {
        csm_json_refuse(reader, key, "expected an integer from %lld to %lld", (long long)low,
                        (long long)high);
        return fallback;
    }
    return json_integer_value(value);
}

double csm_json_number(struct csm_json_reader *reader, const json_t *object, const char *key,
                       double fallback, double low, double high)
{
    const json_t *value = member(object, key);
    if (value == NULL)
        return fallback;
    double number = json_number_value(value);
    if (!json_is_number(value) || !isfinite(number) || number < low || number > high) {
        if (isinf(low) && isinf(high))
            csm_json_refuse(reader, key, "expected a number");
        else
            csm_json_refuse(reader, key, "expected a number from %g to %g", low, high);
        return fallback;
    }
    return number;
}

bool csm_json_bool(struct csm_json_reader *reader, const json_t *object, const char *key,
                   bool fallback)
{
    const json_t *value = member(object, key);
    if (value == NULL)
        return fallback;
    if (!json_is_boolean(value))
        csm_json_refuse(reader, key, "expected true or false");
    return json_is_true(value);
}

const char *csm_json_text(struct csm_json_reader *reader, const json_t *object, const char *key,
                          const char *fallback)
{
    const json_t *value = member(object, key);
    if (value == NULL)
        return fallback;
    if (!json_is_string(value)) {
        csm_json_refuse(reader, key, "expected a string");
        return fallback;
    }
    return json_string_value(value);
}

const json_t *csm_json_object(struct csm_json_reader *reader, const json_t *object, const char *key)
{
    const json_t *value = member(object, key);
    if (value != NULL && !json_is_object(value)) {
        csm_json_refuse(reader, key, "expected an object");
        return NULL;
    }
    return value;
}
