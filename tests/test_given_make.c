/* test_given_make: what is made of numbers, or in another tensor's shape (make.h), against NumPy's (tests/given/make.py). */
#include "given.h"

GIVEN(arange_f32, kiln_arange(k, KILN_F32, N(0), N(1), N(2)))
GIVEN(arange_f64, kiln_arange(k, KILN_F64, N(0), N(1), N(2)))
GIVEN(arange_i32, kiln_arange(k, KILN_I32, I(0), I(1), I(2)))
GIVEN(arange_u8, kiln_arange(k, KILN_U8, I(0), N(1), I(2)))
GIVEN(arange_i64, kiln_arange(k, KILN_I64, (int64_t)N(0), (int64_t)N(1), (int64_t)N(2)))
GIVEN(linspace_f64, kiln_linspace(k, KILN_F64, N(0), N(1), I(2), I(3)))
GIVEN(linspace_f32, kiln_linspace(k, KILN_F32, N(0), N(1), I(2), I(3)))
GIVEN(logspace, kiln_logspace(k, KILN_F32, N(0), N(1), I(2), N(3)))
GIVEN(eye_f32, kiln_eye(k, KILN_F32, I(0), I(1), I(2)))
GIVEN(eye_bool, kiln_eye(k, KILN_BOOL, I(0), I(1), I(2)))
GIVEN(full_like, kiln_full_like(X(0), 3))
GIVEN(iota_along, kiln_iota_along(X(0), I(0), KILN_I32))
GIVEN(causal, kiln_greater_equal(kiln_expand(kiln_iota_along(X(0), 0, KILN_I64), 1), kiln_iota_along(X(0), 0, KILN_I64)))

static void meshgrid(const Given *g, kiln_tensor **out) { kiln_meshgrid(kiln_tensors(g->in, g->nin), I(0) != 0, out); }

static const GivenRow rows[] = {ROW(arange_f32, 0, 0), ROW(arange_f64, 0, 0), ROW(arange_i32, 0, 0), ROW(arange_u8, 0, 0),
    ROW(arange_i64, 0, 0), ROW(linspace_f64, 0, 0), ROW(linspace_f32, 0, 0), ROW(logspace, 2, 0), ROW(eye_f32, 0, 0), ROW(eye_bool, 0, 0),
    ROW(full_like, 0, 0), ROW(iota_along, 0, 0), ROW(causal, 0, 0), ROW(meshgrid, 0, GIVEN_GRAD)};

GIVEN_MAIN("make", rows)
