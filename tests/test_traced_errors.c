/* test_traced_errors: calls that cannot be, in functions that are traced with an open size: each is an error that names the line of
 * the call and its operands, as it is eagerly; nothing crashes, and nothing is left. */
#include "front.h"
#include "runtime/base.h"

#include <kiln/linalg.h>
#include <kiln/nn.h>
#include <kiln/random.h>
#include <kiln/sized.h>

#define A in[0] /* f32[N,3,4] */
#define B in[1] /* f32[5,4,4] */
#define C in[2] /* i64[M] */
#define CALLS(X) \
    X(kiln_matmul(A,B)) \
    X(kiln_matmul_to(A,B,KILN_F32)) \
    X(kiln_matmul(kiln_cast(A,KILN_I8),kiln_cast(B,KILN_I8))) \
    X(kiln_solve(B,A)) \
    X(kiln_solve(kiln_expand(B,0),kiln_expand(A,0))) \
    X(kiln_triangular_solve(B,A,0)) \
    X(kiln_cholesky(A)) \
    X(kiln_inverse(A)) \
    X(kiln_det(A)) \
    X(kiln_einsum("nij,nkj->ik",KILN_IN(A,B))) \
    X(kiln_einsum("nij,kjj->nk",KILN_IN(A,A))) \
    X(kiln_tensordot(A,B,KILN_AXES(1),KILN_AXES(1))) \
    X(kiln_vecdot(A,B,-1)) \
    X(kiln_cross(A,B,-1)) \
    X(kiln_add(A,B)) \
    X(kiln_where(A,A,B)) \
    X(kiln_concat(KILN_IN(A,B),0)) \
    X(kiln_stack(KILN_IN(A,B),0)) \
    X(kiln_gather(A,B,0)) \
    X(kiln_take_along(A,C,0)) \
    X(kiln_scatter(A,C,B,0,0)) \
    X(kiln_convolve(A,B,NULL)) \
    X(kiln_convolve(kiln_expand(A,3),kiln_expand(B,3),&(kiln_convolution){.groups=7})) \
    X(kiln_pool(A,0,NULL)) \
    X(kiln_pool(A,0,&(kiln_pooling){.size={9}})) \
    X(kiln_unpool(A,B,0,KILN_SHAPE(2),false)) \
    X(kiln_fold(A,KILN_SHAPE(2),&(kiln_pooling){.size={2}})) \
    X(kiln_resize(A,KILN_AXES(0),&(kiln_resizing){.size={4},.kind=KILN_RESIZE_CUBIC,.antialias=true})) \
    X(kiln_grid_sample(A,B,NULL)) \
    X(kiln_affine_grid(A,KILN_SHAPE(2,2),true)) \
    X(kiln_roi_align(A,B,C,NULL)) \
    X(kiln_layernorm(A,B,B,1e-5)) \
    X(kiln_batchnorm(A,B,B,B,B,-1,1e-5)) \
    X(kiln_cross_entropy(A,C)) \
    X(kiln_nll(A,C,NULL)) \
    X(kiln_index(A,KILN_AT(B))) \
    X(kiln_index(A,KILN_AT(C),KILN_AT(kiln_index(B,KILN_AT(0),KILN_AT(0))))) \
    X(kiln_index(A,KILN_AT(12))) \
    X(kiln_reshape(A,KILN_SHAPE(-1,7))) \
    X(kiln_broadcast_like(A,B)) \
    X(kiln_broadcast(A,KILN_SHAPE(2,3,4))) \
    X(kiln_searchsorted(A,B,0)) \
    X(kiln_isin(A,kiln_cast(B,KILN_BOOL))) \
    X(kiln_histogram(A,B)) \
    X(kiln_bincount(A,4,NULL)) \
    X(kiln_segment_sum(A,B,4)) \
    X(kiln_top_k(A,5,-1,&other)) \
    X(kiln_quantile(A,B,KILN_ALL,0)) \
    X(kiln_fft(A,0,0,0)) \
    X(kiln_irfft(A,0,0,0)) \
    X(kiln_stft(A,B,2)) \
    X(kiln_attention(A,B,B,NULL)) \
    X(kiln_attention(kiln_expand(A,0),kiln_expand(B,0),kiln_expand(B,0),NULL)) \
    X(kiln_lerp(A,B,B)) \
    X(kiln_clip(A,B,0)) \
    X(kiln_pow(A,kiln_cast(B,KILN_BOOL))) \
    X(kiln_shl(A,C)) \
    X(kiln_matrix_power(A,2)) \
    X(kiln_expm(A)) \
    X(kiln_diagonal(A,0,1,1)) \
    X(kiln_slogdet(A,&other)) \
    X(kiln_lstsq(A,B,NULL)) \
    X(kiln_svdvals(kiln_cast(A,KILN_I32))) \
    X(kiln_eigvalsh(A,0)) \
    X(kiln_matrix_rank(C,NULL)) \
    X(kiln_transpose(A,KILN_AXES(0,1))) \
    X(kiln_moveaxis(A,KILN_AXES(0,0),KILN_AXES(1,2))) \
    X(kiln_compress(A,B,0)) \
    X(kiln_compress(A,kiln_greater(C,0),0)) \
    X(kiln_put(A,C,B)) \
    X(kiln_repeat(A,C,0)) \
    X(kiln_reverse_sequence(A,B,0,1)) \
    X(kiln_one_hot(A,3,KILN_F32)) \
    X(kiln_prelu(A,B)) \
    X(kiln_matmul_integer(kiln_cast(A,KILN_I8),kiln_cast(B,KILN_I8),NULL,NULL)) \
    X(kiln_convolve_integer(kiln_cast(A,KILN_I8),kiln_cast(B,KILN_I8),NULL,NULL,NULL)) \
    X(kiln_linspace(k,KILN_F32,0,1,-3,true))

static int chosen;

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *other = NULL;
    int at = 0;
    (void)user, (void)k, (void)other;
#define X(...) \
    if (at++ == chosen) out[0] = (kiln_tensor *)(__VA_ARGS__);
    CALLS(X)
#undef X
}

static const char *const text[] = {
#define X(...) #__VA_ARGS__,
    CALLS(X)
#undef X
};

static void each_is_named(void **state)
{
    kiln *k = *state;
    for (chosen = 0; chosen < (int)COUNT_OF(text); chosen++) {
        KILN_SCOPE(k);
        kiln_tensor *a = kiln_full(k, KILN_F32, KILN_SHAPE(2, 3, 4), 1), *b = kiln_full(k, KILN_F32, KILN_SHAPE(5, 4, 4), 1);
        kiln_function *f = kiln_function_new(k, body, NULL,
            &(kiln_function_options){.inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 9), 3, 4), KILN_SPEC(KILN_F32, 5, 4, 4),
                                         KILN_SPEC(KILN_I64, KILN_DIM("M", 0, 9))}});
        kiln_call(f, a, b, kiln_zeros(k, KILN_I64, KILN_SHAPE(3)));
        if (!kiln_failed(k)) fail_msg("%s: no error", text[chosen]);
        if (!strstr(kiln_error(k)->text, "test_traced_errors.c:")) fail_msg("%s: no line: %s", text[chosen], kiln_error(k)->text);
        kiln_clear(k);
        kiln_function_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(each_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
