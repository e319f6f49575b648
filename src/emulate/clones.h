#pragma once

// One source for several instruction sets; the loader picks. Sanitizers cannot see through the
// selection, so their builds take the plain form.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(GATEWRIGHT_SANITIZE)
#define GATEWRIGHT_CLONES \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define GATEWRIGHT_CLONES
#endif
