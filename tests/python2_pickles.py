"""Dictionaries of arrays as Python 2 pickled them, byte by byte."""

import struct


def number(n):
    return b"J" + struct.pack("<i", n)


def array_opcodes(array, protocol=2, module=b"numpy.core.multiarray"):
    """Instructions that rebuild an array, as cPickle of Python 2 wrote them."""

    def string(data):
        if protocol == 0:
            return b"S" + repr(data)[1:].encode() + b"\n"
        return b"T" + struct.pack("<i", len(data)) + data

    integers = (lambda n: b"I%d\n" % n) if protocol == 0 else number
    order = array.dtype.str[:1].encode()
    shape = b"(" + b"".join(integers(n) for n in array.shape) + b"t"
    build = b"c" + module + b"\n_reconstruct\n(cnumpy\nndarray\n(" + integers(0) + b"t"
    build += string(b"b") + b"tR(" + integers(1) + shape
    build += b"cnumpy\ndtype\n(" + string(array.dtype.str[1:].encode()) + integers(0) + integers(1)
    build += b"tR(" + integers(3) + string(order) + b"NNN" + integers(-1) * 2 + integers(0) + b"tb"
    build += (b"I00\n" if protocol < 2 else b"\x89") + string(array.tobytes()) + b"tb"
    return build


def python2_pickle(arrays, protocol=2, **options):
    """A dictionary of arrays as Python 2 pickled it."""
    out = (b"\x80\x02" if protocol == 2 else b"") + (b"}" if protocol else b"(d")
    for name, array in arrays.items():
        key = (
            b"S'%s'\n" % name.encode()
            if protocol == 0
            else b"U" + bytes([len(name)]) + name.encode()
        )
        out += key + array_opcodes(array, protocol, **options) + b"s"
    return out + b"."
