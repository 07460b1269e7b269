/* routine: the ops that compiled code leaves to the host table, and how their structs of host.h are filled. Computes nothing. */
#include "program.h"

_Static_assert(offsetof(HostConv, n) == sizeof(int64_t) && offsetof(HostConv, to) == 26 * sizeof(int64_t), "numbers have no gaps");

static const HostRoutine routine[] = {
    {OP_conv, 0, 22, 3, 1, 2, true, offsetof(KilnHost, convolve),
        "n groups c o in . . taps . . out . . stride . . dilation . . spread . . low . ."},
    {OP_conv_filter, 1, 22, 3, 1, 2, true, offsetof(KilnHost, convolve),
        "n groups c o in . . taps . . out . . stride . . dilation . . spread . . low . ."},
};

const HostRoutine *host_routine(Op op)
{
    for (size_t i = 0; i < COUNT_OF(routine); i++)
        if (routine[i].op == op) return &routine[i];
    return NULL;
}

void conv_numbers(Op op, const int64_t *attr, uint32_t rank, const Dim *x, const Dim *w, const Dim *y, Dim *to)
{
    const struct conv_attrs *a = ATTRS(conv, attr); /* conv_filter's begin in the same way, without spread */
    const Dim alone[4] = {x[0], a->groups, w[rank - 2], w[rank - 1] / a->groups};
    memcpy(to, alone, sizeof alone);
    for (uint32_t j = 0; j < 3; j++) {
        const bool there = j + rank >= 5;
        const uint32_t i = j + rank - 5;
        const Dim of[6] = {there ? x[1 + i] : 1, there ? w[i] : 1, there ? y[1 + i] : 1, a->stride[j], a->dilation[j],
            op == OP_conv ? a->spread[j] : 1};
        for (uint32_t at = 0; at < 6; at++) to[4 + 3 * at + j] = of[at];
    }
}
