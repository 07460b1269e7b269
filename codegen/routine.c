/* routine: the ops that compiled code leaves to the host table, and how their structs of host.h are filled. Computes nothing. */
#include "program.h"

#define CONV "n groups c o in . . taps . . out . . stride . . dilation . . spread . . low . ."
#define ATTENTION "n rows keys d e mask . . causal period before after scale cap" /* scale and cap: as bits */
_Static_assert(offsetof(HostConv, n) == sizeof(int64_t) && offsetof(HostConv, to) == 26 * sizeof(int64_t), "numbers have no gaps");

_Static_assert(offsetof(HostAttention, buf) == 15 * sizeof(int64_t), "numbers have no gaps");
_Static_assert(offsetof(HostFactor, buf) == 5 * sizeof(int64_t), "numbers have no gaps");
_Static_assert(offsetof(HostSort, buf) == 5 * sizeof(int64_t), "numbers have no gaps");

static const HostRoutine convolve = {OP_conv, 22, 3, true, false, offsetof(KilnHost, convolve), CONV};
static const HostRoutine attend = {0, 12, 2, false, false, offsetof(KilnHost, attend), ATTENTION};
static const HostRoutine factor = {0, 4, 0, false, true, offsetof(KilnHost, factor), "n rows columns how"};
static const HostRoutine sort = {0, 4, 0, false, false, offsetof(KilnHost, sort), "lines size after descending"};

const HostRoutine *host_routine(Op op)
{
    switch (op_def[op].role) {
    case ROLE_CONVOLVE: return &convolve;
    case ROLE_ATTEND: return &attend;
    case ROLE_FACTOR: return &factor;
    case ROLE_SORT: return &sort;
    default: return NULL;
    }
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

void attention_numbers(const int64_t *attr, const Dim *q, const Dim *k, const Dim *v, const Dim *mask, Dim *to)
{
    const struct attention_attrs *a = ATTRS(attention, attr);
    const Dim all[] = {q[0], q[1], k[1], q[2], v[2], mask[0], mask[1], mask[2], a->causal, a->period, a->before, a->after};
    memcpy(to, all, sizeof all);
}

bool factor_numbers(DimTable *t, const int64_t *attr, uint32_t nattr, uint32_t rank, const Dim *x, Dim *to)
{
    to[0] = 1;
    for (uint32_t i = 0; i + 2 < rank; i++) to[0] = dim_mul(t, to[0], x[i]);
    to[1] = x[rank - 2];
    to[2] = x[rank - 1];
    to[3] = 0;
    for (uint32_t i = 0; i < nattr; i++) to[3] |= attr[i] << i;
    return to[0] != DIM_BAD;
}

bool sort_numbers(DimTable *t, const int64_t *attr, uint32_t rank, const Dim *x, Dim *to)
{
    const struct sort_attrs *a = ATTRS(sort, attr); /* argsort has the same */
    to[0] = to[2] = 1;
    for (uint32_t i = 0; i < rank; i++) {
        Dim *part = &to[i < (uint32_t)a->axis ? 0 : 2];
        if (i == (uint32_t)a->axis)
            to[1] = x[i];
        else
            *part = dim_mul(t, *part, x[i]);
    }
    to[3] = a->descending;
    return to[0] != DIM_BAD && to[2] != DIM_BAD;
}
