/* What lies where in a session's arena: one file, mapped once by every member.
 *
 *   0            header: identity, free lists, name table, process table
 *   TABLE_AT     chunk table, one word per 64 KiB chunk
 *   data_at      chunks
 *
 *   chunk word   31 ............... 5   4           3 ...... 0
 *                run length (chunks)    committed   type: 0 free, 1..8 blocks of 256 B << (type - 1), 15 first of a run
 *
 * The file is sparse and as large as it may ever become; a chunk's memory is reserved (fallocate) before it is
 * first touched, so that a full memory file system is an error of the call and not a SIGBUS.
 * Everything holds offsets from the start of the file, never pointers; 0 is "none".
 */
#ifndef HF_LAYOUT_H
#define HF_LAYOUT_H

#include "owner.h"

#define HF_MAGIC 0x31747366646c6f68ull /* "holdfst1" */
#define HF_LAYOUT_VERSION 3u

#define HF_CHUNK 65536ull
#define HF_TABLE_AT (4 * HF_CHUNK)
#define HF_CLASSES 8
#define HF_SMALLEST 256u
#define HF_LARGEST_SMALL (HF_SMALLEST << (HF_CLASSES - 1))
#define HF_NAME_BUCKETS 1024u
#define HF_MAX_NAME 216u /* 200 for people, and a suffix for what belongs to the named thing */

#define HF_CHUNK_TYPE 15u
#define HF_CHUNK_RUN 15u
#define HF_CHUNK_COMMITTED 16u
#define HF_CHUNK_LENGTH_SHIFT 5

enum hf_kind {
    HF_KIND_NONE = 0,
    HF_KIND_LOCK,
    HF_KIND_RLOCK,
    HF_KIND_SEMAPHORE,
    HF_KIND_EVENT,
    HF_KIND_CONDITION,
    HF_KIND_GATE,
    HF_KIND_CELL,
    HF_KIND_BLOCK,
    HF_KIND_RING,
    HF_KIND_QUEUE,
    HF_KIND_CHILD,  /* belongs to another block and is freed with it */
    HF_KIND_PENDING /* a run whose memory is being reserved or given back by the member that holds it */
};

/* A slot of the process table.
 *
 *   state   31 .... 3   2 .. 0
 *           pid         0 free, 1 joining, 2 alive, 3 dead, 4 left, 5 leaving
 *
 *   free ──cas──▶ joining ──▶ alive ──────────▶ leaving
 *     ▲              │           │ process gone    │ process gone
 *     │              │           ▼                 ▼
 *     │              │          dead              left ◀─ joining, process gone
 *     └◀─ hf_sweep ──┼───────────┴─────────────────┘     a second or more later
 *                    └◀──cas─────┴─────────────────┘     the same, by a joiner who finds no slot free and then
 *                                                        drops what the one before it held
 * A leaving member still lives, and holds what it holds: it has only announced that its end will be no accident.
 * The pid stands in the state itself, so that a slot whose claimant died while joining can be told and freed. */
enum hf_slot_state {
    HF_SLOT_FREE = 0,
    HF_SLOT_JOINING = 1,
    HF_SLOT_ALIVE = 2,
    HF_SLOT_DEAD = 3,
    HF_SLOT_LEFT = 4,
    HF_SLOT_LEAVING = 5
};
#define HF_SLOT_STATE 7u
#define HF_SLOT_PID_SHIFT 3

struct hf_slot {
    hf_a32 state;      /*  0 */
    hf_a32 member;     /*  4 of the present or the last tenant */
    uint32_t generation; /* 8 changed by the claimant alone */
    uint32_t spare;    /* 12 */
    hf_a64 start;      /* 16 start time of the process, clock ticks since boot */
    hf_a64 ended;      /* 24 when it was seen dead, or left; hf_now clock */
    char label[96];    /* 32 what people call the process */
};

/* Before each object. `kind` is the commit: everything else is written before it, and freeing begins by clearing it. */
struct hf_block {
    hf_a32 kind;         /*  0 */
    uint32_t type;       /*  4 chunk type it was cut from */
    uint64_t uid;        /*  8 never given out twice in a session */
    uint64_t nbytes;     /* 16 size of the body */
    uint64_t next;       /* 24 free: next free block; named: next in its bucket; a child: the sibling before it */
    hf_a32 sent;         /* 32 pickles made */
    hf_a32 received;     /* 36 pickles arrived */
    uint64_t name_hash;  /* 40 0: no name. A child: offset of its parent */
    uint32_t name_length; /* 48 a child: this and the next, the uid of its parent */
    uint32_t name_at;    /* 52 where the name begins, in units of 64 bytes from the block */
    uint64_t child;      /* 56 first of the chain of children; a child: the sibling after it */
    hf_a64 refs[HF_SLOTS / 64]; /* 64 one bit per process table slot that holds it */
};
#define HF_BODY_AT 192u

struct hf_header {
    uint64_t magic;                     /*  0 */
    uint32_t version;                   /*  8 */
    uint32_t layout;                    /* 12 hash of the sizes below */
    uint64_t size;                      /* 16 of the file */
    uint64_t uid;                       /* 24 of the session */
    uint64_t pid_namespace;             /* 32 where the pids in the slots mean something */
    uint64_t data_at;                   /* 40 */
    uint64_t idle_limit;                /* 48 free memory kept warm, bytes */
    hf_a32 ready;                       /* 56 set last when the arena is made */
    hf_a32 repairs;                     /* 60 times somebody put right what a dead member left half-done */
    struct hf_mutex guard;              /* 64 over all below but the slots */
    uint64_t next_uid;                  /* 72 */
    uint64_t used_chunks;               /* 80 chunks beyond this were never used */
    uint64_t table_committed;           /* 88 bytes of the chunk table reserved so far */
    hf_a64 swept;                       /* 96 when hf_sweep last ran */
    uint64_t spare[3];
    uint64_t free[HF_CLASSES + 1];      /* 128 free list per chunk type (index 0 unused) */
    uint64_t names[HF_NAME_BUCKETS];
    struct hf_slot slot[HF_SLOTS];
};

_Static_assert(sizeof(struct hf_slot) == 128, "layout of hf_slot");
_Static_assert(offsetof(struct hf_block, refs) == 64, "layout of hf_block");
_Static_assert(sizeof(struct hf_block) == HF_BODY_AT, "layout of hf_block");
_Static_assert(offsetof(struct hf_header, guard) == 64, "layout of hf_header");
_Static_assert(sizeof(struct hf_header) < HF_TABLE_AT, "the header ends before the chunk table");

#define HF_LAYOUT_HASH                                                                                       \
    ((uint32_t)(sizeof(struct hf_header) * 31 + sizeof(struct hf_block) * 17 + HF_SLOTS + HF_CLASSES * 7 +   \
                HF_LAYOUT_VERSION * 65537u))

#endif
