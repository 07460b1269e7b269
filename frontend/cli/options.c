/* options: reads a command line according to a table of options. Never changes argv, and never accepts a value outside the table's
 * range. */
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The option whose name is the first `len` bytes of arg; NULL: none. */
static const Option *find(const Option *options, const char *arg, size_t len)
{
    for (const Option *o = options; o->name; o++)
        if (strlen(o->name) == len && !memcmp(o->name, arg, len)) return o;
    return NULL;
}

static int unknown(const char *command, const Option *options, const char *arg, size_t len)
{
    for (const Option *o = options; o->name && len > 2; o++)
        if (!strncmp(o->name, arg, len) || !strncmp(o->name, arg, strlen(o->name)))
            return usage_error(command, "unknown option '%.*s' (did you mean %s?)", (int)len, arg, o->name);
    return usage_error(command, "unknown option '%.*s'", (int)len, arg);
}

static bool whole_number(const char *text, long lo, long hi, long *out)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (end == text || *end || errno || v < lo || v > hi) return false;
    *out = v;
    return true;
}

static int take(const char *command, const Option *o, const char *value)
{
    if (!value && (o->text || o->list)) return usage_error(command, "%s needs a value", o->name);
    if (!value) return usage_error(command, "%s needs a whole number from %ld to %ld", o->name, o->lo, o->hi);
    if (o->list && *o->listed == o->hi) return usage_error(command, "%s: given more than %ld times", o->name, o->hi);
    if (o->list)
        o->list[(*o->listed)++] = value;
    else if (o->text)
        *o->text = value;
    else if (!whole_number(value, o->lo, o->hi, o->count))
        return usage_error(command, "%s: '%s' is not a whole number from %ld to %ld", o->name, value, o->lo, o->hi);
    return FINE;
}

static bool is_option(const char *arg) { return arg[0] == '-' && arg[1]; }

/* The value of the option argv[*i]: what follows its '=', or the next argument, to which *i then moves. NULL: there is none. */
static const char *value_of(int argc, char **argv, int *i)
{
    const char *equals = strchr(argv[*i], '=');
    if (equals) return equals + 1;
    /* An argument that looks like a long option is not a value: in `--out --quick` the value is missing. */
    if (*i + 1 == argc || !strncmp(argv[*i + 1], "--", 2)) return NULL;
    return argv[++*i];
}

static int one(const char *command, const Option *options, int argc, char **argv, int *i)
{
    const char *arg = argv[*i];
    size_t len = strcspn(arg, "=");
    const Option *o = find(options, arg, len);
    if (!o) return unknown(command, options, arg, len);
    if (!o->flag) return take(command, o, value_of(argc, argv, i));
    if (arg[len]) return usage_error(command, "%s takes no value", o->name);
    *o->flag = true;
    return FINE;
}

int options_parse(const char *command, int argc, char **argv, const Option *options, const char **file, int most)
{
    int files = 0, status = FINE;
    bool ended = false;
    for (int i = 1; i < argc && status == FINE; i++) {
        if (!ended && is_option(argv[i])) {
            ended = !strcmp(argv[i], "--");
            if (!ended) status = one(command, options, argc, argv, &i);
        } else if (!argv[i][0]) {
            status = usage_error(command, "a file's name is empty");
        } else if (files < most) {
            file[files++] = argv[i];
        } else {
            status =
                usage_error(command, most ? "unexpected argument '%s': one file at a time" : "unexpected argument '%s'", argv[i]);
        }
    }
    return status;
}
