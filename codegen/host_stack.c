/* host_stack: see host_stack.h. Sizes double, so that a loop of n steps copies its stack about twice. */
#include "host_stack.h"

#include "../runtime/base.h"

enum { STACK_FIRST = 4096, STACK_ALIGN = 64 };

void *host_stack_grow(const KilnHost *h, int64_t number, int64_t bytes, int64_t *capacity)
{
    HostStack *s = &h->stacks[number];
    int64_t n = MAX_OF(s->bytes, STACK_FIRST);
    while (n < bytes && n <= INT64_MAX / 2) n *= 2;
    if (n < bytes) n = bytes;
    if (n > s->bytes) {
        void *at = mem_alloc_aligned((size_t)n, STACK_ALIGN);
        if (!at) {
            s->refused = n;
            return NULL;
        }
        if (s->bytes != 0) memcpy(at, s->at, (size_t)s->bytes);
        mem_free_aligned(s->at, (size_t)s->bytes, STACK_ALIGN);
        *s = (HostStack){.at = at, .bytes = n};
    }
    *capacity = s->bytes;
    return s->at;
}

void host_stacks_free(HostStack *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (s[i].at) mem_free_aligned(s[i].at, (size_t)s[i].bytes, STACK_ALIGN);
}
