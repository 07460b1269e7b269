/* wire: the fields of protobuf's wire format, one after the other, out of bytes that anybody may have written. Every number and
 * length is checked against the end of the message before it is used. Knows no message. Format:
 * https://protobuf.dev/programming-guides/encoding. */
#ifndef KILN_FRONTEND_ONNX_WIRE_H
#define KILN_FRONTEND_ONNX_WIRE_H

#include "../../runtime/base.h"

/* Bytes of somebody else. */
typedef struct Bytes {
    const uint8_t *at;
    size_t n;
} Bytes;

static inline bool bytes_equal(Bytes a, Bytes b) { return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0); }

typedef struct Wire { /* what is left of a message */
    const uint8_t *at, *end;
    const char *bad; /* why nothing more can be read; NULL: the message is right so far */
} Wire;

typedef enum WireType { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_GROUP, WIRE_GROUP_END, WIRE_FIXED32 } WireType;

typedef struct WireField {
    uint32_t number;
    WireType type;
    uint64_t value; /* of a varint, or the bits of a fixed number */
    Bytes bytes;    /* of any type: what is encoded, without tag and length */
} WireField;

static inline Wire wire_of(Bytes b) { return (Wire){b.at, b.at + b.n, NULL}; }
/* False: there is none, because the message ends or `bad` says why. */
bool wire_varint(Wire *w, uint64_t *value);
bool wire_next(Wire *w, WireField *f);

#endif
