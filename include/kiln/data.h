/* data.h: data sets and batches. Not part of kiln.h: include <kiln/data.h> too. Compiles alone as C11 and C++17. */
#ifndef KILN_DATA_H
#define KILN_DATA_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads an IDX file (the MNIST format), gzip-compressed or not, as a tensor of its own dtype and shape (u8, i8, i16, i32, f32,
 * f64), owned by the innermost scope. Every size is checked against the file before anything is allocated; KILN_EIO and
 * KILN_EFORMAT errors name the file and the place. */
KILN_API kiln_tensor *kiln_idx_read_at(kiln_site at, kiln *k, const char *path);

/* Draws `count` digits 0-9 as strokes with noise and jitter, the same for the same seed on every machine: images u8[count, 28, 28],
 * labels u8[count]. False after an error. */
KILN_API bool kiln_digits_at(kiln_site at, kiln *k, int64_t count, uint64_t seed, kiln_tensor **images, kiln_tensor **labels);

/* The pairs (x[i], y[i]) along axis 0. The data set keeps both tensors alive. */
typedef struct kiln_dataset kiln_dataset;
KILN_API kiln_dataset *kiln_dataset_new_at(kiln_site at, kiln *k, kiln_tensor *x, kiln_tensor *y);
KILN_API int64_t kiln_dataset_size(const kiln_dataset *d);
KILN_API void kiln_dataset_free(kiln_dataset *d);

/* One pass over the data in batches x [n, ...] and y [n, ...], which stay valid until the next kiln_next. seed 0 keeps the order;
 * any other shuffles, alike for the same seed. The last batch may be shorter.
 *     for (kiln_batch b = kiln_batches(d, 32, seed); kiln_next(&b);) { ... b.x, b.y, b.index ... } */
typedef struct kiln_batch {
    kiln_tensor *x, *y;
    long index;           /* the batch's number, from 0 */
    kiln_dataset *data;
    int64_t size, at;
    int64_t *order;
    int state;
} kiln_batch;
KILN_API kiln_batch kiln_batches_at(kiln_site at, kiln_dataset *d, int64_t size, uint64_t seed);
KILN_API bool kiln_next(kiln_batch *b); /* false at the end, or after an error; frees what the pass held */
KILN_API void kiln_batch_stop(kiln_batch *b); /* ends a pass early (after break) */

#ifdef __cplusplus
}
#endif

#define kiln_idx_read(k, path) kiln_idx_read_at(KILN_HERE, (k), (path))
#define kiln_digits(k, count, seed, images, labels) kiln_digits_at(KILN_HERE, (k), (count), (seed), (images), (labels))
#define kiln_dataset_new(k, x, y) kiln_dataset_new_at(KILN_HERE, (k), (x), (y))
#define kiln_batches(d, size, seed) kiln_batches_at(KILN_HERE, (d), (size), (seed))

#endif
