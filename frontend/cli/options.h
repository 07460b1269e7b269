/* options: the command line of one command, as a table. */
#ifndef KILN_FRONTEND_CLI_OPTIONS_H
#define KILN_FRONTEND_CLI_OPTIONS_H

#include "cli.h"

typedef struct Option {
    const char *name;  /* "--epochs", "-o" */
    bool *flag;        /* takes no value; set to true */
    const char **text; /* takes any text */
    long *count;       /* takes a whole number in [lo, hi] */
    const char **list; /* takes texts, one each time that it is given: *listed of them, at most hi */
    int *listed;
    long lo, hi;
} Option;

/* Options stand before and behind files, as `--name value` or `--name=value`; `--` ends them. Up to
 * `most` other arguments go to file[0 ...]. FINE, or BAD_USAGE after saying on stderr which option,
 * which value and which range. The last option has a NULL name. */
int options_parse(const char *command, int argc, char **argv, const Option *options,
    const char **file, int most);

#endif
