/* memory: what a compiled signature takes of memory, and for what. Counts and never allocates. */
#include "function.h"

/* At the upper bounds; of a stack whose height its loop makes: of one slice. */
static int64_t bytes_of(const DimTable *dims, const Type *type)
{
    int64_t n = (int64_t)dtype_bytes((DType)type->dtype);
    for (uint32_t i = 0; i < type->rank; i++)
        if (type->dim[i] >= 0 || !dim_is_made(dims, type->dim[i])) n *= dim_hi(dims, type->dim[i]);
    return n;
}

/* What the source is now; NULL: it is an argument, or gone. */
static const kiln_tensor *value_of(const Source *s)
{
    if (s->kind == FROM_ARGUMENT) return NULL;
    if (s->kind == FROM_VARIABLE) return s->variable->id == s->uid && s->variable->alive ? s->variable->value : NULL;
    return s->tensor->state == TENSOR_EAGER && (s->kind == FROM_LITERAL || s->tensor->uid == s->uid) ? s->tensor : NULL;
}

/* Two sources may lie in one buffer: its panels count once. */
static bool seen_before(const Traced *traced, uint32_t source, const Buffer *b)
{
    for (uint32_t i = 0; i < source; i++) {
        const kiln_tensor *x = value_of(&traced->source[i]);
        if (x && x->buffer == b) return true;
    }
    return false;
}

static void count_sources(const Traced *traced, kiln_function_bytes *s)
{
    for (uint32_t i = 0; i < traced->nsource; i++) {
        const Source *from = &traced->source[i];
        const kiln_tensor *x = value_of(from);
        if (!x) continue;
        int64_t *to = from->kind == FROM_VARIABLE ? &s->variables : from->kind == FROM_CAPTURE ? &s->captured : &s->constants;
        *to += type_count(&x->type) * (int64_t)dtype_bytes((DType)x->type.dtype);
        if (x->device == HOST && !seen_before(traced, i, x->buffer)) s->panels += (int64_t)panels_bytes(x->buffer);
    }
}

static void count(const Instance *inst, const Code *code, kiln_function_bytes *s)
{
    const Traced *traced = &inst->traced;
    const Program *p = code->program;
    const DimTable *dims = &p->module->dims;
    s->workspace = p->workspace;
    s->least = p->live;
    s->bounded = traced->bounded;
    for (uint32_t i = 0; i < traced->nsource; i++)
        if (traced->source[i].kind == FROM_ARGUMENT) s->arguments += bytes_of(dims, &p->buf.at[i].type);
    for (uint32_t i = 0; i < traced->nresult; i++)
        *(i < traced->noutput + traced->ncount ? &s->results : &s->assigned) += bytes_of(dims, &p->buf.at[p->ninput + i].type);
    count_sources(traced, s);
    if (!code->before) return;
    s->beforehand = (int64_t)code->before->bytes;
    for (uint32_t i = 0; i < code->before->n && atomic_load(&code->before->there); i++)
        if (traced->device == HOST) s->panels += (int64_t)panels_bytes(code->before->value[i]->buffer);
}

bool kiln_function_memory_sized(kiln_function *f, kiln_function_bytes *out, size_t size)
{
    kiln_function_bytes s = {0};
    const Code *code = NULL;
    if (!out) return false;
    if (f) {
        pthread_mutex_lock(&f->compiling);
        for (Instance *inst = f->newest; inst && !code && !f->freed; inst = inst->older) {
            code = inst->code ? inst->code : inst->late;
            if (code) count(inst, code, &s);
        }
        pthread_mutex_unlock(&f->compiling);
    }
    memcpy(out, &s, MIN_OF(size, sizeof s));
    return code;
}
