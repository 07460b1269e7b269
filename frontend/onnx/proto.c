/* proto: see proto.h. What a message has is a table; one loop reads them all. It goes over each message twice: to count what is
 * repeated, and to store it. */
#include "proto.h"

typedef enum FieldKind {
    F_INT,
    F_FLOAT,
    F_BYTES,
    F_MESSAGE,
    F_TEXTS,    /* a list of Bytes */
    F_MESSAGES, /* a list of structs */
    F_VARINTS,  /* numbers that stay encoded */
    F_FOURS,
    F_EIGHTS
} FieldKind;

typedef struct Field {
    uint32_t number;
    FieldKind kind;
    uint16_t at;
    const struct Message *of;
} Field;

typedef struct Message {
    const char *name;
    size_t size;
    const Field *field;
    uint32_t count;
} Message;

#define MOST_FIELDS 16
#define MESSAGE(name, T)                                                             \
    _Static_assert(COUNT_OF(fields_##name) <= MOST_FIELDS, "what a loop counts in"); \
    static const Message message_##name = {#name, sizeof(T), fields_##name, COUNT_OF(fields_##name)};
#define AT(T, member) offsetof(T, member), NULL
#define OF(T, member, message) offsetof(T, member), &message_##message

/* Messages that hold themselves by way of others. */
static const Message message_graph, message_type;

static const Field fields_entry[] = {{1, F_BYTES, AT(OnnxEntry, key)}, {2, F_BYTES, AT(OnnxEntry, value)}};
MESSAGE(entry, OnnxEntry)

static const Field fields_tensor[] = {{1, F_VARINTS, AT(OnnxTensor, dims)}, {2, F_INT, AT(OnnxTensor, type)},
    {3, F_BYTES, AT(OnnxTensor, segment)}, {4, F_FOURS, AT(OnnxTensor, floats)}, {5, F_VARINTS, AT(OnnxTensor, ints)},
    {6, F_TEXTS, AT(OnnxTensor, strings)}, {7, F_VARINTS, AT(OnnxTensor, longs)}, {8, F_BYTES, AT(OnnxTensor, name)},
    {9, F_BYTES, AT(OnnxTensor, raw)}, {10, F_EIGHTS, AT(OnnxTensor, doubles)}, {11, F_VARINTS, AT(OnnxTensor, unsigneds)},
    {13, F_MESSAGES, OF(OnnxTensor, external, entry)}, {14, F_INT, AT(OnnxTensor, location)}};
MESSAGE(tensor, OnnxTensor)

static const Field fields_sparse[] = {{1, F_MESSAGE, OF(OnnxSparse, values, tensor)},
    {2, F_MESSAGE, OF(OnnxSparse, indices, tensor)}, {3, F_VARINTS, AT(OnnxSparse, dims)}};
MESSAGE(sparse, OnnxSparse)

static const Field fields_sequence[] = {{1, F_BYTES, AT(OnnxSequence, name)}, {2, F_INT, AT(OnnxSequence, type)},
    {3, F_MESSAGES, OF(OnnxSequence, tensors, tensor)}, {4, F_TEXTS, AT(OnnxSequence, sparse)},
    {5, F_TEXTS, AT(OnnxSequence, sequences)}, {6, F_TEXTS, AT(OnnxSequence, maps)}, {7, F_TEXTS, AT(OnnxSequence, optionals)}};
MESSAGE(sequence, OnnxSequence)
static const Field fields_optional[] = {{1, F_BYTES, AT(OnnxOptional, name)}, {2, F_INT, AT(OnnxOptional, type)},
    {3, F_MESSAGE, OF(OnnxOptional, tensor, tensor)}, {4, F_BYTES, AT(OnnxOptional, sparse)},
    {5, F_MESSAGE, OF(OnnxOptional, sequence, sequence)}, {6, F_BYTES, AT(OnnxOptional, map)},
    {7, F_BYTES, AT(OnnxOptional, optional)}};
MESSAGE(optional, OnnxOptional)

static const Field fields_dim[] = {{1, F_INT, AT(OnnxDim, value)}, {2, F_BYTES, AT(OnnxDim, name)}};
MESSAGE(dim, OnnxDim)
static const Field fields_shape[] = {{1, F_MESSAGES, OF(OnnxShape, dim, dim)}};
MESSAGE(shape, OnnxShape)
static const Field fields_array[] = {{1, F_INT, AT(OnnxArray, type)}, {2, F_MESSAGE, OF(OnnxArray, shape, shape)}};
MESSAGE(array, OnnxArray)
static const Field fields_of[] = {{1, F_MESSAGE, OF(OnnxOf, type, type)}};
MESSAGE(of, OnnxOf)
static const Field fields_type[] = {{1, F_MESSAGE, OF(OnnxType, tensor, array)}, {4, F_MESSAGE, OF(OnnxType, sequence, of)},
    {5, F_BYTES, AT(OnnxType, map)}, {7, F_BYTES, AT(OnnxType, opaque)}, {8, F_MESSAGE, OF(OnnxType, sparse, array)},
    {9, F_MESSAGE, OF(OnnxType, optional, of)}};
MESSAGE(type, OnnxType)

static const Field fields_value[] = {{1, F_BYTES, AT(OnnxValue, name)}, {2, F_MESSAGE, OF(OnnxValue, type, type)}};
MESSAGE(value, OnnxValue)

static const Field fields_attribute[] = {{1, F_BYTES, AT(OnnxAttribute, name)}, {2, F_FLOAT, AT(OnnxAttribute, f)},
    {3, F_INT, AT(OnnxAttribute, i)}, {4, F_BYTES, AT(OnnxAttribute, s)}, {5, F_MESSAGE, OF(OnnxAttribute, t, tensor)},
    {6, F_MESSAGE, OF(OnnxAttribute, g, graph)}, {7, F_FOURS, AT(OnnxAttribute, floats)}, {8, F_VARINTS, AT(OnnxAttribute, ints)},
    {9, F_TEXTS, AT(OnnxAttribute, strings)}, {10, F_MESSAGES, OF(OnnxAttribute, tensors, tensor)},
    {11, F_MESSAGES, OF(OnnxAttribute, graphs, graph)}, {20, F_INT, AT(OnnxAttribute, type)},
    {21, F_BYTES, AT(OnnxAttribute, reference)}, {22, F_MESSAGE, OF(OnnxAttribute, sparse, sparse)}};
MESSAGE(attribute, OnnxAttribute)

static const Field fields_node[] = {{1, F_TEXTS, AT(OnnxNode, input)}, {2, F_TEXTS, AT(OnnxNode, output)},
    {3, F_BYTES, AT(OnnxNode, name)}, {4, F_BYTES, AT(OnnxNode, op)}, {5, F_MESSAGES, OF(OnnxNode, attribute, attribute)},
    {7, F_BYTES, AT(OnnxNode, domain)}, {8, F_BYTES, AT(OnnxNode, overload)}};
MESSAGE(node, OnnxNode)

static const Field fields_graph[] = {{1, F_MESSAGES, OF(OnnxGraph, node, node)}, {2, F_BYTES, AT(OnnxGraph, name)},
    {5, F_MESSAGES, OF(OnnxGraph, initializer, tensor)}, {11, F_MESSAGES, OF(OnnxGraph, input, value)},
    {12, F_MESSAGES, OF(OnnxGraph, output, value)}, {13, F_MESSAGES, OF(OnnxGraph, value, value)},
    {15, F_MESSAGES, OF(OnnxGraph, sparse_initializer, sparse)}};
MESSAGE(graph, OnnxGraph)

static const Field fields_opset[] = {{1, F_BYTES, AT(OnnxOpset, domain)}, {2, F_INT, AT(OnnxOpset, version)}};
MESSAGE(opset, OnnxOpset)

static const Field fields_function[] = {{1, F_BYTES, AT(OnnxFunction, name)}, {4, F_TEXTS, AT(OnnxFunction, input)},
    {5, F_TEXTS, AT(OnnxFunction, output)}, {7, F_MESSAGES, OF(OnnxFunction, node, node)},
    {9, F_MESSAGES, OF(OnnxFunction, opset, opset)}, {10, F_BYTES, AT(OnnxFunction, domain)},
    {11, F_MESSAGES, OF(OnnxFunction, attribute, attribute)}, {13, F_BYTES, AT(OnnxFunction, overload)}};
MESSAGE(function, OnnxFunction)

static const Field fields_training[] = {{1, F_MESSAGE, OF(OnnxTraining, initialization, graph)},
    {2, F_MESSAGE, OF(OnnxTraining, algorithm, graph)}, {3, F_MESSAGES, OF(OnnxTraining, initialization_binding, entry)},
    {4, F_MESSAGES, OF(OnnxTraining, update_binding, entry)}};
MESSAGE(training, OnnxTraining)

static const Field fields_model[] = {{1, F_INT, AT(OnnxModel, ir_version)}, {2, F_BYTES, AT(OnnxModel, producer)},
    {3, F_BYTES, AT(OnnxModel, producer_version)}, {4, F_BYTES, AT(OnnxModel, domain)}, {5, F_INT, AT(OnnxModel, version)},
    {7, F_MESSAGE, OF(OnnxModel, graph, graph)}, {8, F_MESSAGES, OF(OnnxModel, opset, opset)},
    {20, F_MESSAGES, OF(OnnxModel, training, training)}, {25, F_MESSAGES, OF(OnnxModel, function, function)}};
MESSAGE(model, OnnxModel)

/* ---- reading ----------------------------------------------------------------------------------------- */

typedef LIST(void) AnyList; /* all lists lie in memory like this one */

typedef struct Reader {
    Arena *arena;
    const uint8_t *base;
    uint64_t room; /* bytes that structs may still take: an empty message has two bytes in a file */
    Status *st;
} Reader;

static bool wrong(const Reader *r, const Message *m, const uint8_t *at, const char *why)
{
    return status_fail(r->st, ST_FORMAT, "at byte %llu, in a message %s: %s", (unsigned long long)(at - r->base), m->name, why);
}

static void *room_for(Reader *r, const Message *m, const uint8_t *at, size_t n, size_t size)
{
    if (n != 0 && size > r->room / n) {
        wrong(r, m, at, "the file is made of too many small messages");
        return NULL;
    }
    r->room -= n * size;
    return arena_zeros(r->arena, n, size);
}

static uint32_t field_of(const Message *m, uint32_t number) /* m->count: there is none */
{
    uint32_t i = 0;
    while (i < m->count && m->field[i].number != number) i++;
    return i;
}

static WireType wire_type(FieldKind k)
{
    return k == F_INT || k == F_VARINTS   ? WIRE_VARINT
           : k == F_FLOAT || k == F_FOURS ? WIRE_FIXED32
           : k == F_EIGHTS                ? WIRE_FIXED64
                                          : WIRE_BYTES;
}

static bool is_numbers(FieldKind k) { return k >= F_VARINTS; }

/* How many elements, or of encoded numbers bytes, each field has; pieces: how many pieces. */
static bool count_fields(Reader *r, const Message *m, Bytes bytes, size_t *count, uint32_t *pieces)
{
    Wire w = wire_of(bytes);
    WireField f;
    while (wire_next(&w, &f)) {
        const uint32_t i = field_of(m, f.number);
        if (i == m->count) continue;
        const FieldKind k = m->field[i].kind;
        if (f.type != wire_type(k) && !(is_numbers(k) && f.type == WIRE_BYTES))
            return wrong(r, m, f.bytes.at, "a field is encoded as another type than it has");
        count[i] += is_numbers(k) ? f.bytes.n : 1;
        pieces[i]++;
        if (k == F_MESSAGE && pieces[i] > 1) return wrong(r, m, f.bytes.at, "a field that there is once stands there twice");
        if (pieces[i] == UINT32_MAX) return wrong(r, m, f.bytes.at, "a field is repeated too often");
    }
    return !w.bad || wrong(r, m, w.at, w.bad);
}

static bool read_message(Reader *r, const Message *m, Bytes bytes, int depth, void *to);

/* Numbers of one piece stay where they are; others are put together. */
static void add_numbers(Numbers *to, Bytes piece, bool whole)
{
    if (whole)
        *to = piece;
    else if (piece.n != 0) /* of empty pieces alone there is no room */
        memcpy((uint8_t *)(uintptr_t)to->at + to->n, piece.at, piece.n), to->n += piece.n;
}

static bool store(Reader *r, const Message *m, const Field *f, const WireField *x, int depth, bool whole, void *to)
{
    void *at = (char *)to + f->at;
    AnyList *list = at;
    switch (f->kind) {
    case F_INT: *(int64_t *)at = (int64_t)x->value; return true;
    case F_FLOAT: {
        const uint32_t bits = (uint32_t)x->value;
        memcpy(at, &bits, sizeof bits);
        return true;
    }
    case F_BYTES: *(Bytes *)at = x->bytes; return true;
    case F_TEXTS: ((Bytes *)list->at)[list->n++] = x->bytes; return true;
    case F_MESSAGE:
        *(void **)at = room_for(r, m, x->bytes.at, 1, f->of->size);
        return *(void **)at && read_message(r, f->of, x->bytes, depth + 1, *(void **)at);
    case F_MESSAGES: return read_message(r, f->of, x->bytes, depth + 1, (char *)list->at + f->of->size * list->n++);
    default: add_numbers(at, x->bytes, whole); return true;
    }
}

static bool read_message(Reader *r, const Message *m, Bytes bytes, int depth, void *to)
{
    size_t count[MOST_FIELDS] = {0};
    uint32_t pieces[MOST_FIELDS] = {0};
    Wire w = wire_of(bytes);
    WireField x;
    if (depth > PROTO_DEPTH) return wrong(r, m, bytes.at, "messages lie too deep within each other");
    if (!count_fields(r, m, bytes, count, pieces)) return false;
    for (uint32_t i = 0; i < m->count; i++) {
        const Field *f = &m->field[i];
        void **at = (void **)(void *)((char *)to + f->at);
        const size_t size = f->kind == F_TEXTS      ? sizeof(Bytes)
                            : f->kind == F_MESSAGES ? f->of->size
                                                    : is_numbers(f->kind) && pieces[i] > 1;
        if (size == 0 || count[i] == 0) continue;
        *at = room_for(r, m, bytes.at, count[i], size);
        if (!*at) return false;
    }
    while (wire_next(&w, &x)) {
        const uint32_t i = field_of(m, x.number);
        if (i < m->count && !store(r, m, &m->field[i], &x, depth, pieces[i] == 1, to)) return false;
    }
    return true;
}

static void *read_whole(Arena *a, const Message *m, Bytes bytes, Status *st)
{
    Reader r = {a, bytes.at, ((uint64_t)64 << 20) + 16 * (uint64_t)bytes.n, st};
    void *to = arena_zeros(a, 1, m->size);
    return read_message(&r, m, bytes, 0, to) ? to : NULL;
}

OnnxModel *proto_model(Arena *a, Bytes bytes, Status *st) { return read_whole(a, &message_model, bytes, st); }
OnnxTensor *proto_tensor(Arena *a, Bytes bytes, Status *st) { return read_whole(a, &message_tensor, bytes, st); }
OnnxSequence *proto_sequence(Arena *a, Bytes bytes, Status *st) { return read_whole(a, &message_sequence, bytes, st); }
OnnxOptional *proto_optional(Arena *a, Bytes bytes, Status *st) { return read_whole(a, &message_optional, bytes, st); }

int64_t numbers_count(Numbers n)
{
    Wire w = wire_of(n);
    uint64_t value;
    int64_t count = 0;
    while (wire_varint(&w, &value)) count++;
    return w.bad ? -1 : count;
}
