/* contract_turn_avx512: small squares turned in registers, for the files of AVX-512. No include guard. */
/* to[l] = element at + l of as many rows as there are lanes. Whole rows are loaded at once: rows a power of two apart share the
 * few places of a cache, which soon lose them. */
static inline void turn_f32(__m512 *to, const float *const *row, int64_t at)
{
    __m512 r[16], p[16];
    UNROLL
    for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_ps(row[i] + at);
    UNROLL
    for (int i = 0; i < 16; i += 4) {
        const __m512 low = _mm512_unpacklo_ps(r[i], r[i + 1]), low2 = _mm512_unpacklo_ps(r[i + 2], r[i + 3]);
        const __m512 high = _mm512_unpackhi_ps(r[i], r[i + 1]), high2 = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        p[i] = _mm512_shuffle_ps(low, low2, 0x44); /* elements 0, 4, 8, 12 of four rows, a quarter each */
        p[i + 1] = _mm512_shuffle_ps(low, low2, 0xee);
        p[i + 2] = _mm512_shuffle_ps(high, high2, 0x44);
        p[i + 3] = _mm512_shuffle_ps(high, high2, 0xee);
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        const __m512 near = _mm512_shuffle_f32x4(p[i], p[i + 4], 0x44), near2 = _mm512_shuffle_f32x4(p[i + 8], p[i + 12], 0x44);
        const __m512 far = _mm512_shuffle_f32x4(p[i], p[i + 4], 0xee), far2 = _mm512_shuffle_f32x4(p[i + 8], p[i + 12], 0xee);
        to[i] = _mm512_shuffle_f32x4(near, near2, 0x88);
        to[i + 4] = _mm512_shuffle_f32x4(near, near2, 0xdd);
        to[i + 8] = _mm512_shuffle_f32x4(far, far2, 0x88);
        to[i + 12] = _mm512_shuffle_f32x4(far, far2, 0xdd);
    }
}

static inline void turn_f64(__m512d *to, const double *const *row, int64_t at)
{
    __m512d r[8], p[8];
    UNROLL
    for (int i = 0; i < 8; i++) r[i] = _mm512_loadu_pd(row[i] + at);
    UNROLL
    for (int i = 0; i < 8; i += 2) {
        p[i] = _mm512_unpacklo_pd(r[i], r[i + 1]); /* elements 0, 2, 4, 6 of two rows, a quarter each */
        p[i + 1] = _mm512_unpackhi_pd(r[i], r[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 2; i++) {
        const __m512d near = _mm512_shuffle_f64x2(p[i], p[i + 2], 0x44), near2 = _mm512_shuffle_f64x2(p[i + 4], p[i + 6], 0x44);
        const __m512d far = _mm512_shuffle_f64x2(p[i], p[i + 2], 0xee), far2 = _mm512_shuffle_f64x2(p[i + 4], p[i + 6], 0xee);
        to[i] = _mm512_shuffle_f64x2(near, near2, 0x88);
        to[i + 2] = _mm512_shuffle_f64x2(near, near2, 0xdd);
        to[i + 4] = _mm512_shuffle_f64x2(far, far2, 0x88);
        to[i + 6] = _mm512_shuffle_f64x2(far, far2, 0xdd);
    }
}
