#include "native.h"

#include "../core/gate.h"

static void init(void *body, const void *how) {
    hf_gate_init(body, *(const uint32_t *)how);
}

static PyObject *gate_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *session, *where;
    long long parties = 1;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OO|L", &session, &where, &parties)) return NULL;
    if (parties < 1 || parties > 0x7fffffff) {
        PyErr_Format(PyExc_ValueError, "parties must be >= 1, not %lld", parties);
        return NULL;
    }
    uint32_t n = (uint32_t)parties;
    struct hf_new how = {.kind = HF_KIND_GATE, .nbytes = sizeof(struct hf_gate), .init = init, .how = &n};
    return hf_handle_new(type, session, where, &how);
}

static PyObject *arrive(PyObject *self, PyObject *unused) {
    struct hf_who who;
    uint32_t round;
    (void)unused;
    if (!hf_caller(self, &who)) return NULL;
    int index = hf_gate_arrive(hf_body(self), &who, &round);
    if (index == HF_GATE_NO_MEMORY) return PyErr_NoMemory();
    return Py_BuildValue("iI", index, (unsigned)round);
}

static PyObject *wait_(PyObject *self, PyObject *args) {
    struct hf_gate *g = hf_body(self);
    struct hf_who who;
    unsigned round;
    PyObject *timeout = Py_None;
    uint64_t deadline;
    if (!PyArg_ParseTuple(args, "I|O", &round, &timeout) || hf_deadline(timeout, &deadline) < 0) return NULL;
    struct hf_patience p = hf_patience_until(deadline);
    int r;
    HF_WAIT(self, who, r, hf_gate_wait(g, &who, round, &p), failed);
    return PyLong_FromLong(r == HF_OK ? 1 : r == HF_TIMEOUT ? 0 : -1);
failed:
    return NULL;
}

static PyObject *open_(PyObject *self, PyObject *arg) {
    struct hf_who who;
    unsigned long round = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred() || !hf_caller(self, &who)) return NULL;
    return PyBool_FromLong(hf_gate_open(hf_body(self), &who, (uint32_t)round));
}

static PyObject *abort_(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    if (!hf_caller(self, &who)) return NULL;
    hf_gate_abort(hf_body(self), &who, NULL);
    Py_RETURN_NONE;
}

static PyObject *abort_round(PyObject *self, PyObject *arg) {
    struct hf_who who;
    uint32_t round = (uint32_t)PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred() || !hf_caller(self, &who)) return NULL;
    return PyBool_FromLong(hf_gate_abort(hf_body(self), &who, &round));
}

static PyObject *reset(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    if (!hf_caller(self, &who)) return NULL;
    hf_gate_reset(hf_body(self), &who);
    Py_RETURN_NONE;
}

static PyObject *get_parties(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(((struct hf_gate *)hf_body(self))->parties);
}

static PyObject *get_waiting(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(hf_load(&((struct hf_gate *)hf_body(self))->arrived, HF_RELAXED));
}

static PyObject *get_broken(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(hf_load(&((struct hf_gate *)hf_body(self))->broken, HF_RELAXED) != 0);
}

static PyObject *get_casualty(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(hf_load(&((struct hf_gate *)hf_body(self))->casualty, HF_RELAXED));
}

static PyMethodDef methods[] = {
    {"arrive", arrive, METH_NOARGS, "(index, round); index parties - 1: the last; -1: broken."},
    {"wait", wait_, METH_VARARGS, "1 opened, 0 timed out, -1 broken."},
    {"open", open_, METH_O, "The last one lets all go on; False if the round ended otherwise."},
    {"abort", abort_, METH_NOARGS, "Break it for all."},
    {"_abort_round", abort_round, METH_O, "Break it if that round is still on; was it?"},
    {"reset", reset, METH_NOARGS, "Whole and empty again; those waiting find it broken."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"parties", get_parties, NULL, NULL, NULL},
    {"n_waiting", get_waiting, NULL, NULL, NULL},
    {"broken", get_broken, NULL, NULL, NULL},
    {"casualty", get_casualty, NULL, "The member whose death broke it, or 0.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, gate_new},
    {Py_tp_dealloc, hf_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_doc, "The meeting point under a barrier."},
    {0, NULL},
};

PyType_Spec hf_gate_spec = {"holdfast.core._native.Gate", sizeof(HandleObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
