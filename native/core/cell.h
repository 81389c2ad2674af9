/* One number that several processes change without a lock.
 *
 * The number lies in the low bytes of a 64-bit word, in the machine's own form for its type (so that a ctypes
 * object over the same memory sees it); the bytes above are ignored. Every change is one cas on the whole word.
 * Who may die where: before the cas nothing happened, after it everything did.
 */
#ifndef HF_CELL_H
#define HF_CELL_H

#include "atomics.h"
#include "killpoints.h"
#include "platform.h"

struct hf_cell {
    hf_a64 bits;
    uint32_t code; /* a typecode of the array module, or '?' */
    uint32_t spare;
};

/* Wide enough for every type; `real` is used by 'f' and 'd' alone. */
struct hf_number {
    __int128 whole;
    double real;
};

enum hf_cell_op { HF_CELL_SET, HF_CELL_ADD, HF_CELL_MAX, HF_CELL_MIN, HF_CELL_AND, HF_CELL_OR, HF_CELL_XOR };

/* Bytes of the type, 0 for an unknown code. */
unsigned hf_cell_width(uint32_t code);
static inline bool hf_cell_is_real(uint32_t code) {
    return code == 'f' || code == 'd';
}
/* Limits of a whole type. */
void hf_cell_limits(uint32_t code, __int128 *low, __int128 *high);
bool hf_cell_is_signed(uint32_t code);
/* The common case by itself: add to a signed whole number. */
int hf_cell_add_signed(struct hf_cell *c, int64_t by, int64_t *now);
struct hf_number hf_cell_get(struct hf_cell *c);
/* HF_OK, or HF_WRONG if the result does not fit the type (nothing is changed). */
int hf_cell_update(struct hf_cell *c, enum hf_cell_op op, struct hf_number by, struct hf_number *old,
                   struct hf_number *now);
/* HF_OK: it was `expected` and is `desired` now; HF_BUSY: it was not; HF_WRONG: `desired` does not fit. */
int hf_cell_compare_exchange(struct hf_cell *c, struct hf_number expected, struct hf_number desired);

#endif
