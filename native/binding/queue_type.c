#include "queue.h"

#include <string.h>

static void init(void *body, const void *how) {
    hf_queue_init(body, how);
}

/* ---- making ---- */

static int take_ways(QueueObject *self, PyObject *ways) {
    if (!PyTuple_Check(ways) || PyTuple_Size(ways) != WAYS) {
        PyErr_Format(PyExc_TypeError, "ways: a tuple of %d", WAYS);
        return -1;
    }
    for (int i = 0; i < WAYS; i++) {
        PyObject *old = self->way[i];
        self->way[i] = Py_NewRef(PyTuple_GetItem(ways, i));
        Py_XDECREF(old);
    }
    return 0;
}

static PyObject *set_ways(PyObject *self, PyObject *ways) {
    return take_ways(hf_queue_object(self), ways) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *make_local(PyTypeObject *type, const struct hf_queue_config *config) {
    QueueObject *self = (QueueObject *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL) return NULL;
    self->local = hf_local_new(config->flavour, config->maxsize);
    if (self->local != NULL) return (PyObject *)self;
    Py_DECREF(self);
    return PyErr_NoMemory();
}

/* Queue(session or None for local, where, ways, flavour, maxsize, max_bytes, redeliver, max_deliveries, nbytes) */
static PyObject *queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *session, *where, *ways;
    unsigned int flavour = HF_FIFO, redeliver = 0, max_deliveries = 0, kept = 0;
    unsigned long long maxsize = 0, max_bytes = 1ull << 62, nbytes = 4096 - HF_BODY_AT;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OOO|IKKIIK", &session, &where, &ways, &flavour, &maxsize, &max_bytes, &redeliver,
                          &max_deliveries, &nbytes))
        return NULL;
    if (nbytes < 2048 - HF_BODY_AT || flavour > HF_PRIORITY) return PyErr_Format(PyExc_ValueError, "nbytes=%llu", nbytes);
    kept = PyTuple_Check(where) && PyBytes_Check(PyTuple_GetItem(where, 0)); /* a name */
    struct hf_queue_config config = {flavour, redeliver, max_deliveries, kept, maxsize, max_bytes, nbytes};
    struct hf_new how = {.kind = HF_KIND_QUEUE, .nbytes = nbytes, .init = init, .how = &config};
    PyObject *self = session == Py_None ? make_local(type, &config) : hf_handle_new(type, session, where, &how);
    if (self == NULL) return NULL;
    hf_queue_object(self)->bell = -1;
    if (take_ways(hf_queue_object(self), ways) == 0) return self;
    Py_DECREF(self);
    return NULL;
}

static int traverse(PyObject *self, visitproc visit, void *arg) {
    QueueObject *q = hf_queue_object(self);
    Py_VISIT(Py_TYPE(self));
    for (int i = 0; i < WAYS; i++) Py_VISIT(q->way[i]);
    Py_VISIT(q->buffers);
    Py_VISIT(q->keywords);
    return q->local == NULL ? 0 : hf_local_traverse(q->local, visit, arg);
}

static int clear(PyObject *self) {
    QueueObject *q = hf_queue_object(self);
    for (int i = 0; i < WAYS; i++) Py_CLEAR(q->way[i]);
    Py_CLEAR(q->buffers);
    Py_CLEAR(q->keywords);
    if (q->local != NULL) hf_local_clear(q->local);
    return 0;
}

static void dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    clear(self);
    if (hf_queue_object(self)->local != NULL) hf_local_free(hf_queue_object(self)->local);
    PyMem_Free(hf_queue_object(self)->debts);
    hf_handle_dealloc(self);
}

/* ---- what the calls share ---- */

bool hf_queue_usable(PyObject *self) {
    if (HF_LIKELY(!hf_queue_object(self)->retired)) return true;
    PyErr_Format(PyExc_ValueError, "Queue %R is closed in this process", self);
    return false;
}

static void release(QueueObject *q) {
    struct hf_who who;
    if (!hf_caller((PyObject *)q, &who)) PyErr_Clear();
    else q->released = !hf_release_kept(who.session, &who, &q->handle.h);
}

bool hf_queue_enter(PyObject *self) {
    if (!hf_queue_usable(self)) return false;
    hf_queue_object(self)->calls++;
    return true;
}

PyObject *hf_queue_leave(PyObject *self, PyObject *result) {
    QueueObject *q = hf_queue_object(self);
    if (HF_LIKELY(--q->calls != 0 || !q->leaving)) return result;
    q->leaving = false;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    release(q);
    PyErr_Restore(type, value, trace);
    return result;
}

PyObject *hf_queue_raise(PyObject *self, int way) {
    PyErr_SetNone(hf_queue_object(self)->way[way]);
    return NULL;
}

bool hf_queue_has_peer(PyObject *self) {
    QueueObject *q = hf_queue_object(self);
    return q->peer_uid == 0 || hf_held(q->handle.s, q->peer, q->peer_uid, false);
}

int hf_queue_bell(PyObject *self) {
    QueueObject *q = hf_queue_object(self);
    if (q->bell >= 0) return q->bell;
    PyObject *fd = PyObject_CallMethod(self, "_open_bell", NULL);
    if (fd == NULL) return -1;
    q->bell = (int)PyLong_AsLong(fd);
    Py_DECREF(fd);
    if (q->bell < 0 && !PyErr_Occurred()) PyErr_SetString(PyExc_OSError, "no bell");
    return q->bell;
}

/* ---- asking ---- */

/* After the last use here a named queue may be gone, and its memory another's. */
#define HERE(self)                                                                                           \
    do                                                                                                       \
        if (HF_UNLIKELY(hf_queue_object(self)->released)) return hf_queue_usable(self), NULL;                \
    while (0)

/* How many there are; with redeliver, those that come back from the dead are among them. -1 with an exception. */
static Py_ssize_t size_of(PyObject *self) {
    struct local_queue *local = hf_queue_object(self)->local;
    struct hf_who who;
    if (local != NULL) return hf_local_size(local);
    if (hf_queue_of(self)->redeliver) {
        if (!hf_caller(self, &who)) return -1;
        hf_shelf_look(hf_queue_of(self), &who);
    }
    return (Py_ssize_t)hf_queue_size(hf_queue_of(self));
}

static PyObject *qsize(PyObject *self, PyObject *unused) {
    (void)unused;
    HERE(self);
    Py_ssize_t size = size_of(self);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

static PyObject *empty(PyObject *self, PyObject *unused) {
    (void)unused;
    if (hf_queue_object(self)->retired) return PyErr_Format(PyExc_OSError, "Queue %R is closed in this process", self);
    Py_ssize_t size = size_of(self);
    return size < 0 ? NULL : PyBool_FromLong(size == 0);
}

static uint64_t maxsize_of(PyObject *self) {
    struct local_queue *local = hf_queue_object(self)->local;
    return local != NULL ? hf_local_maxsize(local) : hf_load(&hf_queue_of(self)->maxsize, HF_RELAXED);
}

static PyObject *full(PyObject *self, PyObject *unused) {
    (void)unused;
    HERE(self);
    Py_ssize_t size = size_of(self);
    if (size < 0) return NULL;
    if (maxsize_of(self) != 0 && (uint64_t)size >= maxsize_of(self)) Py_RETURN_TRUE;
    if (hf_queue_object(self)->local != NULL) Py_RETURN_FALSE;
    return PyBool_FromLong(hf_queue_bytes(hf_queue_of(self)) >= hf_queue_of(self)->max_bytes);
}

static PyObject *set_maxsize(PyObject *self, PyObject *arg) {
    HERE(self);
    unsigned long long maxsize = PyLong_AsUnsignedLongLong(arg);
    struct local_queue *local = hf_queue_object(self)->local;
    if (PyErr_Occurred()) return NULL;
    if (local != NULL) {
        hf_local_set_maxsize(local, maxsize);
    } else {
        hf_store(&hf_queue_of(self)->maxsize, maxsize, HF_RELAXED);
        hf_queue_nudge(hf_queue_of(self));
    }
    Py_RETURN_NONE;
}

static PyObject *unfinished(PyObject *self, PyObject *unused) {
    HERE(self);
    struct local_queue *local = hf_queue_object(self)->local;
    (void)unused;
    return PyLong_FromUnsignedLongLong(local != NULL ? hf_local_unfinished(local)
                                                     : hf_queue_unfinished(hf_queue_of(self)));
}

static PyObject *nbytes(PyObject *self, PyObject *unused) {
    HERE(self);
    (void)unused;
    return PyLong_FromUnsignedLongLong(hf_queue_object(self)->local != NULL ? 0 : hf_queue_bytes(hf_queue_of(self)));
}

static PyObject *shut_state(PyObject *self, PyObject *unused) {
    HERE(self);
    struct local_queue *local = hf_queue_object(self)->local;
    (void)unused;
    return PyLong_FromUnsignedLong(local != NULL ? hf_local_closed(local)
                                                 : hf_load(&hf_queue_of(self)->closed, HF_RELAXED));
}

static PyObject *config(PyObject *self, PyObject *unused) {
    HERE(self);
    (void)unused;
    if (hf_queue_object(self)->local != NULL) return Py_BuildValue("IKKII", 0u, maxsize_of(self), 0ull, 0u, 0u);
    struct hf_queue *q = hf_queue_of(self);
    return Py_BuildValue("IKKII", q->flavour, maxsize_of(self), (unsigned long long)q->max_bytes, q->redeliver,
                         q->max_deliveries);
}

static PyObject *dead_letters(PyObject *self, PyObject *unused) {
    HERE(self);
    (void)unused;
    struct hf_who who;
    struct hf_loss loss;
    if (hf_queue_object(self)->local != NULL || !hf_queue_of(self)->redeliver) return PyLong_FromLong(0);
    if (!hf_caller(self, &who)) return NULL;
    hf_queue_settle(hf_queue_of(self), &who, &loss); /* somebody may have died just now */
    return PyLong_FromUnsignedLongLong(hf_shelf_dead_letters(hf_queue_of(self)));
}

/* ---- finishing ---- */

static struct hf_debt *debt_of(QueueObject *q, const struct hf_who *who, bool newest) {
    struct hf_debt *any = NULL, *mine = NULL;
    for (size_t i = 0; i < q->owed; i++) {
        struct hf_debt *d = &q->debts[i];
        if (d->member != who->member) continue; /* a parent's, which forked us */
        if (any == NULL || newest) any = d;
        if (d->thread == who->thread && (mine == NULL || newest)) mine = d;
    }
    return mine != NULL || newest ? mine : any;
}

static int pay(PyObject *self, const struct hf_who *who) {
    QueueObject *q = hf_queue_object(self);
    struct hf_debt *d = debt_of(q, who, false);
    if (d == NULL) return HF_WRONG;
    struct hf_debt paid = *d;
    memmove(d, d + 1, (size_t)(q->debts + --q->owed - d) * sizeof *d);
    if (q->owed == 0) Py_DECREF(self); /* the caller has a reference too */
    return hf_shelf_release(hf_queue_of(self), who, &q->seat, paid.lease, paid.serial);
}

static PyObject *task_done(PyObject *self, PyObject *unused) {
    HERE(self);
    QueueObject *q = hf_queue_object(self);
    struct hf_who who;
    int r;
    (void)unused;
    if (q->local != NULL) {
        r = hf_local_done(q->local);
    } else {
        if (!hf_caller(self, &who)) return NULL;
        r = hf_queue_of(self)->redeliver ? pay(self, &who) : hf_queue_done(hf_queue_of(self), &who, &q->seat);
    }
    if (r == HF_OK) Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
    return NULL;
}

static PyObject *deliveries(PyObject *self, PyObject *unused) {
    HERE(self);
    struct hf_who who;
    (void)unused;
    if (hf_queue_object(self)->local != NULL) return PyLong_FromLong(0);
    if (!hf_caller(self, &who)) return NULL;
    struct hf_debt *d = debt_of(hf_queue_object(self), &who, true);
    return PyLong_FromUnsignedLong(d == NULL ? 0 : d->deliveries);
}

/* [(member, items), ...] of those who are gone. */
static PyObject *losses(const struct hf_loss *loss) {
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < loss->members && i < HF_LOSS_NAMED; i++) {
        PyObject *one = Py_BuildValue("IK", loss->of[i].member, (unsigned long long)loss->of[i].items);
        if (one == NULL || PyList_Append(list, one) < 0) Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

/* True finished, False timed out, or (items given up, who had taken them): then call again. */
static PyObject *await_done(PyObject *self, PyObject *timeout) {
    struct hf_queue *q = hf_queue_of(self);
    struct hf_who who;
    uint64_t deadline;
    int r;
    if (hf_deadline(timeout, &deadline) < 0) return NULL;
    if (hf_queue_object(self)->local != NULL) return hf_local_join(self, deadline);
    struct hf_patience p = hf_patience_until(deadline);
    struct hf_loss loss;
    while (hf_queue_unfinished(q) != 0) {
        HF_WAIT(self, who, r, hf_queue_wait_done(q, &p), failed);
        if (r != HF_TICK && r != HF_TIMEOUT) continue;
        if (PyErr_CheckSignals() < 0 || !hf_caller(self, &who)) return NULL;
        hf_queue_settle(q, &who, &loss);
        if (loss.items != 0) return Py_BuildValue("KN", (unsigned long long)loss.items, losses(&loss));
        if (r == HF_TIMEOUT) return PyBool_FromLong(hf_queue_unfinished(q) == 0);
    }
    Py_RETURN_TRUE;
failed:
    return NULL;
}

static PyObject *join_step(PyObject *self, PyObject *timeout) {
    HERE(self);
    hf_queue_object(self)->calls++; /* a queue that was closed here may still be joined */
    return hf_queue_leave(self, await_done(self, timeout));
}

/* ---- closing, and the bell ---- */

static PyObject *shut(PyObject *self, PyObject *arg) {
    HERE(self);
    struct hf_who who;
    unsigned long how = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred()) return NULL;
    if (hf_queue_object(self)->local != NULL) {
        hf_local_shut(hf_queue_object(self)->local, (uint32_t)how);
        Py_RETURN_NONE;
    }
    if (!hf_caller(self, &who)) return NULL;
    hf_queue_shut(hf_queue_of(self), &who, (uint32_t)how);
    Py_RETURN_NONE;
}

/* From now on this process does not use it. A named one: give up our hold, and with the last one its name. */
static PyObject *retire(PyObject *self, PyObject *unused) {
    QueueObject *q = hf_queue_object(self);
    (void)unused;
    if (q->retired) Py_RETURN_NONE;
    q->retired = true;
    if (q->local != NULL) { /* threads that wait here are to look up */
        hf_local_nudge(q->local);
        Py_RETURN_NONE;
    }
    hf_queue_nudge(hf_queue_of(self));
    if (hf_queue_of(self)->kept == 0) Py_RETURN_NONE;
    if (q->calls != 0) q->leaving = true;
    else release(q);
    Py_RETURN_NONE;
}

static PyObject *retired(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(hf_queue_object(self)->retired);
}

static PyObject *is_local(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(hf_queue_object(self)->local != NULL);
}

/* The name goes, and with it what kept the queue without anybody holding it. */
static PyObject *forsake(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    if (hf_queue_object(self)->local != NULL || hf_queue_object(self)->released || ((HandleObject *)self)->h.uid == 0)
        Py_RETURN_NONE;
    if (!hf_caller(self, &who)) return NULL;
    hf_store(&hf_queue_of(self)->kept, 0, HF_RELAXED);
    hf_unname(who.session, &who, hf_block_of(hf_body(self)));
    Py_RETURN_NONE;
}

static PyObject *nudge(PyObject *self, PyObject *unused) {
    HERE(self);
    (void)unused;
    if (hf_queue_object(self)->local == NULL) hf_queue_nudge(hf_queue_of(self));
    Py_RETURN_NONE;
}

static PyObject *watch(PyObject *self, PyObject *args) {
    unsigned long long offset, uid;
    if (!PyArg_ParseTuple(args, "KK", &offset, &uid)) return NULL;
    hf_queue_object(self)->peer = offset;
    hf_queue_object(self)->peer_uid = uid;
    Py_RETURN_NONE;
}

static PyObject *has_peer(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(hf_queue_object(self)->local != NULL || hf_queue_has_peer(self));
}

static PyObject *want_bell(PyObject *self, PyObject *unused) {
    HERE(self);
    QueueObject *q = hf_queue_object(self);
    struct hf_who who;
    (void)unused;
    int fd = hf_queue_bell(self);
    if (fd < 0) return NULL;
    if (q->local != NULL) {
        struct hf_bell *bell = hf_local_bell(q->local);
        bell->wanted = 1;
        if (!bell->rung && (hf_local_size(q->local) != 0 || hf_local_closed(q->local))) {
            hf_bell_ring(fd);
            bell->rung = 1;
        }
        return PyLong_FromLong(fd);
    }
    if (!hf_caller(self, &who)) return NULL;
    hf_queue_want_bell(hf_queue_of(self), &who, fd);
    return PyLong_FromLong(fd);
}

static PyObject *new_bell(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    if (hf_queue_object(self)->local != NULL) Py_RETURN_NONE;
    if (!hf_caller(self, &who)) return NULL;
    hf_queue_enter_put(hf_queue_of(self), &who);
    hf_store(&hf_queue_of(self)->bell.rung, 0, HF_RELAXED);
    hf_mutex_unlock(&hf_queue_of(self)->put.lock);
    Py_RETURN_NONE;
}

static PyObject *bell_wanted(PyObject *self, PyObject *unused) {
    HERE(self);
    (void)unused;
    struct local_queue *local = hf_queue_object(self)->local;
    return PyBool_FromLong((local != NULL ? hf_local_bell(local) : &hf_queue_of(self)->bell)->wanted != 0);
}

static PyObject *hush(PyObject *self, PyObject *unused) {
    HERE(self);
    QueueObject *q = hf_queue_object(self);
    struct hf_who who;
    (void)unused;
    if (q->bell < 0) Py_RETURN_NONE;
    if (q->local != NULL) {
        struct hf_bell *bell = hf_local_bell(q->local);
        if (bell->rung && hf_local_size(q->local) == 0 && !hf_local_closed(q->local)) {
            hf_bell_hush(q->bell);
            bell->rung = 0;
        }
        Py_RETURN_NONE;
    }
    if (!hf_caller(self, &who)) return NULL;
    hf_queue_hush(hf_queue_of(self), &who, q->bell);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"put", HF_FAST(hf_queue_put), METH_FASTCALL | METH_KEYWORDS,
     "put(item, block=True, timeout=None)\n--\n\nPut an item; when this returns it is there, whatever becomes of this "
     "process."},
    {"_put_keyed", HF_FAST(hf_queue_put_keyed), METH_FASTCALL | METH_KEYWORDS,
     "_put_keyed(key, item, block=True, timeout=None)\n--\n\nPut an item whose place is given by the order of bytes."},
    {"put_nowait", HF_FAST(hf_queue_put_nowait), METH_FASTCALL | METH_KEYWORDS,
     "put_nowait(item)\n--\n\nPut an item, or raise Full at once."},
    {"put_many", HF_FAST(hf_queue_put_many), METH_FASTCALL | METH_KEYWORDS,
     "put_many(items, block=True, timeout=None)\n--\n\nPut all, in their order."},
    {"get", HF_FAST(hf_queue_get), METH_FASTCALL | METH_KEYWORDS,
     "get(block=True, timeout=None)\n--\n\nTake the next item."},
    {"get_nowait", hf_queue_get_nowait, METH_NOARGS, "get_nowait()\n--\n\nTake the next item, or raise Empty at once."},
    {"get_many", HF_FAST(hf_queue_get_many), METH_FASTCALL | METH_KEYWORDS,
     "get_many(max=None, timeout=None, block=True)\n--\n\nWait for one item, then take all there are, at most max."},
    {"_get_dead", HF_FAST(hf_queue_get_dead), METH_FASTCALL | METH_KEYWORDS, "Take the next dead letter."},
    {"qsize", qsize, METH_NOARGS, "qsize()\n--\n\nHow many items are queued this moment."},
    {"empty", empty, METH_NOARGS, "empty()\n--\n\nWhether nothing is queued this moment."},
    {"full", full, METH_NOARGS, "full()\n--\n\nWhether a put would have to wait this moment."},
    {"unfinished", unfinished, METH_NOARGS,
     "unfinished()\n--\n\nHow many items were put and not yet marked by task_done()."},
    {"nbytes", nbytes, METH_NOARGS, "nbytes()\n--\n\nHow many bytes are queued this moment."},
    {"task_done", task_done, METH_NOARGS, "task_done()\n--\n\nMark one item that was taken as finished."},
    {"_deliveries", deliveries, METH_NOARGS, NULL},
    {"_wait_item", hf_queue_await, METH_O, NULL},
    {"_dead", dead_letters, METH_NOARGS, NULL},
    {"_set_maxsize", set_maxsize, METH_O, NULL},
    {"_config", config, METH_NOARGS, NULL},
    {"_join_step", join_step, METH_O, NULL},
    {"_shut", shut, METH_O, NULL},
    {"_shut_state", shut_state, METH_NOARGS, NULL},
    {"_retire", retire, METH_NOARGS, NULL},
    {"_retired", retired, METH_NOARGS, NULL},
    {"_is_local", is_local, METH_NOARGS, NULL},
    {"_set_ways", set_ways, METH_O, NULL},
    {"_forsake", forsake, METH_NOARGS, NULL},
    {"_nudge", nudge, METH_NOARGS, NULL},
    {"_watch", watch, METH_VARARGS, NULL},
    {"_has_peer", has_peer, METH_NOARGS, NULL},
    {"_want_bell", want_bell, METH_NOARGS, NULL},
    {"_new_bell", new_bell, METH_NOARGS, NULL},
    {"_bell_wanted", bell_wanted, METH_NOARGS, NULL},
    {"_hush", hush, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, queue_new},
    {Py_tp_dealloc, dealloc},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_methods, methods},
    {Py_tp_doc, "Items in shared memory, or (local) in this process."},
    {0, NULL},
};

PyType_Spec hf_queue_spec = {"holdfast.core._native.Queue", sizeof(QueueObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};
