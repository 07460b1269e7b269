/* export: a traced graph as nodes of ONNX. export_node.c writes nodes and graphs of them, export.c has what all operators need,
 * export_scalar.c and export_expression.c what is elementwise, export_along.c what goes along axes, export_conv.c convolutions,
 * export_attention.c attention, export_factor.c factors, export_region.c loops and branches, export_moves.c all others,
 * export_opset.c the opset; save.c makes a model and a file of them. Private to the room. */
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

typedef struct Written { /* a node or a small initialiser, which stays if one of its results is used */
    Text text;
    const Named *in, *out;
    uint32_t nin, nout;
} Written;

/* A graph that is being written: the model's, one within a node, or one whose nodes stand among another's. */
typedef struct Level {
    struct Level *outer;
    const Graph *g;
    Named *name;     /* per value; NULL: not written */
    Map size;        /* a Dim -> its i64[1], a Named */
    const Node *now; /* which node of g is being written; NULL: none */
} Level;

typedef struct Export {
    Arena *arena; /* with a border */
    Level *at;
    VEC(Written) node;  /* of the levels that are open, the innermost last */
    VEC(Written) small; /* initialisers */
    VEC(Text) body;     /* graphs within nodes that are still to be written */
    uint32_t names;     /* so far */
    Map dtype;          /* a Named -> its DType */
    Map used;           /* Nameds that something needs */
    uint32_t opset;     /* that the nodes so far need */
    Map turned;         /* a Named -> its number in `turns` + 1 */
    VEC(Turned) turns;
    VEC(const char *) wrong; /* what ONNX does not have, each once */
} Export;

typedef struct Given { /* an attribute: the first of these that is there, else the integer */
    const char *name;
    const char *text;
    const int64_t *ints;
    uint32_t n;
    uint32_t graph; /* its number in Export.body + 1 */
    int64_t i;
} Given;

/* A node with one result; NULL if an operand is. */
Named export_node(Export *x, const char *op, const Named *in, uint32_t n, const Given *attr, uint32_t nattr);
/* With several, whose names are given. */
bool export_node_to(
    Export *x, const char *op, const Named *in, uint32_t n, const Given *attr, uint32_t nattr, const Named *out, uint32_t nout);
Named export_name(Export *x); /* a new one */
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
static inline const Type *type_of(const Export *x, Value v) { return graph_type(x->at->g, v); }

int export_number(DType t);                  /* onnx.proto's; 0: there is none */
void export_is(Export *x, Named v, DType t); /* that is its dtype */
DType export_dtype(const Export *x, Named v);
/* Of an operator on these operands: what the result's dtype is. Raises x->opset to one that has it. */
DType export_meets(Export *x, const char *op, const Named *in, const Given *attr);
uint32_t export_format(uint32_t opset);
/* The dtype in which the operator computes what it lacks in t, with the same result; t: it has it. */
DType export_has(const char *op, DType t);
void export_nodes(Export *x); /* of the whole graph; names of parameters are given */
/* ---- graphs (export_node.c) */
void export_open(Export *x, Level *f, const Graph *g); /* what is written from here on is of g */
void export_close(Export *x);
uint32_t export_body_begin(Export *x); /* a graph for a node, as Given.graph wants it; its text is Export.body.at[number - 1] */
void export_type(
    Text *to, uint32_t field, const char *name, const DimTable *dims, const Type *t); /* field: 11 an input, 12 a result */
bool export_result(Export *x, Text *graph, Named is, Named name, const Type *t);
void export_keep(Export *x, Text *to, uint32_t first); /* writes the nodes from there on that are used, and drops them all */
void export_keep_small(Export *x, Text *to);
void export_free(Export *x);
Named export_small(Export *x, DType t, const void *data, size_t bytes, const int64_t *size, uint32_t rank);
/* A tensor without its data, which follow. */
void export_tensor_head(Text *to, const char *name, DType t, const int64_t *size, uint32_t rank);

Named export_elementwise(Export *x, const Node *n);
const char *export_function(Op op); /* the operator that is the same elementary function, or NULL */
/* n's expression on operands that are floats of t, or as they are. second: the second one, if it is an integer that is known. */
Named export_expression(Export *x, const Node *n, DType t, const Named *in, const int64_t *second);
Named export_structured(Export *x, const Node *n);
Named export_along(Export *x, const Node *n);
Named export_attention(Export *x, const Node *n); /* its gradients */
void export_attended(Export *x, const Node *n);   /* names its results itself, as export_region does */
Named export_conv(Export *x, const Node *n);
Named export_conv_filter(Export *x, const Node *n);
void export_region(Export *x, const Node *n); /* names its results itself, as export_factor does */
void export_factor(Export *x, const Node *n);

#endif
