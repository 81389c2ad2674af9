/* Bytes of a ring: copies that go round its end. */
#ifndef HF_ROUND_H
#define HF_ROUND_H

#include <string.h>

#include "atomics.h"

static inline void hf_round_in(unsigned char *bytes, uint64_t capacity, uint64_t at, const void *from, size_t n) {
    uint64_t place = at % capacity, first = capacity - place < n ? capacity - place : n;
    memcpy(bytes + place, from, first);
    if (HF_UNLIKELY(first < n)) memcpy(bytes, (const char *)from + first, n - first);
}

static inline void hf_round_out(const unsigned char *bytes, uint64_t capacity, uint64_t at, void *to, size_t n) {
    uint64_t place = at % capacity, first = capacity - place < n ? capacity - place : n;
    memcpy(to, bytes + place, first);
    if (HF_UNLIKELY(first < n)) memcpy((char *)to + first, bytes, n - first);
}

#endif
