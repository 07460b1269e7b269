/* open: opening and closing an engine: the one file that knows all rooms of the front end, and what each answers to those below it.
 */
#include "check/check.h"
#include "function/function.h"
#include "ops/effect.h"

static const Hooks hooks = {
    .apply = trace_apply,
    .effect = trace_effect,
    .read = trace_read,
    .assign = trace_assign,
    .begin_local = trace_begin_local,
    .forget = trace_forget,
    .alias = trace_alias,
    .is_current = trace_is_current,
    .module = trace_module,
    .module_of = traced_module,
    .count = trace_count,
    .size = traced_size,
    .record = tape_record,
    .note_read = tape_note_read,
    .note_leaf = tapes_note_leaf,
    .block = tapes_block,
    .retire = tape_retire,
    .custom_of_many = custom_of_many,
    .effect_happens = effect_happens,
    .hold_call = recorded_call_hold,
    .drop_call = recorded_call_drop,
    .call_gradient = recorded_call_gradient,
};

kiln *kiln_open_sized(const kiln_options *options, size_t size)
{
    kiln *k = engine_new(options, size, &hooks);
    if (!k) return NULL;
    dump_open(k);
    profile_open(k);
    Thread *t = thread_of(k); /* so that the opening thread has a place for its errors */
    if (!t) {
        kiln_close(k);
        return NULL;
    }
    if (k->options.threads < 0)
        fail(t, (kiln_site){NULL, 0}, KILN_EVALUE, "kiln_open: threads is %d; it must be 0 (one per core) or more",
            k->options.threads);
    if (!compiling_known(k->options.compile)) {
        fail(t, (kiln_site){NULL, 0}, KILN_EVALUE, "kiln_open: compile is %d; it must be 0 or a kiln_compiling",
            (int)k->options.compile);
        k->compile = KILN_WAIT;
    }
    engine_device(t);
    return k;
}

int kiln_close(kiln *k)
{
    Thread *inside = k ? thread_inside(k) : NULL;
    if (inside) return fail(inside, (kiln_site){NULL, 0}, KILN_ESTATE, "kiln_close: called inside a call of a function"), 1;
    if (!k || !engine_unlist(k)) return 0;
    for (uint32_t i = 0; device_at(i); i++) device_wait(i); /* what is still to do uses the engine's code and threads */
    background_close(k);
    profile_close(k);
    int left = 0;
    for (Thread *t = k->thread_list; t; t = t->next)
        if (t->failure.code != KILN_OK) {
            left++;
            if (!t->seen) log_line(k, "%s", t->failure.text);
        }
    for (Thread *t = k->thread_list; t; t = t->next)
        while (t->tape) /* they hold functions */
            tape_retire(t->tape);
    objects_free_all(k);
    functions_free_all(k);
    variables_free_all(k);
    for (Thread *t = k->thread_list, *next; t; t = next) {
        next = t->next;
        while (t->scopes) scope_pop(t);
        tapes_free_closed(t);
        thread_free(t);
    }
    marked_free_all(k);
    variables_free_freed(k);
    effects_free(k);
    engine_free(k);
    return left;
}
