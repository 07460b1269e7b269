/* fuzz onnx: any bytes as a model: an error, or a model that can be described and called, which gives an error or a tensor. */
#include "fuzz.h"

#include <kiln/onnx.h>

static void call(kiln *k, kiln_onnx *m, bool whole)
{
    KILN_SCOPE(k);
    kiln_tensor *out[1], *in[3];
    for (int i = 0; i < 3; i++) in[i] = kiln_full(k, whole && i ? KILN_I64 : KILN_F32, i % 2 ? KILN_SHAPE(3) : KILN_SHAPE(2, 3), 1 + i);
    for (int n = 0; n <= 3; n++) {
        if (!kiln_onnx_call(m, kiln_tensors(in, n), out, 1) && !kiln_failed(k)) abort();
        kiln_clear(k);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    kiln *k = fuzz_open();
    if (!nowhere) nowhere = fopen("/dev/null", "w");
    kiln_eager(k, size % 2);
    kiln_onnx *m = kiln_onnx_load_memory(k, data, size);
    if (!m && !kiln_failed(k)) abort();
    kiln_clear(k);
    if (m) {
        kiln_onnx_describe(nowhere, m);
        call(k, m, false);
        call(k, m, true);
    }
    kiln_onnx_free(m);
    if (kiln_close(k) != 0) abort();
    return 0;
}
