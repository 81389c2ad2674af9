#include "native.h"

#include "../core/lock.h"

#define SPIN_WITH_GIL 2000ull /* ns; a holder in another process is often done sooner than a GIL hand-over */

static void init(void *body, const void *how) {
    hf_lock_init(body, *(const int *)how);
}

static PyObject *new_of(PyTypeObject *type, PyObject *args, enum hf_kind kind) {
    PyObject *session, *where;
    int strict = 0;
    if (!PyArg_ParseTuple(args, "OO|p", &session, &where, &strict)) return NULL;
    struct hf_new how = {.kind = kind, .nbytes = sizeof(struct hf_lock), .init = init, .how = &strict};
    return hf_handle_new(type, session, where, &how);
}

static PyObject *lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    return new_of(type, args, HF_KIND_LOCK);
}

static PyObject *rlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    return new_of(type, args, HF_KIND_RLOCK);
}

/* Tell the Python side that the holder died; held: the lock is ours now. -1 if it raised. */
static int tell(PyObject *self, bool held) {
    struct hf_lock *l = hf_body(self);
    PyObject *r = PyObject_CallMethod(self, "_abandoned", "IO", (unsigned)hf_load(&l->dead, HF_RELAXED),
                                      held ? Py_True : Py_False);
    if (r == NULL) return -1;
    Py_DECREF(r);
    return 0;
}

static PyObject *conclude(PyObject *self, int result) {
    if (result == HF_OK) Py_RETURN_TRUE;
    if (result == HF_TIMEOUT || result == HF_BUSY) Py_RETURN_FALSE;
    if (tell(self, result == HF_ABANDONED) == 0 && result == HF_ABANDONED) Py_RETURN_TRUE;
    /* A warning turned into an error must not leave the lock held by nobody's will. */
    if (result == HF_ABANDONED) hf_lock_release(hf_body(self));
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, "the holder of this lock died; call recover()");
    return NULL;
}

static bool try_briefly(struct hf_lock *l, const struct hf_who *who) {
    if (hf_lock_try(l, who)) return true;
    uint32_t word = hf_load(&l->own.word, HF_RELAXED);
    if ((word & HF_MEMBER_MASK) == who->member) return false; /* its holder needs the GIL that we hold */
    return hf_spin(&l->own.word, word, hf_load(&l->own.cpu, HF_RELAXED), SPIN_WITH_GIL) && hf_lock_try(l, who);
}

static PyObject *acquire_slow(PyObject *self, uint64_t deadline) {
    struct hf_lock *l = hf_body(self);
    struct hf_who who;
    if (!hf_caller(self, &who)) return NULL;
    if (try_briefly(l, &who)) Py_RETURN_TRUE;
    struct hf_patience p = hf_patience_until(deadline);
    int r;
    HF_WAIT(self, who, r, hf_lock_wait(l, &who, &p), failed);
    return conclude(self, r);
failed:
    return NULL;
}

static PyObject *acquire_args(PyObject *self, struct hf_acquire_args *a) {
    uint64_t deadline;
    if (!a->blocking) {
        /* -1 and None are the ways to say "no timeout" */
        if (a->timeout != NULL && a->timeout != Py_None && PyFloat_AsDouble(a->timeout) != -1.0) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "can't specify a timeout for a non-blocking call");
            return NULL;
        }
        if (PyErr_Occurred()) return NULL;
        struct hf_who who;
        if (!hf_caller(self, &who)) return NULL;
        return conclude(self, hf_lock_look(hf_body(self), &who));
    }
    if (hf_lock_deadline(a->timeout, &deadline) < 0) return NULL;
    return acquire_slow(self, deadline);
}

static PyObject *lock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    struct hf_who who;
    struct hf_acquire_args a;
    if (n == 0 && names == NULL) {
        if (!hf_caller(self, &who)) return NULL;
        if (HF_LIKELY(hf_lock_try(hf_body(self), &who))) Py_RETURN_TRUE;
        return acquire_slow(self, HF_FOREVER);
    }
    return hf_parse_acquire(args, n, names, &a) < 0 ? NULL : acquire_args(self, &a);
}

static PyObject *lock_enter(PyObject *self, PyObject *unused) {
    (void)unused;
    return lock_acquire(self, NULL, 0, NULL);
}

static PyObject *unheld(void) {
    PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
    return NULL;
}

static PyObject *lock_release(PyObject *self, PyObject *unused) {
    (void)unused;
    if (HF_UNLIKELY(hf_lock_release(hf_body(self)) != HF_OK)) return unheld();
    Py_RETURN_NONE;
}

/* Is an exception on its way out of the with block, and the lock not this process's any more? Then there is nothing to
 * release, and nothing to say that the exception does not say better: a condition found the lock abandoned. */
static bool lost_on_the_way(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    struct hf_lock *l = hf_body(self);
    return n > 0 && args[0] != Py_None && hf_own_holder(&l->own) != hf_load(&((HandleObject *)self)->s->me, HF_RELAXED);
}

static PyObject *lock_exit(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    if (HF_UNLIKELY(lost_on_the_way(self, args, n))) Py_RETURN_NONE;
    return lock_release(self, NULL);
}

static int again(PyObject *self, bool *done) {
    struct hf_who who;
    *done = false;
    if (!hf_caller(self, &who)) return -1;
    int r = hf_rlock_again(hf_body(self), &who);
    *done = r == HF_OK;
    if (r != HF_WRONG) return 0;
    PyErr_SetString(PyExc_OverflowError, "internal lock count overflowed");
    return -1;
}

static PyObject *rlock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    struct hf_acquire_args a = {1, NULL};
    uint64_t unused;
    bool done;
    if ((n != 0 || names != NULL) && hf_parse_acquire(args, n, names, &a) < 0) return NULL;
    if (a.blocking && a.timeout != NULL && hf_lock_deadline(a.timeout, &unused) < 0) return NULL;
    if (a.blocking || a.timeout == NULL) {
        if (again(self, &done) < 0) return NULL;
        if (done) Py_RETURN_TRUE;
    }
    if (n == 0 && names == NULL) return lock_acquire(self, NULL, 0, NULL);
    return acquire_args(self, &a);
}

static PyObject *rlock_enter(PyObject *self, PyObject *unused) {
    (void)unused;
    return rlock_acquire(self, NULL, 0, NULL);
}

static PyObject *rlock_release(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    if (!hf_caller(self, &who)) return NULL;
    if (HF_LIKELY(hf_rlock_release(hf_body(self), &who) == HF_OK)) Py_RETURN_NONE;
    PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
    return NULL;
}

static PyObject *rlock_exit(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    if (HF_UNLIKELY(lost_on_the_way(self, args, n))) Py_RETURN_NONE;
    return rlock_release(self, NULL);
}

static PyObject *locked(PyObject *self, PyObject *unused) {
    struct hf_lock *l = hf_body(self);
    (void)unused;
    return PyBool_FromLong(hf_own_holder(&l->own) != 0);
}

static PyObject *recover(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    if (!hf_caller(self, &who)) return NULL;
    if (hf_lock_repair(hf_body(self), &who) == HF_OK) Py_RETURN_NONE;
    PyErr_SetString(PyExc_RuntimeError, "recover() is for a lock whose holder died; this one is free or held");
    return NULL;
}

static PyObject *holder(PyObject *self, PyObject *unused) {
    struct hf_lock *l = hf_body(self);
    (void)unused;
    uint32_t member = hf_own_holder(&l->own);
    if (member == 0) Py_RETURN_NONE;
    uint64_t from = hf_load(&l->waited_from, HF_RELAXED);
    uint64_t thread = hf_load(&l->thread, HF_RELAXED);
    if (member == HF_NOBODY_YET) member = hf_load(&l->dead, HF_RELAXED);
    uint32_t tid = (uint32_t)(thread >> 32) == member ? (uint32_t)thread : 0;
    return Py_BuildValue("IId", member, tid, from == 0 ? -1.0 : (double)(hf_now() - from) / 1e9);
}

static PyObject *waiters(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(hf_load(&((struct hf_lock *)hf_body(self))->waiting, HF_RELAXED));
}

static PyObject *strict(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(((struct hf_lock *)hf_body(self))->strict != 0);
}

static PyObject *broken(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(hf_own_holder(&((struct hf_lock *)hf_body(self))->own) == HF_NOBODY_YET);
}

static PyObject *is_owned(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    return hf_caller(self, &who) ? PyBool_FromLong(hf_lock_mine(hf_body(self), &who)) : NULL;
}

static PyObject *recursion_count(PyObject *self, PyObject *unused) {
    struct hf_who who;
    struct hf_lock *l = hf_body(self);
    (void)unused;
    if (!hf_caller(self, &who)) return NULL;
    return PyLong_FromUnsignedLong(hf_lock_mine(l, &who) ? hf_load(&l->depth, HF_RELAXED) : 0);
}

/* For a condition: let go completely, and take again as often as before. */
static PyObject *release_save(PyObject *self, PyObject *unused) {
    struct hf_who who;
    struct hf_lock *l = hf_body(self);
    (void)unused;
    if (!hf_caller(self, &who)) return NULL;
    if (!hf_lock_mine(l, &who)) {
        PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
        return NULL;
    }
    uint32_t depth = hf_load(&l->depth, HF_RELAXED);
    hf_store(&l->depth, 1, HF_RELAXED);
    hf_rlock_release(l, &who);
    return PyLong_FromUnsignedLong(depth);
}

static PyObject *acquire_restore(PyObject *self, PyObject *state) {
    struct hf_lock *l = hf_body(self);
    unsigned long depth = PyLong_AsUnsignedLong(state);
    if (PyErr_Occurred()) return NULL;
    struct hf_who who;
    if (!hf_caller(self, &who)) return NULL;
    int r = try_briefly(l, &who) ? HF_OK : HF_BUSY;
    if (r == HF_BUSY) { /* like the standard library's, not to be interrupted: the caller counts on holding it */
        struct hf_patience p = hf_patience(HF_FOREVER, false);
        Py_BEGIN_ALLOW_THREADS r = hf_lock_wait(l, &who, &p);
        Py_END_ALLOW_THREADS
    }
    if (r == HF_BROKEN) return conclude(self, r);
    hf_store(&l->depth, (uint32_t)depth, HF_RELAXED);
    /* Even if the warning is an error: the caller holds the lock now, as it has to after a wait. */
    if (r == HF_ABANDONED && tell(self, true) < 0) return NULL;
    Py_RETURN_NONE;
}

#define ACQUIRE_DOC "acquire(blocking=True, timeout=-1)\n--\n\nTake the lock; True if it was taken."

static PyMethodDef lock_methods[] = {
    {"acquire", HF_FAST(lock_acquire), METH_FASTCALL | METH_KEYWORDS, ACQUIRE_DOC},
    {"release", lock_release, METH_NOARGS, "Free the lock, whoever holds it."},
    {"__enter__", lock_enter, METH_NOARGS, NULL},
    {"__exit__", HF_FAST(lock_exit), METH_FASTCALL, NULL},
    {"locked", locked, METH_NOARGS, "Does anybody hold it?"},
    {"recover", recover, METH_NOARGS, "Take a lock whose holder died, to put right what it protects."},
    {"holder", holder, METH_NOARGS, NULL},
    {"waiters", waiters, METH_NOARGS, "About how many threads wait for it."},
    {"strict", strict, METH_NOARGS, NULL},
    {"broken", broken, METH_NOARGS, "Did its holder die, and nobody recover it yet?"},
    {"_is_owned", is_owned, METH_NOARGS, NULL},
    {"_acquire_restore", acquire_restore, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef rlock_methods[] = {
    {"acquire", HF_FAST(rlock_acquire), METH_FASTCALL | METH_KEYWORDS, ACQUIRE_DOC},
    {"release", rlock_release, METH_NOARGS, "Give back one acquisition; only its holder may."},
    {"__enter__", rlock_enter, METH_NOARGS, NULL},
    {"__exit__", HF_FAST(rlock_exit), METH_FASTCALL, NULL},
    {"_recursion_count", recursion_count, METH_NOARGS, NULL},
    {"_release_save", release_save, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot lock_slots[] = {
    {Py_tp_new, lock_new},
    {Py_tp_dealloc, hf_handle_dealloc},
    {Py_tp_methods, lock_methods},
    {Py_tp_doc, "A lock between threads and processes that survives its holder."},
    {0, NULL},
};

static PyType_Slot rlock_slots[] = {
    {Py_tp_new, rlock_new},
    {Py_tp_dealloc, hf_handle_dealloc},
    {Py_tp_methods, rlock_methods},
    {Py_tp_doc, "A lock that its holder may take again."},
    {0, NULL},
};

PyType_Spec hf_lock_spec = {"holdfast.core._native.Lock", sizeof(HandleObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, lock_slots};
PyType_Spec hf_rlock_spec = {"holdfast.core._native.RLock", sizeof(HandleObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, rlock_slots};
