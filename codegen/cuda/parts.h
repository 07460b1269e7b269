/* parts: a printed text whose functions are compiled side by side, on as many threads as there are. Each function stands under the
 * line that says which part it is of; what stands before the first such line belongs to all. Such a text is whole without being
 * cut. Relies on api.h, threads. */
#ifndef KILN_CODEGEN_CUDA_PARTS_H
#define KILN_CODEGEN_CUDA_PARTS_H

#include "../../runtime/threads.h"
#include "api.h"

#define CUDA_PARTS 16                 /* at most */
#define CUDA_PART_LINE "// part %u\n" /* at the beginning of a line */

uint32_t parts_of(const char *source); /* how many there are; a text without such lines is one */
/* Compiles the parts in n groups, up to CUDA_PARTS, and appends to image what ModuleLoadData takes of each: parts_image finds it.
 * False: st, of the first group that fails. */
bool parts_build(
    const CudaDriver *d, ThreadPool *threads, uint32_t n, const char *source, const char *name, Text *image, Status *st);
/* Group i of what was built, or all of an image that is none of parts_build; *n: how many there are. NULL: it is cut short. */
const void *parts_image(const void *image, size_t bytes, uint32_t i, uint32_t *n);

/* As cuda_image, but in as many groups as there are threads and parts, if the driver's compiler is worth starting for each. What is
 * computed is the same. */
bool cuda_images(const CudaDriver *d, struct CodeStore *store, ThreadPool *threads, const char *source, const char *name,
    bool *kept, Text *image, Status *st);

#endif
