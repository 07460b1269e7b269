/* factor: the one kind of routine that no kernels stand for, factors of matrices: the host computes them, between two copies.
 * Relies on run.h, codegen/contract. */
#include "../contract/contract.h"
#include "run.h"

#define ALIGN 64

static size_t aligned(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

static bool between_copies(CudaQueue *q, Op op, const HostFactor *f, const CUdeviceptr *at, const size_t *bytes, Status *st)
{
    const CudaDriver *d = q->driver;
    const uint32_t results = routine_results(op), end = routine_buffers(op);
    for (uint32_t in = results; in < end; in++)
        if (bytes[in] != 0 &&
            !cuda_ok(d, d->MemcpyDtoHAsync(f->buf[in], at[in], bytes[in], q->stream), st, "copying matrices to the host"))
            return false;
    if (!cuda_ok(d, d->StreamSynchronize(q->stream), st, "copying matrices to the host")) return false;
    if (!factor_run(NULL, f, st)) return false;
    for (uint32_t i = 0; i < results; i++)
        if (bytes[i] != 0 && !q->put(q, at[i], f->buf[i], bytes[i], st)) return false;
    return true;
}

bool cuda_factor(const Program *p, CudaQueue *q, const Step *s, const CUdeviceptr *at, const int64_t *dim, Status *st)
{
    const HostRoutine *h = host_routine((Op)s->host.op);
    HostFactor f = {.type = s->host.type, .op = s->host.op};
    int64_t *number = &f.n;
    const uint32_t count = routine_buffers((Op)s->host.op);
    CUdeviceptr here[COUNT_OF(f.buf)];
    size_t bytes[COUNT_OF(f.buf)], total = ALIGN;
    if (!op_factors((Op)s->host.op)) return status_fail(st, ST_INTERNAL, "cuda: %s was not expanded", op_def[s->host.op].name);
    for (uint32_t i = 0; i < h->dims; i++) number[i] = program_size(p, s->host.dim[i], dim);
    for (uint32_t i = 0; i < count; i++) {
        here[i] = at[s->buf[i]];
        bytes[i] = cuda_buffer_bytes(p, s->buf[i], dim);
        total += aligned(bytes[i]);
    }
    char *memory = mem_alloc(total), *to = memory;
    if (!memory) return status_fail(st, ST_MEMORY, "%s: no memory for the host's copies", op_def[s->host.op].name);
    for (uint32_t i = 0; i < count; to += aligned(bytes[i++])) f.buf[i] = to;
    const bool ok = between_copies(q, (Op)s->host.op, &f, here, bytes, st);
    mem_free(memory, total);
    return ok;
}
