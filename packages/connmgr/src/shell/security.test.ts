import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Connmgr, eventually, startConnmgr } from "../../../../test/connmgr/fixture.ts";

/** Behind every hostile request stands this one; it must never be served. */
const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
const H = "Host: a\r\n";

let connmgr: Connmgr;
beforeAll(async () => {
  connmgr = await startConnmgr({
    onSession: (session) => {
      session.send({ type: "credit", credits: 1_000_000 });
      if (!session.first.more) session.respond(200, "ok");
    },
  });
});
afterAll(() => connmgr.stop());

/** Sends the bytes and the smuggled request; the statuses and what the handler got. */
async function attack(bytes: string): Promise<{ statuses: number[]; uris: string[] }> {
  const before = connmgr.sessions.length;
  await using client = await connmgr.client();
  client.send(bytes + SMUGGLED);
  const text = await client.closed();
  const statuses = [...text.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map((one) => Number(one[1]));
  const uris = connmgr.sessions.slice(before).map((one) => one.first.uri);
  expect(uris.filter((one) => one.includes("smuggled"))).toEqual([]);
  return { statuses, uris };
}

const post = (fields: string, body = "") => `POST / HTTP/1.1\r\n${H}${fields}\r\n${body}`;
const chunked = (body: string) => post("Transfer-Encoding: chunked\r\n", body);
const get = (fields: string) => `GET / HTTP/1.1\r\n${H}${fields}\r\n`;

const HEADS: [name: string, bytes: string, status: number][] = [
  // Two lengths, or none that can be trusted.
  ["CL.TE", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400],
  ["TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"), 400],
  ["CL.TE with a length of 0", post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), 400],
  ["TE.TE", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400],
  ["TE.TE, one unknown", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"), 400],
  ["TE.TE, unknown first", post("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n"), 400],
  ["TE as a list", post("Transfer-Encoding: gzip, chunked\r\n"), 400],
  ["TE chunked twice", post("Transfer-Encoding: chunked, chunked\r\n"), 400],
  ["TE identity", post("Transfer-Encoding: identity\r\n"), 400],
  ["TE identity, chunked", post("Transfer-Encoding: identity, chunked\r\n"), 400],
  ["TE chunked, identity", post("Transfer-Encoding: chunked, identity\r\n"), 400],
  ["TE with a parameter", post("Transfer-Encoding: chunked;q=1\r\n"), 400],
  ["TE quoted", post('Transfer-Encoding: "chunked"\r\n'), 400],
  ["TE empty", post("Transfer-Encoding:\r\n"), 400],
  ["TE with a comma", post("Transfer-Encoding: chunked,\r\n"), 400],
  ["TE xchunked", post("Transfer-Encoding: xchunked\r\n"), 400],
  ["TE with a vertical tab", post("Transfer-Encoding: \x0bchunked\r\n"), 400],
  ["TE with a NUL", post("Transfer-Encoding: chunked\x00\r\n"), 400],
  ["TE with a form feed", post("Transfer-Encoding: chunked\x0c\r\n"), 400],
  ["TE with a no-break space", post("Transfer-Encoding: \xa0chunked\r\n"), 400],
  ["TE behind a blank name", post("Transfer-Encoding : chunked\r\n"), 400],
  ["TE behind a tab in its name", post("Transfer-Encoding\t: chunked\r\n"), 400],
  ["TE in a folded line", post("X: y\r\n Transfer-Encoding: chunked\r\n"), 400],
  ["TE folded", post("Transfer-Encoding:\r\n chunked\r\n"), 400],
  ["TE folded by a tab", post("Transfer-Encoding:\r\n\tchunked\r\n"), 400],
  ["TE after a bare LF", post("X: y\nTransfer-Encoding: chunked\r\n"), 400],
  ["TE after a bare CR", post("X: y\rTransfer-Encoding: chunked\r\n"), 400],
  ["TE with a leading CR", post("\rTransfer-Encoding: chunked\r\n"), 400],
  ["TE in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400],
  [
    "TE in HTTP/1.0, kept alive",
    "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    400,
  ],
  ["two lengths that differ", post("Content-Length: 0\r\nContent-Length: 5\r\n"), 400],
  ["two equal lengths", post("Content-Length: 0\r\nContent-Length: 0\r\n"), 400],
  ["two lengths in different case", post("Content-Length: 0\r\ncontent-length: 0\r\n"), 400],
  ["a list of lengths", post("Content-Length: 0, 0\r\n"), 400],
  ["a signed length", post("Content-Length: +0\r\n"), 400],
  ["a negative length", post("Content-Length: -0\r\n"), 400],
  ["a negative length of five", post("Content-Length: -5\r\n"), 400],
  ["a hexadecimal length", post("Content-Length: 0x0\r\n"), 400],
  ["a length with a blank inside", post("Content-Length: 1 2\r\n"), 400],
  ["a length with a point", post("Content-Length: 0.0\r\n"), 400],
  ["a length with an exponent", post("Content-Length: 0e0\r\n"), 400],
  ["a length with an underscore", post("Content-Length: 1_0\r\n"), 400],
  ["an empty length", post("Content-Length:\r\n"), 400],
  ["a length beyond all counting", post(`Content-Length: ${"9".repeat(30)}\r\n`), 400],
  ["a length of 2 to the 64", post("Content-Length: 18446744073709551616\r\n"), 400],
  ["a length with letters", post("Content-Length: five\r\n"), 400],
  ["a length in full-width digits", post("Content-Length: \xef\xbc\x90\r\n"), 400],
  ["a length with a NUL", post("Content-Length: 0\x00\r\n"), 400],
  ["a length folded", post("Content-Length:\r\n 0\r\n"), 400],
  ["a length behind a blank name", post("Content-Length : 0\r\n"), 400],
  ["a length after a bare LF", post("X: y\nContent-Length: 0\r\n"), 400],
  // Names and values.
  ["no colon", get("X\r\n"), 400],
  ["an empty name", get(": y\r\n"), 400],
  ["a blank in a name", get("X Y: z\r\n"), 400],
  ["a leading blank", get(" X: y\r\n"), 400],
  ["a folded line", get("X: y\r\n z\r\n"), 400],
  ["a first line folded", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400],
  ["a NUL in a name", get("X\x00: y\r\n"), 400],
  ["a NUL in a value", get("X: a\x00b\r\n"), 400],
  ["a bell in a value", get("X: \x07\r\n"), 400],
  ["DEL in a value", get("X: \x7f\r\n"), 400],
  ["a bare CR in a value", get("X: a\rb\r\n"), 400],
  ["a bare LF in a value", get("X: a\nY: b\r\n"), 400],
  ["a bare CR at the end of a value", get("X: a\r\r\n"), 400],
  ["a non-ASCII name", get("\xc3\xa9: y\r\n"), 400],
  ["a slash in a name", get("X/Y: z\r\n"), 400],
  ["brackets in a name", get("X[0]: z\r\n"), 400],
  ["a quoted name", get('"X": z\r\n'), 400],
  ["LF line ends", "GET / HTTP/1.1\nHost: a\n\n", 400],
  ["LF at the end of the head only", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400],
  ["LF after the request line only", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400],
  ["CR line ends", `GET / HTTP/1.1\rHost: a\r\r${" ".repeat(8200)}`, 431],
  ["101 fields", get("X: y\r\n".repeat(100)), 431],
  ["a field without end", get(`X: ${"y".repeat(9000)}\r\n`), 431],
  ["a name without end", get(`${"x".repeat(9000)}: y\r\n`), 431],
  ["a head without end", `GET / HTTP/1.1\r\n${"X: y\r\n".repeat(2000)}`, 431],
  ["a method without end", `${"A".repeat(9000)}`, 431],
  // Host.
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400],
  ["two equal Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400],
  ["two Hosts in different case", "GET / HTTP/1.1\r\nHost: a\r\nHOST: a\r\n\r\n", 400],
  ["Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400],
  ["Host with a query", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 400],
  ["Host with a fragment", "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", 400],
  ["Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400],
  ["Host with a blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400],
  ["Host with a scheme", "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", 400],
  ["Host with a backslash", "GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", 400],
  ["Host with a bad port", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400],
  ["Host with a long port", "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", 400],
  ["Host that is a port", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400],
  ["Host with two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400],
  ["Host with a bad escape", "GET / HTTP/1.1\r\nHost: a%\r\n\r\n", 400],
  ["Host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400],
  ["Host with quotes", 'GET / HTTP/1.1\r\nHost: "a"\r\n\r\n', 400],
  ["Host that is not ASCII", "GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", 400],
  ["Host in a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400],
  // Request line.
  ["HTTP/2.0", `GET / HTTP/2.0\r\n${H}\r\n`, 400],
  ["HTTP/1.2", `GET / HTTP/1.2\r\n${H}\r\n`, 400],
  ["HTTP/1.10", `GET / HTTP/1.10\r\n${H}\r\n`, 400],
  ["HTTP/01.1", `GET / HTTP/01.1\r\n${H}\r\n`, 400],
  ["http/1.1", `GET / http/1.1\r\n${H}\r\n`, 400],
  ["HTTP/0.9", "GET /\r\n\r\n", 400],
  ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
  ["no version", `GET / \r\n${H}\r\n`, 400],
  ["two targets", `GET / / HTTP/1.1\r\n${H}\r\n`, 400],
  ["two blanks", `GET  / HTTP/1.1\r\n${H}\r\n`, 400],
  ["two blanks before the version", `GET /  HTTP/1.1\r\n${H}\r\n`, 400],
  ["a blank behind the version", `GET / HTTP/1.1 \r\n${H}\r\n`, 400],
  ["tabs for blanks", `GET\t/\tHTTP/1.1\r\n${H}\r\n`, 400],
  ["a leading blank in the request line", ` GET / HTTP/1.1\r\n${H}\r\n`, 400],
  ["a method with a colon", `GE:T / HTTP/1.1\r\n${H}\r\n`, 400],
  ["an empty method", ` / HTTP/1.1\r\n${H}\r\n`, 400],
  ["a method that is not ASCII", `G\xc3T / HTTP/1.1\r\n${H}\r\n`, 400],
  ["a NUL in the target", `GET /\x00 HTTP/1.1\r\n${H}\r\n`, 400],
  ["a CR in the target", `GET /\ra HTTP/1.1\r\n${H}\r\n`, 400],
  ["a fragment", `GET /#a HTTP/1.1\r\n${H}\r\n`, 400],
  ["a target without a slash", `GET a HTTP/1.1\r\n${H}\r\n`, 400],
  ["a target that is a user", `GET @evil/ HTTP/1.1\r\n${H}\r\n`, 400],
  ["a target that is a port", `GET :80/ HTTP/1.1\r\n${H}\r\n`, 400],
  ["a target that is a query", `GET ?a HTTP/1.1\r\n${H}\r\n`, 400],
  ["a target that is a backslash", `GET \\a HTTP/1.1\r\n${H}\r\n`, 400],
  ["* with GET", `GET * HTTP/1.1\r\n${H}\r\n`, 400],
  ["CONNECT", `CONNECT a:80 HTTP/1.1\r\n${H}\r\n`, 400],
  ["ftp", `GET ftp://a/ HTTP/1.1\r\n${H}\r\n`, 400],
  ["file", `GET file:///etc/passwd HTTP/1.1\r\n${H}\r\n`, 400],
  ["http without a host", `GET http:///x HTTP/1.1\r\n${H}\r\n`, 400],
  ["http with a user", `GET http://u:p@b/ HTTP/1.1\r\n${H}\r\n`, 400],
  ["http with a backslash", `GET http://b\\c/ HTTP/1.1\r\n${H}\r\n`, 400],
  ["http with one slash", `GET http:/b/ HTTP/1.1\r\n${H}\r\n`, 400],
  ["a target too long", `GET /${"a".repeat(4096)} HTTP/1.1\r\n${H}\r\n`, 414],
  // Other protocols.
  ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
  ["SSH", "SSH-2.0-OpenSSH\r\n\r\n", 400],
  ["zeros", "\0\0\0\0", 400],
  ["a PROXY header nobody asked for", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", 400],
  ["PROXY 2", "\r\n\r\n\0\r\nQUIT\n", 400],
  ["only LF", "\n\n", 400],
  // WebSocket.
  ["a WebSocket without a key", get("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"), 400],
  [
    "a WebSocket with a body",
    get(
      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\nContent-Length: 5\r\n",
    ),
    400,
  ],
  [
    "a WebSocket with chunks",
    get(
      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\nTransfer-Encoding: chunked\r\n",
    ),
    400,
  ],
  [
    "a WebSocket by POST",
    post("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n"),
    400,
  ],
  [
    "a WebSocket of version 8",
    get("Upgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: x\r\n"),
    400,
  ],
  [
    "a WebSocket with an endless key",
    get(
      `Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${"x".repeat(300)}\r\n`,
    ),
    400,
  ],
];

const BODIES: [name: string, body: string][] = [
  ["a size that is no number", "zz\r\n"],
  ["a negative size", "-1\r\n"],
  ["a signed size", "+1\r\na\r\n"],
  ["a size with 0x", "0x1\r\na\r\n"],
  ["a blank before the size", " 1\r\na\r\n"],
  ["a blank behind the size", "1 \r\na\r\n"],
  ["a tab behind the size", "1\t\r\na\r\n"],
  ["an empty size", "\r\n"],
  ["an extension without a size", ";a=b\r\n"],
  ["a size with a comma", "1,\r\na\r\n"],
  ["a size with a point", "1.0\r\na\r\n"],
  ["a size with an underscore", "1_0\r\na\r\n"],
  ["a size beyond counting", "fffffffffffffffff\r\n"],
  ["a size of 2 to the 64", "10000000000000000\r\n"],
  ["a size without end", "1".repeat(2000)],
  ["zeros without end", "0".repeat(2000)],
  ["a bare LF behind the size", "1\na\r\n"],
  ["a bare CR behind the size", "1\ra\r\n"],
  ["a NUL behind the size", "1\0\r\na\r\n"],
  ["a bare LF in an extension", "1;x\ny\r\na\r\n"],
  ["a bare CR in an extension", "1;x\ry\r\na\r\n"],
  ["a NUL in an extension", "1;\0\r\na\r\n"],
  ["an extension without end", `1;${"x".repeat(2000)}`],
  ["extensions without end", `1;${"x".repeat(900)}\r\na\r\n`.repeat(20)],
  ["data longer than its size", "1\r\nab\r\n"],
  ["data shorter than its size", "3\r\na\r\n0\r\n\r\n"],
  ["data ended by LF", "1\r\na\n0\r\n\r\n"],
  ["data ended by CR", "1\r\na\r0\r\n\r\n"],
  ["data without an end", "1\r\na0\r\n\r\n"],
  ["a last chunk ended by LF", "0\n\n"],
  ["trailers ended by LF", "0\r\nX: y\n\r\n"],
  ["a trailer without a colon", "0\r\nX\r\n\r\n"],
  ["a trailer with a blank name", "0\r\nX : y\r\n\r\n"],
  ["a folded trailer", "0\r\nX: y\r\n z\r\n\r\n"],
  ["a NUL in a trailer", "0\r\nX: \0\r\n\r\n"],
  ["trailers without end", `0\r\n${"X: y\r\n".repeat(2000)}`],
  ["a size in full-width digits", "\xef\xbc\x91\r\na\r\n"],
];

describe("given a hostile head", () => {
  test.each(HEADS)(
    "operations H7-H15: when it is %s, then it is refused and nothing follows",
    async (_, bytes, status) => {
      const { statuses, uris } = await attack(bytes);
      expect(statuses).toEqual([status]);
      expect(uris).toEqual([]);
    },
  );
});

describe("given a hostile chunked body", () => {
  test.each(BODIES)(
    "operations H14: when it has %s, then it is refused and nothing follows",
    async (_, body) => {
      const before = connmgr.sessions.length;
      const { statuses } = await attack(chunked(body));
      expect(statuses).toEqual([400]);
      const session = connmgr.sessions[before];
      await eventually(() => session?.last?.type === "cancel");
    },
  );

  test.each(BODIES)(
    "operations H14: when %s comes byte by byte, then it is refused as well",
    async (_, body) => {
      await using client = await connmgr.client();
      client.socket.setNoDelay(true);
      client.send(chunked(""));
      for (const piece of body.match(/[^]{1,40}/g) ?? []) {
        client.send(piece);
        if (!client.isOpen) break;
        await new Promise((resolve) => setImmediate(resolve));
      }
      client.send(SMUGGLED);
      expect(await client.closed()).toMatch(/^HTTP\/1.1 400 /);
      expect(connmgr.sessions.some((one) => one.first.uri.includes("smuggled"))).toBe(false);
    },
  );
});

describe("given requests that end the connection", () => {
  test.each([
    ["CL.0 behind close", post("Connection: close\r\n"), 200],
    ["a WebSocket that is refused", get("Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n"), 400],
    ["HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 200],
    ["Connection: cLoSe", get("Connection: cLoSe\r\n"), 200],
    ["close in a list", get("Connection: x, close ,y\r\n"), 200],
    ["close in a second field", get("Connection: x\r\nConnection: close\r\n"), 200],
  ])("operations H4: when it is %s, then nothing behind it is served", async (_, bytes, status) => {
    const { statuses } = await attack(bytes);
    expect(statuses).toEqual([status]);
  });

  test("when the refused client goes on sending without end, then it is cut", async () => {
    await using client = await connmgr.client();
    client.send("BAD\r\n\r\n");
    await client.until("400");
    const flood = setInterval(() => client.send("x".repeat(200_000)), 1);
    await eventually(() => client.isClosed || client.isEnded);
    clearInterval(flood);
    await eventually(() => connmgr.engine.connections === 0);
  });
});

describe("given random bytes", () => {
  test("when they come as heads, then every connection ends without a request", async () => {
    let seed = 12_345;
    const random = () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed / 2 ** 31;
    };
    const parts = [
      "GET",
      " ",
      "/",
      "HTTP/1.1",
      "\r\n",
      "\n",
      "\r",
      ":",
      "Host",
      "a",
      "\0",
      "\t",
      "Content-Length",
      "5",
      "Transfer-Encoding",
      "chunked",
    ];
    for (let round = 0; round < 100; round += 1) {
      let bytes = "";
      for (let i = 0; i < 20; i += 1) bytes += parts[Math.floor(random() * parts.length)];
      await using client = await connmgr.client();
      client.send(`X${bytes}\r\n\r\n`);
      expect(await client.closed()).toMatch(/^HTTP\/1.1 4\d\d /);
    }
  });
});
