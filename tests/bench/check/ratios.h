/* ratios: the file of committed ratios. A set of lines `row ratio` for each kind of machine, which a line in brackets names: vector
 * tier, processor, compiler. Knows no row. */
#ifndef KILN_TESTS_BENCH_RATIOS_H
#define KILN_TESTS_BENCH_RATIOS_H

#include <stdbool.h>

enum { RATIOS = 64 };
typedef struct Ratio { char row[32]; double ratio; } Ratio;
typedef struct Ratios { int count; Ratio of[RATIOS]; } Ratios;

const char *ratios_machine(void); /* this one */
bool ratios_read(const char *path, const char *machine, Ratios *to); /* false: the file has no such set, or is not there */
double ratios_of(const Ratios *r, const char *row);                  /* 0: unknown */
void ratios_set(Ratios *r, const char *row, double ratio);
bool ratios_write(const char *path, const char *machine, const Ratios *r); /* replaces that set and keeps all else */

#endif
