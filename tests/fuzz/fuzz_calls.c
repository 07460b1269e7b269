/* fuzz calls: bytes as a sequence of public calls over a few tensors and variables, sensible or not: each call succeeds or leaves an error,
 * and closing finds nothing lost. */
#include "fuzz.h"

enum { SLOTS = 6 };

typedef struct Input { const uint8_t *at; size_t left; } Input;

static uint8_t byte(Input *in)
{
    if (in->left == 0) return 0;
    in->left--;
    return *in->at++;
}

/* Mostly small, sometimes far out. */
static int64_t number(Input *in)
{
    static const int64_t odd[] = {-1, 0, INT64_MAX, INT64_MIN, (int64_t)1 << 48, -7, 255, 65536};
    uint8_t b = byte(in);
    return b < 232 ? b % 5 : odd[b % 8];
}

static kiln_shape shape(Input *in)
{
    kiln_shape s = {.rank = byte(in) % 10};
    if (s.rank == 9) s.rank = number(in);
    for (int i = 1; i <= KILN_MAX_RANK; i++) s.size[i] = number(in);
    return s;
}

static kiln_axes axes(Input *in)
{
    kiln_axes a = {0};
    a.count = byte(in) % 4;
    for (int i = 1; i <= a.count; i++) a.axis[i] = (int)number(in);
    return byte(in) % 4 == 0 ? KILN_ALL : a;
}

static kiln_tensor *made(kiln *k, Input *in)
{
    kiln_dtype t = (kiln_dtype)(byte(in) % 20 - 3);
    switch (byte(in) % 3) {
    case 0: return kiln_full(k, t, shape(in), number(in));
    case 1: return kiln_iota(k, t, shape(in), (int)number(in));
    default: return kiln_scalar(k, KILN_F32, number(in));
    }
}

static kiln_tensor *applied(Input *in, kiln_tensor *a, kiln_tensor *b)
{
    switch (byte(in) % 22) {
    case 0: return kiln_add(a, b);
    case 1: return kiln_mul(a, b);
    case 2: return kiln_div(a, b);
    case 3: return kiln_matmul(a, b);
    case 4: return kiln_reshape(a, shape(in));
    case 5: return kiln_transpose(a, axes(in));
    case 6: return kiln_broadcast(a, shape(in));
    case 7: return kiln_slice(a, (int)number(in), number(in), number(in), number(in));
    case 8: return kiln_pad(a, shape(in), shape(in), 1);
    case 9: return kiln_concat(((kiln_tensor *[]){a, b, a}), byte(in) % 4, (int)number(in));
    case 10: return kiln_gather(a, b, (int)number(in));
    case 11: return kiln_sum(a, axes(in));
    case 12: return kiln_reduce_max(a, axes(in));
    case 13: return kiln_argmax(a, (int)number(in));
    case 14: return kiln_softmax(a, (int)number(in));
    case 15: return kiln_cast(a, (kiln_dtype)(byte(in) % 20 - 3));
    case 16: return kiln_floor_div(a, b);
    case 17: return kiln_exp(a);
    case 18: return kiln_one_hot(a, number(in), KILN_F32);
    case 19: return kiln_expand(a, (int)number(in));
    case 20: return kiln_squeeze(a, (int)number(in));
    default: return kiln_mean(a, axes(in));
    }
}

/* Results too large to fill are not worth a fuzzer's time. */
static bool small(const kiln_tensor *t) { return kiln_bytes(t) <= 1 << 16; }

static void step(kiln *k, Input *in, kiln_tensor **slot, kiln_variable *v)
{
    kiln_tensor **to = &slot[byte(in) % SLOTS], *a = slot[byte(in) % SLOTS], *b = slot[byte(in) % SLOTS], *r = a;
    switch (byte(in) % 6) {
    case 0: r = made(k, in); break;
    case 1: kiln_assign(v, a); break;
    case 2: r = kiln_value(v); break;
    case 3: {
        KILN_TAPE(k, tape);
        kiln_tensor *x = kiln_watch(tape, a), *y = applied(in, x, b);
        r = kiln_gradient(tape, y, x);
        break;
    }
    default: r = applied(in, a, b);
    }
    if (kiln_failed(k) || !small(r)) {
        kiln_clear(k);
        return;
    }
    fuzz_touch(r);
    kiln_clear(k);
    *to = r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = {data, size};
    kiln *k = fuzz_open();
    {
        KILN_SCOPE(k);
        kiln_tensor *slot[SLOTS];
        for (int i = 0; i < SLOTS; i++) slot[i] = kiln_full(k, i % 2 ? KILN_F32 : KILN_I64, KILN_SHAPE(2, i), i);
        kiln_variable *v = kiln_variable_new(k, "v", kiln_ones(k, KILN_F32, KILN_SHAPE(2, 3)));
        for (int i = 0; i < 64 && in.left != 0; i++) step(k, &in, slot, v);
    }
    if (kiln_close(k) != 0) abort();
    return 0;
}
