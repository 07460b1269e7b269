/* profile: what the files of kiln_profile and of KILN_PROFILE share. profile.c measures a function, profile_text.c writes tables
 * and JSON, profile_engine.c tells of all functions when an engine closes. */
#ifndef KILN_FRONTEND_PROFILE_H
#define KILN_FRONTEND_PROFILE_H

#include <kiln/aot.h>

#include "../function/marked.h"
#include "check.h"
#include "roof.h"

/* Of one program, whose sums over calls the report divides by `calls`; or of all of an engine's. */
typedef struct ProfileReport {
    const Roof *roof;
    const Marked *first; /* if `all`, also what follows it by `next`, but of these only those on the device */
    bool all;
    uint8_t device;
    /* of one: seconds of a call of the code that the function has, and of the code with marks */
    double plain, marked;
} ProfileReport;

void profile_table(Text *out, const ProfileReport *r);
void profile_json(Text *out, const ProfileReport *r);
/* Compiles what the instance was traced to with marks, measures it, and writes the report. False: recorded. */
bool profile_instance(
    Thread *t, kiln_site at, FILE *to, kiln_function *f, Instance *inst, kiln_tensor *const *in, const kiln_profile_options *o);
/* The same of f called with tensors that fit it. */
bool profile_function(kiln_site at, FILE *to, kiln_function *f, kiln_tensor *const *in, int nin, const kiln_profile_options *o);
/* A module in text form. inputs 0: they are made, of sizes that `o` gives or that are the largest, floats between -0.5 and 0.5,
 * integers 1. False: recorded (profile_module.c). */
bool profile_module(kiln *k, FILE *to, const char *text, size_t len, kiln_tensor *const *in, int inputs,
    const kiln_run_options *dims, const kiln_profile_options *o);

#endif
