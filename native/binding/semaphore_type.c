#include "native.h"

#include "../core/semaphore.h"

#define MAX_VALUE 0x7fffffffLL

struct how {
    uint32_t value;
    int bounded;
};

static void init(void *body, const void *how) {
    const struct how *h = how;
    hf_semaphore_init(body, h->value, h->bounded != 0);
}

static PyObject *semaphore_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *session, *where;
    long long value = 1;
    struct how h = {1, 0};
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OO|Lp", &session, &where, &value, &h.bounded)) return NULL;
    if (value < 0 || value > MAX_VALUE) {
        PyErr_Format(PyExc_ValueError, "semaphore initial value must be >= 0 and <= %lld, not %lld", MAX_VALUE, value);
        return NULL;
    }
    h.value = (uint32_t)value;
    struct hf_new how = {.kind = HF_KIND_SEMAPHORE, .nbytes = sizeof(struct hf_semaphore), .init = init, .how = &h};
    return hf_handle_new(type, session, where, &how);
}

static PyObject *conclude(int r) {
    if (r == HF_OK) Py_RETURN_TRUE;
    if (r == HF_TIMEOUT || r == HF_BUSY) Py_RETURN_FALSE;
    PyErr_SetString(PyExc_MemoryError, "no shared memory left to record one more holder");
    return NULL;
}

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    struct hf_semaphore *s = hf_body(self);
    struct hf_acquire_args a = {1, NULL};
    struct hf_who who;
    uint64_t deadline;
    if ((n != 0 || names != NULL) && hf_parse_acquire(args, n, names, &a) < 0) return NULL;
    if (!a.blocking && a.timeout != NULL && a.timeout != Py_None) {
        PyErr_SetString(PyExc_ValueError, "can't specify timeout for non-blocking acquire");
        return NULL;
    }
    if (hf_deadline(a.timeout, &deadline) < 0 || !hf_caller(self, &who)) return NULL;
    int r = hf_semaphore_try(s, &who);
    if (r == HF_BUSY && a.blocking) {
        struct hf_patience p = hf_patience_until(deadline);
        HF_WAIT(self, who, r, hf_semaphore_wait(s, &who, &p), failed);
    }
    return conclude(r);
failed:
    return NULL;
}

static PyObject *enter(PyObject *self, PyObject *unused) {
    (void)unused;
    return acquire(self, NULL, 0, NULL);
}

static PyObject *release_n(PyObject *self, long long n) {
    struct hf_semaphore *s = hf_body(self);
    struct hf_who who;
    if (n < 1 || n > MAX_VALUE) {
        PyErr_Format(PyExc_ValueError, "n must be one or more, not %lld", n);
        return NULL;
    }
    if (!hf_caller(self, &who)) return NULL;
    if (hf_semaphore_release(s, &who, (uint32_t)n) == HF_OK) Py_RETURN_NONE;
    PyErr_Format(PyExc_ValueError, "semaphore released too many times: %u of %u permits are free, %lld more given back",
                 (unsigned)hf_load(&s->value, HF_RELAXED), (unsigned)s->initial, n);
    return NULL;
}

static PyObject *release(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    PyObject *count;
    if (hf_parse_one(args, n, names, "n", &count) < 0) return NULL;
    long long value = count == NULL ? 1 : PyLong_AsLongLong(count);
    return value == -1 && PyErr_Occurred() ? NULL : release_n(self, value);
}

static PyObject *leave(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    (void)args, (void)n;
    return release_n(self, 1);
}

static PyObject *get_value(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(hf_load(&((struct hf_semaphore *)hf_body(self))->value, HF_RELAXED));
}

static PyObject *initial(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(((struct hf_semaphore *)hf_body(self))->initial);
}

static PyObject *bounded(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(((struct hf_semaphore *)hf_body(self))->bounded != 0);
}

static PyObject *holders(PyObject *self, PyObject *unused) {
    struct hf_semaphore *s = hf_body(self);
    PyObject *list = PyList_New(0);
    (void)unused;
    struct hf_walk w = hf_walk_begin(&s->held);
    for (struct hf_entry *e; list != NULL && (e = hf_walk_next(((HandleObject *)self)->s, &w)) != NULL;) {
        uint32_t count = hf_load(&e->word, HF_RELAXED);
        if (count == 0) continue;
        PyObject *one = Py_BuildValue("II", (unsigned)hf_load(&e->member, HF_RELAXED), (unsigned)count);
        if (one == NULL || PyList_Append(list, one) < 0) Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

static PyMethodDef methods[] = {
    {"acquire", HF_FAST(acquire), METH_FASTCALL | METH_KEYWORDS,
     "acquire(blocking=True, timeout=None)\n--\n\nTake a permit; True if one was taken."},
    {"release", HF_FAST(release), METH_FASTCALL | METH_KEYWORDS, "release(n=1)\n--\n\nGive n permits back."},
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", HF_FAST(leave), METH_FASTCALL, NULL},
    {"get_value", get_value, METH_NOARGS, "Permits that are free now."},
    {"initial", initial, METH_NOARGS, NULL},
    {"bounded", bounded, METH_NOARGS, NULL},
    {"holders", holders, METH_NOARGS, "[(member, permits)] of the processes that hold some."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, semaphore_new},
    {Py_tp_dealloc, hf_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "Permits shared by threads and processes; a dead process's permits come back."},
    {0, NULL},
};

PyType_Spec hf_semaphore_spec = {"holdfast.core._native.Semaphore", sizeof(HandleObject), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
