#include "native.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void session_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    struct hf_session *s = ((SessionObject *)self)->s;
    if (s != NULL) hf_session_close(s);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

struct hf_session *hf_session_from(PyObject *object) {
    /* The type cannot be subclassed, so its dealloc identifies it. */
    if (PyType_GetSlot(Py_TYPE(object), Py_tp_dealloc) == (void *)session_dealloc) return ((SessionObject *)object)->s;
    PyErr_Format(PyExc_TypeError, "expected a Session, not %R", object);
    return NULL;
}

static PyObject *session_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    int fd;
    unsigned long long size, idle_limit;
    const char *label, *why;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "iKKs", &fd, &size, &idle_limit, &label)) return NULL;
    struct hf_session *s = hf_session_open(fd, size, idle_limit, label, &why);
    if (s == NULL) {
        if (why != NULL) PyErr_Format(PyExc_ValueError, "the arena cannot be used: %s", why);
        else PyErr_SetFromErrno(PyExc_OSError);
        return NULL;
    }
    PyObject *self = ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL) {
        hf_session_close(s);
        return NULL;
    }
    ((SessionObject *)self)->s = s;
    return self;
}

static struct hf_session *of(PyObject *self) {
    return ((SessionObject *)self)->s;
}

static PyObject *get_member(PyObject *self, void *unused) {
    struct hf_who who;
    (void)unused;
    return hf_caller_slow(of(self), &who) ? PyLong_FromUnsignedLong(who.member) : NULL;
}

static PyObject *get_size(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(of(self)->size);
}

static PyObject *get_uid(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(of(self)->header->uid);
}

static PyObject *get_fd(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromLong(of(self)->fd);
}

static PyObject *joined(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(hf_load(&of(self)->me, HF_RELAXED) != 0);
}

static PyObject *adopt(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    if (!hf_caller_slow(of(self), &who)) return NULL;
    Py_RETURN_NONE;
}

static PyObject *leave(PyObject *self, PyObject *unused) {
    (void)unused;
    hf_leave(of(self));
    Py_RETURN_NONE;
}

static PyObject *label_of(struct hf_slot *slot) {
    return PyUnicode_DecodeUTF8(slot->label, (Py_ssize_t)strnlen(slot->label, sizeof slot->label), "replace");
}

static PyObject *members(PyObject *self, PyObject *unused) {
    struct hf_session *s = of(self);
    PyObject *list = PyList_New(0);
    (void)unused;
    for (unsigned i = 0; list != NULL && i < HF_SLOTS; i++) {
        struct hf_slot *slot = &s->header->slot[i];
        uint32_t state = hf_load(&slot->state, HF_ACQUIRE);
        uint32_t member = hf_load(&slot->member, HF_RELAXED);
        if ((state & HF_SLOT_STATE) != HF_SLOT_ALIVE || hf_fate(s, member) != HF_LIVES) continue;
        PyObject *one = Py_BuildValue("IIKN", member, state >> HF_SLOT_PID_SHIFT,
                                      (unsigned long long)hf_load(&slot->start, HF_RELAXED), label_of(slot));
        if (one == NULL || PyList_Append(list, one) < 0) Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

static PyObject *describe(PyObject *self, PyObject *arg) {
    unsigned long member = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred()) return NULL;
    struct hf_session *s = of(self);
    struct hf_slot *slot = hf_slot_of(s, (uint32_t)member);
    uint32_t state = hf_load(&slot->state, HF_ACQUIRE);
    if (hf_load(&slot->member, HF_RELAXED) != member) return Py_BuildValue("isO", 0, "", Py_False);
    bool lives = hf_fate(s, (uint32_t)member) == HF_LIVES;
    return Py_BuildValue("INO", (unsigned)(state >> HF_SLOT_PID_SHIFT), label_of(slot), lives ? Py_True : Py_False);
}

static PyObject *alive(PyObject *self, PyObject *arg) {
    unsigned long member = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred()) return NULL;
    return PyBool_FromLong(hf_fate(of(self), (uint32_t)member) == HF_LIVES);
}

static PyObject *sweep(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    return hf_caller_slow(of(self), &who) ? PyLong_FromUnsignedLong(hf_sweep(of(self), &who)) : NULL;
}

static PyObject *kept(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(hf_kept_queues(of(self)));
}

static PyObject *held(PyObject *self, PyObject *args) {
    unsigned long long offset, uid;
    int besides_us = 0;
    if (!PyArg_ParseTuple(args, "KK|p", &offset, &uid, &besides_us)) return NULL;
    return PyBool_FromLong(hf_held(of(self), offset, uid, besides_us));
}

static PyObject *stats(PyObject *self, PyObject *unused) {
    struct hf_who who;
    struct hf_stats t;
    (void)unused;
    if (!hf_caller_slow(of(self), &who)) return NULL;
    hf_session_stats(of(self), &who, &t);
    return Py_BuildValue("{sKsKsKsKsKsK}", "blocks", t.blocks, "bytes_used", t.bytes_used, "bytes_committed",
                         t.bytes_committed, "bytes_idle", t.bytes_idle, "members", t.members, "repairs", t.repairs);
}

static PyObject *trim(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    if (!hf_caller_slow(of(self), &who)) return NULL;
    uint64_t given;
    Py_BEGIN_ALLOW_THREADS given = hf_trim(of(self), &who, 0);
    Py_END_ALLOW_THREADS return PyLong_FromUnsignedLongLong(given);
}

static PyMethodDef methods[] = {
    {"joined", joined, METH_NOARGS, "Is this process a member now?"},
    {"adopt", adopt, METH_NOARGS, "Become a member and take a reference on every handle."},
    {"leave", leave, METH_NOARGS, "Announce that this process ends in good order; it stays a member until then."},
    {"members", members, METH_NOARGS, "(member, pid, start time, label) of the living members."},
    {"describe", describe, METH_O, "(pid, label, alive) of a member; pid 0 if unknown."},
    {"alive", alive, METH_O, "Does this member live?"},
    {"sweep", sweep, METH_NOARGS, "Free what members gone for a second held; how many members."},
    {"kept", kept, METH_NOARGS, "Named queues that hold something."},
    {"held", held, METH_VARARGS, "held(offset, uid, besides_us=False, /)\n--\n\nDoes anybody who lives hold the object?"},
    {"stats", stats, METH_NOARGS, "Counts and sizes."},
    {"trim", trim, METH_NOARGS, "Give idle memory back to the system; bytes given back."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"member", get_member, NULL, "This process's member number.", NULL},
    {"size", get_size, NULL, "Size of the arena in bytes, most of it not yet reserved.", NULL},
    {"uid", get_uid, NULL, "Random number of the session.", NULL},
    {"fd", get_fd, NULL, "File descriptor of the arena.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, session_new},   {Py_tp_dealloc, session_dealloc},
    {Py_tp_methods, methods},   {Py_tp_getset, getset},
    {Py_tp_doc, "One mapped arena, and this process's membership in it."},
    {0, NULL},
};

PyType_Spec hf_session_spec = {"holdfast.core._native.Session", sizeof(SessionObject), 0, Py_TPFLAGS_DEFAULT, slots};
