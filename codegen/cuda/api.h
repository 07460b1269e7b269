/* api: declares the functions of the CUDA driver and of NVRTC that are called, so that no CUDA header is needed; they are opened at
 * run time. Names, types and numbers are those of cuda.h and nvrtc.h (CUDA 11.2 and later). Relies on base alone. */
#ifndef KILN_CODEGEN_CUDA_API_H
#define KILN_CODEGEN_CUDA_API_H

#include "../../runtime/base.h"

typedef int CUresult; /* 0: CUDA_SUCCESS */
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
enum { CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76 };

/* CUDA_CALL(member, symbol in libcuda, parameters) */
#define CUDA_CALLS                                                                                                    \
    CUDA_CALL(Init, cuInit, (unsigned flags))                                                                         \
    CUDA_CALL(DriverGetVersion, cuDriverGetVersion, (int *version))                                                   \
    CUDA_CALL(GetErrorName, cuGetErrorName, (CUresult e, const char **text))                                          \
    CUDA_CALL(GetErrorString, cuGetErrorString, (CUresult e, const char **text))                                      \
    CUDA_CALL(DeviceGetCount, cuDeviceGetCount, (int *n))                                                             \
    CUDA_CALL(DeviceGet, cuDeviceGet, (CUdevice * d, int ordinal))                                                    \
    CUDA_CALL(DeviceGetName, cuDeviceGetName, (char *name, int cap, CUdevice d))                                      \
    CUDA_CALL(DeviceGetAttribute, cuDeviceGetAttribute, (int *value, int attribute, CUdevice d))                      \
    CUDA_CALL(DevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, (CUcontext * c, CUdevice d))                          \
    CUDA_CALL(CtxPushCurrent, cuCtxPushCurrent_v2, (CUcontext c))                                                     \
    CUDA_CALL(CtxPopCurrent, cuCtxPopCurrent_v2, (CUcontext * c))                                                     \
    CUDA_CALL(ModuleLoadData, cuModuleLoadData, (CUmodule * m, const void *image))                                    \
    CUDA_CALL(ModuleUnload, cuModuleUnload, (CUmodule m))                                                             \
    CUDA_CALL(ModuleGetFunction, cuModuleGetFunction, (CUfunction * f, CUmodule m, const char *name))                 \
    CUDA_CALL(MemAlloc, cuMemAlloc_v2, (CUdeviceptr * at, size_t bytes))                                              \
    CUDA_CALL(MemFree, cuMemFree_v2, (CUdeviceptr at))                                                                \
    CUDA_CALL(MemcpyHtoD, cuMemcpyHtoD_v2, (CUdeviceptr to, const void *from, size_t bytes))                          \
    CUDA_CALL(MemcpyDtoH, cuMemcpyDtoH_v2, (void *to, CUdeviceptr from, size_t bytes))                                \
    CUDA_CALL(MemcpyDtoD, cuMemcpyDtoD_v2, (CUdeviceptr to, CUdeviceptr from, size_t bytes))                          \
    CUDA_CALL(LaunchKernel, cuLaunchKernel,                                                                           \
        (CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, \
            CUstream stream, void **params, void **extra))

typedef struct CudaDriver {
#define CUDA_CALL(member, symbol, params) CUresult(*member) params;
    CUDA_CALLS
#undef CUDA_CALL
    CUcontext context; /* the primary context of device 0; made current around every use */
    char device[128];
    int capability; /* 10 * major + minor */
    int version;    /* 1000 * major + 10 * minor */
} CudaDriver;

typedef struct _nvrtcProgram *nvrtcProgram;
typedef int nvrtcResult; /* 0: NVRTC_SUCCESS */
#define NVRTC_CALLS                                                                                                         \
    NVRTC_CALL(nvrtcResult, nvrtcVersion, (int *major, int *minor))                                                         \
    NVRTC_CALL(const char *, nvrtcGetErrorString, (nvrtcResult e))                                                          \
    NVRTC_CALL(nvrtcResult, nvrtcGetNumSupportedArchs, (int *n))                                                            \
    NVRTC_CALL(nvrtcResult, nvrtcGetSupportedArchs, (int *all))                                                             \
    NVRTC_CALL(nvrtcResult, nvrtcCreateProgram,                                                                             \
        (nvrtcProgram * p, const char *src, const char *name, int n, const char *const *headers, const char *const *names)) \
    NVRTC_CALL(nvrtcResult, nvrtcDestroyProgram, (nvrtcProgram * p))                                                        \
    NVRTC_CALL(nvrtcResult, nvrtcCompileProgram, (nvrtcProgram p, int n, const char *const *options))                       \
    NVRTC_CALL(nvrtcResult, nvrtcGetPTXSize, (nvrtcProgram p, size_t * bytes))                                              \
    NVRTC_CALL(nvrtcResult, nvrtcGetPTX, (nvrtcProgram p, char *ptx))                                                       \
    NVRTC_CALL(nvrtcResult, nvrtcGetCUBINSize, (nvrtcProgram p, size_t * bytes))                                            \
    NVRTC_CALL(nvrtcResult, nvrtcGetCUBIN, (nvrtcProgram p, char *cubin))                                                   \
    NVRTC_CALL(nvrtcResult, nvrtcGetProgramLogSize, (nvrtcProgram p, size_t * bytes))                                       \
    NVRTC_CALL(nvrtcResult, nvrtcGetProgramLog, (nvrtcProgram p, char *log))

typedef struct Nvrtc {
#define NVRTC_CALL(result, name, params) result(*name) params;
    NVRTC_CALLS
#undef NVRTC_CALL
} Nvrtc;

/* Opens the library at first use and keeps it until the process ends; safe from any thread. If it is absent, which is remembered:
 * NULL and ST_DEVICE, which names what was looked for. */
const CudaDriver *cuda_driver(Status *st);
/* $KILN_NVRTC names the library's file; without it the usual names are tried, then the usual folders. */
const Nvrtc *cuda_nvrtc(Status *st);

/* True if e is success; else st says what was being done and what the driver calls it. */
bool cuda_ok(const CudaDriver *d, CUresult e, Status *st, const char *format, ...) PRINTF_LIKE(4, 5);

/* Compiles CUDA C to PTX for compute_`sm` or, if binary, to a cubin for sm_`sm`, which is appended. log (may be NULL) receives the
 * compiler's messages, even warnings of a success. */
bool cuda_compile(const char *source, const char *name, int sm, bool binary, Text *out, Text *log, Status *st);
/* The newest architecture up to sm that NVRTC compiles for; 0, with an error in st, if there is none. */
int cuda_compile_arch(int sm, Status *st);

#endif
