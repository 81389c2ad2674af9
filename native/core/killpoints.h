/* Places where a test can have the calling process killed: one between every two writes to shared memory
 * that belong together. Always compiled in: an unarmed point is one load and a branch never taken.
 * Armed from Python with _native.kill_at(name, skip), or by HOLDFAST_KILL_AT=name[:skip] in the environment. */
#ifndef HF_KILLPOINTS_H
#define HF_KILLPOINTS_H

#include "atomics.h"

#define HF_KILL_LIST(X)                                                                                      \
    X(lock_taken)         /* word is ours, thread not yet recorded */                                        \
    X(lock_takeover)      /* taken from the dead, not yet noted who it was */                                \
    X(lock_untracked)     /* release: thread cleared, word still ours */                                     \
    X(lock_released)      /* word free, waiter not yet woken */                                              \
    X(rlock_depth)        /* taken again, depth raised */                                                    \
    X(mutex_taken)        /* an internal lock is ours, nothing changed yet */                                \
    X(mutex_released)     /* internal lock free, waiter not yet woken */                                     \
    X(event_set)          /* flag up, sleepers not yet woken */                                              \
    X(semaphore_taken)    /* value lowered, holder not yet recorded */                                       \
    X(semaphore_held)     /* holder recorded, lock still held */                                             \
    X(semaphore_unheld)   /* release: holder struck off, value not yet raised */                             \
    X(semaphore_raised)   /* value raised, nobody woken */                                                   \
    X(semaphore_refill)   /* a dead holder struck off, value not yet refilled */                             \
    X(condition_entered)  /* entry filled in, not yet waiting */                                             \
    X(condition_waiting)  /* on the list, list lock still held */                                            \
    X(condition_notified) /* told, not yet woken */                                                          \
    X(condition_left)     /* off the list, list lock still held */                                           \
    X(gate_counted)       /* arrival counted, party not yet recorded */                                      \
    X(gate_arrived)       /* arrival recorded, lock still held */                                            \
    X(gate_outcome)       /* outcome written, round not yet advanced */                                      \
    X(gate_opened)        /* round advanced, nobody woken */                                                 \
    X(gate_broken)        /* broken, nobody woken */                                                         \
    X(cell_loaded)        /* value read, not yet exchanged */                                                \
    X(ring_written)       /* record copied in, not yet committed */                                          \
    X(ring_committed)     /* committed, consumer not yet woken */                                            \
    X(ring_copied)        /* record copied out, not yet given up */                                          \
    X(ring_taken)         /* given up, producer not yet woken */                                             \
    X(fifo_ready)         /* a new segment made, not yet linked */                                            \
    X(fifo_linked)        /* segment linked, not yet the one that is written to */                           \
    X(fifo_written)       /* record copied in, not yet committed */                                          \
    X(fifo_intended)      /* counts raised, record not yet committed */                                      \
    X(fifo_committed)     /* committed, the intent still set */                                              \
    X(fifo_put)           /* put, consumer not yet woken */                                                  \
    X(fifo_copied)        /* record copied out, not yet taken */                                             \
    X(fifo_taken)         /* taken, the intent still set */                                                  \
    X(fifo_given)         /* taken, producer not yet woken */                                                \
    X(fifo_advanced)      /* on to the next segment, the old one not yet freed */                            \
    X(queue_settled)      /* the unfinished items of the dead given up, joiners not yet woken */             \
    X(queue_done)         /* an item marked finished, joiners not yet woken */                               \
    X(queue_shut)         /* closed, sleepers not yet woken */                                               \
    X(shelf_filled)       /* item made and filled, not yet queued */                                         \
    X(shelf_intended)     /* counts raised, item not yet queued */                                           \
    X(shelf_queued)       /* item queued, index not yet changed */                                           \
    X(shelf_taken)        /* item taken, index not yet changed */                                            \
    X(shelf_freed)        /* item given up, block not yet freed */                                           \
    X(shelf_back)         /* a dead taker's item queued again, index not yet changed */                      \
    X(alloc_popped)       /* block off the free list, not yet of a kind */                                   \
    X(alloc_chunk)        /* chunk given to a size class, blocks not yet listed */                           \
    X(alloc_run)          /* run claimed in the chunk table, block not yet of a kind */                      \
    X(alloc_named)        /* block made, name not yet in the table */                                        \
    X(free_unkinded)      /* block of no kind, not yet on the free list */                                   \
    X(free_run)           /* run's block of no kind, chunk table not yet cleared */                          \
    X(ref_dropped)        /* our reference cleared, block not yet freed */                                   \
    X(join_filled)        /* slot filled in, not yet alive */                                                \
    X(sweep_half)         /* a dead member's references half dropped */

#define HF_KILL_ENUM(name) HF_K_##name,
enum hf_kill_point { HF_KILL_LIST(HF_KILL_ENUM) HF_K_COUNT };

extern int hf_kill_armed; /* the armed point, -1 if none */
void hf_kill_reached(void);
const char *hf_kill_name(int point);
int hf_kill_arm(const char *name, long skip); /* 0, or -1 for an unknown name; NULL disarms */

#define HF_KILL(name)                                                                                        \
    do {                                                                                                     \
        if (HF_UNLIKELY(hf_kill_armed == HF_K_##name)) hf_kill_reached();                                    \
    } while (0)

#endif
