/* loaded: whether this process has opened LLVM. Relies on /proc and cmocka. */
#ifndef KILN_TESTS_LOADED_H
#define KILN_TESTS_LOADED_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static inline bool llvm_is_loaded(void)
{
    char line[1024];
    bool found = false;
    FILE *f = fopen("/proc/self/maps", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) found = found || strstr(line, "libLLVM") || strstr(line, "libkiln-llvm");
    fclose(f);
    return found;
}

#endif
