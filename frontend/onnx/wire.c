/* wire: see wire.h. */
#include "wire.h"

#define LAST_NUMBER ((1u << 29) - 1)

static bool broken(Wire *w, const char *why)
{
    w->bad = why;
    return false;
}

bool wire_varint(Wire *w, uint64_t *value)
{
    *value = 0;
    if (w->bad || w->at == w->end) return false;
    for (int shift = 0; shift < 64; shift += 7) {
        if (w->at == w->end) return broken(w, "a number goes beyond the end");
        const uint8_t b = *w->at++;
        if (shift == 63 && b > 1) break;
        *value |= (uint64_t)(b & 127) << shift;
        if (b < 128) return true;
    }
    return broken(w, "a number has more than 64 bits");
}

static bool wire_fixed(Wire *w, size_t bytes, uint64_t *value)
{
    *value = 0;
    if (w->bad || w->at == w->end) return false;
    if ((size_t)(w->end - w->at) < bytes) return broken(w, "a number goes beyond the end");
    for (size_t i = bytes; i-- > 0;) *value = *value << 8 | w->at[i];
    w->at += bytes;
    return true;
}

bool wire_next(Wire *w, WireField *f)
{
    uint64_t tag, n;
    if (!wire_varint(w, &tag)) return false;
    *f = (WireField){.number = (uint32_t)(tag >> 3), .type = (WireType)(tag & 7)};
    if (tag >> 3 == 0 || tag >> 3 > LAST_NUMBER) return broken(w, "a field has a number that none may have");
    f->bytes.at = w->at;
    switch (f->type) {
    case WIRE_VARINT:
        if (!wire_varint(w, &f->value)) return broken(w, w->bad ? w->bad : "a field has no value");
        break;
    case WIRE_FIXED64:
    case WIRE_FIXED32:
        if (!wire_fixed(w, f->type == WIRE_FIXED64 ? 8 : 4, &f->value)) return broken(w, w->bad ? w->bad : "a field has no value");
        break;
    case WIRE_BYTES:
        if (!wire_varint(w, &n)) return broken(w, w->bad ? w->bad : "a field has no length");
        if (n > (uint64_t)(w->end - w->at)) return broken(w, "a length goes beyond the end");
        f->bytes.at = w->at;
        w->at += n;
        break;
    default: return broken(w, "a field has a type that there is no longer, or never was");
    }
    f->bytes.n = (size_t)(w->at - f->bytes.at);
    return true;
}
