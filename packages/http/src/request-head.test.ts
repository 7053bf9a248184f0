import { describe, expect, test } from "vitest";
import { ChunkedDecoder, parseRequestHead } from "./index.ts";

const status = (head: string) => {
  const result = parseRequestHead(head, 100);
  return result.ok ? 200 : result.error.status;
};

describe("given a request head", () => {
  test("when it is ordinary, then all its parts are read", () => {
    const result = parseRequestHead(
      "POST /a?b HTTP/1.1\r\nHost: x:80\r\nContent-Length: 5\r\nExpect: 100-Continue",
      100,
    );
    expect(result).toMatchObject({
      ok: true,
      value: {
        method: "POST",
        target: "/a?b",
        host: "x:80",
        contentLength: 5,
        persistent: true,
        expectsContinue: true,
      },
    });
  });

  test("when the target is absolute, then it decides host and path", () => {
    expect(parseRequestHead("GET http://b/x?y HTTP/1.1\r\nHost: a", 100)).toMatchObject({
      value: { host: "b", target: "/x?y", headers: ["Host", "b"] },
    });
  });

  test.each([
    ["GET / HTTP/2.0\r\nHost: a", 400],
    ["GET /", 400],
    ["\x16\x03\x01", 400],
    ["GET / HTTP/1.1", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nHost: a", 400],
    ["GET / HTTP/1.1\r\nHost: a/b", 400],
    ["GET / HTTP/1.1\r\nHost : a", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\n folded", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", 400],
    ["GET / HTTP/1.0\r\nTransfer-Encoding: chunked", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked", 400],
    ["GET @evil/ HTTP/1.1\r\nHost: a", 400],
    ["GET ftp://a/ HTTP/1.1\r\nHost: a", 400],
    ["GET * HTTP/1.1\r\nHost: a", 400],
    ["GET http:///x HTTP/1.1\r\nHost: a", 400],
    ["GET http://u@b/ HTTP/1.1\r\nHost: a", 400],
    ["GET /a#b HTTP/1.1\r\nHost: a", 400],
    ["GET / HTTP/1.1\r\nHost: :80", 400],
    ["GET / HTTP/1.1\r\nHost: a%zz", 400],
    ["GET / HTTP/1.1\r\nHost: a\r\nX: a\rb", 400],
    ["GET / HTTP/1.1\nHost: a", 400],
    ["CONNECT a:80 HTTP/1.1\r\nHost: a:80", 400],
    ["GET / HTTP/1.1\r\nHost:", 200],
    ["GET / HTTP/1.1\r\nHost: [::1]:80", 200],
    ["OPTIONS * HTTP/1.1\r\nHost: a", 200],
    ["GET / HTTP/1.0", 200],
    [`GET / HTTP/1.1\r\nHost: a${"\r\nX: y".repeat(100)}`, 431],
  ])("operations H7-H13: when it is %j, then the status is %i", (head, expected) => {
    expect(status(head)).toBe(expected);
  });

  test.each([
    ["close", false],
    ["Close", false],
    ["keep-alive, CLOSE", false],
    ["keep-alive", true],
  ])("when Connection is %s, then the connection stays: %s", (value, persistent) => {
    expect(
      parseRequestHead(`GET / HTTP/1.1\r\nHost: a\r\nConnection: ${value}`, 100),
    ).toMatchObject({ value: { persistent } });
  });
});

describe("given a chunked body", () => {
  const run = (text: string, piece: number) => {
    const decoder = new ChunkedDecoder();
    let body = "";
    for (let at = 0; at < text.length; at += piece) {
      const result = decoder.decode(Buffer.from(text.slice(at, at + piece), "latin1"), (data) => {
        body += data.toString("latin1");
      });
      if (result.state === "done") return { body, end: at + result.end };
      if (result.state === "error") return { error: result.error };
    }
    return { body, end: -1 };
  };

  test.each([1, 2, 7, 1000])(
    "when it arrives in pieces of %i, then body and end are right",
    (piece) => {
      const text = "5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\nGET";
      expect(run(text, piece)).toEqual({ body: "hello0123456789", end: text.length - 3 });
    },
  );

  test("when chunk extensions grow without end, then it is refused", () => {
    expect(run(`1;${"x".repeat(900)}\r\na\r\n`.repeat(20), 100)).toHaveProperty("error");
  });

  test.each([
    "zz\r\n",
    "5 \r\nhello",
    "5;a\rb\r\n",
    "\r\n",
    ";x\r\n",
    "5,\r\n",
    "5\nhello",
    "-1\r\n",
    "0x5\r\n",
    " 5\r\n",
    "5\r\nhelloX\r\n",
    "5\r\nhello\n",
    `${"1".repeat(14)}\r\n`,
    `1;${"x".repeat(2000)}`,
    "0\r\nbad trailer\r\n",
  ])("operations H14: when it is %j, then it is refused", (text) => {
    expect(run(text, 1000)).toHaveProperty("error");
  });
});
