/* cases: see cases.h. */
#include "cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

char *cases_read(Arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail_msg("%s does not open; tests run in the root of the project", path);
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)ftell(f);
    rewind(f);
    char *text = arena_alloc(a, n + 1);
    assert_int_equal(fread(text, 1, n, f), n);
    text[n] = '\0';
    fclose(f);
    return text;
}

bool cases_next(const char **at, const char *mark, TextCase *c)
{
    const char *title = strstr(*at, mark);
    if (title == NULL) return false;
    title += strlen(mark);
    const char *line = strchr(title, '\n'), *end = line != NULL ? strstr(line, mark) : NULL;
    if (line == NULL) fail_msg("a case without text: %.60s", title);
    snprintf(c->title, sizeof c->title, "%.*s", (int)(line - title), title);
    snprintf(c->name, sizeof c->name, "%.*s", (int)strcspn(c->title, ";"), c->title);
    c->text = line + 1;
    c->len = end != NULL ? (size_t)(end - c->text) : strlen(c->text);
    *at = c->text + c->len;
    return true;
}
