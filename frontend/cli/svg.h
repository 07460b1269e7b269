/* svg: a line chart of a few curves as an SVG file. */
#ifndef KILN_FRONTEND_CLI_SVG_H
#define KILN_FRONTEND_CLI_SVG_H

#include <stdbool.h>
#include <stdio.h>

typedef struct Curve {
    const char *name, *colour; /* "#1f77b4" */
    const float *y;            /* at x = 0, 1, 2 ... */
    long n;
} Curve;

/* Each curve is drawn faintly as it is and strongly as a running mean. The y axis begins at 0.
 * Closes f. False: errno says why. */
bool svg_write(FILE *f, const char *title, const char *x_name, const char *y_name,
    const Curve *curve, int curves);

#endif
