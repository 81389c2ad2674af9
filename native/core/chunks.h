/* The chunk table: which 64 KiB chunk is what. All under the session's guard. */
#ifndef HF_CHUNKS_H
#define HF_CHUNKS_H

#include "session.h"

static inline hf_a32 *hf_chunk_word(struct hf_session *s, uint64_t chunk) {
    return (hf_a32 *)(void *)(s->base + HF_TABLE_AT) + chunk;
}
static inline uint64_t hf_chunk_at(struct hf_session *s, uint64_t chunk) {
    return s->header->data_at + chunk * HF_CHUNK;
}
static inline uint32_t hf_chunk_type(uint32_t word) {
    return word & HF_CHUNK_TYPE;
}
/* Chunks that a chunk word speaks for. */
static inline uint64_t hf_chunk_span(uint32_t word) {
    return hf_chunk_type(word) == HF_CHUNK_RUN ? word >> HF_CHUNK_LENGTH_SHIFT : 1;
}

/* The first of `n` neighbouring free chunks, all within the table; UINT64_MAX: no room in the arena. */
uint64_t hf_chunks_find(struct hf_session *s, uint64_t n);
/* Reserve memory for chunks [first, first + n); false: the memory file system is full. */
bool hf_chunks_commit(struct hf_session *s, uint64_t first, uint64_t n);
/* Make a chunk word what it shall be, keeping its committed bit. One store: the commit of a claim or a release. */
void hf_chunk_set(struct hf_session *s, uint64_t chunk, uint32_t type, uint64_t span);
/* Bytes of free chunks that are committed: memory kept warm. */
uint64_t hf_chunks_idle(struct hf_session *s);

#endif
