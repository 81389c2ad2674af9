#include "codec.h"

#include <string.h>

#define ELEMENTS 15
#define DEPTH 4
#define SMALL (sizeof((struct hf_coded *)0)->small)

enum { NOT_PLAIN = -1, FAILED = -2 }; /* besides the kinds; FAILED has an exception set */

/* ---- encoding ---- */

static inline void number(const void *value, unsigned char *to, const void **data, size_t *length) {
    memcpy(to, value, 8);
    *data = to;
    *length = 8;
}

static inline int plain_int(PyObject *item, unsigned char *to, const void **data, size_t *length) {
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(item, &overflow);
    if (overflow != 0) return NOT_PLAIN;
    number(&value, to, data, length);
    return HF_CODE_INT;
}

/* Lone surrogates have no UTF-8; pickle knows what to do with them. */
static int plain_str(PyObject *item, const void **data, size_t *length) {
    Py_ssize_t n;
    *data = PyUnicode_AsUTF8AndSize(item, &n);
    *length = (size_t)n;
    if (*data != NULL) return HF_CODE_STR;
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return FAILED;
    PyErr_Clear();
    return NOT_PLAIN;
}

static inline int plain_bytes(PyObject *item, const void **data, size_t *length) {
    char *text;
    Py_ssize_t n;
    if (PyBytes_AsStringAndSize(item, &text, &n) < 0) return FAILED;
    *data = text;
    *length = (size_t)n;
    return HF_CODE_BYTES;
}

/* The kind of a plain item that is no tuple, and where its bytes are: in itself, or in the 8 at `to`. */
static inline int plain(PyObject *item, unsigned char *to, const void **data, size_t *length) {
    PyTypeObject *type = Py_TYPE(item);
    if (type == &PyLong_Type) return plain_int(item, to, data, length);
    if (type == &PyBytes_Type) return plain_bytes(item, data, length);
    if (type == &PyUnicode_Type) return plain_str(item, data, length);
    if (type == &PyFloat_Type) {
        double value = PyFloat_AsDouble(item);
        number(&value, to, data, length);
        return HF_CODE_FLOAT;
    }
    *data = to;
    *length = 0;
    if (item == Py_None) return HF_CODE_NONE;
    if (item == Py_True) return HF_CODE_TRUE;
    if (item == Py_False) return HF_CODE_FALSE;
    return NOT_PLAIN;
}

static int tuple(PyObject *item, unsigned char *to, size_t room, int depth, size_t *length);

/* One element of a container: its kind, or NOT_PLAIN also if there is no room. */
static int element(PyObject *item, unsigned char *to, size_t room, int depth, size_t *length) {
    unsigned char eight[8];
    const void *data;
    size_t n = 0;
    int kind;
    if (room < 2) return NOT_PLAIN;
    if (Py_IS_TYPE(item, &PyTuple_Type)) {
        kind = tuple(item, to + 2, room - 2, depth + 1, &n);
    } else {
        kind = plain(item, eight, &data, &n);
        if (kind >= 0 && n > room - 2) return NOT_PLAIN;
        if (kind >= 0) memcpy(to + 2, data, n);
    }
    if (kind < 0) return kind;
    to[0] = (unsigned char)kind;
    to[1] = (unsigned char)n; /* fits: room is at most SMALL, and three of it are used */
    *length = 2 + n;
    return kind;
}

static int tuple(PyObject *item, unsigned char *to, size_t room, int depth, size_t *length) {
    Py_ssize_t count = PyTuple_Size(item);
    size_t used = 1, n = 0;
    if (count > ELEMENTS || depth > DEPTH || room < 1) return NOT_PLAIN;
    to[0] = (unsigned char)count;
    for (Py_ssize_t i = 0; i < count; i++) {
        int kind = element(PyTuple_GetItem(item, i), to + used, room - used, depth, &n);
        if (kind < 0) return kind;
        used += n;
    }
    *length = used;
    return HF_CODE_TUPLE;
}

static int list(PyObject *item, unsigned char *to, size_t room, size_t *length) {
    Py_ssize_t count = PyList_Size(item);
    size_t used = 1, n = 0;
    if (count > ELEMENTS) return NOT_PLAIN;
    to[0] = (unsigned char)count;
    for (Py_ssize_t i = 0; i < count; i++) {
        int kind = element(PyList_GetItem(item, i), to + used, room - used, 1, &n);
        if (kind < 0) return kind;
        used += n;
    }
    *length = used;
    return HF_CODE_LIST;
}

/* Nothing in here runs Python, so nobody can change it meanwhile. */
static int dict(PyObject *item, unsigned char *to, size_t room, size_t *length) {
    PyObject *key, *value;
    Py_ssize_t position = 0, count = PyDict_Size(item);
    size_t used = 1, n = 0;
    if (count > ELEMENTS) return NOT_PLAIN;
    to[0] = (unsigned char)count;
    while (PyDict_Next(item, &position, &key, &value)) {
        int kind = element(key, to + used, room - used, 1, &n);
        if (kind < 0) return kind;
        used += n;
        kind = element(value, to + used, room - used, 1, &n);
        if (kind < 0) return kind;
        used += n;
    }
    *length = used;
    return HF_CODE_DICT;
}

static int container(PyObject *item, unsigned char *to, size_t room, size_t *length) {
    PyTypeObject *type = Py_TYPE(item);
    if (type == &PyTuple_Type) return tuple(item, to, room, 1, length);
    if (type == &PyDict_Type) return dict(item, to, room, length);
    return type == &PyList_Type ? list(item, to, room, length) : NOT_PLAIN;
}

static int own_bytes(PyObject *owner, struct hf_coded *out) {
    char *text;
    Py_ssize_t n;
    if (PyBytes_AsStringAndSize(owner, &text, &n) < 0) return -1;
    Py_INCREF(owner);
    out->owner = owner;
    out->data = text;
    out->length = (size_t)n;
    return 0;
}

static int take_packed(PyObject *packed, struct hf_coded *out) {
    out->kind = HF_CODE_PICKLE;
    if (PyBytes_Check(packed)) return own_bytes(packed, out);
    out->kind = HF_CODE_PACKED;
    if (!PyTuple_Check(packed) || PyTuple_Size(packed) != 2 || !PyBytes_Check(PyTuple_GetItem(packed, 0))) {
        PyErr_Format(PyExc_TypeError, "pack() returned %R, neither bytes nor (bytes, block)", packed);
        return -1;
    }
    if (own_bytes(PyTuple_GetItem(packed, 0), out) < 0) return -1;
    PyObject *block = PyTuple_GetItem(packed, 1);
    if (block == Py_None) return 0;
    Py_INCREF(block);
    out->block = block;
    return 0;
}

static int pack_it(PyObject *item, PyObject *pickle, PyObject *buffers, PyObject *pack, struct hf_coded *out) {
    PyObject *packed = PyObject_CallFunctionObjArgs(pack, item, pickle, buffers, NULL); /* ends at a NULL among them */
    if (packed == NULL) return -1;
    int r = take_packed(packed, out);
    Py_DECREF(packed);
    return r;
}

/* A list for buffers, and {"buffer_callback": its append}. */
static int new_pad(PyObject **buffers, PyObject **keywords) {
    *buffers = PyList_New(0);
    PyObject *append = *buffers == NULL ? NULL : PyObject_GetAttrString(*buffers, "append");
    *keywords = append == NULL ? NULL : Py_BuildValue("{sN}", "buffer_callback", append);
    if (*keywords != NULL) return 0;
    Py_CLEAR(*buffers);
    return -1;
}

static PyObject *call_dumps(PyObject *dumps, PyObject *item, PyObject *keywords) {
    PyObject *arguments = Py_BuildValue("(Oi)", item, 5);
    PyObject *pickle = arguments == NULL ? NULL : PyObject_Call(dumps, arguments, keywords);
    Py_XDECREF(arguments);
    return pickle;
}

/* The usual end: a short pickle and no buffers. Otherwise, and after a refusal, `pack` goes on. */
static int finish_pickle(PyObject *item, PyObject *pickle, PyObject *buffers, PyObject *pack, struct hf_coded *out) {
    if (pickle == NULL) {
        if (PyErr_ExceptionMatches(PyExc_MemoryError) || !PyErr_ExceptionMatches(PyExc_Exception)) return -1;
        PyErr_Clear();
        Py_XDECREF(hf_outbox_undo_here(NULL, NULL)); /* pickled anew */
        return pack_it(item, NULL, NULL, pack, out);
    }
    out->kind = HF_CODE_PICKLE;
    if (PyList_Size(buffers) == 0 && PyBytes_Size(pickle) <= HF_CODE_INLINE) return own_bytes(pickle, out);
    return pack_it(item, pickle, buffers, pack, out);
}

/* The pad is taken away while it is used: what dumps runs may put too. */
static int pickle_it(PyObject *item, struct hf_packer *packer, struct hf_coded *out) {
    PyObject *buffers = packer->buffers, *keywords = packer->keywords;
    if (packer->dumps == Py_None) return pack_it(item, NULL, NULL, packer->pack, out);
    packer->buffers = packer->keywords = NULL;
    if (buffers == NULL && new_pad(&buffers, &keywords) < 0) return -1;
    PyObject *pickle = call_dumps(packer->dumps, item, keywords);
    int r = finish_pickle(item, pickle, buffers, packer->pack, out);
    Py_XDECREF(pickle);
    if (r == 0 && PyList_Size(buffers) == 0 && packer->buffers == NULL) {
        packer->buffers = buffers;
        packer->keywords = keywords;
    } else {
        Py_DECREF(buffers);
        Py_DECREF(keywords);
    }
    return r;
}

int hf_encode(PyObject *item, struct hf_packer *packer, struct hf_coded *out) {
    int kind;
    out->owner = NULL;
    out->block = NULL;
    kind = plain(item, out->small, &out->data, &out->length);
    if (kind == HF_CODE_BYTES || kind == HF_CODE_STR) {
        Py_INCREF(item);
        out->owner = item;
    } else if (kind == NOT_PLAIN) {
        out->data = out->small;
        kind = container(item, out->small, SMALL, &out->length);
    }
    out->kind = (uint32_t)kind;
    if (HF_LIKELY(kind >= 0)) return 0;
    return kind == FAILED ? -1 : pickle_it(item, packer, out);
}

/* ---- decoding ---- */

static PyObject *malformed(uint32_t kind, size_t length) {
    return PyErr_Format(PyExc_ValueError, "malformed record: kind %u with %zu bytes", (unsigned)kind, length);
}

static PyObject *decode_plain(uint32_t kind, const unsigned char *data, size_t length, int depth);

/* The element at *at, which is moved behind it. */
static PyObject *part(uint32_t of, const unsigned char *data, size_t length, size_t *at, int depth) {
    if (length - *at < 2 || length - *at - 2 < data[*at + 1]) return malformed(of, length);
    const unsigned char *here = data + *at;
    *at += 2 + (size_t)here[1];
    return decode_plain(here[0], here + 2, here[1], depth);
}

static int fill_dict(PyObject *made, const unsigned char *data, size_t length, size_t *at) {
    PyObject *key = part(HF_CODE_DICT, data, length, at, 1);
    PyObject *value = key == NULL ? NULL : part(HF_CODE_DICT, data, length, at, 1);
    int r = value == NULL ? -1 : PyDict_SetItem(made, key, value);
    Py_XDECREF(key);
    Py_XDECREF(value);
    return r;
}

static int fill(uint32_t kind, PyObject *made, Py_ssize_t i, const unsigned char *data, size_t length, size_t *at,
                int depth) {
    if (kind == HF_CODE_DICT) return fill_dict(made, data, length, at);
    PyObject *element = part(kind, data, length, at, kind == HF_CODE_TUPLE ? depth + 1 : 1);
    if (element == NULL) return -1;
    return kind == HF_CODE_TUPLE ? PyTuple_SetItem(made, i, element) : PyList_SetItem(made, i, element);
}

static PyObject *decode_container(uint32_t kind, const unsigned char *data, size_t length, int depth) {
    if (length < 1 || data[0] > ELEMENTS || depth > DEPTH) return malformed(kind, length);
    Py_ssize_t count = data[0];
    size_t at = 1;
    PyObject *made = kind == HF_CODE_TUPLE ? PyTuple_New(count) : kind == HF_CODE_LIST ? PyList_New(count) : PyDict_New();
    for (Py_ssize_t i = 0; made != NULL && i < count; i++)
        if (fill(kind, made, i, data, length, &at, depth) < 0) Py_CLEAR(made);
    if (made == NULL || at == length) return made;
    Py_DECREF(made);
    return malformed(kind, length);
}

static PyObject *decode_number(uint32_t kind, const unsigned char *data) {
    long long whole;
    double real;
    if (kind == HF_CODE_INT) {
        memcpy(&whole, data, 8);
        return PyLong_FromLongLong(whole);
    }
    memcpy(&real, data, 8);
    return PyFloat_FromDouble(real);
}

static PyObject *decode_single(uint32_t kind) {
    PyObject *made = kind == HF_CODE_NONE ? Py_None : kind == HF_CODE_TRUE ? Py_True : Py_False;
    Py_INCREF(made);
    return made;
}

/* What hf_encode makes without `pack`. `depth`: of a tuple here, from 1. */
static inline PyObject *decode_plain(uint32_t kind, const unsigned char *data, size_t length, int depth) {
    switch (kind) {
    case HF_CODE_INT:
    case HF_CODE_FLOAT: return length == 8 ? decode_number(kind, data) : malformed(kind, length);
    case HF_CODE_BYTES: return PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)length);
    case HF_CODE_STR: return PyUnicode_DecodeUTF8((const char *)data, (Py_ssize_t)length, NULL);
    case HF_CODE_NONE:
    case HF_CODE_FALSE:
    case HF_CODE_TRUE: return length == 0 ? decode_single(kind) : malformed(kind, length);
    case HF_CODE_TUPLE:
    case HF_CODE_LIST:
    case HF_CODE_DICT: return decode_container(kind, data, length, depth);
    default: return malformed(kind, length);
    }
}

PyObject *hf_decode_bytes(uint32_t kind, PyObject *bytes, PyObject *loads, PyObject *unpack, PyObject *block) {
    char *data;
    Py_ssize_t length;
    switch (kind) {
    case HF_CODE_BYTES: Py_INCREF(bytes); return bytes;
    case HF_CODE_PICKLE: return PyObject_CallFunctionObjArgs(loads, bytes, NULL);
    case HF_CODE_PACKED: return PyObject_CallFunctionObjArgs(unpack, bytes, block == NULL ? Py_None : block, NULL);
    default:
        if (PyBytes_AsStringAndSize(bytes, &data, &length) < 0) return NULL;
        return decode_plain(kind, (const unsigned char *)data, (size_t)length, 1);
    }
}

PyObject *hf_decode(uint32_t kind, const void *data, size_t length, PyObject *loads, PyObject *unpack, PyObject *block) {
    if (HF_LIKELY(kind != HF_CODE_PICKLE && kind != HF_CODE_PACKED)) return decode_plain(kind, data, length, 1);
    PyObject *bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)length);
    if (bytes == NULL) return NULL;
    PyObject *made = hf_decode_bytes(kind, bytes, loads, unpack, block);
    Py_DECREF(bytes);
    return made;
}
