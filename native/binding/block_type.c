#include "native.h"

#include <string.h>

static Py_ssize_t length(PyObject *self) {
    if (((HandleObject *)self)->h.uid == 0) return 0;
    return (Py_ssize_t)hf_block_of(hf_body(self))->nbytes;
}

static PyObject *block_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *session, *where;
    long long nbytes = 0;
    int zero = 1;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OO|Lp", &session, &where, &nbytes, &zero)) return NULL;
    if (nbytes < 0) {
        PyErr_Format(PyExc_ValueError, "nbytes must be >= 0, not %lld", nbytes);
        return NULL;
    }
    struct hf_new how = {.kind = HF_KIND_BLOCK, .nbytes = (uint64_t)nbytes};
    PyObject *self = hf_handle_new(type, session, where, &how);
    if (self != NULL && zero && ((HandleObject *)self)->created) {
        Py_BEGIN_ALLOW_THREADS memset(hf_body(self), 0, (size_t)nbytes);
        Py_END_ALLOW_THREADS
    }
    return self;
}

static PyObject *fill(PyObject *self, PyObject *args) {
    PyObject *data;
    Py_ssize_t at = 0;
    Py_buffer view;
    if (!PyArg_ParseTuple(args, "O|n", &data, &at)) return NULL;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
    if (at < 0 || view.len > length(self) - at) {
        PyErr_Format(PyExc_ValueError, "%zd bytes at %zd do not fit in %zd", view.len, at, length(self));
        PyBuffer_Release(&view);
        return NULL;
    }
    char *to = (char *)hf_body(self) + at;
    hf_copy(to, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    Py_RETURN_NONE;
}

static int get_buffer(PyObject *self, Py_buffer *view, int flags) {
    return PyBuffer_FillInfo(view, self, hf_body(self), length(self), 0, flags);
}

static PyMethodDef methods[] = {
    {"fill", fill, METH_VARARGS, "fill(data, at=0, /)\n--\n\nCopy bytes in, without the GIL when there are many."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, block_new},
    {Py_tp_dealloc, hf_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_sq_length, length},
    {Py_bf_getbuffer, get_buffer},
    {Py_tp_doc, "Plain bytes in shared memory: a writable buffer."},
    {0, NULL},
};

PyType_Spec hf_block_spec = {"holdfast.core._native.Block", sizeof(HandleObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
