/* SPDX-License-Identifier: Apache-2.0
 *
 * cmocka_all.h - cmocka and the headers that it wants before it. With
 * CSM_TEST_LOCALE=NAME the program runs in that locale, as a host's may. */
#ifndef CMOCKA_ALL_H
#define CMOCKA_ALL_H

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void cmocka_all_set_locale(void)
{
    const char *name = getenv("CSM_TEST_LOCALE");
    if (name != NULL && setlocale(LC_ALL, name) == NULL) {
        fprintf(stderr, "no locale %s\n", name);
        exit(1);
    }
}

#endif
