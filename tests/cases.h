/* cases: text files of cases. A case starts at a line that begins with a mark, the rest of which is its title, and ends where the
 * next one starts. Relies on base and cmocka. */
#ifndef KILN_TESTS_CASES_H
#define KILN_TESTS_CASES_H

#include "runtime/base.h"

#define LOWER_CASES \
    "tests/lower.kiln" /* graphs that the lowering and the backends are tested with */
#define CASE_MARK "// case: "

typedef struct TextCase {
    char title[128];
    char name[96]; /* the title before any ';' */
    const char *text;
    size_t len;
} TextCase;

/* The file, terminated, in the arena. Fails the test if it does not open. */
char *cases_read(Arena *a, const char *path);
/* The case at *at or after it, *at moves on; false: there is none. */
bool cases_next(const char **at, const char *mark, TextCase *c);

#endif
