/* transplant: a graph of one module appended to a graph of another. Relies on graph. Never shares, folds or reorders: what is asked
 * of the copy later comes out as it would have of the original. */
#ifndef KILN_IR_TRANSPLANT_H
#define KILN_IR_TRANSPLANT_H

#include "graph.h"

typedef struct Transplant {
    Graph *const *graph; /* the old module's, by index */
    uint32_t graphs;
    const DimTable *dims; /* its sizes */
    /* per expression of dims: what a symbol is in the new module; DIM_BAD of one that a loop makes, which gets a new one */
    Dim *size;
    Module *to;
    Status *st;
    Graph **copy; /* per old graph: its copy; NULL: none so far */
} Transplant;

/* Both with all symbols DIM_BAD: the caller says what those are that no loop makes. */
void transplant_begin(Transplant *t, Graph *const *graph, uint32_t graphs, const DimTable *dims, Module *to, Status *st);
/* Appends the nodes of `from` to g, with the graphs that they run, but no effects; map has the parameters' values in g and gets the
 * rest. False: the status says why; a call into C whose results are used is one reason. */
bool transplant(Transplant *t, Graph *g, const Graph *from, Value *map);

#endif
