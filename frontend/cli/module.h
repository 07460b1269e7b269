/* module: modules in text form as files: reading them, and saying what is wrong with them. */
#ifndef KILN_FRONTEND_CLI_MODULE_H
#define KILN_FRONTEND_CLI_MODULE_H

#include <kiln/aot.h>

#include "../../runtime/base.h"
#include "cli.h"

/* The file's bytes, `-` is standard input; false after saying why. The caller frees text either way. */
bool module_read(const char *command, const char *path, Text *text);
/* Splits --dim options, NAME=VALUE, into names, which go to `name`, as long as all of them, and sizes. An Exit. */
int module_dims(const char *command, const char *const *dim, int n, kiln_run_dim *to, char *name);
/* Reports an error in the text as compilers do, FILE:LINE:COL: error: ...; other errors as engine_error does. */
int module_error(const char *command, const char *file, kiln *k);

#endif
