/* emu_use: see emu_use.h. */
#include "emu_use.h"

const char emu_source[] =
    "extern \"C\" __global__ void __launch_bounds__(256) fill(float *x, float with, int n)\n"
    "{ for (unsigned i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) x[i] = with; }\n"
    "extern \"C\" __global__ void __launch_bounds__(256) twice(float *x) { x[threadIdx.x] *= 2; }\n"
    "extern \"C\" __global__ void __launch_bounds__(256) more(float *x) { x[threadIdx.x] += 1; }\n"
    "extern \"C\" __global__ void __launch_bounds__(256) turn(const int *from, int *to)\n"
    "{\n"
    "    __shared__ int all[256];\n"
    "    all[threadIdx.x] = from[threadIdx.x];\n"
    "    __syncthreads();\n"
    "    int x = all[255 - threadIdx.x];\n"
    "    for (unsigned half = 16; half > 0; half /= 2) x += __shfl_down_sync(0xffffffffu, x, half);\n"
    "    to[threadIdx.x] = __shfl_sync(0xffffffffu, x, 0) + threadIdx.x % 32;\n"
    "}\n"
    "extern \"C\" __global__ void where(unsigned *x)\n"
    "{\n"
    "    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;\n"
    "    x[(block * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x] = block * 100 + threadIdx.y * 10 + threadIdx.x;\n"
    "}\n"
    "extern \"C\" __global__ void apart(void) { if (threadIdx.x < 7) __syncthreads(); }\n";

const CudaDriver *emu_use(int ordinal)
{
    Status st = {0};
    CUcontext old;
    const CudaDriver *d = emu_driver(ordinal, &st);
    if (!d) fail_msg("%s", st.text);
    emu_reset(ordinal, 1);
    while (d->CtxPopCurrent(&old) == 0) continue;
    assert_int_equal(d->CtxPushCurrent(d->context), 0);
    return d;
}

CUmodule emu_load(const CudaDriver *d, const char *source)
{
    Status st = {0};
    Text image = {0};
    CUmodule m;
    if (!cuda_image(d, NULL, source, "test", NULL, &image, &st)) fail_msg("%s", st.text);
    assert_int_equal(d->ModuleLoadData(&m, image.at), 0);
    text_free(&image);
    return m;
}

CUfunction emu_function(const CudaDriver *d, const char *name)
{
    CUfunction f;
    assert_int_equal(d->ModuleGetFunction(&f, emu_load(d, emu_source), name), 0);
    return f;
}

CUdeviceptr emu_memory(const CudaDriver *d, size_t bytes)
{
    CUdeviceptr at;
    assert_int_equal(d->MemAlloc(&at, bytes), 0);
    return at;
}

CUstream emu_stream(const CudaDriver *d)
{
    CUstream s;
    assert_int_equal(d->StreamCreate(&s, CU_STREAM_NON_BLOCKING), 0);
    return s;
}

CUresult emu_launch(const CudaDriver *d, CUfunction f, unsigned grid, unsigned threads, CUstream s, void **params)
{
    return d->LaunchKernel(f, grid, 1, 1, threads, 1, 1, 0, s, params, NULL);
}
