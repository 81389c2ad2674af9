/* The memory orders and wake-ups that a mutant build can break, one at a time: -DHF_MUTANT=<name>.
 * `make -C native/tests mutants` builds each and expects a stress test, the explorer or a sanitizer to object. */
#ifndef HF_MUTANTS_H
#define HF_MUTANTS_H

#define HF_MUTANT_LIST(X)                                                                                    \
    X(lock_acquire)                                                                                          \
    X(lock_release)                                                                                          \
    X(lock_takeover)                                                                                         \
    X(lock_wake)                                                                                             \
    X(lock_waiters_bit)                                                                                      \
    X(news_again)                                                                                            \
    X(event_set)                                                                                             \
    X(event_seen)                                                                                            \
    X(event_wake)                                                                                            \
    X(event_epoch)                                                                                           \
    X(semaphore_wake)                                                                                        \
    X(semaphore_refill)                                                                                      \
    X(condition_notify)                                                                                      \
    X(condition_seen)                                                                                        \
    X(condition_wake)                                                                                        \
    X(condition_pass_on)                                                                                     \
    X(gate_open)                                                                                             \
    X(gate_seen)                                                                                             \
    X(gate_wake)                                                                                             \
    X(gate_casualty)                                                                                         \
    X(gate_mend)                                                                                             \
    X(gate_arrived_last)                                                                                     \
    X(ring_commit)                                                                                           \
    X(ring_seen)                                                                                             \
    X(ring_freed)                                                                                            \
    X(ring_space)                                                                                            \
    X(ring_wake_getter)                                                                                      \
    X(ring_wake_putter)                                                                                      \
    X(fifo_commit)                                                                                           \
    X(fifo_seen)                                                                                             \
    X(fifo_space)                                                                                            \
    X(fifo_freed)                                                                                            \
    X(fifo_final_tail)                                                                                       \
    X(queue_mend)                                                                                            \
    X(queue_wake_getter)                                                                                     \
    X(queue_wake_putter)                                                                                     \
    X(queue_wake_joiner)                                                                                     \
    X(queue_settle)                                                                                          \
    X(shelf_commit)                                                                                          \
    X(shelf_mend)

#define HF_MUTANT_ENUM(name) HF_M_##name,
enum hf_mutant { HF_MUTANT_LIST(HF_MUTANT_ENUM) HF_M_none };

#ifndef HF_MUTANT
#define HF_MUTANT none
#endif
#define HF_MUTANT_PASTE(a) HF_M_##a
#define HF_MUTANT_ID(a) HF_MUTANT_PASTE(a)

/* True in the one build that breaks `name`; a constant, so that every other build loses nothing. */
#define HF_BROKEN_HERE(name) (HF_MUTANT_ID(HF_MUTANT) == HF_M_##name)
#define HF_MO(name, order) (HF_BROKEN_HERE(name) ? memory_order_relaxed : (order))

#endif
