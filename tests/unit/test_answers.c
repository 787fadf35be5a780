/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers of the kind that a chat model writes, each with what is said of it
 * (tests/golden/text/answers.txt: an answer, a line "=>", what is said; "%%" between). */
#include "unit/cmocka_all.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/csm.h>
#include <csm/text.h>

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

/* Blank what is markup and no word: tags, targets of links, names of languages, entities. */
static void blank_markup(char *text)
{
    for (char *p = text; *p != '\0'; p++) {
        const char *end = NULL;
        if (*p == '<' && (isalpha((unsigned char)p[1]) || strchr("/!?|", p[1]) != NULL))
            end = strchr(p, '>');
        else if (strncmp(p, "]: http", 7) == 0)
            end = p + strcspn(p, "\n");
        else if (p[0] == ']' && (p[1] == '(' || p[1] == '['))
            end = strpbrk(p + 1, p[1] == '(' ? ")" : "]");
        else if (*p == '&')
            end = strchr(p, ';') != NULL && strchr(p, ';') - p < 10 ? strchr(p, ';') : NULL;
        else if (*p == '\\' && isalpha((unsigned char)p[1]))
            end = p + strcspn(p + 1, " \\{}_^$");
        else if (strncmp(p, "mailto:", 7) == 0)
            end = p + 6;
        else if (strncmp(p, "```", 3) == 0 || strncmp(p, "~~~", 3) == 0)
            end = strchr(p, '\n');
        else if (strncmp(p, "://", 3) == 0) /* and the scheme before it */
            for (char *s = p; s > text && isalpha((unsigned char)s[-1]); s--)
                s[-1] = ' ';
        const bool is_thought = strncmp(p, "<think", 6) == 0 && strstr(p, "</think") != NULL;
        if (strncmp(p, "<script", 7) == 0 || strncmp(p, "<style", 6) == 0 || is_thought)
            end = strchr(strstr(p, "</"), '>');
        for (; end != NULL && p < end; p++)
            *p = ' ';
        if (*p == '\0')
            break;
    }
}

static void no_word_is_lost(const char *answer, const char *said)
{
    char *text = strdup(answer);
    char lower[4096];
    size_t n = 0;
    for (; said[n] != '\0' && n + 1 < sizeof lower; n++)
        lower[n] = (char)tolower((unsigned char)said[n]);
    lower[n] = '\0';
    blank_markup(text);
    for (char *p = text; *p != '\0';) {
        n = 0;
        while (p[n] >= 'a' && p[n] <= 'z')
            n++;
        const bool is_alone =
            (p == text || !isalpha((unsigned char)p[-1])) && !isalpha((unsigned char)p[n]);
        if (n >= 5 && is_alone) { /* shorter ones may be units, which are spoken in full */
            const char kept = p[n];
            p[n] = '\0';
            if (strstr(lower, p) == NULL)
                fail_msg("'%s' is lost of: %s\nsaid: %s", p, answer, said);
            p[n] = kept;
        }
        p += n > 0 ? n : 1;
    }
    free(text);
}

static void answers_are_said_as_expected(void **state)
{
    (void)state;
    char *all = read_file(CSM_SOURCE_DIR "/tests/golden/text/answers.txt");
    size_t n_answers = 0;
    for (char *answer = all, *next; answer != NULL; answer = next, n_answers++) {
        next = strstr(answer, "\n%%\n");
        if (next != NULL) {
            *next = '\0';
            next += 4;
        }
        char *expected = strstr(answer, "\n=>\n");
        assert_non_null(expected);
        *expected = '\0';
        expected += 4;
        if (next == NULL && expected[strlen(expected) - 1] == '\n')
            expected[strlen(expected) - 1] = '\0';
        char *said = NULL;
        csm_error err;
        assert_int_equal(csm_text_normalize(answer, &said, &err), CSM_OK);
        if (strcmp(said, expected) != 0)
            fail_msg("%s\nsaid:     %s\nexpected: %s", answer, said, expected);
        assert_null(strpbrk(said, "*_`#~|<>[]{}\\^=+@&%$/"));
        no_word_is_lost(answer, said);
        csm_free(said);
    }
    assert_true(n_answers >= 200);
    free(all);
}

/* What was said is plain: said again, it is the same. */
static void what_is_said_is_plain(void **state)
{
    (void)state;
    char *all = read_file(CSM_SOURCE_DIR "/tests/golden/text/answers.txt");
    for (char *at = strstr(all, "\n=>\n"); at != NULL; at = strstr(at + 1, "\n=>\n")) {
        char line[4096];
        snprintf(line, sizeof line, "%.*s", (int)strcspn(at + 4, "\n"), at + 4);
        if (isupper((unsigned char)line[0]) && strchr(line, '"') == NULL) {
            char *again = NULL;
            csm_error err;
            assert_int_equal(csm_text_normalize(line, &again, &err), CSM_OK);
            assert_string_equal(again, line);
            csm_free(again);
        }
    }
    free(all);
}

/* However the text is cut into sentences, its words are the same. */
static void sentences_have_the_words_of_the_whole(void **state)
{
    (void)state;
    char *all = read_file(CSM_SOURCE_DIR "/tests/golden/text/answers.txt");
    for (char *answer = all, *next; answer != NULL; answer = next) {
        next = strstr(answer, "\n%%\n");
        if (next != NULL) {
            *next = '\0';
            next += 4;
        }
        *strstr(answer, "\n=>\n") = '\0';
        csm_text_piece *pieces[2];
        size_t n[2];
        char words[2][8192];
        csm_error err;
        for (int i = 0; i < 2; i++) {
            assert_int_equal(csm_text_pieces(answer, i == 0 ? 0 : 240, &pieces[i], &n[i], &err),
                             CSM_OK);
            size_t at = 0;
            for (size_t k = 0; k < n[i]; k++)
                for (const char *p = pieces[i][k].text; *p != '\0'; p++)
                    if (isalnum((unsigned char)*p))
                        words[i][at++] = *p;
            words[i][at] = '\0';
            csm_text_pieces_free(pieces[i], n[i]);
        }
        assert_string_equal(words[0], words[1]);
    }
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_said_as_expected),
        cmocka_unit_test(what_is_said_is_plain),
        cmocka_unit_test(sentences_have_the_words_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
