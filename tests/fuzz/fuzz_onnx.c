/* fuzz onnx: any bytes as a model: an error, or a model that can be described. */
#include "fuzz.h"

#include <kiln/onnx.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    kiln *k = fuzz_open();
    if (!nowhere) nowhere = fopen("/dev/null", "w");
    kiln_onnx *m = kiln_onnx_load_memory(k, data, size);
    if (m) kiln_onnx_describe(nowhere, m);
    if (!m && !kiln_failed(k)) abort();
    kiln_onnx_free(m);
    if (kiln_close(k) != 0) abort();
    return 0;
}
