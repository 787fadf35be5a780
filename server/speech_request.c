/* SPDX-License-Identifier: Apache-2.0 */
#include "speech_request.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

enum { MAX_AUDIO_MS = 600000, MAX_SPEAKER = 999999 };

bool refuse(struct refusal *why, int status, const char *param, const char *code,
            const char *format, ...)
{
    *why = (struct refusal){.status = status, .code = code};
    snprintf(why->param, sizeof why->param, "%s", param);
    va_list args;
    va_start(args, format);
    vsnprintf(why->message, sizeof why->message, format, args);
    va_end(args);
    return false;
}

static bool refuse_value(struct refusal *why, const char *param, const char *expected)
{
    return refuse(why, 400, param, "invalid_value", "%s: expected %s", param, expected);
}

/* A field that counts as not given when it is null. */
static const json_t *given(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

/* ---- formats ------------------------------------------------------------------- */

/* OpenAI's names; Opus comes in Ogg, and pcm is what `csm generate` calls s16le. */
static const struct {
    const char *name;
    csm_audio_format format;
    const char *type;
} formats[] = {{"mp3", CSM_AUDIO_FORMAT_MP3, "audio/mpeg"},
               {"opus", CSM_AUDIO_FORMAT_OPUS, "audio/ogg"},
               {"aac", CSM_AUDIO_FORMAT_AAC, "audio/aac"},
               {"flac", CSM_AUDIO_FORMAT_FLAC, "audio/flac"},
               {"wav", CSM_AUDIO_FORMAT_WAV, "audio/wav"},
               {"pcm", CSM_AUDIO_FORMAT_S16LE, "audio/pcm"}};
enum { N_FORMATS = sizeof formats / sizeof *formats };

const char *speech_format_name(csm_audio_format format)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        if (formats[i].format == format)
            return formats[i].name;
    return "?";
}

const char *speech_request_type(const struct speech_request *request, const csm_model_info *info,
                                char type[SPEECH_TYPE])
{
    size_t i = 0;
    while (i + 1 < N_FORMATS && formats[i].format != request->format)
        i++;
    if (request->format == CSM_AUDIO_FORMAT_S16LE) /* it has no header that tells these */
        snprintf(type, SPEECH_TYPE, "%s;rate=%d;channels=1", formats[i].type,
                 request->rate_hz > 0 ? request->rate_hz : info->sample_rate_hz);
    else
        snprintf(type, SPEECH_TYPE, "%s", formats[i].type);
    return type;
}

static bool read_format(const json_t *object, struct speech_request *out, struct refusal *why)
{
    const json_t *value = given(object, "response_format");
    if (value == NULL)
        return true;
    for (size_t i = 0; json_is_string(value) && i < N_FORMATS; i++)
        if (strcmp(formats[i].name, json_string_value(value)) == 0) {
            out->format = formats[i].format;
            return true;
        }
    return refuse_value(why, "response_format", "mp3, opus, aac, flac, wav or pcm");
}

/* stream alone means events, as with the servers that have the field. */
static bool read_streaming(const json_t *object, struct speech_request *out, struct refusal *why)
{
    const json_t *stream = given(object, "stream"), *format = given(object, "stream_format");
    if (stream != NULL && !json_is_boolean(stream))
        return refuse_value(why, "stream", "true or false");
    if (format != NULL && !json_is_string(format))
        return refuse_value(why, "stream_format", "sse or audio");
    const char *name = json_string_value(format);
    if (name != NULL && strcmp(name, "sse") != 0 && strcmp(name, "audio") != 0)
        return refuse_value(why, "stream_format", "sse or audio");
    if (name != NULL || json_is_true(stream)) {
        out->is_sse = name == NULL || strcmp(name, "sse") == 0;
        out->is_streamed = true;
    } else if (stream != NULL) {
        out->is_sse = out->is_streamed = false;
    }
    return true;
}

/* ---- texts and numbers --------------------------------------------------------- */

static size_t count_characters(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static bool keep_text(const char *text, char **out, struct refusal *why)
{
    char *copy = malloc(strlen(text) + 1);
    if (copy == NULL)
        return refuse(why, 503, "", "", "out of memory");
    memcpy(copy, text, strlen(text) + 1);
    free(*out);
    *out = copy;
    return true;
}

static bool read_input(const json_t *object, const struct request_limits *limits, bool is_needed,
                       struct speech_request *out, struct refusal *why)
{
    const json_t *value = given(object, "input");
    if (value == NULL && !is_needed)
        return true;
    if (value == NULL)
        return refuse(why, 400, "input", "missing_required_parameter", "input: expected a text");
    const char *text = json_string_value(value);
    if (text == NULL || text[strspn(text, " \t\r\n")] == '\0')
        return refuse_value(why, "input", "a text that is not empty");
    if (count_characters(text) > limits->max_text)
        return refuse(why, 400, "input", "string_above_max_length",
                      "input: %zu characters, expected at most %zu", count_characters(text),
                      limits->max_text);
    return keep_text(text, &out->input, why);
}

/* A whole number however it is written: 42, 42.0 and 4.2e1, which JSON does not tell apart. */
static bool is_whole(const json_t *value, json_int_t lowest, json_int_t highest, json_int_t *out)
{
    const double real = json_real_value(value), exact = 9007199254740992.0; /* 2^53 */
    const bool is_right = json_is_integer(value) ||
                          (json_is_real(value) && real == floor(real) && fabs(real) <= exact);
    if (!is_right)
        return false;
    *out = json_is_integer(value) ? json_integer_value(value) : (json_int_t)real;
    return *out >= lowest && *out <= highest;
}

/* A name, {"id": NAME}, or a speaker's number, which is a name, too; `speaker` is a voice's
 * name where it is a text. */
static bool read_voice(const json_t *object, struct speech_request *out, struct refusal *why)
{
    const json_t *voice = given(object, "voice"), *speaker = given(object, "speaker");
    json_int_t number;
    char digits[24];
    if (json_is_object(voice))
        voice = json_object_get(voice, "id");
    else if (voice == NULL && json_is_string(speaker))
        voice = speaker;
    const char *name = json_string_value(voice);
    if (is_whole(voice, 0, MAX_SPEAKER, &number)) {
        snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, number);
        name = digits;
    }
    if (name == NULL && given(object, "voice") != NULL)
        return refuse_value(why, "voice", "a name, {\"id\": NAME}, or a speaker's number");
    if (name != NULL && !keep_text(name, &out->voice, why))
        return false;
    if (speaker == NULL || json_is_string(speaker))
        return true;
    if (!is_whole(speaker, 0, MAX_SPEAKER, &number))
        return refuse_value(why, "speaker", "a whole number, 0 or more");
    out->speaker = (int)number;
    return true;
}

static bool read_real(const json_t *object, const char *name, double lowest, double highest,
                      double *out, struct refusal *why)
{
    const json_t *value = given(object, name);
    if (value == NULL)
        return true;
    const double x = json_number_value(value);
    if (!json_is_number(value) || !(x >= lowest && x <= highest))
        return refuse(why, 400, name, "invalid_value", "%s: expected a number from %g to %g", name,
                      lowest, highest);
    *out = x;
    return true;
}

static bool read_whole(const json_t *object, const char *name, json_int_t lowest,
                       json_int_t highest, json_int_t *out, struct refusal *why)
{
    const json_t *value = given(object, name);
    if (value == NULL)
        return true;
    if (!is_whole(value, lowest, highest, out))
        return refuse(why, 400, name, "invalid_value",
                      "%s: expected a whole number from %" JSON_INTEGER_FORMAT
                      " to %" JSON_INTEGER_FORMAT,
                      name, lowest, highest);
    return true;
}

static bool read_flag(const json_t *object, const char *name, bool *out, struct refusal *why)
{
    const json_t *value = given(object, name);
    if (value == NULL)
        return true;
    if (!json_is_boolean(value))
        return refuse_value(why, name, "true or false");
    *out = json_is_true(value);
    return true;
}

static bool read_draws(const json_t *object, const csm_model_info *info,
                       csm_generate_options *options, struct refusal *why)
{
    const json_int_t vocab = (json_int_t)info->vocab;
    json_int_t top_k = options->top_k, depth_top_k = options->depth_top_k;
    const double tiny = 1e-6; /* top-p of 0 leaves nothing to draw */
    if (!read_real(object, "temperature", 0, 10, &options->temperature, why) ||
        !read_real(object, "top_p", tiny, 1, &options->top_p, why) ||
        !read_real(object, "min_p", 0, 1, &options->min_p, why) ||
        !read_whole(object, "top_k", 0, vocab, &top_k, why) ||
        !read_real(object, "depth_temperature", 0, 10, &options->depth_temperature, why) ||
        !read_real(object, "depth_top_p", tiny, 1, &options->depth_top_p, why) ||
        !read_real(object, "depth_min_p", 0, 1, &options->depth_min_p, why) ||
        !read_whole(object, "depth_top_k", 0, vocab, &depth_top_k, why))
        return false;
    options->top_k = (int)top_k;
    options->depth_top_k = (int)depth_top_k;
    const json_t *sampler = given(object, "sampler");
    if (sampler == NULL)
        return true;
    const csm_sampler_kind kind =
        json_is_string(sampler) ? csm_sampler_find(json_string_value(sampler)) : CSM_SAMPLER_COUNT;
    if (kind == CSM_SAMPLER_COUNT)
        return refuse_value(why, "sampler", "transformers, sesame, csm-mlx or mlx-categorical");
    options->sampler = csm_sampler_name(kind);
    return true;
}

static bool read_lengths(const json_t *object, const csm_model_info *info,
                         struct speech_request *out, struct refusal *why)
{
    const json_int_t frame_ms = (json_int_t)ceil(info->frame_ms);
    json_int_t longest = 0, shortest = 0, frames = 0;
    if (!read_whole(object, "max_audio_ms", frame_ms, MAX_AUDIO_MS, &longest, why) ||
        !read_whole(object, "min_audio_ms", 0, MAX_AUDIO_MS, &shortest, why) ||
        !read_whole(object, "max_new_tokens", 1, INT32_MAX, &frames, why))
        return false;
    if (longest > 0)
        out->max_frames = (size_t)((double)longest / info->frame_ms);
    if (frames > 0 && (out->max_frames == 0 || (size_t)frames < out->max_frames))
        out->max_frames = (size_t)frames;
    if (shortest > 0)
        out->options.min_frames = (size_t)ceil((double)shortest / info->frame_ms);
    if (out->max_frames > 0 && out->options.min_frames > out->max_frames)
        return refuse_value(why, "min_audio_ms", "no more than the longest that is allowed");
    return true;
}

/* The name is the model's own from here on: it lives as long. */
static bool read_adapter(const json_t *object, const csm_model_info *info,
                         struct speech_request *out, struct refusal *why)
{
    const json_t *adapter = given(object, "adapter");
    const char *name = json_string_value(adapter);
    if (adapter == NULL)
        return true;
    for (size_t i = 0; name != NULL && i < info->n_adapters; i++)
        if (strcmp(info->adapters[i], name) == 0) {
            out->options.adapter = info->adapters[i];
            return true;
        }
    return refuse_value(why, "adapter", "a name of the model's adapters (/v1/models)");
}

/* A text of 16 digits or more, with a sign before them or not: of -2^63 to 2^64 - 1. */
static bool is_long_seed(const char *digits, uint64_t *seed)
{
    const bool is_negative = *digits == '-';
    digits += is_negative;
    if (strlen(digits) < 16 || strspn(digits, "0123456789") != strlen(digits))
        return false;
    errno = 0;
    const unsigned long long size = strtoull(digits, NULL, 10);
    *seed = is_negative ? 0 - (uint64_t)size : size;
    return errno == 0 && (!is_negative || size <= (uint64_t)INT64_MAX + 1);
}

/* As `csm generate --seed` and torch.manual_seed take it: -1 is 2^64 - 1. From 2^63 on it comes
 * as a text of its digits: json_read makes one, and so do clients whose numbers are exact up to
 * 2^53, a number of 16 digits. */
static bool read_seed(const json_t *object, struct speech_request *out, struct refusal *why)
{
    const json_t *seed = given(object, "seed");
    json_int_t number;
    if (seed == NULL)
        return true;
    if (is_whole(seed, INT64_MIN, INT64_MAX, &number))
        out->options.seed = (uint64_t)number;
    else if (!json_is_string(seed) || !is_long_seed(json_string_value(seed), &out->options.seed))
        return refuse_value(why, "seed", "a whole number from -2^63 to 2^64 - 1");
    out->has_seed = true;
    return true;
}

static bool read_others(const json_t *object, struct speech_request *out, struct refusal *why)
{
    json_int_t rate = out->rate_hz;
    const json_t *split = given(object, "split");
    const char *how = json_string_value(split);
    if (!read_real(object, "speed", 0.25, 4, &out->speed, why) ||
        !read_seed(object, out, why) ||
        !read_whole(object, "sample_rate", 8000, 48000, &rate, why) ||
        !read_flag(object, "normalize", &out->is_normalized, why) ||
        !read_flag(object, "guard", &out->options.has_guard, why))
        return false;
    out->rate_hz = (int)rate;
    if (split != NULL && (how == NULL || (strcmp(how, "sentence") != 0 && strcmp(how, "none") != 0)))
        return refuse_value(why, "split", "sentence or none");
    if (how != NULL)
        out->is_split = strcmp(how, "sentence") == 0;
    const json_t *instructions = given(object, "instructions");
    if (instructions != NULL && !json_is_string(instructions))
        return refuse_value(why, "instructions", "a text");
    if (instructions != NULL)
        out->has_instructions = json_string_length(instructions) > 0;
    if (given(object, "model") != NULL && !json_is_string(given(object, "model")))
        return refuse_value(why, "model", "a name");
    return true;
}

/* ---- recordings ------------------------------------------------------------------ */

/* A data URI, or base64 alone; paths and addresses of anything else are none of ours. */
static bool decode_sound(const char *text, const char *param, const struct request_limits *limits,
                         struct reference *out, struct refusal *why)
{
    const char *base64 = text;
    if (strncmp(text, "data:", 5) == 0) {
        const char *comma = strchr(text, ',');
        if (comma == NULL || comma - text < 7 || strncmp(comma - 7, ";base64", 7) != 0)
            return refuse_value(why, param, "a data URI in base64: data:audio/wav;base64,...");
        base64 = comma + 1;
    }
    const size_t n = strlen(base64);
    if (n / 4 * 3 > limits->max_reference)
        return refuse(why, 413, param, "too_large", "%s: expected at most %zu bytes of sound", param,
                      limits->max_reference);
    out->bytes = bytes_from_base64(base64, n, &out->n);
    if (out->bytes == NULL || out->n == 0)
        return refuse_value(why, param,
                            "sound in base64, as a data URI; not a path or an address");
    return true;
}

static bool add_reference(const char *sound, const char *text, int speaker, const char *param,
                          const struct request_limits *limits, struct speech_request *out,
                          struct refusal *why)
{
    if (text == NULL || text[strspn(text, " \t\r\n")] == '\0')
        return refuse(why, 400, param, "missing_required_parameter",
                      "%s: expected with it the text of what is said there", param);
    if (count_characters(text) > limits->max_text)
        return refuse_value(why, param, "a text that is not longer than input may be");
    if (out->n_references == limits->max_references)
        return refuse(why, 400, param, "invalid_value", "%s: expected at most %zu recordings", param,
                      limits->max_references);
    struct reference *grown =
        realloc(out->references, (out->n_references + 1) * sizeof *out->references);
    if (grown == NULL)
        return refuse(why, 503, "", "", "out of memory");
    out->references = grown;
    struct reference *added = &out->references[out->n_references++];
    *added = (struct reference){.speaker = speaker};
    return keep_text(text, &added->text, why) && decode_sound(sound, param, limits, added, why);
}

/* An entry of `context` (speaker, text, audio), or of `references` (audio_path, text). */
static bool read_turn(const json_t *turn, const char *param, const char *sound_name,
                      const struct request_limits *limits, struct speech_request *out,
                      struct refusal *why)
{
    const char *sound = json_string_value(json_object_get(turn, sound_name));
    const json_t *text = json_object_get(turn, "text"), *speaker = given(turn, "speaker");
    json_int_t number = -1;
    if (sound == NULL)
        return refuse(why, 400, param, "invalid_value", "%s: expected objects with %s and text",
                      param, sound_name);
    if (speaker != NULL && !is_whole(speaker, 0, MAX_SPEAKER, &number))
        return refuse_value(why, param, "a speaker that is a whole number, 0 or more");
    return add_reference(sound, json_string_value(text), (int)number, param, limits, out, why);
}

static bool read_turns(const json_t *object, const char *param, const char *sound_name,
                       const struct request_limits *limits, struct speech_request *out,
                       struct refusal *why)
{
    const json_t *turns = given(object, param);
    if (turns != NULL && !json_is_array(turns))
        return refuse_value(why, param, "an array");
    for (size_t i = 0; i < json_array_size(turns); i++)
        if (!read_turn(json_array_get(turns, i), param, sound_name, limits, out, why))
            return false;
    return true;
}

static bool read_references(const json_t *object, const struct request_limits *limits,
                            struct speech_request *out, struct refusal *why)
{
    const json_t *sound = given(object, "ref_audio"), *text = given(object, "ref_text");
    if (json_is_array(sound) && json_array_size(sound) == 1)
        sound = json_array_get(sound, 0);
    if ((sound != NULL && !json_is_string(sound)) || (text != NULL && !json_is_string(text)))
        return refuse_value(why, sound != NULL && !json_is_string(sound) ? "ref_audio" : "ref_text",
                            "a text");
    if (sound == NULL && text != NULL)
        return refuse_value(why, "ref_text", "ref_audio with it");
    if (sound != NULL && !add_reference(json_string_value(sound), json_string_value(text), -1,
                                        "ref_audio", limits, out, why))
        return false;
    return read_turns(object, "references", "audio_path", limits, out, why) &&
           read_turns(object, "context", "audio", limits, out, why);
}

/* ---- the whole --------------------------------------------------------------------- */

void speech_request_defaults(struct speech_request *out)
{
    *out = (struct speech_request){.speaker = -1,
                                   .format = CSM_AUDIO_FORMAT_MP3,
                                   .speed = 1,
                                   .is_normalized = true,
                                   .is_split = true,
                                   .options = csm_generate_defaults()};
    out->options.has_guard = true;
}

bool speech_request_copy(const struct speech_request *from, struct speech_request *out)
{
    struct refusal why;
    *out = *from;
    out->input = out->voice = NULL;
    out->references = NULL;
    out->n_references = 0;
    return (from->input == NULL || keep_text(from->input, &out->input, &why)) &&
           (from->voice == NULL || keep_text(from->voice, &out->voice, &why));
}

bool speech_request_read(const json_t *object, const csm_model_info *info,
                         const struct request_limits *limits, bool needs_input,
                         struct speech_request *out, struct refusal *why)
{
    if (!json_is_object(object))
        return refuse(why, 400, "", "invalid_json", "expected a JSON object");
    return read_input(object, limits, needs_input, out, why) && read_voice(object, out, why) &&
           read_format(object, out, why) && read_streaming(object, out, why) &&
           read_draws(object, info, &out->options, why) && read_lengths(object, info, out, why) &&
           read_adapter(object, info, out, why) && read_others(object, out, why) &&
           read_references(object, limits, out, why);
}

void speech_request_empty(struct speech_request *request)
{
    free(request->input);
    free(request->voice);
    for (size_t i = 0; i < request->n_references; i++) {
        free(request->references[i].bytes);
        free(request->references[i].text);
    }
    free(request->references);
    *request = (struct speech_request){0};
}
