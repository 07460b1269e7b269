/* export: a traced graph as nodes of ONNX. export.c has what all operators need, export_scalar.c what is elementwise,
 * export_moves.c all others, export_opset.c the opset; save.c makes a model and a file of them. Private to the room. */
#ifndef KILN_FRONTEND_ONNX_EXPORT_H
#define KILN_FRONTEND_ONNX_EXPORT_H

#include "../function/function.h"
#include "message.h"

enum { EXPORT_OPSET = 20 }; /* the lowest that is written; more where a node needs it */

/* A value's name in the model; NULL: it could not be written, and Export.wrong says why. "" as an operand is one that is left out.
 */
typedef const char *Named;

typedef struct Turned { /* a transpose: of what, in which order */
    Named of;
    uint32_t rank;
    const int64_t *from;
} Turned;

typedef struct Export {
    Arena *arena; /* with a border */
    const Graph *g;
    Text node, weight; /* of the graph; small initialisers */
    uint32_t names;    /* so far */
    Named *name;       /* per value; NULL: not written */
    Map size;          /* a Dim -> its i64[1], a Named */
    Map dtype;         /* a Named -> its DType */
    uint32_t opset;    /* that the nodes so far need */
    Map turned;        /* a Named -> its number in `turns` + 1 */
    VEC(Turned) turns;
    VEC(const char *) wrong; /* what ONNX does not have, each once */
} Export;

typedef struct Given { /* an attribute: the first of these that is not NULL, else the integer */
    const char *name;
    const char *text;
    const int64_t *ints;
    uint32_t n;
    int64_t i;
} Given;

/* A node with one result; NULL if an operand is. */
Named export_node(Export *x, const char *op, const Named *in, uint32_t n, const Given *attr, uint32_t nattr);
#define OPERANDS(...) (const Named[]){__VA_ARGS__}, sizeof((const Named[]){__VA_ARGS__}) / sizeof(Named)
#define NODE(x, op, ...) export_node(x, op, OPERANDS(__VA_ARGS__), NULL, 0)
#define NODE_WITH(x, op, given, ...) export_node(x, op, OPERANDS(__VA_ARGS__), (const Given[]){given}, 1)
Named export_transpose(Export *x, Named v, const int64_t *from, uint32_t rank); /* what undoes another transpose is no node */
Named export_reshape(Export *x, Named v, const Dim *d, uint32_t n);
Named export_numbers(Export *x, const int64_t *v, uint32_t n);                    /* i64[n] */
Named export_scalar(Export *x, DType t, Scalar v);                                /* of rank 0 */
Named export_sizes(Export *x, const Dim *d, uint32_t n);                          /* i64[n] */
Named export_cast(Export *x, Named v, DType to);                                  /* of what the other dtype has */
Named export_converted(Export *x, Named v, DType from, DType to, bool saturates); /* as kiln_cast does it, of any number */
Named export_wrong(Export *x, const char *what, const char *why);                 /* NULL */
Named export_value(Export *x, Value v);
/* As it was before a broadcast, where ONNX spreads operands itself; then *whole is not set. */
Named export_loose(Export *x, Value v, bool *whole);
static inline const Type *type_of(const Export *x, Value v) { return graph_type(x->g, v); }

int export_number(DType t);                  /* onnx.proto's; 0: there is none */
void export_is(Export *x, Named v, DType t); /* that is its dtype */
/* Of an operator on these operands: what the result's dtype is. Raises x->opset to one that has it. */
DType export_meets(Export *x, const char *op, const Named *in, const Given *attr);
uint32_t export_format(uint32_t opset);
void export_nodes(Export *x); /* of the whole graph; names of parameters are given */
/* A tensor without its data, which follow. */
void export_tensor_head(Text *to, const char *name, DType t, const int64_t *size, uint32_t rank);

Named export_elementwise(Export *x, const Node *n);
Named export_structured(Export *x, const Node *n);

#endif
