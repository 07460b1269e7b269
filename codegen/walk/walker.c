/* walker: runs a program on a device by its table (walk.h): the code of an object for a device. It is compiled when the library is,
 * laid out as bytes that may lie anywhere, and put into each object. It calls what the caller's library of the driver offers and
 * nothing else: no C library, no memory but the caller's. cuda_run.c is the same for code that was compiled in the process. */
#include "../walk.h"
#include "../kernel.h"
#include "../program.h"
#include "../share.h"
#include "../tensor_map.h"

/* ---- the driver --------------------------------------------------------------------------------- */

typedef void *Handle;
typedef uint64_t Address;

#define DRIVER                                                                                                           \
    CALL(INIT, "cuInit", (unsigned flags))                                                                               \
    CALL(ERROR_NAME, "cuGetErrorName", (int e, const char **text))                                                       \
    CALL(DEVICE, "cuDeviceGet", (int *device, int ordinal))                                                              \
    CALL(RETAIN, "cuDevicePrimaryCtxRetain", (Handle * context, int device))                                             \
    CALL(RELEASE, "cuDevicePrimaryCtxRelease_v2", (int device))                                                          \
    CALL(PUSH, "cuCtxPushCurrent_v2", (Handle context))                                                                  \
    CALL(POP, "cuCtxPopCurrent_v2", (Handle * context))                                                                  \
    CALL(LOAD, "cuModuleLoadData", (Handle * module, const void *image))                                                 \
    CALL(UNLOAD, "cuModuleUnload", (Handle module))                                                                      \
    CALL(FUNCTION, "cuModuleGetFunction", (Handle * function, Handle module, const char *name))                          \
    CALL(ATTRIBUTE, "cuFuncSetAttribute", (Handle function, int attribute, int value))                                   \
    CALL(ALLOC, "cuMemAlloc_v2", (Address * at, size_t bytes))                                                           \
    CALL(FREE, "cuMemFree_v2", (Address at))                                                                             \
    CALL(IN, "cuMemcpyHtoDAsync_v2", (Address to, const void *from, size_t bytes, Handle stream))                        \
    CALL(OUT, "cuMemcpyDtoHAsync_v2", (void *to, Address from, size_t bytes, Handle stream))                             \
    CALL(WITHIN, "cuMemcpyDtoDAsync_v2", (Address to, Address from, size_t bytes, Handle stream))                        \
    CALL(WAIT, "cuStreamSynchronize", (Handle stream))                                                                   \
    CALL(LAUNCH, "cuLaunchKernel",                                                                                       \
        (Handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, \
            Handle stream, void **params, void **extra))                                                                 \
    CALL(TOGETHER, "cuLaunchCooperativeKernel",                                                                          \
        (Handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, \
            Handle stream, void **params))                                                                               \
    CALL(AT_ONCE, "cuOccupancyMaxActiveBlocksPerMultiprocessor", (int *n, Handle function, int threads, size_t shared))  \
    CALL(ASK, "cuDeviceGetAttribute", (int *value, int attribute, int device))                                           \
    CALL(FILL, "cuMemsetD32Async", (Address at, unsigned word, size_t n, Handle stream))                                 \
    CALL(MAP, "cuTensorMapEncodeTiled", /* of CUDA 12: the one that may be absent */                                     \
        (CUtensorMap * map, int type, uint32_t rank, void *at, const uint64_t *extent, const uint64_t *stride,           \
            const uint32_t *box, const uint32_t *element_stride, int interleave, int swizzle, int promotion, int fill))

#define CALL(name, symbol, params) CALL_##name,
enum { DRIVER CALLS };
#undef CALL
#define CALL(name, symbol, params) typedef int name##_fn params;
DRIVER
#undef CALL
#define CALL(name, symbol, params) symbol "\0"
static const char symbols[] = DRIVER;
#undef CALL
/* A result of the driver: true if it is success, else w->error says what was being done. */
#define DO(w, name, what, ...) done(w, ((name##_fn *)(w)->call[CALL_##name])(__VA_ARGS__), CALL_##name, what)

static const char *symbol_of(int which)
{
    const char *at = symbols;
    for (; which > 0; which--) {
        while (*at) at++;
        at++;
    }
    return at;
}

static void say(Walk *w, const char *text)
{
    size_t n = 0;
    while (w->error[n]) n++;
    for (; *text && n + 1 < sizeof w->error; text++) w->error[n++] = *text;
    w->error[n] = 0;
}

static bool done(Walk *w, int e, int which, const char *what)
{
    const char *name = 0;
    if (e == 0) return true;
    w->error[0] = 0;
    say(w, symbol_of(which));
    if (what) say(w, " of "), say(w, what);
    say(w, ": ");
    if (((ERROR_NAME_fn *)w->call[CALL_ERROR_NAME])(e, &name) != 0 || !name) name = "an unknown error";
    say(w, name);
    return false;
}

/* ---- a call --------------------------------------------------------------------------------------- */

typedef struct Run {
    Walk *w;
    const int64_t *table;
    const WalkHead *h;
    int64_t *expr, *dim; /* their values */
    Address *at;         /* of buffers */
    void **args;
    Address dims;    /* where those are that a launch does not bring along */
    Address meeting; /* where blocks meet */
    Handle stream;
    int32_t code; /* of a program that ended by itself */
} Run;

static int64_t size_of(const Run *r, int64_t d) { return d >= 0 ? d : r->expr[-1 - d]; }

/* symbol NULL: all symbols have their values. */
static void compute(const WalkHead *h, const int64_t *symbol, int64_t *expr)
{
    const int64_t *e = (const int64_t *)h + h->expr;
    for (int64_t i = 0; i < h->nexpr; i++, e += 3) {
        if (e[0] == DIM_SYMBOL) {
            if (symbol) expr[i] = e[1] < h->nsymbol ? symbol[e[1]] : 0;
            continue;
        }
        const int64_t a = e[1] >= 0 ? e[1] : expr[-1 - e[1]], b = e[2] >= 0 ? e[2] : expr[-1 - e[2]];
        switch (e[0]) {
        case DIM_NEGATIVE: expr[i] = -e[1]; break;
        case DIM_ADD: expr[i] = a + b; break;
        case DIM_MUL: expr[i] = a * b; break;
        case DIM_FLOORDIV: expr[i] = b != 0 ? a / b : 0; break;
        default: expr[i] = a > b ? a : b;
        }
    }
}

/* n, then so many Dims; *at moves behind them. */
static int64_t product(const Run *r, const int64_t **at)
{
    int64_t n = *(*at)++, all = 1;
    for (; n > 0; n--) all *= size_of(r, *(*at)++);
    return all;
}

/* The maps of a product's operands, if there are any: *some. */
static bool make_maps(Run *r, const int64_t *s, const char *name, ProductMaps *maps, bool *some)
{
    const int64_t n = *s++;
    *some = n != 0;
    for (uint32_t i = 0; i < n; i++) {
        TensorBox b;
        b.address = r->at[s[0]] + 2 * (uint64_t)size_of(r, s[1]);
        b.rank = (uint32_t)s[2], b.box[0] = (uint32_t)s[3], b.box[1] = (uint32_t)s[4];
        s += 5;
        for (uint32_t a = 0; a < b.rank; a++, s += 2) b.extent[a] = size_of(r, s[0]), b.stride[a] = size_of(r, s[1]);
        if (!done(r->w, tensor_map_make((TensorMapEncode *)r->w->call[CALL_MAP], maps, i, &b), CALL_MAP, name)) return false;
    }
    return true;
}

static bool launch(Run *r, const int64_t *s)
{
    ProductMaps maps;
    bool some;
    const int64_t f = *s++, threads = *s++, shared = *s++;
    int64_t blocks = 1, groups = *s++;
    const char *name = (const char *)(r->table + r->h->names) + r->table[r->h->function + f];
    for (; groups > 0; groups--) {
        const int64_t by = *s++, all = product(r, &s);
        blocks *= (all + by - 1) / by;
    }
    const int64_t n = *s++, most = *s++;
    if (blocks <= 0) return true;
    for (int64_t i = 0; i < n; i++) r->args[i] = &r->at[s[i]];
    if (!make_maps(r, s + n, name, &maps, &some)) return false;
    r->args[n] = &maps;
    r->args[n + some] = r->h->by_value ? (void *)r->dim : &r->dims;
    if (blocks > most) blocks = most;
    int64_t *told = &r->w->word[r->h->nfunction + f];
    if (*told < shared && !DO(r->w, ATTRIBUTE, name, (Handle)r->w->word[f], 8 /* most shared memory */, (int)shared)) return false;
    if (*told < shared) *told = shared;
    return DO(r->w, LAUNCH, name, (Handle)r->w->word[f], (unsigned)blocks, 1, 1, (unsigned)threads, 1, 1, (unsigned)shared,
        r->stream, r->args, 0);
}

/* Blocks of a function that the device runs at once, so that they may wait for each other; asked once, and 1 more is kept. */
static bool ask_at_once(Run *r, int64_t f, const char *name, int64_t *n)
{
    int64_t *known = &r->w->word[r->h->nfunction + f];
    int may = 0, processors = 0, each = 0;
    const int device = (int)r->w->device;
    if (*known == 0) {
        if (!DO(r->w, ASK, 0, &may, 95 /* cooperative launches */, device) || !DO(r->w, ASK, 0, &processors, 16, device) ||
            !DO(r->w, AT_ONCE, name, &each, (Handle)r->w->word[f], SHARE_BLOCK, 0))
            return false;
        *known = 1 + (may ? (int64_t)each * processors : 0);
    }
    *n = *known - 1;
    return true;
}

static bool launch_rows(Run *r, const int64_t *s)
{
    const int64_t f = *s++;
    const ShareRows *rows = (const ShareRows *)s;
    s += sizeof *rows / sizeof *s;
    const int64_t elements = size_of(r, *s++), points = product(r, &s), n = *s++, most = *s++;
    const char *name = (const char *)(r->table + r->h->names) + r->table[r->h->function + f];
    const Handle is = (Handle)r->w->word[f];
    int64_t at_once;
    if (points <= 0) return true;
    if (!ask_at_once(r, f, name, &at_once)) return false;
    const ShareGrid g = share_grid(rows, points, elements, at_once);
    for (int64_t i = 0; i < n; i++) r->args[i] = &r->at[s[i]];
    r->args[n] = &r->meeting;
    r->args[n + 1] = r->h->by_value ? (void *)r->dim : &r->dims;
    const unsigned blocks = (unsigned)(g.blocks < most ? g.blocks : most);
    if (g.parts == 1) return DO(r->w, LAUNCH, name, is, blocks, 1, 1, SHARE_BLOCK, 1, 1, 0, r->stream, r->args, 0);
    return DO(r->w, FILL, 0, r->meeting, 0, 2 * (size_t)g.blocks, r->stream) &&
           DO(r->w, TOGETHER, name, is, blocks, (unsigned)g.parts, 1, SHARE_BLOCK, 1, 1, 0, r->stream, r->args);
}

static bool copy(Run *r, const int64_t *s)
{
    const Address to = r->at[s[1]], from = r->at[s[0]];
    const int64_t each = s[2];
    s += 3;
    const int64_t bytes = each * product(r, &s);
    return bytes == 0 || DO(r->w, WITHIN, 0, to, from, (size_t)bytes, r->stream);
}

/* Reads what was computed so far. */
static bool get(Run *r, void *to, Address from, size_t bytes)
{
    return DO(r->w, OUT, 0, to, from, bytes, r->stream) && DO(r->w, WAIT, 0, r->stream);
}

static bool put_count(Run *r, int64_t buf, int64_t n)
{
    return buf < 0 || DO(r->w, IN, 0, r->at[buf], &n, sizeof n, r->stream); /* pageable memory is read before it returns */
}

static bool check(Run *r, const int64_t *s)
{
    char part[64];
    Address at = r->at[*s++];
    for (int64_t n = product(r, &s); n > 0; n -= (int64_t)sizeof part, at += sizeof part) {
        const size_t now = n < (int64_t)sizeof part ? (size_t)n : sizeof part;
        if (!get(r, part, at, now)) return false;
        for (size_t i = 0; i < now; i++)
            if (!part[i]) return r->code = ST_VALUE, false;
    }
    return true;
}

/* ---- loops and branches ----------------------------------------------------------------------------- */

static bool steps(Run *r, const int64_t *list);

/* Finds the slices of a loop; a slice of a slice comes after what it slices. Returns what follows their list. */
static const int64_t *slices(Run *r, const int64_t *s, int64_t index)
{
    for (int64_t n = *s++; n > 0; n--, s += 4) r->at[s[0]] = r->at[s[1]] + (Address)(index * size_of(r, s[3]) * s[2]);
    return s;
}

static const int64_t *after(const int64_t *list) { return list + 1 + *list; }

static bool loop(Run *r, const int64_t *s)
{
    int64_t trip = s[1] == INT64_MAX ? s[1] : size_of(r, s[1]), computed;
    const bool down = s[3];
    if (s[0] >= 0 && !get(r, &computed, r->at[s[0]], sizeof computed)) return false;
    if (s[0] >= 0 && computed < trip) trip = computed;
    for (int64_t turn = 0; turn < trip; turn++) {
        const int64_t index = down ? trip - 1 - turn : turn;
        const int64_t *body = slices(r, s + 4, index);
        if (!put_count(r, s[2], index) || !steps(r, body)) return false;
    }
    return true;
}

static bool loop_while(Run *r, const int64_t *s)
{
    const int64_t *condition = s + 5 + 1 + 4 * s[5];
    for (int64_t index = 0;; index++) {
        char go_on = 0;
        if (!put_count(r, s[1], index) || !steps(r, condition) || !get(r, &go_on, r->at[s[0]], 1)) return false;
        if (!go_on) return put_count(r, s[2], index);
        if (index >= s[3]) return r->code = (int32_t)s[4], false;
        slices(r, s + 5, index);
        if (!steps(r, after(condition))) return false;
    }
}

static int64_t number(const unsigned char *at, int64_t bytes, bool has_sign)
{
    uint64_t x = 0;
    for (int64_t i = 0; i < bytes; i++) x |= (uint64_t)at[__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? i : bytes - 1 - i] << 8 * i;
    const uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    if (has_sign) return (int64_t)((x ^ sign) - sign);
    return x > INT64_MAX ? INT64_MAX : (int64_t)x;
}

static bool branch(Run *r, const int64_t *s)
{
    unsigned char bytes[8];
    if (!get(r, bytes, r->at[s[0]], (size_t)s[1])) return false;
    int64_t k = number(bytes, s[1], s[2]);
    if (k > s[3] - 1) k = s[3] - 1;
    const int64_t *list = s + 4;
    for (; k > 0; k--) list = after(list);
    return steps(r, list);
}

static bool open_dims(Run *r)
{
    const WalkHead *h = r->h;
    Walk *w = r->w;
    for (int64_t i = 0; i < h->ndim; i++) r->dim[i] = size_of(r, r->table[h->dim + i]);
    return h->by_value || h->ndim == 0 || DO(w, IN, 0, r->dims, r->dim, (size_t)h->ndim * sizeof *r->dim, r->stream);
}

/* A size, and what follows it. */
static bool counted(Run *r, const int64_t *s)
{
    int64_t n = 0;
    const int64_t most = size_of(r, s[1]);
    if (!get(r, &n, r->at[s[2]], sizeof n)) return false;
    r->expr[-1 - s[0]] = n < 0 ? 0 : n > most ? most : n;
    compute(r->h, 0, r->expr);
    return open_dims(r) && steps(r, s + 3);
}

static bool steps(Run *r, const int64_t *list)
{
    const int64_t *end = after(list);
    bool ok = true;
    for (const int64_t *s = list + 1; s < end && ok; s += s[1]) {
        switch ((WalkStep)s[0]) {
        case WALK_LAUNCH: ok = launch(r, s + 2); break;
        case WALK_COPY: ok = copy(r, s + 2); break;
        case WALK_LOOP: ok = loop(r, s + 2); break;
        case WALK_WHILE: ok = loop_while(r, s + 2); break;
        case WALK_BRANCH: ok = branch(r, s + 2); break;
        case WALK_CHECK: ok = check(r, s + 2); break;
        case WALK_ROWS: ok = launch_rows(r, s + 2); break;
        case WALK_SIZE: ok = counted(r, s + 2); break;
        }
    }
    return ok;
}

/* ---- what the object offers --------------------------------------------------------------------------- */

static bool entered(Walk *w) { return DO(w, PUSH, 0, w->context); }

static int32_t left(Walk *w, bool ok)
{
    Handle ours;
    ((POP_fn *)w->call[CALL_POP])(&ours);
    return ok ? ST_OK : ST_DEVICE;
}

static bool begin(Run *r, Walk *w, void *stream, const int64_t *dim, void *dims)
{
    const WalkHead *h = w->head;
    r->w = w;
    r->h = h;
    r->table = (const int64_t *)h;
    r->stream = stream;
    r->expr = w->word + 2 * h->nfunction;
    r->dim = r->expr + h->nexpr;
    r->at = (Address *)(r->dim + h->ndim);
    r->args = (void **)(r->at + h->nbuf);
    r->dims = (Address)(uintptr_t)dims;
    r->code = 0;
    compute(h, dim, r->expr);
    return open_dims(r);
}

int32_t walk_entry(Walk *w, void *stream, void *const *buf, const int64_t *dim, void *dims, void *work)
{
    Run r;
    if (!entered(w)) return ST_DEVICE;
    bool ok = begin(&r, w, stream, dim, dims);
    r.meeting = (Address)(uintptr_t)work - (Address)r.h->meeting;
    const int64_t *b = r.table + r.h->buf;
    for (int64_t i = 0; i < r.h->nbuf; i++, b += 2) {
        if (b[0] == BUF_TEMP) r.at[i] = (Address)(uintptr_t)work + (Address)b[1];
        if (b[0] == BUF_INPUT || b[0] == BUF_OUTPUT) r.at[i] = (Address)(uintptr_t)buf[b[1]];
    }
    ok = ok && steps(&r, r.table + r.h->step);
    const int32_t code = left(w, ok);
    return r.code != 0 ? r.code : code;
}

/* way 0: to the device, from the host; 1: within the device */
int32_t walk_copy(Walk *w, void *stream, void *to, const void *from, size_t bytes, int32_t way)
{
    const Address at = (Address)(uintptr_t)to;
    if (!entered(w)) return ST_DEVICE;
    return left(
        w, way == 0 ? DO(w, IN, 0, at, from, bytes, stream) : DO(w, WITHIN, 0, at, (Address)(uintptr_t)from, bytes, stream));
}

void walk_end(Walk *w)
{
    if (!w->context) return;
    if (entered(w)) {
        if (w->constants) DO(w, FREE, 0, w->constants);
        if (w->module) DO(w, UNLOAD, 0, w->module);
        left(w, true);
    }
    ((RELEASE_fn *)w->call[CALL_RELEASE])((int)w->device);
    w->context = w->module = 0;
    w->constants = 0;
}

/* What does not suit this device may do as PTX, which its driver compiles. */
static bool load(Walk *w, const void *image, const void *ptx)
{
    if (ptx && ((LOAD_fn *)w->call[CALL_LOAD])(&w->module, image) == 0) return true;
    return DO(w, LOAD, 0, &w->module, ptx ? ptx : image);
}

static bool prepare(Walk *w, const void *image, const void *ptx, const void *constants)
{
    const WalkHead *h = w->head;
    const int64_t *table = (const int64_t *)h;
    if (!load(w, image, ptx)) return false;
    for (int64_t i = 0; i < h->nfunction; i++) {
        const char *name = (const char *)(table + h->names) + table[h->function + i];
        Handle f = 0;
        if (*name && !DO(w, FUNCTION, name, &f, w->module, name)) return false;
        w->word[i] = (int64_t)(uintptr_t)f;
        w->word[h->nfunction + i] = 0;
    }
    if (h->constants == 0) return true;
    return DO(w, ALLOC, "the constants", &w->constants, (size_t)h->constants) &&
           DO(w, IN, 0, w->constants, constants, (size_t)h->constants, 0) && DO(w, WAIT, 0, 0);
}

static bool find_driver(Walk *w, void *library, void *(*symbol)(void *, const char *))
{
    for (int i = 0; i < CALLS; i++) {
        w->call[i] = symbol(library, symbol_of(i));
        if (w->call[i] || i == CALL_MAP) continue;
        say(w, "the driver's library is too old: it has no ");
        say(w, symbol_of(i));
        return false;
    }
    return true;
}

int32_t walk_begin(Walk *w, const void *const *part, void *library, void *(*symbol)(void *, const char *), int32_t ordinal)
{
    int device;
    w->error[0] = 0;
    w->head = part[0];
    w->constants = 0;
    w->context = w->module = 0;
    if (!find_driver(w, library, symbol) || !DO(w, INIT, 0, 0) || !DO(w, DEVICE, 0, &device, ordinal)) return ST_DEVICE;
    w->device = device;
    if (!DO(w, RETAIN, 0, &w->context, device)) return w->context = 0, ST_DEVICE;
    bool ok = entered(w);
    if (ok) {
        ok = prepare(w, part[1], part[2], part[3]);
        left(w, ok);
    }
    if (ok) return ST_OK;
    char why[sizeof w->error];
    for (size_t i = 0; i < sizeof why; i++) why[i] = w->error[i];
    walk_end(w);
    for (size_t i = 0; i < sizeof why; i++) w->error[i] = why[i];
    return ST_DEVICE;
}

/* As program_measure. */
void walk_sizes(const WalkHead *h, const int64_t *symbol, int64_t *out, int64_t *expr)
{
    const int64_t *table = (const int64_t *)h, *s = table + h->temp;
    Run r = {.expr = expr, .h = h, .table = table};
    compute(h, symbol, expr);
    int64_t most = 0;
    for (int64_t i = 0; i < h->ntemp; i++) {
        const int64_t offset = *s++, each = *s++, end = (offset + each * product(&r, &s) + 63) / 64 * 64;
        if (end > most) most = end;
    }
    *out++ = most;
    s = table + h->result;
    for (int64_t i = 0; i < h->nresult; i++)
        for (int64_t n = *s++; n > 0; n--) *out++ = size_of(&r, *s++);
}

/* Where the functions are, from here on, in the order of WalkFunction. */
__asm__(".pushsection .walk, \"a\"\n"
        "walk_table: .long walk_begin - walk_table, walk_end - walk_table, walk_entry - walk_table\n"
        ".long walk_copy - walk_table, walk_sizes - walk_table\n"
        ".popsection\n");
