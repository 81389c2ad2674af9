/* Every atomic operation of the core goes through this file.
 *
 * Why one file: a build flag (HF_EXPLORE) turns each operation into a step of the schedule explorer, and
 * another (HF_MUTANT) weakens one named memory order, so that the tests can show that somebody objects.
 *
 * An order that carries a promise is written HF_MO(name, order); `name` stands in mutants.h, and the
 * comment beside it says which operation it pairs with.
 */
#ifndef HF_ATOMICS_H
#define HF_ATOMICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef _Atomic uint32_t hf_a32;
typedef _Atomic uint64_t hf_a64;

#define HF_RELAXED memory_order_relaxed
#define HF_ACQUIRE memory_order_acquire
#define HF_RELEASE memory_order_release
#define HF_ACQ_REL memory_order_acq_rel
#define HF_SEQ_CST memory_order_seq_cst

#include "mutants.h"

#ifdef HF_EXPLORE
/* Supplied by the explorer: called before each shared access; may switch to another thread, or never return. */
void hf_step(const char *file, int line, const volatile void *address);
#define HF_STEP(p) hf_step(__FILE__, __LINE__, (const volatile void *)(p))
#else
#define HF_STEP(p) ((void)(p))
#endif

#define hf_load(p, order) (HF_STEP(p), atomic_load_explicit((p), (order)))
#define hf_store(p, v, order) (HF_STEP(p), atomic_store_explicit((p), (v), (order)))
#define hf_swap(p, v, order) (HF_STEP(p), atomic_exchange_explicit((p), (v), (order)))
#define hf_add(p, v, order) (HF_STEP(p), atomic_fetch_add_explicit((p), (v), (order)))
#define hf_sub(p, v, order) (HF_STEP(p), atomic_fetch_sub_explicit((p), (v), (order)))
#define hf_or(p, v, order) (HF_STEP(p), atomic_fetch_or_explicit((p), (v), (order)))
#define hf_and(p, v, order) (HF_STEP(p), atomic_fetch_and_explicit((p), (v), (order)))
/* Strong compare-and-swap; on failure *expected holds what was found (relaxed). */
#define hf_cas(p, expected, desired, order)                                                                  \
    (HF_STEP(p), atomic_compare_exchange_strong_explicit((p), (expected), (desired), (order), HF_RELAXED))

#define HF_LIKELY(x) __builtin_expect(!!(x), 1)
#define HF_UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
