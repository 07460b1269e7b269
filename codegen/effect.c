/* effect: see effect.h. Compiled code does the same in place (cpu/emit_effect.c). Never knows what
 * an effect is about. */
#include "effect.h"

static bool all_hold(const uint8_t *ok, const int64_t *type)
{
    int64_t n = 1;
    for (int64_t i = 0; i < type[1]; i++) n *= type[2 + i];
    for (int64_t i = 0; i < n; i++)
        if (!ok[i]) return false;
    return true;
}

int32_t effect_run(const KilnHost *host, const Step *s, void *const *buf, const int64_t *type)
{
    if (s->effect.op == OP_assert && all_hold(buf[0], type)) return 0;
    if (host && host->effect) return host->effect(host, s->effect.number, s->effect.nin, s->effect.nout, buf, type);
    return s->effect.op == OP_assert ? ST_VALUE : s->effect.op == OP_callback ? ST_STATE : 0;
}
