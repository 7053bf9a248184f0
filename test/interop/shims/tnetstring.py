"""Typed netstrings for the original's example scripts; for Python 2 and 3. Texts are bytes."""

try:
    _integers = (int, long)
except NameError:
    _integers = (int,)


def dumps(value):
    if value is None:
        return b"0:~"
    if isinstance(value, bool):
        return _frame(b"true" if value else b"false", b"!")
    if isinstance(value, _integers):
        return _frame(str(value).encode("ascii"), b"#")
    if isinstance(value, float):
        return _frame(repr(value).encode("ascii"), b"^")
    if isinstance(value, bytes):
        return _frame(value, b",")
    if isinstance(value, (list, tuple)):
        return _frame(b"".join(dumps(one) for one in value), b"]")
    if isinstance(value, dict):
        return _frame(b"".join(dumps(key) + dumps(one) for key, one in value.items()), b"}")
    raise ValueError("cannot be sent: %r" % (value,))


def loads(data):
    value, rest = _parse(data)
    if rest:
        raise ValueError("more than one value")
    return value


def _frame(body, kind):
    return str(len(body)).encode("ascii") + b":" + body + kind


def _parse(data):
    size, rest = data.split(b":", 1)
    end = int(size)
    body, kind, rest = rest[:end], rest[end : end + 1], rest[end + 1 :]
    if kind == b",":
        return body, rest
    if kind == b"#":
        return int(body), rest
    if kind == b"^":
        return float(body), rest
    if kind == b"!":
        return body == b"true", rest
    if kind == b"~":
        return None, rest
    values = []
    while body:
        value, body = _parse(body)
        values.append(value)
    if kind == b"]":
        return values, rest
    if kind == b"}":
        return dict(zip(values[::2], values[1::2])), rest
    raise ValueError("unknown type %r" % kind)
