#include "native.h"

#include "../core/cell.h"

struct how {
    uint32_t code;
    struct hf_number value;
};

static struct hf_cell *of(PyObject *self) {
    return hf_body(self);
}

static PyObject *out_of_range(uint32_t code, PyObject *value) {
    PyErr_Format(PyExc_OverflowError, "%S does not fit typecode '%c'", value, (int)code);
    return NULL;
}

static int whole_from(uint32_t code, PyObject *value, __int128 *out) {
    int overflow;
    PyObject *index = PyNumber_Index(value);
    if (index == NULL) return -1;
    long long small = PyLong_AsLongLongAndOverflow(index, &overflow);
    *out = small;
    if (overflow != 0) { /* up to 2^64 - 1 either way: what may be added to, or taken from, an unsigned number */
        PyObject *size = overflow < 0 ? PyNumber_Negative(index) : Py_NewRef(index);
        unsigned long long large = size == NULL ? 0 : PyLong_AsUnsignedLongLong(size);
        Py_XDECREF(size);
        if (!PyErr_Occurred()) {
            *out = overflow < 0 ? -(__int128)large : (__int128)large;
            overflow = 0;
        }
        PyErr_Clear();
    }
    Py_DECREF(index);
    if (overflow == 0) return 0;
    out_of_range(code, value);
    return -1;
}

static int number_from(uint32_t code, PyObject *value, struct hf_number *n) {
    *n = (struct hf_number){0, 0};
    if (!hf_cell_is_real(code)) return whole_from(code, value, &n->whole);
    n->real = PyFloat_AsDouble(value);
    return n->real == -1.0 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *object_from(uint32_t code, struct hf_number n) {
    if (hf_cell_is_real(code)) return PyFloat_FromDouble(n.real);
    if (code == '?') return PyBool_FromLong(n.whole != 0);
    if (n.whole < 0 || n.whole <= INT64_MAX) return PyLong_FromLongLong((long long)n.whole);
    return PyLong_FromUnsignedLongLong((unsigned long long)n.whole);
}

static void init(void *body, const void *how) {
    const struct how *h = how;
    struct hf_cell *c = body;
    struct hf_number now;
    atomic_init(&c->bits, 0);
    c->code = h->code;
    c->spare = 0;
    hf_cell_update(c, HF_CELL_SET, h->value, NULL, &now);
}

static PyObject *cell_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *session, *where, *value = NULL;
    const char *code = "q";
    struct how h = {'q', {0, 0}};
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OO|sO", &session, &where, &code, &value)) return NULL;
    h.code = (unsigned char)code[0];
    if (hf_cell_width(h.code) == 0 || code[1] != 0) {
        PyErr_Format(PyExc_ValueError, "unknown typecode '%s': one of b B h H i I l L q Q f d ?", code);
        return NULL;
    }
    if (value != NULL && number_from(h.code, value, &h.value) < 0) return NULL;
    struct hf_cell probe = {.code = h.code};
    struct hf_number now;
    if (hf_cell_update(&probe, HF_CELL_SET, h.value, NULL, &now) != HF_OK) return out_of_range(h.code, value);
    struct hf_new how = {.kind = HF_KIND_CELL, .nbytes = sizeof(struct hf_cell), .init = init, .how = &h};
    return hf_handle_new(type, session, where, &how);
}

static PyObject *get(PyObject *self, PyObject *unused) {
    (void)unused;
    return object_from(of(self)->code, hf_cell_get(of(self)));
}

static int update(PyObject *self, enum hf_cell_op op, PyObject *by, struct hf_number *old, struct hf_number *now) {
    struct hf_number n;
    uint32_t code = of(self)->code;
    if (number_from(code, by, &n) < 0) return -1;
    if (hf_cell_update(of(self), op, n, old, now) == HF_OK) return 0;
    if (op == HF_CELL_ADD)
        PyErr_Format(PyExc_OverflowError, "adding %S takes the value beyond typecode '%c'", by, (int)code);
    else out_of_range(code, by);
    return -1;
}

static PyObject *set(PyObject *self, PyObject *value) {
    struct hf_number now;
    if (update(self, HF_CELL_SET, value, NULL, &now) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *change(PyObject *self, enum hf_cell_op op, PyObject *by) {
    struct hf_number now;
    return update(self, op, by, NULL, &now) < 0 ? NULL : object_from(of(self)->code, now);
}

/* The common case: 0 done, 1 not that case, -1 an exception. */
static int add_fast(PyObject *self, PyObject *by, int64_t *now) {
    int overflow;
    if (!PyLong_Check(by) || !hf_cell_is_signed(of(self)->code)) return 1;
    long long n = PyLong_AsLongLongAndOverflow(by, &overflow);
    if (overflow != 0 || hf_cell_add_signed(of(self), n, now) != HF_OK) return 1; /* the general case has the message */
    return 0;
}

static PyObject *add(PyObject *self, PyObject *by) {
    int64_t now;
    if (HF_LIKELY(add_fast(self, by, &now) == 0)) return PyLong_FromLongLong(now);
    return change(self, HF_CELL_ADD, by);
}
static PyObject *max_(PyObject *self, PyObject *by) {
    return change(self, HF_CELL_MAX, by);
}
static PyObject *min_(PyObject *self, PyObject *by) {
    return change(self, HF_CELL_MIN, by);
}

static PyObject *exchange(PyObject *self, PyObject *value) {
    struct hf_number old, now;
    return update(self, HF_CELL_SET, value, &old, &now) < 0 ? NULL : object_from(of(self)->code, old);
}

static PyObject *compare_exchange(PyObject *self, PyObject *args) {
    PyObject *expected, *desired;
    struct hf_number e, d;
    if (!PyArg_ParseTuple(args, "OO", &expected, &desired)) return NULL;
    uint32_t code = of(self)->code;
    if (number_from(code, expected, &e) < 0 || number_from(code, desired, &d) < 0) return NULL;
    int r = hf_cell_compare_exchange(of(self), e, d);
    return r == HF_WRONG ? out_of_range(code, desired) : PyBool_FromLong(r == HF_OK);
}

static PyObject *in_place(PyObject *self, enum hf_cell_op op, PyObject *by) {
    struct hf_number now;
    if (update(self, op, by, NULL, &now) < 0) return NULL;
    Py_INCREF(self);
    return self;
}

static PyObject *inplace_add(PyObject *self, PyObject *by) {
    int64_t now;
    if (HF_LIKELY(add_fast(self, by, &now) == 0)) {
        Py_INCREF(self);
        return self;
    }
    return in_place(self, HF_CELL_ADD, by);
}

static PyObject *inplace_subtract(PyObject *self, PyObject *by) {
    PyObject *negative = PyNumber_Negative(by);
    if (negative == NULL) return NULL;
    PyObject *r = in_place(self, HF_CELL_ADD, negative);
    Py_DECREF(negative);
    return r;
}

static PyObject *inplace_bits(PyObject *self, enum hf_cell_op op, PyObject *by) {
    if (!hf_cell_is_real(of(self)->code)) return in_place(self, op, by);
    PyErr_Format(PyExc_TypeError, "bitwise operations need whole numbers, not typecode '%c'", (int)of(self)->code);
    return NULL;
}

static PyObject *inplace_and(PyObject *self, PyObject *by) {
    return inplace_bits(self, HF_CELL_AND, by);
}
static PyObject *inplace_or(PyObject *self, PyObject *by) {
    return inplace_bits(self, HF_CELL_OR, by);
}
static PyObject *inplace_xor(PyObject *self, PyObject *by) {
    return inplace_bits(self, HF_CELL_XOR, by);
}

static PyObject *get_value(PyObject *self, void *unused) {
    (void)unused;
    return get(self, NULL);
}

static int set_value(PyObject *self, PyObject *value, void *unused) {
    struct hf_number now;
    (void)unused;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "value cannot be deleted");
        return -1;
    }
    return update(self, HF_CELL_SET, value, NULL, &now);
}

static PyObject *get_code(PyObject *self, void *unused) {
    char code = (char)of(self)->code;
    (void)unused;
    return PyUnicode_FromStringAndSize(&code, 1);
}

static int get_buffer(PyObject *self, Py_buffer *view, int flags) {
    return PyBuffer_FillInfo(view, self, (void *)&of(self)->bits, (Py_ssize_t)hf_cell_width(of(self)->code), 0, flags);
}

static PyMethodDef methods[] = {
    {"get", get, METH_NOARGS, "The number now."},
    {"set", set, METH_O, "Store a number."},
    {"add", add, METH_O, "Add, atomically; the new value."},
    {"max", max_, METH_O, "Raise to at least this, atomically; the new value."},
    {"min", min_, METH_O, "Lower to at most this, atomically; the new value."},
    {"exchange", exchange, METH_O, "Store a number, atomically; the old value."},
    {"compare_exchange", compare_exchange, METH_VARARGS,
     "compare_exchange(expected, desired, /)\n--\n\nStore desired if the value is expected; True if it was."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"value", get_value, set_value, "The number; reading and writing are atomic, `.value += 1` is not.", NULL},
    {"code", get_code, NULL, "Its typecode.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, cell_new},
    {Py_tp_dealloc, hf_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_nb_inplace_add, inplace_add},
    {Py_nb_inplace_subtract, inplace_subtract},
    {Py_nb_inplace_and, inplace_and},
    {Py_nb_inplace_or, inplace_or},
    {Py_nb_inplace_xor, inplace_xor},
    {Py_bf_getbuffer, get_buffer},
    {Py_tp_doc, "One number, read and changed atomically."},
    {0, NULL},
};

PyType_Spec hf_cell_spec = {"holdfast.core._native.Cell", sizeof(HandleObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
