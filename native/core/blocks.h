/* Blocks: where they are, and the steps of which making and freeing consist. All under the session's guard.
 *
 * A block's `kind` is the commit of its making and the first thing to go when it is freed; free lists, chunk words of
 * runs and the name table can all be made anew from it (upkeep.c), so a member that dies anywhere in here leaves nothing
 * that the next one to enter cannot put right. */
#ifndef HF_BLOCKS_H
#define HF_BLOCKS_H

#include "chunks.h"

static inline struct hf_block *hf_block_at(struct hf_session *s, uint64_t offset) {
    return (struct hf_block *)(void *)(s->base + offset);
}

static inline uint64_t hf_offset_of(struct hf_session *s, const void *p) {
    return (uint64_t)((const char *)p - s->base);
}

static inline uint32_t hf_type_for(uint64_t bytes) {
    uint32_t type = 1;
    while (type <= HF_CLASSES && (HF_SMALLEST << (type - 1)) < bytes) type++;
    return type <= HF_CLASSES ? type : HF_CHUNK_RUN;
}

static inline uint32_t hf_step_of(uint32_t type) {
    return HF_SMALLEST << (type - 1);
}

static inline uint64_t hf_chunk_of(struct hf_session *s, uint64_t offset) {
    return (offset - s->header->data_at) / HF_CHUNK;
}

/* A free small block of a type, off its list; NULL: no memory. */
struct hf_block *hf_pop_free(struct hf_session *s, uint32_t type);
/* Put a chunk's free blocks on the list of their type. */
void hf_list_chunk(struct hf_session *s, uint64_t chunk, uint32_t type);
static inline uint64_t hf_chunks_for(uint64_t bytes) {
    return (bytes + HF_CHUNK - 1) / HF_CHUNK;
}
/* A run of chunks as one block; whole: with its memory reserved, else only that of the first. NULL: no memory. */
struct hf_block *hf_claim_run(struct hf_session *s, uint64_t chunks, bool whole);
void hf_set_ref(struct hf_block *b, uint32_t member);
/* Does a member hold it, or a pickle on its way? */
bool hf_wanted(struct hf_block *b);
struct hf_block *hf_find_name(struct hf_session *s, const struct hf_new *how);
void hf_link_name(struct hf_session *s, struct hf_block *b);
bool hf_unlink_name(struct hf_session *s, struct hf_block *b);
void hf_free_one(struct hf_session *s, struct hf_block *b);
/* With its name and its children. */
void hf_free_block(struct hf_session *s, struct hf_block *b);
void hf_free_if_unwanted(struct hf_session *s, struct hf_block *b);
/* Children: a block that belongs to another and goes with it, or before it. */
static inline uint64_t hf_parent_uid(const struct hf_block *b) {
    return (uint64_t)b->name_at << 32 | b->name_length;
}
void hf_link_child(struct hf_session *s, struct hf_block *parent, struct hf_block *b);
void hf_free_child(struct hf_session *s, struct hf_block *b);
/* The block a child names as its parent, if that still is what it was. */
struct hf_block *hf_parent_of(struct hf_session *s, struct hf_block *b);
/* The block at an offset, if there may be one and it has this uid; offsets come from pickles, so trust nothing. */
struct hf_block *hf_valid(struct hf_session *s, uint64_t offset, uint64_t uid);
/* Fill in a fresh block's header, but for its kind; name_at: where a name is to be. */
void hf_prepare(struct hf_session *s, const struct hf_who *who, const struct hf_new *how, struct hf_block *b,
             uint64_t name_at);
/* Make its body, and commit. */
void hf_publish(struct hf_session *s, const struct hf_new *how, struct hf_block *b);

/* ---- upkeep.c ---- */
/* Chunks whose small blocks are all free become free chunks. */
void hf_compact(struct hf_session *s);

#endif
