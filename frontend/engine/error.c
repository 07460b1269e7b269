/* error: what a failed call leaves behind, which is made here alone: its code, its text, and the place in the user's program. The
 * first error of a thread is kept until it is cleared; those after it are counted. Names and paths in a text come from outside, so
 * the text is cut to a length and made one clean line. Relies on engine.h and escape.h. Never ends the program. */
#include "engine.h"
#include "escape.h"

#include <stdarg.h>
#include <stdio.h>

_Static_assert((int)KILN_EINTERNAL == (int)ST_INTERNAL && (int)KILN_EUNSUPPORTED == (int)ST_UNSUPPORTED, "codes match");

/* The text under the name of the composite that the user called, in place of the op's inside it. */
static int rename_op(Thread *t, size_t cap)
{
    char text[sizeof t->text], called[sizeof t->text];
    memcpy(text, t->text, sizeof text);
    const size_t name = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
    const char *rest = name && text[name] == ':' && text[name + 1] == ' ' ? text + name + 2 : text;
    return snprintf(t->text, cap, "%s: %s", called_text(t, called, sizeof called), rest);
}

const char *called_text(const Thread *t, char *to, size_t cap)
{
    const LateName *late = (const void *)t->called;
    if (*t->called) return t->called;
    late->write(late, to, cap);
    return to;
}

static kiln_site place_of_call(const Thread *t)
{
    const BodyRun *b = t->body;
    while (b && (!b->at.file || b->derived)) b = b->outer;
    return b ? b->at : (kiln_site){0};
}

kiln_tensor *fail(Thread *t, kiln_site at, kiln_code code, const char *format, ...)
{
    if (!t) return NULL;
    t->failures++;
    if (t->failure.code != KILN_OK) return &t->k->poison;
    if (!at.file) at = place_of_call(t);
    char place[200] = "";
    int end = code == KILN_EINTERNAL ? snprintf(place, sizeof place, " (a fault in Kiln: please report it)") : 0;
    if (at.file) snprintf(place + end, sizeof place - (size_t)end, "  %.120s:%d", at.file, at.line);
    const size_t cap = sizeof t->text - strlen(place);
    va_list args;
    va_start(args, format);
    int n = plain_vsnprintf(t->text, cap, format, args);
    va_end(args);
    if (t->called && n >= 0) n = rename_op(t, cap);
    if (n < 0) t->text[0] = '\0';
    if (n >= (int)cap) memcpy(t->text + cap - 4, "...", 4);
    strcat(t->text, place);
    text_line(t->text);
    t->failure = (kiln_failure){code, t->text, at.file, at.line};
    t->seen = false;
    return &t->k->poison;
}

void failure_at(Thread *t, kiln_site at)
{
    if (t->failure.code == KILN_OK || t->failure.file || !at.file) return;
    const size_t n = strlen(t->text);
    snprintf(t->text + n, sizeof t->text - n, "  %.120s:%d", at.file, at.line);
    t->failure.file = at.file;
    t->failure.line = at.line;
}

kiln_tensor *fail_status(Thread *t, kiln_site at, const Status *st)
{
    return fail(t, at, (kiln_code)(st->code ? st->code : ST_INTERNAL), "%s", st->text);
}

bool bordered(Thread *t, kiln_site at, Arena *a, void (*body)(void *), void *arg)
{
    Status st = {0};
    if (arena_try(a, &st, body, arg)) return true;
    fail_status(t, at, &st);
    return false;
}

kiln_code failure_take(Thread *t, char *text, size_t cap)
{
    const kiln_code code = t->failure.code;
    snprintf(text, cap, "%s", code == KILN_OK ? "" : t->text);
    t->failure.code = KILN_OK;
    return code;
}

void failure_aside(Thread *t, FailureAside *f)
{
    f->failure = t->failure;
    f->failures = t->failures;
    f->seen = t->seen;
    memcpy(f->text, t->text, sizeof f->text);
    t->failure.code = KILN_OK;
}

void failure_back(Thread *t, const FailureAside *f)
{
    t->failure = f->failure;
    t->failures = f->failures;
    t->seen = f->seen;
    memcpy(t->text, f->text, sizeof f->text);
}

bool kiln_failed(kiln *k)
{
    Thread *t = thread_of(k);
    return !t || t->failure.code != KILN_OK;
}

const kiln_failure *kiln_error(kiln *k)
{
    static const kiln_failure none = {KILN_OK, "", NULL, 0}, nothing = {KILN_EMEMORY, "no engine, or no memory", NULL, 0};
    Thread *t = thread_of(k);
    if (!t) return &nothing;
    t->seen = true;
    return t->failure.code == KILN_OK ? &none : &t->failure;
}

void kiln_clear(kiln *k)
{
    Thread *t = thread_of(k);
    if (t) t->failure = (kiln_failure){KILN_OK, NULL, NULL, 0};
}
