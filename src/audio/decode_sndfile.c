/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_sndfile.c - a sound file in memory, by libsndfile. A file whose header
 * promises more than there is gives what is there, as other players do; csm_remark_file
 * tells it. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <sndfile.h>

#include "audio/audio_read.h"
#include "audio/riff.h"
#include "audio/riff_lists.h"
#include "base/error.h"

/* The mapped file as libsndfile's stream. */
struct stream {
    const unsigned char *bytes;
    sf_count_t size, at;
};

static sf_count_t stream_size(void *user)
{
    return ((struct stream *)user)->size;
}

static sf_count_t stream_seek(sf_count_t offset, int whence, void *user)
{
    struct stream *s = user;
    sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? s->at : s->size;
    if (offset < -base || offset > s->size - base)
        return -1;
    s->at = base + offset;
    return s->at;
}

static sf_count_t stream_read(void *to, sf_count_t n, void *user)
{
    struct stream *s = user;
    if (n > s->size - s->at)
        n = s->size - s->at;
    if (n <= 0)
        return 0;
    memcpy(to, s->bytes + s->at, (size_t)n);
    s->at += n;
    return n;
}

static sf_count_t stream_tell(void *user)
{
    return ((struct stream *)user)->at;
}

/* Numbers as of full scale -1 to 1: loud masters in float may pass it a little, integers that
 * were written as floats by a lot. */
static bool is_sample(float x)
{
    return x >= -10.0f && x <= 10.0f; /* false for NaN */
}

/* Whether the mean of the channels has less than a hundredth (-20 dB) of their power. Channels
 * that know nothing of each other lose 3 dB, a voice in one of six 8 dB. */
static bool cancels(double mixed_power, double channel_power)
{
    return mixed_power < 0.01 * channel_power;
}

/* Read all frames, channels averaged. A file of more than `longest_s` seconds is refused
 * where it passes them: what is left of it is not decoded. */
static csm_status read_mono(const char *path, SNDFILE *file, const SF_INFO *info, double longest_s,
                            float **out, size_t *n_out, csm_error *err)
{
    enum { FRAMES_AT_ONCE = 4096 };
    const size_t n_channels = (size_t)info->channels;
    const double most = longest_s * info->samplerate;
    float *frames = malloc(FRAMES_AT_ONCE * n_channels * sizeof *frames);
    float *samples = NULL;
    size_t n = 0, capacity = 0;
    double mixed_power = 0.0, channel_power = 0.0; /* sums of squares, of one channel */
    bool is_longer = false;
    csm_status status = CSM_OK;
    if (frames == NULL)
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    while (status == CSM_OK) {
        sf_count_t n_read = sf_readf_float(file, frames, FRAMES_AT_ONCE);
        /* Asked at once: the next read, which gives nothing, forgets it. Behind the last of the samples
         * that a header promises stand tags of other formats. */
        const bool is_all = (sf_count_t)n + n_read >= info->frames && info->frames > 0;
        if (sf_error(file) != SF_ERR_NO_ERROR && !is_all)
            status = csm_fail(err, CSM_BAD_FORMAT, "%s: damaged sound after %.2f s: %s", path,
                              (double)(n + (size_t)n_read) / info->samplerate, sf_strerror(file));
        if (n_read <= 0 || status != CSM_OK)
            break;
        if ((double)n + (double)n_read > most) {
            is_longer = true;
            break;
        }
        if (capacity - n < (size_t)n_read) {
            capacity = 2 * capacity + FRAMES_AT_ONCE;
            float *grown = realloc(samples, capacity * sizeof *grown);
            if (grown == NULL) {
                status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
                break;
            }
            samples = grown;
        }
        for (sf_count_t f = 0; f < n_read; f++) {
            float sum = 0;
            double squares = 0.0;
            for (size_t c = 0; c < n_channels; c++) {
                const float x = frames[(size_t)f * n_channels + c];
                sum += x;
                squares += (double)x * (double)x;
            }
            samples[n] = sum / (float)n_channels;
            mixed_power += (double)samples[n] * (double)samples[n];
            channel_power += squares / (double)n_channels;
            n++;
        }
    }
    free(frames);
    if (is_longer)
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: longer than the %g s it may be", path, longest_s);
    if (status == CSM_OK && n == 0)
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: no samples, expected some sound", path);
    for (size_t i = 0; status == CSM_OK && i < n; i++)
        if (!isfinite(samples[i]))
            status = csm_fail(err, CSM_BAD_FORMAT,
                              "%s: sample %zu is not finite, expected numbers around -1 to 1", path,
                              i);
        else if (!is_sample(samples[i]))
            status = csm_fail(err, CSM_BAD_FORMAT, "%s: sample %zu is %g, expected -1 to 1", path, i,
                              (double)samples[i]);
    if (status == CSM_OK && n_channels > 1 && cancels(mixed_power, channel_power))
        status = csm_fail(err, CSM_BAD_FORMAT,
                          "%s: its %zu channels cancel each other (opposite phase), expected sound "
                          "in their mean",
                          path, n_channels);
    if (status != CSM_OK) {
        free(samples);
        return status;
    }
    *out = samples;
    *n_out = n;
    return CSM_OK;
}

/* libsndfile guesses the length of an MP3 without a Xing frame from the bit rate of its
 * beginning, and stops there: of a variable rate it gives a part. Tags at the end are smaller. */
static bool is_cut(const SF_INFO *info, const struct stream *stream)
{
    enum { MPEG = 0x230000 /* SF_FORMAT_MPEG, since libsndfile 1.1 */, TAGS = 16384 };
    return (info->format & SF_FORMAT_TYPEMASK) == MPEG && stream->size - stream->at > TAGS &&
           stream->at < stream->size - stream->size / 20;
}

/* Bytes of a tag of ID3v2 at the beginning; 0: none. */
static size_t tag_size(const unsigned char *p, size_t n)
{
    enum { HEADER = 10 };
    if (n < HEADER || memcmp(p, "ID3", 3) != 0)
        return 0;
    const size_t size = HEADER + ((size_t)(p[6] & 0x7F) << 21 | (size_t)(p[7] & 0x7F) << 14 |
                                  (size_t)(p[8] & 0x7F) << 7 | (size_t)(p[9] & 0x7F)); /* seven bits a byte */
    return size < n ? size : 0;
}

/* Bytes of a tag before a file that MP3 does not hold, to be left out: of a WAV behind one libsndfile
 * loses as many bytes at its end, where it is read from memory. */
static size_t tag_before_file(const unsigned char *p, size_t n)
{
    static const char *const files[] = {"RIFF", "RF64", "FORM", "fLaC", "OggS", "caff"};
    const size_t size = tag_size(p, n);
    for (size_t i = 0; size > 0 && n - size >= 4 && i < sizeof files / sizeof *files; i++)
        if (memcmp(p + size, files[i], 4) == 0)
            return size;
    return 0;
}

/* What a header lacks of which libsndfile says that SF_INFO is incomplete. */
static const char *missing_part(const unsigned char *p, size_t n)
{
    size_t n_data = 0;
    uint64_t at = CSM_RIFF_FIRST;
    struct csm_riff_chunk chunk;
    while (csm_riff_is_wav(p, n) && csm_riff_next(p, n, &at, &chunk))
        n_data += csm_riff_is(chunk.name, "data");
    return n_data > 1 ? "WAV with more than one data chunk, expected one"
                      : "its header has no rate or no channels, expected both";
}

/* The encoding of a WAV file that libsndfile does not have; NULL: it is none of these. Numbers: the
 * register of Microsoft's mmreg.h. */
static const char *foreign_encoding(const unsigned char *p, size_t n)
{
    static const struct {
        unsigned tag;
        const char *kind;
    } kinds[] = {{0x20, "ADPCM of Yamaha in WAV"}, {0x22, "TrueSpeech in WAV"},
                 {0x28F, "G.722 in WAV"}, {0x42, "G.723.1 in WAV"}, {0x50, "MPEG layer 2 in WAV"},
                 {0x45, "G.726 in WAV"}, {0x64, "G.726 in WAV"}, {0x65, "G.722 in WAV"},
                 {0xFF, "AAC in WAV"}, {0x160, "Windows Media in WAV"}, {0x161, "Windows Media in WAV"},
                 {0x162, "Windows Media in WAV"}, {0x1600, "AAC in WAV"}, {0x2000, "AC-3 in WAV"},
                 {0x2001, "DTS in WAV"}, {0x566F, "Vorbis in WAV"}, {0x674F, "Vorbis in WAV"},
                 {0x704F, "Opus in WAV"}, {0xF1AC, "FLAC in WAV"}};
    if (n < 22 || memcmp(p, "RIFF", 4) != 0 || memcmp(p + 8, "WAVEfmt ", 8) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].tag == (unsigned)(p[20] | p[21] << 8))
            return kinds[i].kind;
    return NULL;
}

/* Sound that libsndfile opens and takes for other samples; NULL: it is none. */
static const char *misread_kind(const unsigned char *p, size_t n)
{
    enum { FORMAT = 40, SUBFORMAT = 88, EXTENSIBLE = 0xFFFE, FLOATS = 3 }; /* of Wave64, as FFmpeg writes it */
    if (n > SUBFORMAT + 2 && memcmp(p, "riff", 4) == 0 && memcmp(p + FORMAT, "fmt ", 4) == 0 &&
        (p[FORMAT + 24] | p[FORMAT + 25] << 8) == EXTENSIBLE && p[SUBFORMAT] == FLOATS && p[SUBFORMAT + 1] == 0)
        return "Wave64 of floats"; /* it takes them for integers */
    /* Behind the first of its blocks the others' heads become samples, and stereo changes sides. */
    return n >= 20 && memcmp(p, "Creative Voice File\x1A", 20) == 0 ? "Creative Voice" : NULL;
}

/* Sound that players know and libsndfile does not; NULL: none that is known here. */
static const char *foreign_kind(const unsigned char *bytes, size_t n)
{
    const size_t n_tag = tag_size(bytes, n);
    static const struct {
        const char *kind;
        size_t at, n_magic;
        const char *magic;
    } kinds[] = {
        {"MPEG-4 (m4a, mp4)", 4, 4, "ftyp"},   {"Matroska or WebM", 0, 4, "\x1A\x45\xDF\xA3"},
        {"Windows Media", 0, 4, "\x30\x26\xB2\x75"}, {"AAC", 0, 2, "\xFF\xF1"},
        {"AAC", 0, 2, "\xFF\xF9"},             {"AC-3", 0, 2, "\x0B\x77"},
        {"AMR", 0, 5, "#!AMR"},                {"Speex", 28, 8, "Speex   "},
        {"FLAC in Ogg", 28, 5, "\x7F""FLAC"},   {"Monkey's Audio", 0, 4, "MAC "},
        {"WavPack", 0, 4, "wvpk"},             {"True Audio", 0, 3, "TTA"},
        {"Musepack", 0, 4, "MPCK"},            {"DSD", 0, 4, "DSD "},
        {"AAC", 0, 2, "\xFF\xF0"},             {"AAC", 0, 2, "\xFF\xF8"},
        {"AAC", 0, 4, "ADIF"},                 {"AAC in LATM", 0, 2, "\x56\xE0"},
        {"Flash video", 0, 3, "FLV"},          {"AVI", 8, 4, "AVI "},
        {"SILK", 0, 9, "#!SILK_V3"},           {"SILK", 1, 9, "#!SILK_V3"},
        {"MPEG video", 0, 4, "\0\0\x01\xBA"}, {"Shorten", 0, 4, "ajkg"},
        {"MIDI", 0, 4, "MThd"},                {"RealMedia", 0, 4, ".RMF"},
    };
    bytes += n_tag;
    n -= n_tag;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].at + kinds[i].n_magic &&
            memcmp(bytes + kinds[i].at, kinds[i].magic, kinds[i].n_magic) == 0)
            return kinds[i].kind;
    return foreign_encoding(bytes, n);
}

csm_status csm_audio_decode(const char *path, const void *bytes, size_t n_bytes, double longest_s,
                            float **samples, size_t *n_samples, int *rate_hz, csm_error *err)
{
    SF_VIRTUAL_IO io = {.get_filelen = stream_size,
                        .seek = stream_seek,
                        .read = stream_read,
                        .tell = stream_tell};
    const size_t n_tag = tag_before_file(bytes, n_bytes);
    bytes = (const unsigned char *)bytes + n_tag;
    n_bytes -= n_tag;
    struct stream stream = {bytes, (sf_count_t)csm_riff_before_broken_list(bytes, n_bytes), 0};
    SF_INFO info = {0};
    if (n_bytes == 0)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: not a sound file: it is empty", path);
    const char *foreign = misread_kind(bytes, n_bytes);
    SNDFILE *file = foreign == NULL ? sf_open_virtual(&io, SFM_READ, &info, &stream) : NULL;
    enum { UNSUPPORTED = 4 /* SF_ERR_UNSUPPORTED_ENCODING */ };
    if (file == NULL && foreign == NULL)
        foreign = foreign_kind(bytes, n_bytes);
    if (file == NULL && foreign == NULL && sf_error(NULL) == UNSUPPORTED)
        foreign = "an encoding";
    if (foreign != NULL)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: %s, which libsndfile does not read: convert it first (ffmpeg -i IN "
                        "OUT.wav)",
                        path, foreign);
    if (file == NULL && strstr(sf_strerror(NULL), "SF_INFO") != NULL)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: convert it first (ffmpeg -i IN OUT.wav)", path,
                        missing_part(bytes, n_bytes));
    if (file == NULL) {
        const char *reason = sf_strerror(NULL);
        const size_t n = strlen(reason);
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: not a sound file: %.*s: if players know it, convert it first (ffmpeg -i IN OUT.wav)",
                        path, (int)(n > 0 && reason[n - 1] == '.' ? n - 1 : n), reason);
    }
    enum { HEADERS = 4096 };
    if (info.frames == 0 && n_bytes > HEADERS) { /* of a recorder that was ended before its end */
        sf_close(file);
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: its header says no samples, though %zu bytes follow: convert it first "
                        "(ffmpeg -i IN OUT.wav)",
                        path, n_bytes);
    }
    csm_status status = read_mono(path, file, &info, longest_s, samples, n_samples, err);
    *rate_hz = info.samplerate;
    if (status == CSM_OK && is_cut(&info, &stream)) {
        free(*samples);
        *samples = NULL;
        status = csm_fail(err, CSM_BAD_FORMAT,
                          "%s: MP3 of which libsndfile reads a part alone (a variable rate without its "
                          "Xing frame, or two files in one): convert it first (ffmpeg -i IN OUT.wav)",
                          path);
    }
    sf_close(file);
    return status;
}
