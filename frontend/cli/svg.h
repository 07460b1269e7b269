/* svg: a line chart of a few curves as SVG. */
#ifndef KILN_FRONTEND_CLI_SVG_H
#define KILN_FRONTEND_CLI_SVG_H

#include "../../runtime/base.h"

typedef struct Curve {
    const char *name, *colour; /* any text; such as "#1f77b4" */
    const float *y;            /* the values at x = 0, 1, 2 ... */
    long n;
} Curve;

/* Each curve is drawn faintly as it is and strongly as a running mean. The y axis begins at 0. Names may be any text. */
void svg_print(Text *out, const char *title, const char *x_name, const char *y_name, const Curve *curve, int curves);

#endif
