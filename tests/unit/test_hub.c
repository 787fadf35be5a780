/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "hub/hub_tree.h"
#ifdef CSM_HAS_NETTLE
#include "hub/checksum.h"
#endif

static void names_are_as_huggingface_hub_validates_them(void **state)
{
    (void)state;
    /* The examples of its validate_repo_id, those without a namespace left out. */
    static const char *const names[] = {"foo/bar", "Foo-BAR/foo.bar123", "a/b", "org_1/x_y"};
    static const char *const others[] = {"foo",     "datasets/foo/bar", "foo/.bar", "foo--x/bar",
                                         "foo/b.git", "foo/b..r",      "-a/b",     "a/b-",
                                         "a./b",    "a/b c",            "a/\xc3\xa4", "/a", "a/", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_true(csm_hub_is_name(names[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(csm_hub_is_name(others[i]));
    char longest[98];
    memset(longest, 'a', sizeof longest);
    longest[1] = '/';
    longest[96] = '\0';
    assert_true(csm_hub_is_name(longest));
    longest[96] = 'a';
    longest[97] = '\0';
    assert_false(csm_hub_is_name(longest));
}

static void paths_that_lead_out_are_not_safe(void **state)
{
    (void)state;
    static const char *const safe[] = {"a", "a/b.c", "...", ".a", "a b", "\xc3\xa4/x"};
    static const char *const others[] = {"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.",
                                         "a\\b", "a\nb", "a\x7f"};
    for (size_t i = 0; i < sizeof safe / sizeof *safe; i++)
        assert_true(csm_hub_is_safe_path(safe[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(csm_hub_is_safe_path(others[i]));
}

static void a_caller_of_an_older_header_gets_what_it_knows(void **state)
{
    (void)state;
    csm_hub_options options;
    memset(&options, 0xff, sizeof options);
    options.size = offsetof(csm_hub_options, endpoint);
    csm_hub_options_init(&options);
    assert_null(options.revision);
    assert_int_equal(options.n_files, SIZE_MAX); /* beyond what size covers */
    struct csm_hub hub;
    csm_error err;
    options.revision = "v1";
    options.is_offline = true; /* not read either */
    assert_int_equal(csm_hub_open(&hub, "a/b", &options, &err), CSM_OK);
    assert_string_equal(hub.revision, "v1");
    assert_int_equal(hub.options.n_files, 0);
    csm_hub_close(&hub);
    options.size = 0;
    assert_int_equal(csm_hub_open(&hub, "a/b", &options, &err), CSM_BAD_ARG);
    csm_hub_close(&hub);
}

#ifdef CSM_HAS_NETTLE
static void check_sum(const char *kind, const char *content, const char *expected)
{
    char digits[CSM_CHECKSUM_SIZE];
    struct csm_checksum *sum = csm_checksum_begin(kind, strlen(content));
    assert_non_null(sum);
    for (const char *c = content; *c != '\0'; c++)
        csm_checksum_add(sum, c, 1);
    csm_checksum_end(sum, digits);
    assert_string_equal(digits, expected);
}

static void sums_are_the_published_ones(void **state)
{
    (void)state;
    char sha256[65], sha1[41];
    memset(sha256, '0', 64);
    memset(sha1, '0', 40);
    sha256[64] = sha1[40] = '\0';
    /* FIPS 180-2, example B.1; the empty message */
    check_sum(sha256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sum(sha256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    /* git hash-object of an empty file, and of "hello\n" */
    check_sum(sha1, "", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    check_sum(sha1, "hello\n", "ce013625030ba8dba906f756967f9e9ca394464a");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_as_huggingface_hub_validates_them),
        cmocka_unit_test(paths_that_lead_out_are_not_safe),
        cmocka_unit_test(a_caller_of_an_older_header_gets_what_it_knows),
#ifdef CSM_HAS_NETTLE
        cmocka_unit_test(sums_are_the_published_ones),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
