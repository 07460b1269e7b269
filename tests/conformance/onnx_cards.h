/* onnx_cards: cases compiled ahead of time for NVIDIA cards, which takes NVRTC and no card: nothing is run. Relies on onnx_case.h.
 */
#ifndef KILN_TESTS_ONNX_CARDS_H
#define KILN_TESTS_ONNX_CARDS_H

#include "onnx_case.h"

#include <kiln/aot.h>

static const char *const card_name[] = {"sm_80", "sm_90a", "sm_100"};
enum { CARDS = sizeof card_name / sizeof card_name[0] };

/* For all cards. */
static Verdict cards_compile(const char *folder, const char *to)
{
    char path[1100];
    Verdict v = {.ok = true};
    kiln *k = case_engine(OBJECT, "cpu");
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    kiln_onnx *m = kiln_onnx_load(k, path);
    kiln_scope scope = kiln_scope_open(k);
    Set set;
    snprintf(path, sizeof path, "%s/test_data_set_0", folder);
    if (m) read_set(k, m, path, &set);
    kiln_tensor *got[MOST];
    kiln_function *f = m && !kiln_failed(k) ? for_inputs(&set) : NULL;
    if (f) call_flat(f, &set, got);
    for (int i = 0; i < CARDS && f && fine(k, &v); i++) {
        snprintf(path, sizeof path, "%s/%s", to, card_name[i]);
        kiln_aot(f, path, &(kiln_aot_options){.device = card_name[i]});
    }
    fine(k, &v);
    kiln_scope_close(&scope);
    kiln_onnx_free(m);
    if (kiln_close(k) != 0) wrong(&v, "something was left when the engine closed");
    return v;
}

#endif
