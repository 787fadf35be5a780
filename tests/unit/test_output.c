/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/output.h"
#include "base/place.h"
#include "unit/scratch.h"

static void write_word(const char *path, const char *word, csm_status expected)
{
    csm_output *out;
    csm_error err;
    csm_status status = csm_output_open(path, &out, &err);
    assert_int_equal(status, expected);
    if (status != CSM_OK)
        return;
    assert_int_equal(csm_output_write(out, word, strlen(word), &err), CSM_OK);
    assert_int_equal(csm_output_commit(out, &err), CSM_OK);
}

static void expect_word(const char *path, const char *word)
{
    char found[32] = "";
    FILE *from = fopen(path, "rb");
    assert_non_null(from);
    assert_non_null(fgets(found, sizeof found, from));
    fclose(from);
    assert_string_equal(found, word);
}

static bool is_link(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
}

static void a_link_stays_and_its_file_is_written(void **state)
{
    (void)state;
    char file[SCRATCH_PATH_MAX], link[SCRATCH_PATH_MAX];
    scratch_path(file, "file");
    scratch_path(link, "link");
    scratch_write(file, "old", 3);
    assert_int_equal(symlink("file", link), 0);
    write_word(link, "new", CSM_OK);
    assert_true(is_link(link));
    expect_word(file, "new");
}

static void a_link_to_no_file_stays_and_its_file_is_made(void **state)
{
    (void)state;
    char there[SCRATCH_PATH_MAX], file[SCRATCH_PATH_MAX], link[SCRATCH_PATH_MAX],
        second[SCRATCH_PATH_MAX];
    scratch_path(there, "there");
    scratch_path(file, "there/file");
    scratch_path(link, "dangling");
    scratch_path(second, "second");
    assert_int_equal(mkdir(there, 0777), 0);
    assert_int_equal(symlink("there/file", link), 0);
    assert_int_equal(symlink(link, second), 0); /* a whole path, to another link */
    write_word(second, "made", CSM_OK);
    assert_true(is_link(link) && is_link(second));
    expect_word(file, "made");
}

static void links_in_a_circle_are_refused(void **state)
{
    (void)state;
    char a[SCRATCH_PATH_MAX], b[SCRATCH_PATH_MAX];
    scratch_path(a, "a");
    scratch_path(b, "b");
    assert_int_equal(symlink("a", b), 0);
    assert_int_equal(symlink("b", a), 0);
    write_word(a, "", CSM_BAD_FILE);
    assert_true(is_link(a));
}

static void code_is_trusted_where_others_could_not_put_it(void **state)
{
    (void)state;
    char directory[SCRATCH_PATH_MAX], file[SCRATCH_PATH_MAX];
    scratch_path(directory, "engines");
    scratch_path(file, "engines/engine.so");
    assert_int_equal(mkdir(directory, 0755), 0);
    scratch_write(file, "x", 1);
    assert_int_equal(chmod(file, 0644), 0);
    assert_true(csm_is_trusted(file));
    assert_int_equal(chmod(file, 0666), 0); /* everybody may write the file */
    assert_false(csm_is_trusted(file));
    assert_int_equal(chmod(file, 0644), 0);
    assert_int_equal(chmod(directory, 0777), 0); /* or put another in its place */
    assert_false(csm_is_trusted(file));
    assert_int_equal(chmod(directory, 0755), 0);
    if (chown(file, 12345, (gid_t)-1) == 0) /* root alone may give a file away */
        assert_false(csm_is_trusted(file));
    scratch_path(file, "engines/none.so");
    assert_false(csm_is_trusted(file));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_stays_and_its_file_is_written),
        cmocka_unit_test(a_link_to_no_file_stays_and_its_file_is_made),
        cmocka_unit_test(links_in_a_circle_are_refused),
        cmocka_unit_test(code_is_trusted_where_others_could_not_put_it),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
