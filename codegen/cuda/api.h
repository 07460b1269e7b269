/* api: declares the functions of the CUDA driver and of NVRTC that are called, so that no CUDA header is needed; they are opened at
 * run time. Names, types and numbers are those of cuda.h and nvrtc.h (CUDA 11.2 and later). Relies on base and tensor_map alone. */
#ifndef KILN_CODEGEN_CUDA_API_H
#define KILN_CODEGEN_CUDA_API_H

#include "../../runtime/base.h"
#include "../tensor_map.h"

typedef int CUresult; /* 0: CUDA_SUCCESS */
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUmemPoolHandle_st *CUmemoryPool;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphNode_st *CUgraphNode;
typedef struct CUgraphExec_st *CUgraphExec;
typedef unsigned long long CUgraphConditionalHandle;
enum { CU_MEMPOOL_ATTR_RELEASE_THRESHOLD = 4 };
enum { CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76 };
enum {
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH = 95,
    CU_DEVICE_ATTRIBUTE_MPS_ENABLED = 133
};
enum { CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8 };
enum { CU_STREAM_NON_BLOCKING = 1, CU_EVENT_DISABLE_TIMING = 2 };
enum { CUDA_ERROR_INVALID_VALUE = 1, CUDA_ERROR_OUT_OF_MEMORY = 2, CUDA_ERROR_NOT_FOUND = 500, CUDA_ERROR_NOT_READY = 600 };
enum { CU_GRAPH_NODE_TYPE_CONDITIONAL = 13, CU_GRAPH_COND_TYPE_IF = 0, CU_GRAPH_COND_TYPE_WHILE = 1 };

enum { CU_LAUNCH_ATTRIBUTE_COOPERATIVE = 2 };
typedef union CUlaunchAttributeValue {
    char pad[64];
    int cooperative;
} CUlaunchAttributeValue;

typedef struct CUDA_KERNEL_NODE_PARAMS { /* of CUDA 12.0: _v2 */
    CUfunction func;
    unsigned gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
    void **kernelParams, **extra; /* one of them; what they point to is copied */
    void *kern;
    CUcontext ctx;
} CUDA_KERNEL_NODE_PARAMS;

typedef struct CUDA_CONDITIONAL_NODE_PARAMS {
    CUgraphConditionalHandle handle;
    int type;
    unsigned size;        /* 1; an IF of a driver of 12.8 and later may also have 2 */
    CUgraph *phGraph_out; /* out: its bodies, which the node owns */
    CUcontext ctx;
} CUDA_CONDITIONAL_NODE_PARAMS;

typedef struct CUgraphNodeParams {
    int type, reserved0[3];
    union {
        long long reserved1[29];
        CUDA_CONDITIONAL_NODE_PARAMS conditional;
    };
    long long reserved2;
} CUgraphNodeParams;

#define CUDA_PATH 512

/* CUDA_CALL(member, symbol in libcuda, parameters) */
#define CUDA_CALLS                                                                                                                 \
    CUDA_CALL(Init, cuInit, (unsigned flags))                                                                                      \
    CUDA_CALL(DriverGetVersion, cuDriverGetVersion, (int *version))                                                                \
    CUDA_CALL(GetErrorName, cuGetErrorName, (CUresult e, const char **text))                                                       \
    CUDA_CALL(GetErrorString, cuGetErrorString, (CUresult e, const char **text))                                                   \
    CUDA_CALL(DeviceGetCount, cuDeviceGetCount, (int *n))                                                                          \
    CUDA_CALL(DeviceGet, cuDeviceGet, (CUdevice * d, int ordinal))                                                                 \
    CUDA_CALL(DeviceGetName, cuDeviceGetName, (char *name, int cap, CUdevice d))                                                   \
    CUDA_CALL(DeviceGetAttribute, cuDeviceGetAttribute, (int *value, int attribute, CUdevice d))                                   \
    CUDA_CALL(DeviceTotalMem, cuDeviceTotalMem_v2, (size_t * bytes, CUdevice d))                                                   \
    CUDA_CALL(DevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, (CUcontext * c, CUdevice d))                                       \
    CUDA_CALL(DevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, (CUdevice d))                                                 \
    CUDA_CALL(CtxPushCurrent, cuCtxPushCurrent_v2, (CUcontext c))                                                                  \
    CUDA_CALL(CtxPopCurrent, cuCtxPopCurrent_v2, (CUcontext * c))                                                                  \
    CUDA_CALL(ModuleLoadData, cuModuleLoadData, (CUmodule * m, const void *image))                                                 \
    CUDA_CALL(ModuleUnload, cuModuleUnload, (CUmodule m))                                                                          \
    CUDA_CALL(ModuleGetFunction, cuModuleGetFunction, (CUfunction * f, CUmodule m, const char *name))                              \
    CUDA_CALL(FuncSetAttribute, cuFuncSetAttribute, (CUfunction f, int attribute, int value))                                      \
    CUDA_CALL(MemAlloc, cuMemAlloc_v2, (CUdeviceptr * at, size_t bytes))                                                           \
    CUDA_CALL(MemFree, cuMemFree_v2, (CUdeviceptr at))                                                                             \
    CUDA_CALL(MemAllocAsync, cuMemAllocAsync, (CUdeviceptr * at, size_t bytes, CUstream s))                                        \
    CUDA_CALL(MemFreeAsync, cuMemFreeAsync, (CUdeviceptr at, CUstream s))                                                          \
    CUDA_CALL(DeviceGetDefaultMemPool, cuDeviceGetDefaultMemPool, (CUmemoryPool * pool, CUdevice d))                               \
    CUDA_CALL(MemPoolSetAttribute, cuMemPoolSetAttribute, (CUmemoryPool pool, int attribute, void *value))                         \
    CUDA_CALL(MemGetInfo, cuMemGetInfo_v2, (size_t * free, size_t * total))                                                        \
    CUDA_CALL(MemHostAlloc, cuMemHostAlloc, (void **at, size_t bytes, unsigned flags))                                             \
    CUDA_CALL(MemFreeHost, cuMemFreeHost, (void *at))                                                                              \
    CUDA_CALL(MemcpyHtoD, cuMemcpyHtoD_v2, (CUdeviceptr to, const void *from, size_t bytes))                                       \
    CUDA_CALL(MemcpyDtoH, cuMemcpyDtoH_v2, (void *to, CUdeviceptr from, size_t bytes))                                             \
    CUDA_CALL(MemcpyDtoD, cuMemcpyDtoD_v2, (CUdeviceptr to, CUdeviceptr from, size_t bytes))                                       \
    CUDA_CALL(MemcpyHtoDAsync, cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t bytes, CUstream s))                 \
    CUDA_CALL(MemcpyDtoHAsync, cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t bytes, CUstream s))                       \
    CUDA_CALL(MemcpyDtoDAsync, cuMemcpyDtoDAsync_v2, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream s))                 \
    CUDA_CALL(StreamCreate, cuStreamCreate, (CUstream * s, unsigned flags))                                                        \
    CUDA_CALL(StreamDestroy, cuStreamDestroy_v2, (CUstream s))                                                                     \
    CUDA_CALL(StreamSynchronize, cuStreamSynchronize, (CUstream s))                                                                \
    CUDA_CALL(StreamWaitEvent, cuStreamWaitEvent, (CUstream s, CUevent e, unsigned flags))                                         \
    CUDA_CALL(CtxSynchronize, cuCtxSynchronize, (void))                                                                            \
    CUDA_CALL(EventCreate, cuEventCreate, (CUevent * e, unsigned flags))                                                           \
    CUDA_CALL(EventDestroy, cuEventDestroy_v2, (CUevent e))                                                                        \
    CUDA_CALL(EventRecord, cuEventRecord, (CUevent e, CUstream s))                                                                 \
    CUDA_CALL(EventQuery, cuEventQuery, (CUevent e))                                                                               \
    CUDA_CALL(EventSynchronize, cuEventSynchronize, (CUevent e))                                                                   \
    CUDA_CALL(EventElapsedTime, cuEventElapsedTime, (float *ms, CUevent from, CUevent to))                                         \
    CUDA_CALL(LaunchKernel, cuLaunchKernel,                                                                                        \
        (CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,              \
            CUstream stream, void **params, void **extra))                                                                         \
    CUDA_CALL(LaunchCooperativeKernel, cuLaunchCooperativeKernel,                                                                  \
        (CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,              \
            CUstream stream, void **params))                                                                                       \
    CUDA_CALL(                                                                                                                     \
        OccupancyMaxActiveBlocks, cuOccupancyMaxActiveBlocksPerMultiprocessor, (int *n, CUfunction f, int threads, size_t shared)) \
    CUDA_CALL(MemsetD32Async, cuMemsetD32Async, (CUdeviceptr at, unsigned word, size_t n, CUstream s))

/* What an older driver may lack: all members of the first list are there (CUDA 12.0), or none; so are those of the second, which
 * make conditional nodes (12.4), and those of the third, which make maps of tensors (12.0). */
#define CUDA_GRAPH_CALLS                                                                                              \
    CUDA_CALL(GraphCreate, cuGraphCreate, (CUgraph * g, unsigned flags))                                              \
    CUDA_CALL(GraphDestroy, cuGraphDestroy, (CUgraph g))                                                              \
    CUDA_CALL(GraphAddKernelNode, cuGraphAddKernelNode_v2,                                                            \
        (CUgraphNode * n, CUgraph g, const CUgraphNode *after, size_t nafter, const CUDA_KERNEL_NODE_PARAMS *params)) \
    CUDA_CALL(GraphKernelNodeSetAttribute, cuGraphKernelNodeSetAttribute,                                             \
        (CUgraphNode n, int attribute, const CUlaunchAttributeValue *value))                                          \
    CUDA_CALL(GraphInstantiate, cuGraphInstantiateWithFlags, (CUgraphExec * x, CUgraph g, unsigned long long flags))  \
    CUDA_CALL(GraphExecKernelNodeSetParams, cuGraphExecKernelNodeSetParams_v2,                                        \
        (CUgraphExec x, CUgraphNode n, const CUDA_KERNEL_NODE_PARAMS *params))                                        \
    CUDA_CALL(GraphLaunch, cuGraphLaunch, (CUgraphExec x, CUstream s))                                                \
    CUDA_CALL(GraphExecDestroy, cuGraphExecDestroy, (CUgraphExec x))
#define CUDA_CONDITIONAL_CALLS                                                                  \
    CUDA_CALL(GraphConditionalHandleCreate, cuGraphConditionalHandleCreate,                     \
        (CUgraphConditionalHandle * h, CUgraph g, CUcontext c, unsigned value, unsigned flags)) \
    CUDA_CALL(GraphAddNode, cuGraphAddNode_v2,                                                  \
        (CUgraphNode * n, CUgraph g, const CUgraphNode *after, const void *edges, size_t nafter, CUgraphNodeParams *params))
#define CUDA_MAP_CALLS                                                                                         \
    CUDA_CALL(TensorMapEncodeTiled, cuTensorMapEncodeTiled,                                                    \
        (CUtensorMap * map, int type, uint32_t rank, void *at, const uint64_t *extent, const uint64_t *stride, \
            const uint32_t *box, const uint32_t *element_stride, int interleave, int swizzle, int promotion, int fill))

typedef struct CudaDriver {
#define CUDA_CALL(member, symbol, params) CUresult(*member) params;
    CUDA_CALLS
    CUDA_GRAPH_CALLS
    CUDA_CONDITIONAL_CALLS
    CUDA_MAP_CALLS
#undef CUDA_CALL
    /* CUDA C (a whole program's text) to what ModuleLoadData takes, appended to image: by NVRTC, or by the host's compiler for an
     * emulated device. False: st. */
    bool (*build)(const struct CudaDriver *d, const char *source, const char *name, Text *image, Status *st);
    /* All besides the text that decides what build makes: which compiler, its version and options, the architecture; and the file
     * that compiles (an empty text: unknown). NULL: nothing is kept. False: st. */
    bool (*compiler)(const struct CudaDriver *d, Text *key, char file[CUDA_PATH], Status *st);
    const char *no_blas;              /* why products never go to a cuBLASLt but one that KILN_CUBLASLT names; NULL: they may */
    bool parts;                       /* a long text is compiled sooner as several (parts.h) */
    struct CodeStore *(*store)(void); /* where code is kept of engines that name no folder; NULL: nowhere */
    int ordinal;                      /* the n of gpu:n */
    CUcontext context;                /* the device's primary context; made current around every use */
    char device[128];                 /* what the maker calls it */
    int capability;                   /* 10 * major + minor */
    bool own;                         /* code may be for this very architecture (sm_90a), which no other runs */
    int together;                     /* multiprocessors of a device whose launches may be cooperative; 0: they may not */
    bool bodies;                      /* those of nodes in bodies of conditional ones, too */
    int version;                      /* 1000 * major + 10 * minor */
} CudaDriver;

/* An architecture as a number: 10 * major + minor, and CUDA_OWN more where a text may use what that very architecture alone has, by
 * the instructions of its kind "a". Only a text that says so by this line is compiled for it. */
enum { CUDA_OWN = 1000, CUDA_SM_90A = CUDA_OWN + 90 };
#define CUDA_OWN_LINE "#define KILN_OWN_ARCHITECTURE\n"
static inline int cuda_sm(const CudaDriver *d) { return d->capability + (d->own ? CUDA_OWN : 0); }

static inline bool cuda_has_graphs(const CudaDriver *d) { return d->GraphCreate; }
static inline bool cuda_has_conditionals(const CudaDriver *d) { return d->GraphCreate && d->GraphAddNode; }

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

/* The driver as it serves device `ordinal`. Opens the library at first use and keeps it until the process ends; safe from any
 * thread. If library or device are absent, which is remembered: NULL and ST_DEVICE, which names what was looked for. */
const CudaDriver *cuda_driver(int ordinal, Status *st);
/* How many devices there are that cuda_driver may serve, and what one is, which opens none. 0: st, or ordinal is none of them. */
int cuda_devices(Status *st);
void cuda_device_text(int ordinal, char *text, size_t cap);
/* $KILN_NVRTC names the library's file; without it the usual names are tried, then the usual folders. */
const Nvrtc *cuda_nvrtc(Status *st);

/* True if e is success; else st says what was being done and what the driver calls it. */
bool cuda_ok(const CudaDriver *d, CUresult e, Status *st, const char *format, ...) PRINTF_LIKE(4, 5);

/* Compiles CUDA C to PTX for compute_`sm` or, if binary, to a cubin for sm_`sm` (or its kind "a"), which is appended. log (may be
 * NULL) receives the compiler's messages, even warnings of a success, and what each kernel of a binary takes: registers, stack,
 * spills. */
bool cuda_compile(const char *source, const char *name, int sm, bool binary, Text *out, Text *log, Status *st);
/* As CudaDriver.build: a binary if NVRTC can make one for this very device, since an older driver may not read a newer NVRTC's PTX;
 * else PTX. */
bool nvrtc_build(const CudaDriver *d, const char *source, const char *name, Text *image, Status *st);
bool nvrtc_compiler(const CudaDriver *d, Text *key, char file[CUDA_PATH], Status *st); /* as CudaDriver.compiler */
/* As build, but what was built before is taken from the folder, if store or the driver's own is one (kept.c). kept: NULL, or
 * whether it was there. */
bool cuda_image(
    const CudaDriver *d, struct CodeStore *store, const char *source, const char *name, bool *kept, Text *image, Status *st);
/* Whether NVRTC compiles for this very architecture; else st, which lists those that it knows. */
bool cuda_architecture(int sm, Status *st);
/* The newest architecture up to sm that NVRTC compiles for; 0, with an error in st, if there is none. */
int cuda_compile_arch(int sm, Status *st);

#endif
