/* model: an ONNX model that was read and checked: what lies where is true, and what is read is made before. What its operators mean
 * is not asked here. Private to the room. Relies on proto.h, engine/file.h. */
#ifndef KILN_FRONTEND_ONNX_MODEL_H
#define KILN_FRONTEND_ONNX_MODEL_H

#include <kiln/onnx.h>

#include <pthread.h>
#include <stdatomic.h>

#include "../engine/engine.h"
#include "../engine/file.h"
#include "proto.h"

typedef struct NodeGenerator NodeGenerator; /* of a node that draws */

struct kiln_onnx {
    Object o;
    kiln_site loaded; /* where; its functions are made there, whatever calls them first */
    char *path;       /* NULL: it came from memory */
    int folder;       /* the one of `path`, for other files; -1: there is none */
    void *mapped;     /* the file, `size` bytes; NULL: the bytes are the caller's copy */
    uint8_t *copy;    /* what came from memory */
    size_t size;
    Arena arena;
    Arena scratch; /* of names, while it is checked or planned */
    OnnxModel *model;
    /* import.c's, from the first time on that somebody asks for the function */
    pthread_mutex_t lock;        /* of what follows, while it is made */
    struct Plan *plan;           /* the graph's; `plans` lists all */
    const struct Missed *missed; /* what the plan lacks: then nothing runs */
    uint32_t missing;
    struct Plan *plans;
    bool *fixed; /* per input: its numbers are part of what is traced, because sizes follow from them */
    uint32_t inputs, initializers,
        weights; /* what a caller gives; initialisers of all graphs that are read, and those that are tensors so far */
    kiln_tensor **weight;
    kiln_variable **variable; /* variables.c's: per initialiser, NULL where it is none; NULL: none is */
    kiln_onnx_see *see;       /* run.c's: who watches nodes, or NULL */
    void *see_user;
    bool fast, folded; /* fold.c's: it was asked for, and is done */
    struct Fold *folds;
    kiln_function *function;
    atomic_uint calls;         /* of it, about */
    kiln_onnx_value *value;    /* signature.c's: inputs, then outputs; there once it is planned */
    struct Declared *declared; /* declare.c's: functions of declared inputs */
    struct Listed *listed;     /* call_lists.c's: a function for each choice of how long the input lists are */
    NodeGenerator *generators;
};

typedef struct OnnxDType {
    const char *name; /* as onnx.proto has it, in small letters */
    uint8_t dtype;    /* DT_NONE: Kiln has none; of integers of less than 8 bits that in which they are held */
    uint8_t bits;     /* of an element in raw data; 0: it has none there */
} OnnxDType;
const OnnxDType *onnx_dtype(int64_t type);                                 /* NULL: onnx.proto has no such number */
kiln_onnx_kind onnx_kind(const OnnxType *type, const OnnxArray **element); /* element: the tensor's, or of those in it; or NULL */

/* Traces f for the inputs that it declares, and drops what comes out; errors are recorded (survey_trace.c). */
void trace_and_drop(Thread *t, kiln_site at, kiln_function *f);
void onnx_forget(kiln_onnx *m); /* its function and weights */

/* Another file's bytes. */
typedef struct External {
    Bytes location;
    uint64_t offset, length; /* length: UINT64_MAX: up to the end */
} External;

/* For errors: at most 64 bytes of a name that anybody may have written, printable. */
typedef struct Shown {
    char text[72];
} Shown;
Shown shown(Bytes name);

/* The rank and sizes of a tensor; `elements` their product. */
bool tensor_shape(const OnnxTensor *x, Type *type, uint64_t *elements, Status *st);
/* sparse.c: a sparse tensor as the whole one that it is; all of a graph's sparse initialisers after its others. */
OnnxTensor sparse_whole(const OnnxSparse *x);
void sparse_join(Arena *a, OnnxGraph *g);
bool sparse_check(const kiln_onnx *m, const OnnxTensor *x, Status *st); /* shapes, of one of these */
bool tensor_check(const kiln_onnx *m, const OnnxTensor *x, Status *st); /* its sizes fit what it holds, here or in another file */
bool external_of(const OnnxTensor *x, External *e, Status *st);
/* A file beside the model: below its folder, by no link, a regular file with one name. -1: st. The caller closes it. */
int external_open(const kiln_onnx *m, Bytes location, uint64_t *size, Status *st);

#endif
