"""As much of Python's zmq as the original's example scripts use, over the C library; for Python 2 and 3.

ZMQ_SHIM_REPLACE="from=to from=to" puts other addresses in the place of those written in a script.
"""
import atexit
import ctypes
import os

PUB, SUB, REQ, REP, DEALER, ROUTER, PULL, PUSH, XPUB, XSUB = range(1, 11)
SUBSCRIBE, UNSUBSCRIBE, RCVMORE, LINGER = 6, 7, 13, 17
SNDMORE, POLLIN = 2, 1
RECEIVE_MAX = 1 << 20

_c = ctypes.CDLL("libzmq.so.5")
for _name in ("zmq_ctx_new", "zmq_socket"):
    getattr(_c, _name).restype = ctypes.c_void_p
_replace = dict(one.split("=", 1) for one in os.environ.get("ZMQ_SHIM_REPLACE", "").split())


def _bytes(value):
    return value if isinstance(value, bytes) else value.encode("utf-8")


def _check(result):
    if result < 0:
        raise OSError("zmq error %d" % _c.zmq_errno())
    return result


class Socket(object):
    rcvhwm = 1000
    immediate = 0

    def __init__(self, context, kind):
        self.handle = ctypes.c_void_p(_c.zmq_socket(context, kind))
        atexit.register(_c.zmq_close, self.handle)

    def connect(self, spec):
        _check(_c.zmq_connect(self.handle, _bytes(_replace.get(spec, spec))))

    def bind(self, spec):
        _check(_c.zmq_bind(self.handle, _bytes(_replace.get(spec, spec))))

    def setsockopt(self, option, value):
        value = _bytes(value)
        _check(_c.zmq_setsockopt(self.handle, option, value, ctypes.c_size_t(len(value))))

    def send(self, data, flags=0):
        data = _bytes(data)
        _check(_c.zmq_send(self.handle, data, ctypes.c_size_t(len(data)), flags))

    def send_multipart(self, parts):
        for part in parts[:-1]:
            self.send(part, SNDMORE)
        self.send(parts[-1])

    def recv(self):
        buffer = ctypes.create_string_buffer(RECEIVE_MAX)
        size = _check(_c.zmq_recv(self.handle, buffer, ctypes.c_size_t(RECEIVE_MAX), 0))
        return buffer.raw[:size]

    def recv_multipart(self):
        parts = [self.recv()]
        while self._has_more():
            parts.append(self.recv())
        return parts

    def _has_more(self):
        value, size = ctypes.c_int(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
        _check(_c.zmq_getsockopt(self.handle, RCVMORE, ctypes.byref(value), ctypes.byref(size)))
        return value.value != 0


class Context(object):
    _one = None

    def __init__(self):
        self.handle = ctypes.c_void_p(_c.zmq_ctx_new())
        # After the sockets are closed: waits until everything is sent.
        atexit.register(_c.zmq_ctx_term, self.handle)

    @classmethod
    def instance(cls):
        cls._one = cls._one or cls()
        return cls._one

    def socket(self, kind):
        return Socket(self.handle, kind)


class _Item(ctypes.Structure):
    _fields_ = [
        ("socket", ctypes.c_void_p),
        ("fd", ctypes.c_int),
        ("events", ctypes.c_short),
        ("revents", ctypes.c_short),
    ]


class Poller(object):
    def __init__(self):
        self.sockets = []

    def register(self, socket, events):
        self.sockets.append((socket, events))

    def poll(self, timeout_ms=-1):
        items = (_Item * len(self.sockets))()
        for item, (socket, events) in zip(items, self.sockets):
            item.socket, item.events = socket.handle.value, events
        _check(_c.zmq_poll(items, len(items), ctypes.c_long(timeout_ms)))
        found = zip(items, self.sockets)
        return [(socket, item.revents) for item, (socket, _) in found if item.revents]
