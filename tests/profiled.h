/* profiled: reading a profile that was written as JSON. */
#ifndef KILN_TESTS_PROFILED_H
#define KILN_TESTS_PROFILED_H

#include "front.h"

#include <stdlib.h>

static char report[1 << 16];

/* The line of the step whose name begins so. */
static inline const char *step_of(const char *name)
{
    char key[80];
    snprintf(key, sizeof key, "{\"name\": \"%s", name);
    const char *at = strstr(report, key);
    if (!at) fail_msg("no step %s in %s", name, report);
    return at;
}

static inline double number_at(const char *at, const char *field)
{
    char key[80];
    snprintf(key, sizeof key, "\"%s\": ", field);
    const char *value = strstr(at, key), *end = strchr(at, '\n');
    if (!value || (end && value > end)) fail_msg("no %s in %s", field, at);
    return strtod(value + strlen(key), NULL);
}

static inline kiln_tensor *filled(kiln *k, kiln_shape s) { return kiln_mul(kiln_ones(k, KILN_F32, s), 0.25); }

#endif
