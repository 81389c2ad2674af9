#include "native.h"

#include "../core/event.h"

static void init(void *body, const void *how) {
    (void)how;
    hf_event_init(body);
}

static PyObject *event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *session, *where;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OO", &session, &where)) return NULL;
    struct hf_new how = {.kind = HF_KIND_EVENT, .nbytes = sizeof(struct hf_event), .init = init};
    return hf_handle_new(type, session, where, &how);
}

static PyObject *is_set(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(hf_event_is_set(hf_body(self)));
}

static PyObject *set(PyObject *self, PyObject *unused) {
    (void)unused;
    hf_event_set(hf_body(self));
    Py_RETURN_NONE;
}

static PyObject *clear(PyObject *self, PyObject *unused) {
    (void)unused;
    hf_event_clear(hf_body(self));
    Py_RETURN_NONE;
}

static PyObject *wait_(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    struct hf_event *e = hf_body(self);
    struct hf_who who;
    PyObject *timeout;
    uint64_t deadline;
    uint32_t round = hf_event_round(e);
    if (hf_parse_one(args, n, names, "timeout", &timeout) < 0 || hf_deadline(timeout, &deadline) < 0) return NULL;
    if (hf_event_is_set(e)) Py_RETURN_TRUE;
    struct hf_patience p = hf_patience_until(deadline);
    int r;
    HF_WAIT(self, who, r, hf_event_wait(e, round, &p), failed);
    return PyBool_FromLong(r == HF_OK);
failed:
    return NULL;
}

static PyMethodDef methods[] = {
    {"is_set", is_set, METH_NOARGS, "Is the flag up?"},
    {"set", set, METH_NOARGS, "Raise the flag and wake all that wait."},
    {"clear", clear, METH_NOARGS, "Lower the flag."},
    {"wait", HF_FAST(wait_), METH_FASTCALL | METH_KEYWORDS,
     "wait(timeout=None)\n--\n\nUntil the flag is up; False if the timeout (seconds) passed first."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, event_new},
    {Py_tp_dealloc, hf_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "A flag that threads and processes wait for."},
    {0, NULL},
};

PyType_Spec hf_event_spec = {"holdfast.core._native.Event", sizeof(HandleObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
