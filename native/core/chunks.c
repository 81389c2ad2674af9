#include "chunks.h"

static uint64_t chunks_in(struct hf_session *s) {
    return (s->size - s->header->data_at) / HF_CHUNK;
}

/* The part of the table that covers chunks below `n` must be reserved before it is touched. */
static bool commit_table(struct hf_session *s, uint64_t n) {
    uint64_t need = (n * sizeof(hf_a32) + HF_CHUNK - 1) / HF_CHUNK * HF_CHUNK;
    if (need <= s->header->table_committed) return true;
    if (hf_file_commit(hf_session_file(s), HF_TABLE_AT, need) != 0) return false;
    s->header->table_committed = need;
    return true;
}

uint64_t hf_chunks_find(struct hf_session *s, uint64_t n) {
    uint64_t used = s->header->used_chunks;
    uint64_t run = 0;
    for (uint64_t i = 0; i < used;) {
        uint32_t word = hf_load(hf_chunk_word(s, i), HF_RELAXED);
        if (hf_chunk_type(word) != 0) {
            run = 0;
            i += hf_chunk_span(word);
            continue;
        }
        i++;
        if (++run == n) return i - n;
    }
    uint64_t first = used - run; /* free chunks at the end of the used part, then fresh ones */
    if (first + n > chunks_in(s) || !commit_table(s, first + n)) return UINT64_MAX;
    s->header->used_chunks = first + n;
    return first;
}

static bool committed(struct hf_session *s, uint64_t chunk) {
    return (hf_load(hf_chunk_word(s, chunk), HF_RELAXED) & HF_CHUNK_COMMITTED) != 0;
}

bool hf_chunks_commit(struct hf_session *s, uint64_t first, uint64_t n) {
    for (uint64_t i = first; i < first + n;) {
        if (committed(s, i)) {
            i++;
            continue;
        }
        uint64_t end = i + 1;
        while (end < first + n && !committed(s, end)) end++;
        if (hf_file_commit(hf_session_file(s), hf_chunk_at(s, i), (end - i) * HF_CHUNK) != 0) return false;
        for (; i < end; i++) hf_or(hf_chunk_word(s, i), HF_CHUNK_COMMITTED, HF_RELAXED);
    }
    return true;
}

void hf_chunk_set(struct hf_session *s, uint64_t chunk, uint32_t type, uint64_t span) {
    hf_a32 *word = hf_chunk_word(s, chunk);
    uint32_t kept = hf_load(word, HF_RELAXED) & HF_CHUNK_COMMITTED;
    uint32_t length = type == HF_CHUNK_RUN ? (uint32_t)span << HF_CHUNK_LENGTH_SHIFT : 0;
    hf_store(word, length | kept | type, HF_RELEASE);
}

uint64_t hf_chunks_idle(struct hf_session *s) {
    uint64_t idle = 0;
    for (uint64_t i = 0; i < s->header->used_chunks;) {
        uint32_t word = hf_load(hf_chunk_word(s, i), HF_RELAXED);
        if (hf_chunk_type(word) == 0 && (word & HF_CHUNK_COMMITTED)) idle += HF_CHUNK;
        i += hf_chunk_span(word);
    }
    return idle;
}
