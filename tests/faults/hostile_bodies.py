"""Bodies and payloads that try to break whoever reads, keeps or runs them. Small ones: for the large, see test_hostile.py."""

from __future__ import annotations

# JSON values that a client may send: each must be kept byte for byte, or refused.
HOSTILE_PAYLOADS: tuple[bytes, ...] = (
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b"1e400",
    b"-1e-400",
    b"1" * 5_000,
    b"-0.0",
    b"[" * 63 + b"]" * 63,
    b'{"a":' * 62 + b"1" + b"}" * 62,
    b'{"a":1,"a":2,"a":{"a":3,"a":4}}',
    b'{"":"","\\u0000":"\\u0000","\\ud83d\\ude00":"\xf0\x9f\x98\x80"}',
    b'[ 1 ,\t2.50 ,\n"\\u00e9 \xc3\xa9" ]',
    b'"\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf"',
    b'{"$ref":"#","__proto__":{"x":1},"constructor":null}',
    b'"\'; drop table events; --"',
    b'"%s %(name)s {0} ${x} \\\\u0000"',
    b"[]",
    b'"' + b"x" * 100_000 + b'"',
)
# Whole requests that are no job: (content type, body). None may leave a job behind.
HOSTILE_BODIES: tuple[tuple[str, bytes], ...] = (
    ("application/json", b""),
    ("application/json", b" "),
    ("application/json", b"null"),
    ("application/json", b"[]"),
    ("application/json", b'"TALLIED"'),
    ("application/json", b"{"),
    ("application/json", b'{"type":"TALLIED"}'),
    ("application/json", b'{"type":"TALLIED","payload":}'),
    ("application/json", b'{"type":"TALLIED","payload":NaN}'),
    ("application/json", b'{"type":"TALLIED","payload":-Infinity}'),
    ("application/json", b'{"type":"TALLIED","payload":1}}'),
    ("application/json", b'{"type":"TALLIED","payload":"\xff"}'),
    ("application/json", b'{"type":"TALLIED","payload":"\xed\xa0\x80"}'),
    ("application/json", b'{"type":"TALLIED","payload":"\x00"}'),
    ("application/json", b'{"type":"TALL\\u0000IED","payload":1}'),
    ("application/json", b'{"type":"TALLIED\\ud800","payload":1}'),
    ("application/json", b'{"type":"TALLIED","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ("application/json", b'{"type":"TALLIED","payload":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}"),
    ("application/json", b'{"type":"TALLIED","priority":' + b"9" * 5_000 + b',"payload":1}'),
    ("application/json", b'\xef\xbb\xbf{"type":"TALLIED"'),
    ("application/json", b"\x1f\x8b\x08\x00\x00\x00\x00\x00"),
    ("text/plain", b'{"type":"TALLIED","payload":1}'),
    ("application/x-www-form-urlencoded", b"type=TALLIED&payload=1"),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\ncontent-disposition: form-data; name="type"\r\n\r\nTALLIED\r\n--x--\r\n',
    ),
    ("", b'{"type":"TALLIED","payload":1}'),
)
