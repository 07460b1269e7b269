/* module: modules in text form from files, for `kiln compile` and `kiln run`, and what is wrong with them. */
#include "module.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)1 << 28)

bool module_read(const char *command, const char *path, Text *text)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    char part[65536];
    size_t got = 1;
    while (f && got && text->len < TEXT_MAX && !text->failed) {
        got = fread(part, 1, sizeof part, f);
        text_add(text, part, got);
    }
    bool ok = f && !ferror(f) && !got && !text->failed;
    if (!ok)
        say("kiln %s: %s: %s", command, path,
            text->len >= TEXT_MAX ? "larger than 256 MiB"
            : text->failed        ? "no memory"
                                  : strerror(errno));
    if (f && f != stdin) fclose(f);
    if (!ok || text->len < 4 || memcmp(text->at, "\177ELF", 4) != 0) return ok;
    say("kiln %s: %s: an object or a program; what is wanted is a module in text form, of which kiln compile makes objects",
        command, path);
    return false;
}

int module_dims(const char *command, const char *const *dim, int n, kiln_run_dim *to, char *name)
{
    for (int i = 0; i < n; i++) {
        const char *equals = strchr(dim[i], '=');
        const size_t len = equals ? (size_t)(equals - dim[i]) : 0;
        char *end = NULL;
        errno = 0;
        const long long size = equals ? strtoll(equals + 1, &end, 10) : -1;
        if (!len || end == equals + 1 || *end || size < 0 || errno == ERANGE)
            return usage_error(command, "--dim: '%s' is not NAME=VALUE with a VALUE from 0 to 2^63-1", dim[i]);
        memcpy(name, dim[i], len);
        name[len] = 0;
        to[i] = (kiln_run_dim){name, size};
        name += len + 1;
    }
    return FINE;
}

int module_error(const char *command, const char *file, kiln *k)
{
    const kiln_failure *e = kiln_error(k);
    size_t line = strspn(e->text, "0123456789"), place = line + 1;
    if (line && e->text[line] == ':') place += strspn(e->text + place, "0123456789");
    if (place <= line + 1 || e->text[place] != ':') place = 0;
    if (!place && e->code == KILN_EIO) return engine_error(command, k), NO_RESOURCE; /* the module is read: it is what is written */
    if (!place && e->code != KILN_EFORMAT) return engine_error(command, k);
    if (!strcmp(file, "-")) file = "<stdin>";
    if (place)
        say("%s:%.*s: error:%s", file, (int)place, e->text, e->text + place + 1);
    else
        say("%s: error: %s", file, e->text);
    kiln_clear(k);
    return BAD_INPUT;
}
