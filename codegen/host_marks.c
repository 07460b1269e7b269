/* host_marks: see host_marks.h. What a mark itself takes counts for the step that it ends. */
#include "host_marks.h"

#include "../runtime/base.h"

void host_marks_end(HostMarks *m)
{
    const double now = clock_seconds();
    if (m->now) m->now->seconds += now - m->since;
    m->since = now;
    m->now = NULL;
}

void host_mark(const KilnHost *h, int64_t number)
{
    HostMarks *m = h->marks;
    if (!m) return;
    host_marks_end(m);
    m->now = &m->at[number < 0 ? -1 - number : number];
    m->now->times += number >= 0;
}
