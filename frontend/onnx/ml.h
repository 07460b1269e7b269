/* ml: what the operators of ai.onnx.ml share: lists that are attributes, of any length, and what becomes of scores. Private to the
 * room. Relies on import.h. */
#ifndef KILN_FRONTEND_ONNX_ML_H
#define KILN_FRONTEND_ONNX_ML_H

#include "import.h"

/* An attribute that lists numbers, as doubles that hold them, or as integers; n is 0 if it is absent. In the node's arena. */
typedef struct Reals {
    double *at;
    int64_t n;
    DType dtype; /* in which they are written: f32, or that of a tensor */
} Reals;
typedef struct Wholes {
    int64_t *at;
    int64_t n;
} Wholes;
bool ml_reals(Call *c, const char *name, Reals *to);                        /* false: recorded */
bool ml_reals_or(Call *c, const char *name, const char *tensor, Reals *to); /* or the tensor of the other name, if that is there */
bool ml_wholes(Call *c, const char *name, Wholes *to);
/* Every list of this name is to have so many numbers. False: recorded. */
bool ml_length(Call *c, const char *name, int64_t have, int64_t want);
/* x as rows of features, [n, f], where one row may be x itself, in f32, or f64 if x is that; poison: recorded, as f is no constant
 */
kiln_tensor *ml_rows(Call *c, uint32_t i, int64_t *features);
kiln_tensor *ml_table(Call *c, DType d, int64_t rows, int64_t columns, const double *v); /* a constant, [rows, columns] */
kiln_tensor *ml_indices(Call *c, const int64_t *v, int64_t n);                           /* a constant, i64[n] */
typedef enum Transform { TO_NONE, TO_SOFTMAX, TO_LOGISTIC, TO_SOFTMAX_ZERO, TO_PROBIT, TRANSFORMS } Transform;
bool ml_transform_of(Call *c, Transform *how);                          /* post_transform, a word. False: recorded */
kiln_tensor *ml_transform(Call *c, kiln_tensor *scores, Transform how); /* of scores, [n, e] */
/* The labels of classes, which are integers: strings are an error. False: recorded. */
bool ml_labels(Call *c, const char *ints, Wholes *to);
/* Gives the label, i64[n], of the class of each row, i64[n], and in f32 the scores. */
bool ml_give_classes(Call *c, const Wholes *labels, kiln_tensor *which, kiln_tensor *scores);
/* The same of two classes by the second one's score, [n, 1], which is above `middle` where that is the label. The first one's is
 * what it lacks to 1 (shares), or else the negative of it. */
bool ml_give_binary(Call *c, const Wholes *labels, kiln_tensor *score, Transform how, double middle, bool shares);

#endif
