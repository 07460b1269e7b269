/* log: the one place where the library says something unasked: to the callback of the engine's options, else to stderr, else
 * nowhere. Relies on engine.h and escape.h. Never fails. */
#include "engine.h"
#include "escape.h"

#include <stdarg.h>
#include <stdio.h>

static void to_stderr(void *user, const char *text)
{
    (void)user;
    fprintf(stderr, "%s\n", text);
}

void log_open(kiln *k)
{
    if (k->options.no_log)
        k->options.log = NULL;
    else if (!k->options.log)
        k->options.log = to_stderr;
}

static void say(const kiln_options *o, const char *format, va_list args)
{
    char text[1200];
    if (!o->log) return;
    int n = snprintf(text, sizeof text, "kiln: ");
    plain_vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    text_line(text);
    o->log(o->log_user, text);
}

void log_line(kiln *k, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(&k->options, format, args);
    va_end(args);
}

void log_of(const kiln_options *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(o, format, args);
    va_end(args);
}
