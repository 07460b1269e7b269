/* survey: what of a model Kiln does not run, found by tracing it node by node, where a node that fails does not end the trace; and
 * how many multiplications its products and convolutions make. Private to the room. Relies on import.h. */
#ifndef KILN_FRONTEND_ONNX_SURVEY_H
#define KILN_FRONTEND_ONNX_SURVEY_H

#include "../trace/trace.h"
#include "import.h"

enum { SURVEY_ROWS = 1000, SURVEY_KINDS = 64 };

typedef struct SurveyRow {
    const OnnxNode *node; /* NULL: the model as a whole */
    uint32_t at;          /* its number in its graph */
    int64_t version;
    Bytes within;          /* a function of the model's own; none: a graph */
    Bytes attribute, word; /* that its operator has not, with a value that is no word of it; none: it is something else */
    bool unsupported;      /* no: it fails, with these sizes */
    char why[240];
} SurveyRow;

typedef struct SurveyKind { /* multiplications of one operator */
    Bytes op;
    uint64_t count;
} SurveyKind;

typedef struct Survey {
    const kiln_onnx_size *size;
    int sizes;
    char assumed[300]; /* open sizes that are taken to be 1 */
    kiln_tensor **given;
    SurveyRow *row;
    uint32_t rows, more, unreached; /* unreached: nodes whose operands nobody knows */
    uint32_t stated;                /* results that were taken as the model states them */
    SurveyKind kind[SURVEY_KINDS];
    uint32_t kinds;
    uint64_t multiplies;
    bool whole;  /* all nodes had their turn */
    bool partly; /* some are left out, as how many they are is known only in a call */
} Survey;

void survey_count(Survey *s, Bytes op, const Graph *g, uint32_t from, uint32_t to);
/* Traces the model with inputs of the sizes that are given, or 1; under m->lock. False: it could not be surveyed at all: recorded.
 */
bool survey_model(Thread *t, kiln_site at, kiln_onnx *m, Survey *s);

#endif
