/* ratios: reads and writes the file of committed ratios. */
#include "ratios.h"

#include <string.h>

#include "codegen/eager.h"
#include "tests/bench/bench.h"

#ifdef __clang__
#define COMPILER "clang"
#define COMPILER_MAJOR __clang_major__
#else
#define COMPILER "gcc"
#define COMPILER_MAJOR __GNUC__
#endif

const char *ratios_machine(void)
{
    static char text[256];
    snprintf(text, sizeof text, "%s, %s, %s %d", eager_tier(), processor(), COMPILER, COMPILER_MAJOR);
    return text;
}

/* Whether a line opens a set, and this one's. */
static bool opens(const char *line) { return line[0] == '['; }

static bool opens_that(const char *line, const char *machine)
{
    const size_t n = strlen(machine);
    return opens(line) && strncmp(line + 1, machine, n) == 0 && line[n + 1] == ']';
}

bool ratios_read(const char *path, const char *machine, Ratios *to)
{
    char line[512], row[32];
    double ratio;
    bool found = false, inside = false;
    FILE *f = fopen(path, "r");
    to->count = 0;
    while (f && fgets(line, sizeof line, f)) {
        if (opens(line)) found |= inside = opens_that(line, machine);
        if (inside && line[0] != '#' && sscanf(line, "%31s %lf", row, &ratio) == 2 && !opens(line)) ratios_set(to, row, ratio);
    }
    if (f) fclose(f);
    return found;
}

double ratios_of(const Ratios *r, const char *row)
{
    for (int i = 0; i < r->count; i++)
        if (strcmp(r->of[i].row, row) == 0) return r->of[i].ratio;
    return 0;
}

void ratios_set(Ratios *r, const char *row, double ratio)
{
    int i = 0;
    while (i < r->count && strcmp(r->of[i].row, row) != 0) i++;
    if (i == RATIOS) return;
    if (i == r->count) r->count++;
    snprintf(r->of[i].row, sizeof r->of[i].row, "%s", row);
    r->of[i].ratio = ratio;
}

bool ratios_write(const char *path, const char *machine, const Ratios *r)
{
    char line[512], beside[512];
    bool inside = false;
    snprintf(beside, sizeof beside, "%s.new", path);
    FILE *from = fopen(path, "r"), *to = fopen(beside, "w");
    while (from && to && fgets(line, sizeof line, from)) {
        if (opens(line)) inside = opens_that(line, machine);
        if (!inside) fputs(line, to);
    }
    if (from) fclose(from);
    if (!to) return perror(beside), false;
    fprintf(to, "[%s]\n", machine);
    for (int i = 0; i < r->count; i++) fprintf(to, "%-16s %8.3g\n", r->of[i].row, r->of[i].ratio);
    if (fclose(to) == 0 && rename(beside, path) == 0) return true;
    return perror(path), false;
}
