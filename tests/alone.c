/* alone: see alone.h. Relies on frontend/engine. */
#include "alone.h"

#include "frontend/engine/engine.h"

void set_alone(kiln *k, bool alone) { thread_of(k)->alone = alone; }
