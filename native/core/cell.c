#include "cell.h"

#include <string.h>

_Static_assert(sizeof(struct hf_cell) == 16, "layout of hf_cell");
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "cells keep the number in the low bytes of the word: little-endian machines only"
#endif

unsigned hf_cell_width(uint32_t code) {
    switch (code) {
    case 'b': case 'B': case '?': return 1;
    case 'h': case 'H': return 2;
    case 'i': case 'I': case 'f': return 4;
    case 'l': case 'L': return sizeof(long);
    case 'q': case 'Q': case 'd': return 8;
    default: return 0;
    }
}

bool hf_cell_is_signed(uint32_t code) {
    return code == 'b' || code == 'h' || code == 'i' || code == 'l' || code == 'q';
}

void hf_cell_limits(uint32_t code, __int128 *low, __int128 *high) {
    unsigned bits = code == '?' ? 1 : 8 * hf_cell_width(code);
    *low = hf_cell_is_signed(code) ? -((__int128)1 << (bits - 1)) : 0;
    *high = ((__int128)1 << (hf_cell_is_signed(code) ? bits - 1 : bits)) - 1;
}

static struct hf_number decode(uint32_t code, uint64_t bits) {
    struct hf_number n = {0, 0};
    if (code == 'd') {
        memcpy(&n.real, &bits, 8);
    } else if (code == 'f') {
        float f;
        memcpy(&f, &bits, 4);
        n.real = (double)f;
    } else {
        unsigned unused = 64 - 8 * hf_cell_width(code);
        uint64_t top = bits << unused;
        n.whole = hf_cell_is_signed(code) ? (__int128)((int64_t)top >> unused) : (__int128)(top >> unused);
    }
    return n;
}

/* False if it does not fit. */
static bool encode(uint32_t code, struct hf_number n, uint64_t *bits) {
    if (code == 'd') {
        memcpy(bits, &n.real, 8);
    } else if (code == 'f') {
        float f = (float)n.real;
        if (__builtin_isinf(f) && !__builtin_isinf(n.real)) return false;
        *bits = 0;
        memcpy(bits, &f, 4);
    } else {
        __int128 low, high;
        hf_cell_limits(code, &low, &high);
        if (n.whole < low || n.whole > high) return false;
        *bits = (uint64_t)n.whole;
    }
    return true;
}

struct hf_number hf_cell_get(struct hf_cell *c) {
    return decode(c->code, hf_load(&c->bits, HF_ACQUIRE));
}

static struct hf_number apply(uint32_t code, enum hf_cell_op op, struct hf_number a, struct hf_number b) {
    bool real = hf_cell_is_real(code);
    struct hf_number r = b;
    switch (op) {
    case HF_CELL_SET: break;
    case HF_CELL_ADD: r = (struct hf_number){a.whole + b.whole, a.real + b.real}; break;
    case HF_CELL_MAX: r = (real ? a.real >= b.real : a.whole >= b.whole) ? a : b; break;
    case HF_CELL_MIN: r = (real ? a.real <= b.real : a.whole <= b.whole) ? a : b; break;
    case HF_CELL_AND: r.whole = a.whole & b.whole; break;
    case HF_CELL_OR: r.whole = a.whole | b.whole; break;
    case HF_CELL_XOR: r.whole = a.whole ^ b.whole; break;
    }
    return r;
}

int hf_cell_add_signed(struct hf_cell *c, int64_t by, int64_t *now) {
    uint64_t bits = hf_load(&c->bits, HF_RELAXED);
    unsigned unused = 64 - 8 * hf_cell_width(c->code);
    int64_t sum;
    do {
        int64_t old = (int64_t)(bits << unused) >> unused;
        if (__builtin_add_overflow(old, by, &sum) || (int64_t)((uint64_t)sum << unused) >> unused != sum) return HF_WRONG;
        HF_KILL(cell_loaded);
    } while (!hf_cas(&c->bits, &bits, (uint64_t)sum, HF_ACQ_REL));
    *now = sum;
    return HF_OK;
}

int hf_cell_update(struct hf_cell *c, enum hf_cell_op op, struct hf_number by, struct hf_number *old,
                   struct hf_number *now) {
    uint32_t code = c->code;
    uint64_t bits = hf_load(&c->bits, HF_ACQUIRE);
    uint64_t next;
    struct hf_number before;
    do {
        before = decode(code, bits);
        *now = apply(code, op, before, by);
        if (!encode(code, *now, &next)) return HF_WRONG;
        HF_KILL(cell_loaded);
    } while (!hf_cas(&c->bits, &bits, next, HF_ACQ_REL));
    if (old != NULL) *old = before;
    return HF_OK;
}

int hf_cell_compare_exchange(struct hf_cell *c, struct hf_number expected, struct hf_number desired) {
    uint64_t bits = hf_load(&c->bits, HF_ACQUIRE);
    uint64_t next;
    if (!encode(c->code, desired, &next)) return HF_WRONG;
    for (;;) {
        struct hf_number found = decode(c->code, bits);
        bool same = hf_cell_is_real(c->code) ? found.real == expected.real : found.whole == expected.whole;
        if (!same) return HF_BUSY;
        HF_KILL(cell_loaded);
        if (hf_cas(&c->bits, &bits, next, HF_ACQ_REL)) return HF_OK;
    }
}
