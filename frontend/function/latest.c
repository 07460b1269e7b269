/* latest: the arguments' types and static values of a function's latest call, eager or compiled, a hit or a miss: what kiln_aot
 * compiles for where no inputs are declared. A call like the one before costs one comparison. Never keeps a tensor. */
#include "function.h"

void latest_free(Latest *l)
{
    if (l) mem_free(l, l->bytes);
}

/* Everything lies in one block: the struct, types, values, and copies of the texts of static arguments, which the caller may free.
 * NULL: no memory. */
static Latest *latest_of(kiln_tensor *const *in, int nin)
{
    size_t bytes = sizeof(Latest) + (size_t)nin * (sizeof(Type) + sizeof(Fixed));
    for (int i = 0; i < nin; i++) {
        Fixed v = static_value(in[i]);
        bytes += v.text ? (size_t)v.bits + 1 : 0;
    }
    Latest *l = mem_zeros(1, bytes);
    if (!l) return NULL;
    l->bytes = bytes;
    l->narg = (uint32_t)nin;
    l->fixed = (Fixed *)(l + 1);
    l->made = (Type *)(l->fixed + nin);
    char *text = (char *)(l->made + nin);
    for (int i = 0; i < nin; i++) {
        Fixed v = l->fixed[i] = static_value(in[i]);
        l->made[i] = in[i]->type;
        if (!v.text) continue;
        memcpy(text, v.text, (size_t)v.bits);
        l->fixed[i].text = text;
        text += (size_t)v.bits + 1;
    }
    return l;
}

void latest_note(kiln_function *f, uint64_t key, kiln_tensor *const *in, int nin)
{
    key |= 1; /* 0: none yet */
    if (LIKELY(atomic_load_explicit(&f->latest_key, memory_order_relaxed) == key)) return;
    Latest *now = latest_of(in, nin);
    pthread_mutex_lock(&f->counting);
    Latest *old = f->latest;
    f->latest = now; /* without memory none, rather than an older one */
    atomic_store_explicit(&f->latest_key, now ? key : 0, memory_order_relaxed);
    pthread_mutex_unlock(&f->counting);
    latest_free(old);
}

/* Another block like it, whose texts are its own. */
static Latest *latest_again(const Latest *l)
{
    Latest *copy = mem_alloc(l->bytes);
    if (!copy) return NULL;
    memcpy(copy, l, l->bytes);
    copy->fixed = (Fixed *)(copy + 1);
    copy->made = (Type *)(copy->fixed + l->narg);
    for (uint32_t i = 0; i < l->narg; i++)
        if (l->fixed[i].text) copy->fixed[i].text = (char *)copy + (l->fixed[i].text - (const char *)l);
    return copy;
}

Latest *latest_copy(kiln_function *f, bool *failed)
{
    pthread_mutex_lock(&f->counting);
    Latest *copy = f->latest ? latest_again(f->latest) : NULL;
    *failed = f->latest && !copy;
    pthread_mutex_unlock(&f->counting);
    return copy;
}

void latest_argument(const Latest *l, uint32_t i, kiln_tensor *arg)
{
    const Fixed *v = &l->fixed[i];
    arg->type = l->made[i];
    if (!v->kind) return;
    arg->state = TENSOR_STATIC;
    arg->stride[0] = v->bits;
    arg->stride[1] = v->kind;
    arg->data = (char *)(uintptr_t)v->text;
}
