/* What concerns all blocks at once: forgetting members that are gone, repairing what they left half-done, giving memory
 * back, counting. A walk over the arena each; rare. */
#include "blocks.h"
#include "gate.h"
#include "shelf.h"

#include <string.h>

/* ---- walking all blocks ---- */

typedef void (*visit)(struct hf_session *s, struct hf_block *b, const void *with);

static void for_each_block(struct hf_session *s, visit f, const void *with) {
    for (uint64_t i = 0, span; i < s->header->used_chunks; i += span) {
        uint32_t word = hf_load(hf_chunk_word(s, i), HF_RELAXED);
        span = hf_chunk_span(word);
        uint32_t type = hf_chunk_type(word);
        if (type == 0) continue;
        uint64_t step = type == HF_CHUNK_RUN ? HF_CHUNK : hf_step_of(type);
        for (uint64_t o = 0; o < HF_CHUNK; o += step) f(s, hf_block_at(s, hf_chunk_at(s, i) + o), with);
    }
}

static void forget_in(struct hf_session *s, struct hf_block *b, const void *with) {
    const struct hf_departed *gone = with;
    const uint64_t *mask = gone->mask;
    uint32_t kind = hf_load(&b->kind, HF_RELAXED);
    if (kind == HF_KIND_NONE || kind == HF_KIND_CHILD) return;
    if (kind == HF_KIND_GATE) hf_gate_note_killed((struct hf_gate *)(void *)((char *)b + HF_BODY_AT), s, gone->killed);
    uint64_t dropped = 0;
    for (unsigned i = 0; i < HF_SLOTS / 64; i++)
        if (mask[i] != 0) dropped |= hf_and(&b->refs[i], ~mask[i], HF_RELAXED) & mask[i];
    if (dropped == 0) return;
    HF_KILL(sweep_half);
    hf_free_if_unwanted(s, b);
}

void hf_forget(struct hf_session *s, const struct hf_departed *gone) {
    for_each_block(s, forget_in, gone);
}

/* ---- repair ---- */

static uint32_t type_at(struct hf_session *s, struct hf_block *b) {
    return hf_chunk_type(hf_load(hf_chunk_word(s, hf_chunk_of(s, hf_offset_of(s, b))), HF_RELAXED));
}

static void unchain(struct hf_session *s, struct hf_block *b, const void *with) {
    uint32_t kind = hf_load(&b->kind, HF_RELAXED);
    (void)s, (void)with;
    if (kind != HF_KIND_NONE && kind != HF_KIND_CHILD) b->child = 0;
}

/* After the chains are whole again, since freeing follows them. */
static void end_unwanted(struct hf_session *s, struct hf_block *b, const void *with) {
    uint32_t kind = hf_load(&b->kind, HF_RELAXED);
    (void)with;
    if (kind != HF_KIND_NONE && kind != HF_KIND_CHILD && !hf_wanted(b)) hf_free_block(s, b);
}

static void mend(struct hf_session *s, struct hf_block *b, const void *with) {
    (void)with;
    uint32_t kind = hf_load(&b->kind, HF_RELAXED);
    if (kind == HF_KIND_CHILD) {
        struct hf_block *parent = hf_parent_of(s, b);
        if (parent == NULL) hf_free_one(s, b);
        else hf_link_child(s, parent, b);
    } else if (kind != HF_KIND_NONE) {
        if (b->name_hash != 0) hf_link_name(s, b);
    } else if (type_at(s, b) == HF_CHUNK_RUN) { /* b->type may not have been written yet */
        hf_chunk_set(s, hf_chunk_of(s, hf_offset_of(s, b)), 0, 1);
    }
}

static bool is_small(uint32_t type) {
    return type != 0 && type != HF_CHUNK_RUN;
}

/* The free lists, made anew from the blocks' kinds. */
static void list_all(struct hf_session *s) {
    memset(s->header->free, 0, sizeof s->header->free);
    for (uint64_t i = 0; i < s->header->used_chunks;) {
        uint32_t word = hf_load(hf_chunk_word(s, i), HF_RELAXED);
        if (is_small(hf_chunk_type(word))) hf_list_chunk(s, i, hf_chunk_type(word));
        i += hf_chunk_span(word);
    }
}

static bool is_empty(struct hf_session *s, uint64_t chunk, uint32_t type) {
    for (uint64_t o = 0; o < HF_CHUNK; o += hf_step_of(type))
        if (hf_load(&hf_block_at(s, hf_chunk_at(s, chunk) + o)->kind, HF_RELAXED) != HF_KIND_NONE) return false;
    return true;
}

/* Under the guard: chunks whose small blocks are all free become free chunks. Dying half-way is mended by repair. */
void hf_compact(struct hf_session *s) {
    for (uint64_t i = 0; i < s->header->used_chunks;) {
        uint32_t word = hf_load(hf_chunk_word(s, i), HF_RELAXED);
        if (is_small(hf_chunk_type(word)) && is_empty(s, i, hf_chunk_type(word))) hf_chunk_set(s, i, 0, 1);
        i += hf_chunk_span(word);
    }
    list_all(s);
}

/* A member died under the guard. First the lists that hold free blocks and names, made anew; then what was left. */
static void repair(struct hf_session *s) {
    list_all(s);
    memset(s->header->names, 0, sizeof s->header->names);
    for_each_block(s, unchain, NULL);
    for_each_block(s, mend, NULL);
    for_each_block(s, end_unwanted, NULL);
    hf_add(&s->header->repairs, 1, HF_RELAXED);
}

void hf_enter(struct hf_session *s, const struct hf_who *who) {
    if (HF_UNLIKELY(hf_mutex_lock(&s->header->guard, who) == HF_ABANDONED)) repair(s);
}

void hf_exit(struct hf_session *s) {
    hf_mutex_unlock(&s->header->guard);
}

/* ---- giving memory back ---- */

/* Under the guard: claim a stretch of free committed chunks as a run of our own. Its first chunk stays. */
static struct hf_block *claim_idle(struct hf_session *s, const struct hf_who *who, uint64_t most, uint64_t *chunks) {
    uint64_t used = s->header->used_chunks;
    for (uint64_t i = 0, span; i < used; i += span) {
        uint32_t word = hf_load(hf_chunk_word(s, i), HF_RELAXED);
        span = hf_chunk_span(word);
        if (hf_chunk_type(word) != 0 || !(word & HF_CHUNK_COMMITTED)) continue;
        uint64_t end = i;
        while (end < used && end - i < most &&
               (hf_load(hf_chunk_word(s, end), HF_RELAXED) & (HF_CHUNK_TYPE | HF_CHUNK_COMMITTED)) == HF_CHUNK_COMMITTED)
            end++;
        struct hf_block *b = hf_block_at(s, hf_chunk_at(s, i));
        hf_store(&b->kind, HF_KIND_NONE, HF_RELAXED);
        b->type = HF_CHUNK_RUN;
        hf_chunk_set(s, i, HF_CHUNK_RUN, end - i);
        struct hf_new how = {.kind = HF_KIND_PENDING, .nbytes = (end - i) * HF_CHUNK - HF_BODY_AT};
        hf_prepare(s, who, &how, b, 0);
        hf_publish(s, &how, b);
        *chunks = end - i;
        return b;
    }
    return NULL;
}

uint64_t hf_trim(struct hf_session *s, const struct hf_who *who, uint64_t keep_bytes) {
    uint64_t given = 0;
    hf_enter(s, who);
    hf_compact(s);
    for (uint64_t idle; (idle = hf_chunks_idle(s)) > keep_bytes;) {
        uint64_t chunks;
        struct hf_block *b = claim_idle(s, who, (idle - keep_bytes + HF_CHUNK - 1) / HF_CHUNK, &chunks);
        if (b == NULL) break;
        uint64_t first = hf_chunk_of(s, hf_offset_of(s, b));
        hf_exit(s);
        /* First no longer said to be reserved, then given back: never the other way round, whoever dies between. */
        for (uint64_t i = first + 1; i < first + chunks; i++)
            hf_and(hf_chunk_word(s, i), ~HF_CHUNK_COMMITTED, HF_RELAXED);
        uint64_t punched = chunks > 1 ? chunks - 1 : 0;
        if (punched != 0) hf_file_punch(hf_session_file(s), hf_chunk_at(s, first + 1), punched * HF_CHUNK);
        hf_enter(s, who);
        hf_free_block(s, b);
        hf_and(hf_chunk_word(s, first), ~HF_CHUNK_COMMITTED, HF_RELAXED);
        /* the first chunk too, under the guard: it is small */
        hf_file_punch(hf_session_file(s), hf_chunk_at(s, first), HF_CHUNK);
        given += chunks * HF_CHUNK;
    }
    hf_exit(s);
    return given;
}

/* ---- counting ---- */

static void count(struct hf_session *s, struct hf_block *b, const void *with) {
    struct hf_stats *out = *(struct hf_stats *const *)with;
    (void)s;
    if (hf_load(&b->kind, HF_RELAXED) == HF_KIND_NONE) return;
    out->blocks++;
    out->bytes_used += HF_BODY_AT + b->nbytes;
}

static void count_kept(struct hf_session *s, struct hf_block *b, const void *with) {
    struct hf_queue *q = (struct hf_queue *)(void *)((char *)b + HF_BODY_AT);
    (void)s;
    if (hf_load(&b->kind, HF_RELAXED) != HF_KIND_QUEUE || hf_load(&q->kept, HF_RELAXED) == 0) return;
    bool leased = q->redeliver && (hf_queue_unfinished(q) != 0 || hf_shelf_dead_letters(q) != 0);
    if (leased || hf_queue_size(q) != 0) ++**(uint64_t *const *)with;
}

uint64_t hf_kept_queues(struct hf_session *s) {
    uint64_t n = 0, *counter = &n;
    for_each_block(s, count_kept, &counter);
    return n;
}

void hf_session_stats(struct hf_session *s, const struct hf_who *who, struct hf_stats *out) {
    *out = (struct hf_stats){0};
    hf_enter(s, who);
    for_each_block(s, count, &out);
    for (uint64_t i = 0; i < s->header->used_chunks; i++)
        if (hf_load(hf_chunk_word(s, i), HF_RELAXED) & HF_CHUNK_COMMITTED) out->bytes_committed += HF_CHUNK;
    out->bytes_idle = hf_chunks_idle(s);
    hf_exit(s);
    for (unsigned i = 0; i < HF_SLOTS; i++)
        if ((hf_load(&s->header->slot[i].state, HF_RELAXED) & HF_SLOT_STATE) == HF_SLOT_ALIVE) out->members++;
    out->repairs = hf_load(&s->header->repairs, HF_RELAXED);
}
