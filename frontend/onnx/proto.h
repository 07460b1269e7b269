/* proto: ONNX's messages as structs, of which all texts and numbers stay in the bytes that were read. Names and numbers of fields
 * are those of onnx.proto (IR version 14); a field that Kiln has no use for, such as documentation, is skipped. Checks the form
 * alone: what the numbers mean is model.c's. Relies on wire.h. */
#ifndef KILN_FRONTEND_ONNX_PROTO_H
#define KILN_FRONTEND_ONNX_PROTO_H

#include "wire.h"

#define LIST(T)     \
    struct {        \
        T *at;      \
        uint32_t n; \
    }
typedef Bytes Numbers; /* as they are encoded, one after the other: varints, or numbers of four or eight bytes */

typedef struct OnnxEntry {
    Bytes key, value;
} OnnxEntry;

struct OnnxSparse;
typedef struct OnnxTensor {
    Bytes name;
    int64_t type; /* of onnx.proto's DataType */
    Numbers dims; /* varints */
    Bytes raw;
    Numbers floats, doubles;        /* four and eight bytes each */
    Numbers ints, longs, unsigneds; /* varints: int32_data, int64_data, uint64_data */
    LIST(Bytes) strings;
    LIST(OnnxEntry) external;
    int64_t location; /* 1: what it holds is in another file, which `external` names */
    Bytes segment;
    const struct OnnxSparse *sparse; /* sparse.c's: it is this one, whole; nothing else of it holds elements. NULL: it is not */
} OnnxTensor;

typedef struct OnnxSparse {
    OnnxTensor *values, *indices;
    Numbers dims;
} OnnxSparse;

/* Values that are no tensors, of files alone: what Kiln does not have in them is told apart only. */
typedef struct OnnxSequence {
    Bytes name;
    int64_t type; /* of its elements: 0: not stated, 1: tensors */
    LIST(OnnxTensor) tensors;
    LIST(Bytes) sparse, sequences, maps, optionals;
} OnnxSequence;

typedef struct OnnxOptional {
    Bytes name;
    int64_t type; /* 0: there is nothing in it; 1: a tensor; 3: a sequence */
    OnnxTensor *tensor;
    OnnxSequence *sequence;
    Bytes sparse, map, optional;
} OnnxOptional;

typedef struct OnnxDim {
    int64_t value; /* if it has no name, and 0 if it has neither */
    Bytes name;
} OnnxDim;

typedef struct OnnxShape {
    LIST(OnnxDim) dim;
} OnnxShape;

typedef struct OnnxArray {
    int64_t type;
    OnnxShape *shape; /* NULL: any rank */
} OnnxArray;

typedef struct OnnxType {
    OnnxArray *tensor, *sparse;
    struct OnnxOf *sequence, *optional;
    Bytes map, opaque;
} OnnxType;

typedef struct OnnxOf {
    OnnxType *type;
} OnnxOf;

typedef struct OnnxValue {
    Bytes name;
    OnnxType *type;
} OnnxValue;

typedef struct OnnxAttribute {
    Bytes name, reference;
    int64_t type;
    float f;
    int64_t i;
    Bytes s;
    OnnxTensor *t;
    struct OnnxGraph *g;
    OnnxSparse *sparse;
    Numbers floats, ints;
    LIST(Bytes) strings;
    LIST(OnnxTensor) tensors;
    LIST(struct OnnxGraph) graphs;
} OnnxAttribute;

typedef struct OnnxNode {
    LIST(Bytes) input;
    LIST(Bytes) output;
    Bytes name, op, domain, overload;
    LIST(OnnxAttribute) attribute;
} OnnxNode;

typedef struct OnnxGraph {
    Bytes name;
    LIST(OnnxNode) node;
    LIST(OnnxTensor) initializer;
    LIST(OnnxSparse) sparse_initializer;
    LIST(OnnxValue) input;
    LIST(OnnxValue) output;
    LIST(OnnxValue) value; /* the types of values between, as far as they are stated */
} OnnxGraph;

typedef struct OnnxOpset {
    Bytes domain;
    int64_t version;
} OnnxOpset;

typedef struct OnnxFunction {
    Bytes name, domain, overload;
    LIST(Bytes) input;
    LIST(Bytes) output;
    LIST(OnnxNode) node;
    LIST(OnnxOpset) opset;
    LIST(OnnxAttribute) attribute; /* what those that a call leaves out are */
} OnnxFunction;

typedef struct OnnxTraining {
    OnnxGraph *initialization, *algorithm;
    LIST(OnnxEntry) initialization_binding;
    LIST(OnnxEntry) update_binding;
} OnnxTraining;

typedef struct OnnxModel {
    int64_t ir_version, version;
    Bytes producer, producer_version, domain;
    OnnxGraph *graph;
    LIST(OnnxOpset) opset;
    LIST(OnnxFunction) function;
    LIST(OnnxTraining) training;
} OnnxModel;

#define PROTO_DEPTH 100 /* messages within each other, as in protobuf's own readers */

/* NULL: st says what is wrong, at which byte, in which message. All memory comes from the arena, which needs a border, and is
 * bounded by a multiple of the bytes. */
OnnxModel *proto_model(Arena *a, Bytes bytes, Status *st);
OnnxTensor *proto_tensor(Arena *a, Bytes bytes, Status *st); /* likewise, a file of one value */
OnnxSequence *proto_sequence(Arena *a, Bytes bytes, Status *st);
OnnxOptional *proto_optional(Arena *a, Bytes bytes, Status *st);
/* How many varints there are; -1: one is broken. */
int64_t numbers_count(Numbers n);

#endif
