/* What the files of the binding share. They are the only ones that include Python.h.
 *
 * The rule that matters most for speed: try first, with the GIL held; give it up only to wait.
 * Nothing here is static state: types are heap types, so that sub-interpreters each have their own.
 */
#ifndef HF_NATIVE_H
#define HF_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>

#include "../core/session.h"

typedef struct {
    PyObject_HEAD
    struct hf_session *s;
} SessionObject;

typedef struct {
    PyObject_HEAD
    struct hf_handle h;
    struct hf_session *s;
    PyObject *session;
    uint32_t kind;
    bool created;
} HandleObject;

/* Copy; without the GIL when there is much. Whoever holds the memory must hold it by an object. */
#define HF_COPY_WITH_GIL 65536
static inline void hf_copy(void *to, const void *from, size_t n) {
    if (n > HF_COPY_WITH_GIL) {
        Py_BEGIN_ALLOW_THREADS memcpy(to, from, n);
        Py_END_ALLOW_THREADS
    } else {
        memcpy(to, from, n);
    }
}

/* ---- handle.c ---- */
/* Make, open or attach a handle of `type`, as `where` says. */
PyObject *hf_handle_new(PyTypeObject *type, PyObject *session, PyObject *where, struct hf_new *how);
/* A handle of `type` to a block that this process may hold, or NULL with LookupError. Counts no arrival. */
PyObject *hf_handle_share(PyTypeObject *type, PyObject *session, enum hf_kind kind, uint64_t offset, uint64_t uid);
void hf_handle_dealloc(PyObject *self);
extern PyMethodDef hf_handle_methods[];
extern PyGetSetDef hf_handle_getset[];
extern PyType_Spec hf_handle_spec;

static inline void *hf_body(PyObject *self) {
    return ((HandleObject *)self)->h.body;
}
/* Who calls; false with an exception set if this process cannot join. */
bool hf_caller_slow(struct hf_session *s, struct hf_who *who);
static inline bool hf_caller(PyObject *self, struct hf_who *who) {
    struct hf_session *s = ((HandleObject *)self)->s;
    uint32_t me = hf_load(&s->me, HF_RELAXED);
    *who = (struct hf_who){s, me, hf_thread()};
    return HF_LIKELY(me != 0) || hf_caller_slow(s, who);
}

/* What was pickled on the way to a put that may yet fail: a pickle that goes nowhere must not keep objects alive. While one
 * is open in this thread, every `sent()` is noted in it; `hf_outbox_undo` takes those noted back. */
struct hf_outbox {
    struct hf_outbox *outer;
    PyObject *handles; /* a list, or NULL: none so far */
};
void hf_outbox_open(struct hf_outbox *box);
void hf_outbox_close(struct hf_outbox *box); /* the list stays the caller's */
void hf_outbox_undo(struct hf_outbox *box);
/* The same for the innermost one, if there is one. */
PyObject *hf_outbox_undo_here(PyObject *, PyObject *);

/* ---- session_type.c ---- */
extern PyType_Spec hf_session_spec;
struct hf_session *hf_session_from(PyObject *object); /* NULL with TypeError */

/* ---- timing.c ---- */
/* Arguments (blocking=True, timeout=...) of an acquire; block= is another name for blocking=. */
struct hf_acquire_args {
    int blocking;
    PyObject *timeout; /* borrowed; NULL if not given */
};
int hf_parse_acquire(PyObject *const *args, Py_ssize_t n, PyObject *names, struct hf_acquire_args *out);
/* Deadline for a timeout in seconds; None is for ever, negative is now. -1 with an exception. */
int hf_deadline(PyObject *timeout, uint64_t *deadline);
/* The same for Lock, where -1 is for ever and other negatives are errors (threading.Lock). */
int hf_lock_deadline(PyObject *timeout, uint64_t *deadline);
struct hf_patience hf_patience_until(uint64_t deadline);
/* One optional argument called `name`, positional or keyword. -1 with TypeError. */
int hf_parse_one(PyObject *const *args, Py_ssize_t n, PyObject *names, const char *name, PyObject **out);

/* Run `call`, which may return HF_INTR to have signal handlers run, without the GIL, until it returns something
 * else. Leaves the result in `result`; jumps to `failed` with an exception set. The caller is looked up anew each
 * time: a signal handler may have forked. */
#define HF_WAIT(self, who, result, call, failed)                                                             \
    do {                                                                                                     \
        if (!hf_caller((self), &(who))) goto failed;                                                         \
        Py_BEGIN_ALLOW_THREADS (result) = (call);                                                            \
        Py_END_ALLOW_THREADS if ((result) == HF_INTR && PyErr_CheckSignals() < 0) goto failed;               \
    } while ((result) == HF_INTR)

extern PyType_Spec hf_lock_spec, hf_rlock_spec, hf_semaphore_spec, hf_event_spec, hf_waiters_spec, hf_gate_spec,
    hf_cell_spec, hf_block_spec, hf_ring_spec, hf_queue_spec;

#define HF_FAST(function) (PyCFunction)(void (*)(void)) function

#endif
