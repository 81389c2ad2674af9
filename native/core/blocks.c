#include "blocks.h"

#include <string.h>

#include "queue.h"

/* ---- small blocks ---- */

static void push_free(struct hf_session *s, struct hf_block *b) {
    b->next = s->header->free[b->type];
    s->header->free[b->type] = hf_offset_of(s, b);
}

void hf_list_chunk(struct hf_session *s, uint64_t chunk, uint32_t type) {
    uint64_t base = hf_chunk_at(s, chunk);
    for (uint64_t i = HF_CHUNK / hf_step_of(type); i-- > 0;) {
        struct hf_block *b = hf_block_at(s, base + i * hf_step_of(type));
        if (hf_load(&b->kind, HF_RELAXED) != HF_KIND_NONE) continue;
        b->type = type;
        push_free(s, b);
    }
}

static bool add_chunk(struct hf_session *s, uint32_t type) {
    uint64_t chunk = hf_chunks_find(s, 1);
    if (chunk == UINT64_MAX || !hf_chunks_commit(s, chunk, 1)) return false;
    for (uint64_t i = 0; i < HF_CHUNK; i += hf_step_of(type)) /* it may have been part of a run before */
        hf_store(&hf_block_at(s, hf_chunk_at(s, chunk) + i)->kind, HF_KIND_NONE, HF_RELAXED);
    hf_chunk_set(s, chunk, type, 1);
    HF_KILL(alloc_chunk);
    hf_list_chunk(s, chunk, type);
    return true;
}

struct hf_block *hf_pop_free(struct hf_session *s, uint32_t type) {
    if (s->header->free[type] == 0 && !add_chunk(s, type)) return NULL;
    struct hf_block *b = hf_block_at(s, s->header->free[type]);
    s->header->free[type] = b->next;
    HF_KILL(alloc_popped);
    return b;
}

/* ---- runs ---- */

struct hf_block *hf_claim_run(struct hf_session *s, uint64_t chunks, bool whole) {
    uint64_t first = hf_chunks_find(s, chunks);
    if (first == UINT64_MAX || !hf_chunks_commit(s, first, whole ? chunks : 1)) return NULL;
    struct hf_block *b = hf_block_at(s, hf_chunk_at(s, first));
    hf_store(&b->kind, HF_KIND_NONE, HF_RELAXED);
    b->type = HF_CHUNK_RUN;
    hf_chunk_set(s, first, HF_CHUNK_RUN, chunks);
    HF_KILL(alloc_run);
    return b;
}

/* ---- references ---- */

void hf_set_ref(struct hf_block *b, uint32_t member) {
    uint32_t slot = member & (HF_SLOTS - 1);
    hf_or(&b->refs[slot / 64], 1ull << (slot % 64), HF_RELAXED);
}

static struct hf_queue *queue_in(struct hf_block *b) {
    return (struct hf_queue *)(void *)((char *)b + HF_BODY_AT);
}

bool hf_wanted(struct hf_block *b) {
    if ((int32_t)(hf_load(&b->sent, HF_RELAXED) - hf_load(&b->received, HF_RELAXED)) > 0) return true;
    for (unsigned i = 0; i < HF_SLOTS / 64; i++)
        if (hf_load(&b->refs[i], HF_RELAXED) != 0) return true;
    return hf_load(&b->kind, HF_RELAXED) == HF_KIND_QUEUE && hf_load(&queue_in(b)->kept, HF_RELAXED) != 0;
}

/* ---- names ---- */

static uint64_t hash_name(uint32_t kind, const char *name, uint32_t length) {
    uint64_t h = 14695981039346656037ull ^ kind; /* FNV-1a */
    for (uint32_t i = 0; i < length; i++) h = (h ^ (unsigned char)name[i]) * 1099511628211ull;
    return h | 1; /* 0 means "no name" */
}

static uint64_t *bucket(struct hf_session *s, uint64_t hash) {
    return &s->header->names[hash % HF_NAME_BUCKETS];
}

struct hf_block *hf_find_name(struct hf_session *s, const struct hf_new *how) {
    uint64_t hash = hash_name((uint32_t)how->kind, how->name, how->name_length);
    for (uint64_t o = *bucket(s, hash); o != 0; o = hf_block_at(s, o)->next) {
        struct hf_block *b = hf_block_at(s, o);
        if (b->name_hash == hash && hf_load(&b->kind, HF_RELAXED) == (uint32_t)how->kind &&
            b->name_length == how->name_length && memcmp(hf_name_of(b), how->name, b->name_length) == 0)
            return b;
    }
    return NULL;
}

void hf_link_name(struct hf_session *s, struct hf_block *b) {
    uint64_t *head = bucket(s, b->name_hash);
    b->next = *head;
    *head = hf_offset_of(s, b);
}

bool hf_unlink_name(struct hf_session *s, struct hf_block *b) {
    if (b->name_hash == 0 || hf_load(&b->kind, HF_RELAXED) == HF_KIND_CHILD) return false;
    for (uint64_t *link = bucket(s, b->name_hash); *link != 0; link = &hf_block_at(s, *link)->next) {
        if (*link != hf_offset_of(s, b)) continue;
        *link = b->next;
        break;
    }
    b->name_hash = 0;
    return true;
}

/* ---- freeing ---- */

void hf_free_one(struct hf_session *s, struct hf_block *b) {
    hf_store(&b->kind, HF_KIND_NONE, HF_RELEASE);
    if (b->type == HF_CHUNK_RUN) {
        HF_KILL(free_run);
        hf_chunk_set(s, hf_chunk_of(s, hf_offset_of(s, b)), 0, 1);
    } else {
        HF_KILL(free_unkinded);
        push_free(s, b);
    }
}

void hf_free_block(struct hf_session *s, struct hf_block *b) {
    hf_unlink_name(s, b);
    if (hf_load(&b->kind, HF_RELAXED) == HF_KIND_QUEUE)
        hf_queue_dispose(s, queue_in(b));
    for (uint64_t o = b->child; o != 0;) {
        struct hf_block *child = hf_block_at(s, o);
        o = child->child;
        /* one that a member who died in here freed already is on its free list again */
        if (hf_load(&child->kind, HF_RELAXED) == HF_KIND_CHILD) hf_free_one(s, child);
    }
    hf_free_one(s, b);
}

void hf_free_if_unwanted(struct hf_session *s, struct hf_block *b) {
    HF_KILL(ref_dropped);
    if (!hf_wanted(b)) hf_free_block(s, b);
}

/* ---- children ---- */

/* What a child says of its parent is the truth; the chain is made anew from it (upkeep.c). */
void hf_link_child(struct hf_session *s, struct hf_block *parent, struct hf_block *b) {
    uint64_t offset = hf_offset_of(s, b);
    b->name_hash = hf_offset_of(s, parent);
    b->name_length = (uint32_t)parent->uid;
    b->name_at = (uint32_t)(parent->uid >> 32);
    b->child = parent->child;
    b->next = 0;
    if (b->child != 0) hf_block_at(s, b->child)->next = offset;
    parent->child = offset;
}

struct hf_block *hf_parent_of(struct hf_session *s, struct hf_block *b) {
    struct hf_block *parent = hf_valid(s, b->name_hash, hf_parent_uid(b));
    if (parent == NULL) return NULL;
    uint32_t kind = hf_load(&parent->kind, HF_RELAXED);
    return kind == HF_KIND_NONE || kind == HF_KIND_CHILD ? NULL : parent;
}

void hf_free_child(struct hf_session *s, struct hf_block *b) {
    struct hf_block *parent = hf_block_at(s, b->name_hash);
    if (b->next != 0) hf_block_at(s, b->next)->child = b->child;
    else parent->child = b->child;
    if (b->child != 0) hf_block_at(s, b->child)->next = b->next;
    hf_free_one(s, b);
}

/* ---- making: between these two the block is nobody's yet ---- */

void hf_prepare(struct hf_session *s, const struct hf_who *who, const struct hf_new *how, struct hf_block *b,
                    uint64_t name_at) {
    uint32_t type = b->type;
    memset((void *)b, 0, sizeof *b);
    b->type = type;
    b->uid = s->header->next_uid++;
    b->nbytes = how->nbytes;
    hf_set_ref(b, who->member);
    if (how->name == NULL) return;
    b->name_at = (uint32_t)(name_at / HF_NAME_UNIT);
    b->name_length = how->name_length;
    memcpy((char *)b + name_at, how->name, how->name_length);
    b->name_hash = hash_name(how->kind, how->name, how->name_length);
}

void hf_publish(struct hf_session *s, const struct hf_new *how, struct hf_block *b) {
    if (how->init != NULL) how->init((char *)b + HF_BODY_AT, how->how);
    hf_store(&b->kind, how->kind, HF_RELEASE);
    HF_KILL(alloc_named);
    if (how->name != NULL) hf_link_name(s, b);
}

