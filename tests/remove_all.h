/* remove_all: a test's folder with all that is in it. To be included first, since nftw is not in C11. */
#ifndef KILN_TESTS_REMOVE_ALL_H
#define KILN_TESTS_REMOVE_ALL_H

#define _GNU_SOURCE
#include <ftw.h>
#include <stdio.h>

static inline int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static inline void remove_all(const char *folder)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
