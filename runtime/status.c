/* status: records what went wrong in the outside world, and writes the last message of a debug build. Relies on base.h alone. Never
 * allocates, so that it can report exhausted memory. */
#include "base.h"

#include <stdio.h>

bool status_fail(Status *st, StatusCode code, const char *format, ...)
{
    if (!st || st->code != ST_OK) return false;
    CHECK(code != ST_OK);
    va_list args;
    va_start(args, format);
    int n = plain_vsnprintf(st->text, sizeof st->text, format, args);
    va_end(args);
    if (n < 0) st->text[0] = '\0';
    if (n >= (int)sizeof st->text) memcpy(st->text + sizeof st->text - 4, "...", 4);
    st->code = code;
    return false;
}

#ifdef KILN_DEBUG
void check_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
    abort();
}
#endif
