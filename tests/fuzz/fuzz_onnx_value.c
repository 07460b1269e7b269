/* fuzz onnx_value: any bytes as a file of a tensor, a sequence or an optional, as ONNX's test data are, and such files with a part
 * of them changed: an error, or tensors whose elements can all be read, in 16 times the file's size and 64 MiB. */
#include "fuzz.h"

#include <kiln/onnx.h>

#define MUTATE_ROOTS TENSOR, SEQUENCE, OPTIONAL
#include "onnx_mutate.h"

static void read_as(kiln *k, kiln_onnx_kind kind, const char *path, size_t size)
{
    KILN_SCOPE(k);
    kiln_tensor *at[4];
    kiln_onnx_list to = {.at = at, .cap = 4};
    const int64_t before = fuzz_memory.peak = fuzz_memory.live;
    if (kiln_onnx_read(k, kind, path, &to)) {
        if (kiln_failed(k) || to.count < KILN_ONNX_NONE) abort();
        for (int i = 0; i < to.count && i < to.cap; i++) fuzz_touch(at[i]);
    } else if (!kiln_failed(k) || to.count != 0) {
        abort();
    }
    if (fuzz_memory.peak - before > (int64_t)(16 * size + ((size_t)64 << 20))) abort();
    kiln_clear(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[96];
    kiln *k = fuzz_open();
    snprintf(path, sizeof path, "%s/value.pb", fuzz_folder());
    fuzz_write(path, data, size);
    for (kiln_onnx_kind kind = KILN_ONNX_TENSOR; kind < KILN_ONNX_OTHER; kind++) read_as(k, kind, path, size);
    if (kiln_close(k) != 0) abort();
    return 0;
}
