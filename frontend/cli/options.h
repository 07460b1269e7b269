/* options: a table of the options of one command, and the reader of its command line. */
#ifndef KILN_FRONTEND_CLI_OPTIONS_H
#define KILN_FRONTEND_CLI_OPTIONS_H

#include "cli.h"

typedef struct Option {
    const char *name;  /* "--epochs", "-o" */
    bool *flag;        /* an option without a value: it is set to true */
    const char **text; /* an option whose value is any text */
    long *count;       /* an option whose value is a whole number from lo to hi */
    const char **list; /* an option that may be given several times, each time with a text: *listed of them, at most hi */
    int *listed;
    long lo, hi;
} Option;

/* Reads the arguments after argv[0]. Options stand before or behind files, as `--name value` or `--name=value`; `--` ends them.
 * Up to `most` other arguments are stored in `file`. The last of the options has a NULL name. Returns FINE, or BAD_USAGE after a
 * message on stderr that names the option, the value and the range. */
int options_parse(const char *command, int argc, char **argv, const Option *options, const char **file, int most);

#endif
