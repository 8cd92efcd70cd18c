/* sandbox.h - the parts of weir_sandbox. */
#ifndef WEIR_SANDBOX_H
#define WEIR_SANDBOX_H
#include "sandbox_profile.h"

/* Read the job from descriptor 0, do it, answer through descriptor 1. Gives the exit status: 0 when an
 * answer was given, whichever; 70 when there was no job or no memory for an answer. */
int weir_sandbox_serve(const weir_sandbox_proof *proof);
#endif
