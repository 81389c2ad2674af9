/* What the files of the queue type share. A queue is either shared (a block of a session) or local (in this process's own
 * memory, passing references); both are the one Python type.
 *
 *   queue_type.c    making, asking, finishing, closing
 *   queue_args.c    the arguments of put and get
 *   queue_put.c     put and its kin       queue_get.c   get and its kin
 *   queue_local.c   the local store
 */
#ifndef HF_BINDING_QUEUE_H
#define HF_BINDING_QUEUE_H

#include "../core/fifo.h"
#include "../core/shelf.h"
#include "codec.h"
#include "native.h"

struct local_queue;

/* An item taken with redeliver and not finished: who has it. */
struct hf_debt {
    uint64_t lease, serial;
    uint32_t member, thread, deliveries;
};

/* What the Python layer brings along, in this order, as a tuple of its own class. */
enum { WAY_LOADS, WAY_DUMPS, WAY_PACK, WAY_UNPACK, WAY_BLOCK, WAY_EMPTY, WAY_FULL, WAY_NO_PUT, WAY_NO_GET, WAYS };

typedef struct {
    HandleObject handle;
    struct hf_seat seat;
    PyObject *way[WAYS];
    PyObject *buffers, *keywords; /* a pad for the next pickle */
    struct local_queue *local; /* NULL: shared */
    struct hf_debt *debts;
    size_t owed, room_for_debts;
    uint64_t peer, peer_uid; /* a block that somebody must hold for waiting to make sense; 0: none */
    int bell;                /* descriptor to ring, -1: not opened */
    unsigned calls;          /* of other threads, in progress; under the GIL, as all here */
    bool leaving;            /* retired, and to be released when the last of them is out */
    bool retired;            /* closed in this process */
    bool released;           /* and held no more: not to be looked at */
} QueueObject;

static inline QueueObject *hf_queue_object(PyObject *self) {
    return (QueueObject *)self;
}
static inline struct hf_queue *hf_queue_of(PyObject *self) {
    return hf_body(self);
}

/* The arguments of put and get: one or two that lead, then block=True and timeout=None. */
struct hf_queue_args {
    PyObject *first, *second; /* borrowed; NULL if the call has none */
    int block;
    uint64_t deadline;
};
struct hf_queue_call {
    const char *name;
    int leading;              /* how many lead */
    const char *called;       /* what the first may be called, */
    const char *or_called;    /* and in multiprocessing; NULL: nothing else */
    bool timeout_first;       /* by position, timeout comes before block */
};
/* -1 with an exception. */
int hf_queue_parse(const struct hf_queue_call *call, PyObject *const *args, Py_ssize_t n, PyObject *names,
                   struct hf_queue_args *out);
/* False with ValueError if this process closed it. */
bool hf_queue_usable(PyObject *self);
/* Around a call that may run Python, or give up the GIL: the queue is not let go of while one is in progress. */
bool hf_queue_enter(PyObject *self);
PyObject *hf_queue_leave(PyObject *self, PyObject *result);
/* Wait once, as HF_WAIT; but a tick, or a signal, comes back as HF_OK, so that the caller looks who has died. */
#define HF_QUEUE_WAIT(self, who, result, call, failed)                                                       \
    do {                                                                                                     \
        if (!hf_caller((self), &(who))) goto failed;                                                         \
        Py_BEGIN_ALLOW_THREADS (result) = (call);                                                            \
        Py_END_ALLOW_THREADS if ((result) == HF_INTR && PyErr_CheckSignals() < 0) goto failed;               \
        if ((result) == HF_INTR) (result) = HF_OK;                                                           \
    } while (0)
/* Raise the exception of the way; NULL. */
PyObject *hf_queue_raise(PyObject *self, int way);
/* Is the other end of a pipe still held? */
bool hf_queue_has_peer(PyObject *self);
/* The descriptor of the bell, opened if need be; -1 with an exception. */
int hf_queue_bell(PyObject *self);

PyObject *hf_queue_put(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hf_queue_put_keyed(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hf_queue_put_nowait(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hf_queue_put_many(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hf_queue_get(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hf_queue_get_nowait(PyObject *, PyObject *);
PyObject *hf_queue_get_many(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hf_queue_await(PyObject *, PyObject *);
PyObject *hf_queue_get_dead(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

/* ---- the local store ---- */
struct local_queue *hf_local_new(uint32_t flavour, uint64_t maxsize);
void hf_local_free(struct local_queue *l);
int hf_local_traverse(struct local_queue *l, visitproc visit, void *arg);
void hf_local_clear(struct local_queue *l);
PyObject *hf_local_put(PyObject *self, PyObject *item, PyObject *key, const struct hf_queue_args *how);
PyObject *hf_local_get(PyObject *self, const struct hf_queue_args *how);
Py_ssize_t hf_local_size(struct local_queue *l);
uint64_t hf_local_unfinished(struct local_queue *l);
uint32_t hf_local_closed(struct local_queue *l);
uint64_t hf_local_maxsize(struct local_queue *l);
void hf_local_set_maxsize(struct local_queue *l, uint64_t maxsize);
int hf_local_done(struct local_queue *l); /* HF_OK, HF_WRONG */
PyObject *hf_local_join(PyObject *self, uint64_t deadline); /* as join_step */
void hf_local_shut(struct local_queue *l, uint32_t how);
void hf_local_nudge(struct local_queue *l);
/* wanted and rung, as struct hf_bell */
struct hf_bell *hf_local_bell(struct local_queue *l);

#endif
