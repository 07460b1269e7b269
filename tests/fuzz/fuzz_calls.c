/* fuzz calls: bytes as a sequence of public calls over a few tensors and variables: each call succeeds or leaves an error, and closing finds
 * nothing lost. */
#include "calls.h"

enum { SLOTS = 6, STEPS = 64 };

static void step(kiln *k, Input *in, kiln_tensor **slot, kiln_variable *v)
{
    uint8_t kind = byte(in), which = byte(in);
    kiln_tensor **to = &slot[kind / 16 % SLOTS], *a = slot[which % SLOTS], *b = slot[which / 8 % SLOTS], *r = a;
    switch (kind % 16) {
    case 0: r = made(k, in); break;
    case 1: kiln_assign(v, a); break;
    case 2: kiln_assign_add(v, a); break;
    case 3: kiln_assign_slice_at(HERE, v, byte(in) % 4, (kiln_operand[]){kiln_of_i(number(in)), KILN_OPERAND(b), kiln_of_i(0)}, KILN_OPERAND(a)); break;
    case 4: r = kiln_value(v); break;
    case 5: {
        KILN_TAPE(k, tape);
        kiln_tensor *x = kiln_watch(tape, a), *y = applied(in, x, b);
        r = small(y) ? kiln_gradient(tape, y, x) : y;
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
        for (int i = 0; i < STEPS && in.left != 0; i++) step(k, &in, slot, v);
    }
    if (kiln_close(k) != 0) abort();
    return 0;
}
