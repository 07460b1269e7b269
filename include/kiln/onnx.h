/* onnx.h: models of the ONNX format. So far they are read, checked and described. Not part of kiln.h; compiles alone as C11 and
 * C++17. */
#ifndef KILN_ONNX_H
#define KILN_ONNX_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A model: its file stays mapped as long as it lives, so what lies in it takes no memory of its own, and must not be cut short
 * meanwhile. Everything in it is checked before it is used: the format, versions (1 to 14), that each tensor holds what its sizes say,
 * that each value is made before it is read. Tensors in other files are found below the model's folder alone, without links. */
typedef struct kiln_onnx kiln_onnx;
/* NULL after an error, which says what is wrong where: KILN_EIO, KILN_EFORMAT, KILN_EUNSUPPORTED, KILN_EMEMORY. */
KILN_API kiln_onnx *kiln_onnx_load_at(kiln_site at, kiln *k, const char *path);
/* The same of bytes, which are copied; tensors in other files are an error. */
KILN_API kiln_onnx *kiln_onnx_load_memory_at(kiln_site at, kiln *k, const void *bytes, size_t size);
KILN_API void kiln_onnx_free(kiln_onnx *m); /* m may be NULL; kiln_close frees it, too */
/* What the model is, in lines: who made it, the versions of its operators, its inputs, outputs and parameters, and how often it has
 * which operator, those of inner graphs and of its own functions included. */
KILN_API void kiln_onnx_describe(FILE *to, const kiln_onnx *m);

#define kiln_onnx_load(k, path) kiln_onnx_load_at(KILN_HERE, (k), (path))
#define kiln_onnx_load_memory(k, bytes, size) kiln_onnx_load_memory_at(KILN_HERE, (k), (bytes), (size))

#ifdef __cplusplus
}
#endif

#endif
