/* op_grams: ONNX's TfIdfVectorizer over integers: how often each n-gram of a pool is met in rows of tokens. Relies on import.h. */
#include "import.h"

#define MOST_SKIPS (1 << 12) /* each is some nodes of the graph */

typedef struct Pool {
    int64_t *token, *first, *index; /* the pool; where the grams of 1, 2, ... tokens begin; which element of the result is whose */
    int tokens, firsts, grams;
} Pool;

static bool list(Call *c, const char *name, int64_t **at, int *n)
{
    enum { MOST = 1 << 20 };
    const OnnxAttribute *a = attribute(c, name);
    const int64_t count = a ? numbers_count(a->ints) : -1;
    if (count < 0 || count > MOST) return unsupported(c, "a missing list, or one of more than 2^20 numbers");
    *at = ARENA_ARRAY(c->arena, int64_t, count + 1);
    return attr_ints(c, name, *at, MOST, n);
}

static bool pool_of(Call *c, Pool *p)
{
    if (attribute(c, "pool_strings")) return unsupported(c, "a pool of strings");
    if (!list(c, "pool_int64s", &p->token, &p->tokens) || !list(c, "ngram_counts", &p->first, &p->firsts) ||
        !list(c, "ngram_indexes", &p->index, &p->grams))
        return false;
    int64_t grams = 0;
    for (int i = 0; i < p->firsts; i++) {
        const int64_t end = i + 1 < p->firsts ? p->first[i + 1] : p->tokens;
        if (p->first[i] < 0 || end < p->first[i] || end > p->tokens || (end - p->first[i]) % (i + 1) != 0)
            return unsupported(c, "ngram_counts that do not fit the pool");
        grams += (end - p->first[i]) / (i + 1);
    }
    for (int i = 0; i < p->grams; i++)
        if (p->index[i] < 0 || p->index[i] > 1 << 20) return unsupported(c, "an index below 0 or above 2^20");
    return (grams == p->grams && p->firsts > 0 && p->first[0] == 0) || unsupported(c, "ngram_indexes that do not fit the pool");
}

/* How often the rows of x [..., n] have each of the `count` grams of `size` tokens that lie at `token`, neighbours being `step`
 * apart. */
static kiln_tensor *met(Call *c, kiln_tensor *x, const int64_t *token, int64_t count, int size, int64_t step)
{
    const int axis = x->type.rank - 1;
    const int64_t places = x->type.dim[axis] - step * (size - 1);
    kiln_tensor *all = NULL;
    for (int j = 0; j < size; j++) {
        int64_t *one = ARENA_ARRAY(c->arena, int64_t, count + 1);
        for (int64_t g = 0; g < count; g++) one[g] = token[g * size + j];
        kiln_tensor *want = kiln_from_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(count), one, count);
        kiln_tensor *part = kiln_expand_dims_at(c->at, of(slice_axis(c->t, c->at, x, axis, j * step, places)), KILN_AXES(-1));
        kiln_tensor *same = kiln_eq_at(c->at, of(part), of(want));
        all = all ? kiln_and_at(c->at, of(all), of(same)) : same;
    }
    return kiln_sum_at(c->at, of(kiln_cast_at(c->at, of(all), KILN_F32)), KILN_AXES(axis));
}

/* The counts of the pool's grams, [..., grams], with a column of zeros behind. */
static kiln_tensor *counts(Call *c, kiln_tensor *x, const Pool *p)
{
    const int64_t low = attr_int(c, "min_gram_length", 1), high = attr_int(c, "max_gram_length", 1);
    const int64_t n = x->type.dim[x->type.rank - 1], skips = MIN_OF(attr_int(c, "max_skip_count", 0), n);
    kiln_shape s = {.rank = x->type.rank};
    for (int i = 0; i < s.rank; i++) s.size[1 + i] = i + 1 < s.rank ? x->type.dim[i] : 1;
    kiln_tensor **column = ARENA_ARRAY(c->arena, kiln_tensor *, p->firsts + 1);
    int columns = 0;
    for (int i = 0; i < p->firsts; i++) {
        const int64_t end = i + 1 < p->firsts ? p->first[i + 1] : p->tokens, count = (end - p->first[i]) / (i + 1);
        if (count == 0) continue;
        s.size[s.rank] = count;
        kiln_tensor *sum = kiln_full_at(c->at, c->t->k, KILN_F32, s, KILN_OPERAND(0));
        for (int64_t step = 1; step <= skips + 1 && i + 1 >= low && i + 1 <= high && n > step * i && tensor_ok(sum); step++) {
            sum = kiln_add_at(c->at, of(sum), of(met(c, x, p->token + p->first[i], count, i + 1, step)));
            if (i == 0) break; /* single tokens have no neighbours */
        }
        column[columns++] = sum;
    }
    s.size[s.rank] = 1;
    column[columns++] = kiln_full_at(c->at, c->t->k, KILN_F32, s, KILN_OPERAND(0));
    return kiln_concat_at(c->at, column, columns, -1);
}

bool op_tfidf(Call *c)
{
    Pool p;
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x) || !pool_of(c, &p)) return false;
    if (x->type.rank < 1 || x->type.rank > 2) return unsupported(c, "rank %d, where 1 and 2 are allowed,", x->type.rank);
    for (int i = 0; i < x->type.rank; i++)
        if (!dim_is_const(x->type.dim[i])) return unsupported(c, "a size that is a symbol");
    if (MIN_OF(attr_int(c, "max_skip_count", 0), x->type.dim[x->type.rank - 1]) > MOST_SKIPS)
        return unsupported(c, "a max_skip_count of more than 2^12 in rows as long");
    int64_t size = 0;
    for (int i = 0; i < p.grams; i++) size = MAX_OF(size, p.index[i] + 1);
    int64_t *from = ARENA_ARRAY(c->arena, int64_t, size + 1);
    for (int64_t i = 0; i < size; i++) from[i] = p.grams;
    for (int i = 0; i < p.grams; i++) from[p.index[i]] = i;
    double *weight = ARENA_ARRAY(c->arena, double, size + 1);
    int weights;
    if (!attr_floats(c, "weights", weight, (int)size, &weights)) return false;
    if (weights > 0 && weights != size) return unsupported(c, "other than a weight for each element of the result");
    if (!tensor_ok(x = cast_to(c->t, c->at, x, DT_i64))) return false;
    kiln_tensor *y = counts(c, x, &p);
    y = kiln_gather_at(c->at, of(y), of(kiln_from_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(size), from, size)), x->type.rank - 1);
    if (attr_is(c, "mode", "IDF")) y = kiln_min_at(c->at, of(y), KILN_OPERAND(1));
    if (weights > 0 && !attr_is(c, "mode", "TF"))
        y = kiln_mul_at(c->at, of(y), of(kiln_from_doubles_at(c->at, c->t->k, KILN_F32, KILN_SHAPE(size), weight, size)));
    return give(c, 0, y);
}
