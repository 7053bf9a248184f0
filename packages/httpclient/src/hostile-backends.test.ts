import type { Socket } from "node:net";
import { until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { FakeInitiator } from "../../../test/httpclient/fake-initiator.ts";
import { OK, RawBackend, type Respond } from "../../../test/httpclient/raw-backend.ts";

let proxy: FakeInitiator;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  proxy = await FakeInitiator.start();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
  expect(proxy.engine.exchangeCount).toBe(0);
});
afterAll(() => proxy.stop());

async function backend(respond: Respond): Promise<RawBackend> {
  const one = await RawBackend.start(respond);
  cleanups.push(() => one.stop());
  return one;
}

const head = (fields: string) => `HTTP/1.1 200 OK\r\n${fields}\r\n\r\n`;
const say = (bytes: string) => (socket: Socket) => void socket.write(bytes, "latin1");
const sayAndEnd = (bytes: string) => (socket: Socket) => void socket.end(bytes, "latin1");
/** The bytes first, so that they are read, then a reset. */
const sayAndReset = (bytes: string) => (socket: Socket) => {
  socket.write(bytes, "latin1");
  setTimeout(() => socket.resetAndDestroy(), 20);
};

describe("given a backend that never gets to a response", () => {
  test.each<[string, Respond]>([
    ["closes at once", (socket) => void socket.end()],
    ["resets at once", (socket) => void socket.resetAndDestroy()],
    ["closes within the status line", sayAndEnd("HTTP/1.1 20")],
    ["closes within the head", sayAndEnd("HTTP/1.1 200 OK\r\nA: b\r\n")],
    ["resets within the head", sayAndReset("HTTP/1.1 200 OK\r\nA: b\r\n")],
    ["closes after 100", sayAndEnd("HTTP/1.1 100 Continue\r\n\r\n")],
    ["closes within 100", sayAndEnd("HTTP/1.1 100 Con")],
    ["speaks no HTTP", say("hello there\r\n\r\n")],
    ["speaks SSH", say("SSH-2.0-OpenSSH_9.2\r\n")],
    ["names no version", say("HTTP/ 200 OK\r\n\r\n")],
    ["names another version", say("HTTP/9.9 200 OK\r\n\r\n")],
    ["has no number for a status", say("HTTP/1.1 abc OK\r\n\r\n")],
    ["has a status of two digits", say("HTTP/1.1 20 OK\r\n\r\n")],
    ["has a status of four digits", say("HTTP/1.1 2000 OK\r\n\r\n")],
    ["folds a header", say(`${head("A: b\r\n c: d")}`)],
    ["puts a space before a colon", say(head("Content-Length : 0"))],
    ["has a header without a colon", say(head("Content-Length"))],
    ["has a NUL in a header", say(head("A: b\0c"))],
    ["has a bare CR in a header", say(head("A: b\rc"))],
    ["names two lengths", say(`${head("Content-Length: 2\r\nContent-Length: 3")}abc`)],
    ["names a negative length", say(`${head("Content-Length: -1")}`)],
    ["names a length of letters", say(`${head("Content-Length: 2x")}ok`)],
    ["names an enormous length", say(`${head(`Content-Length: 1${"0".repeat(30)}`)}ok`)],
    [
      "names a length and chunks",
      say(`${head("Content-Length: 2\r\nTransfer-Encoding: chunked")}0\r\n\r\n`),
    ],
    ["has a head above the limit", say(head(`A: ${"x".repeat(70_000)}`))],
    ["has 1001 headers", say(head("Content-Length: 0\r\n".concat("A: b\r\n".repeat(1000))))],
    [
      "switches protocols unasked",
      say("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
    ],
    [
      "never ends with 1xx",
      (socket) => {
        const timer = setInterval(
          () => socket.write("HTTP/1.1 103 Early\r\nA: b\r\n\r\n".repeat(9)),
          1,
        );
        socket.on("close", () => clearInterval(timer));
      },
    ],
    [
      "has an endless 1xx",
      (socket) => void socket.write(`HTTP/1.1 103 Early\r\n${"A: b\r\n".repeat(9000)}`),
    ],
  ])("when it %s, then undefined-condition (operations K10)", async (_name, respond) => {
    const one = await backend(respond);
    const answer = await proxy.ask(one.uri);
    expect([answer.code, answer.end]).toEqual([undefined, "undefined-condition"]);
    expect(answer.packets.at(-1)?.type).toBe("error");
    await until("the connection to close", () => one.sockets[0]?.closed);
  });

  test("when it sends nothing, then the timeout of the request ends it", async () => {
    const one = await backend(() => {});
    expect((await proxy.ask(one.uri, { timeoutMs: 30 })).end).toBe("session-timeout");
    await until("the connection to close", () => one.sockets[0]?.closed);
  });

  test("when it sends a byte now and then, then the timeout of the request ends it", async () => {
    const one = await backend((socket) => {
      const bytes = [...head("Content-Length: 1000000")];
      const timer = setInterval(() => socket.write(bytes.shift() ?? "x"), 2);
      socket.on("close", () => clearInterval(timer));
    });
    const before = await proxy.ask(one.uri, { timeoutMs: 30 });
    expect([before.code, before.end]).toEqual([undefined, "session-timeout"]);
    const after = await proxy.ask(one.uri, { timeoutMs: 2000 });
    expect([after.code, after.end]).toEqual([200, "undefined-condition"]);
  });
});

describe("given a backend that breaks off within the body", () => {
  test.each<[string, Respond, string]>([
    ["closes short of its length", sayAndEnd(`${head("Content-Length: 10")}part`), "part"],
    ["closes without any of its length", sayAndEnd(head("Content-Length: 10")), ""],
    ["resets short of its length", sayAndReset(`${head("Content-Length: 10")}part`), "part"],
    [
      "closes short, having said so",
      sayAndEnd(`${head("Connection: close\r\nContent-Length: 10")}part`),
      "part",
    ],
    ["closes within a chunk", sayAndEnd(`${head("Transfer-Encoding: chunked")}8\r\npart`), "part"],
    [
      "closes between chunks",
      sayAndEnd(`${head("Transfer-Encoding: chunked")}4\r\npart\r\n`),
      "part",
    ],
    [
      "closes before the last line",
      sayAndEnd(`${head("Transfer-Encoding: chunked")}4\r\npart\r\n0\r\n`),
      "part",
    ],
    [
      "closes between chunks, having said so",
      sayAndEnd(`${head("Connection: close\r\nTransfer-Encoding: chunked")}4\r\npart\r\n`),
      "part",
    ],
    [
      "resets between chunks",
      sayAndReset(`${head("Transfer-Encoding: chunked")}4\r\npart\r\n`),
      "part",
    ],
    ["resets in the place of the end", sayAndReset(`${head("A: b")}part`), "part"],
    [
      "has a chunk size of letters",
      say(`${head("Transfer-Encoding: chunked")}4\r\npart\r\nxyz\r\n`),
      "part",
    ],
    [
      "has an enormous chunk size",
      say(`${head("Transfer-Encoding: chunked")}4\r\npart\r\n${"f".repeat(20)}\r\n`),
      "part",
    ],
    [
      "has a negative chunk size",
      say(`${head("Transfer-Encoding: chunked")}4\r\npart\r\n-1\r\n`),
      "part",
    ],
    [
      "has a chunk longer than its size",
      say(`${head("Transfer-Encoding: chunked")}4\r\npart!!\r\n0\r\n\r\n`),
      "part",
    ],
  ])("when it %s, then what came is delivered, and an error", async (_name, respond, body) => {
    const one = await backend(respond);
    const answer = await proxy.ask(one.uri);
    expect([answer.code, answer.body, answer.end]).toEqual([200, body, "undefined-condition"]);
    await until("the connection to close", () => one.sockets[0]?.closed);
  });

  test("when it breaks off while credits are missing, then what came is delivered first", async () => {
    const one = await backend(sayAndEnd(`${head("Content-Length: 10")}part`));
    const session = proxy.open({ uri: one.uri, credits: 1 });
    expect(await session.next()).toMatchObject({ code: 200, body: "p", more: true });
    await until("the connection to close", () => one.sockets[0]?.closed);
    session.send({ type: "credit", credits: 10 });
    expect(await session.next()).toMatchObject({ body: "art", more: true });
    expect(await session.next()).toMatchObject({ type: "error", condition: "undefined-condition" });
  });
});

describe("given a backend that says more than it should", () => {
  test.each([
    ["another response", `${OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`],
    ["bytes beyond the length", `${OK}evil`],
    [
      "a body to a 204",
      "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ],
  ])("when it sends %s, then nobody else gets it", async (_name, bytes) => {
    const one = await backend(
      (socket, { connection }) => void socket.write(connection === 1 ? bytes : OK),
    );
    await proxy.ask(one.uri);
    for (let i = 0; i < 3; i += 1) expect((await proxy.ask(one.uri)).body).toBe("ok");
  });

  test("when it sends a response ahead of the request, then it is not taken for its answer", async () => {
    const one = await backend((socket, { connection, request }) => {
      socket.write(OK);
      if (connection === 1 && request === 1)
        setTimeout(() => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), 10);
    });
    expect((await proxy.ask(one.uri)).body).toBe("ok");
    await until("the connection to be given up", () => one.sockets[0]?.closed);
    expect((await proxy.ask(one.uri)).body).toBe("ok");
  });

  test("when it answers HEAD with a body, then nobody else gets it", async () => {
    const one = await backend((socket) => void socket.write(OK));
    expect(await proxy.ask(one.uri, { method: "HEAD" })).toMatchObject({ body: "", end: "end" });
    expect((await proxy.ask(one.uri)).body).toBe("ok");
  });
});

describe("given a kept connection that the backend gives up", () => {
  const mortal: Respond = (socket, { connection, request }) => {
    if (connection === 1 && request === 2) socket.destroy();
    else socket.write(OK);
  };
  async function askedTwice(fields: object): Promise<[string, number]> {
    const one = await backend(mortal);
    await proxy.ask(one.uri);
    const { end } = await proxy.ask(one.uri, fields);
    return [end, one.heads.length];
  }

  test.each(["GET", "HEAD", "PUT", "DELETE"])(
    "when a %s meets the end of it, then it is asked again",
    async (method) => expect(await askedTwice({ method })).toEqual(["end", 3]),
  );

  test.each(["POST", "PATCH", "PURGE"])(
    "when a %s meets the end of it, then it may have been carried out, and is not repeated",
    async (method) => expect(await askedTwice({ method })).toEqual(["undefined-condition", 2]),
  );

  test("when the next connection ends too, then it is not asked a third time", async () => {
    const one = await backend((socket, { request, connection }) => {
      if (connection === 1 && request === 1) socket.write(OK);
      else socket.destroy();
    });
    await proxy.ask(one.uri);
    expect((await proxy.ask(one.uri)).end).toBe("undefined-condition");
    expect(one.heads).toHaveLength(3);
  });

  test.each([
    ["with a whole body", { body: "data" }],
    ["with a streamed body", { body: "data", more: true }],
  ])("when a POST %s comes with the close, then it goes over another", async (_name, fields) => {
    const one = await backend((socket, { request, connection }) => {
      socket.write(OK);
      if (connection === 1 && request === 1) socket.end();
    });
    await proxy.ask(one.uri);
    const session = proxy.open({ uri: one.uri, method: "POST", ...fields });
    if ("more" in fields) {
      await session.next();
      session.send({ body: "" });
    }
    expect((await session.answer()).body).toBe("ok");
    expect(one.connections).toBe(2);
  });

  test("when it closes while idle, then the next request opens another", async () => {
    const one = await backend((socket) => void socket.write(OK));
    await proxy.ask(one.uri);
    one.sockets[0]?.end();
    await until("the connection to close", () => one.sockets[0]?.closed);
    expect((await proxy.ask(one.uri, { method: "POST" })).body).toBe("ok");
    expect(one.connections).toBe(2);
  });

  test("when it says Connection: close, then the connection is not used again", async () => {
    const one = await backend(
      (socket) => void socket.write(head("Connection: close\r\nContent-Length: 0")),
    );
    for (let i = 0; i < 2; i += 1) expect((await proxy.ask(one.uri)).end).toBe("end");
    expect(one.connections).toBe(2);
  });
});

describe("given uploads", () => {
  test("when the backend does not read, then no more is credited than fits on the way", async () => {
    const one = await backend((socket) => void socket.pause());
    const session = proxy.open({ uri: one.uri, method: "POST", more: true });
    expect(await session.next()).toMatchObject({ credits: 200_000 });
    session.send({ body: Buffer.alloc(100), more: true });
    await until("the head", () => one.heads.length === 1);
    // Sockets of the loopback take some megabytes; then it must end.
    let credits = 200_000;
    let sent = 0;
    let counted = 1;
    let quietSince = performance.now();
    while (credits >= 100_000 || performance.now() - quietSince < 300) {
      if (credits >= 100_000) {
        session.send({ body: Buffer.alloc(100_000), more: true });
        credits -= 100_000;
        sent += 100_000;
      }
      await new Promise((resolve) => setImmediate(resolve));
      for (; counted < session.packets.length; counted += 1) {
        credits += session.packets[counted]?.credits ?? 0;
        quietSince = performance.now();
      }
      expect(sent).toBeLessThan(50_000_000);
    }
    expect(credits).toBeLessThan(100_000);
    one.sockets[0]?.resume();
    const before = session.packets.length;
    await until("more credits", () => session.packets.length > before);
    session.send({ type: "cancel" });
    await until("the connection to close", () => one.sockets[0]?.closed);
  });

  test("when it is answered early, then that is the answer, and the connection is given up", async () => {
    const one = await backend(
      (socket) => void socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"),
    );
    const session = proxy.open({ uri: one.uri, method: "POST", body: "first", more: true });
    expect(await session.answer()).toMatchObject({ code: 413, body: "big", end: "end" });
    await until("the connection to close", () => one.sockets[0]?.closed);
  });

  test("when the backend echoes while it reads, then both directions flow", async () => {
    const one = await backend((socket, { request }) => {
      if (request > 1) return;
      socket.write(head("Connection: close"));
      socket.on(
        "data",
        (data) => void (`${data}`.includes("last") ? socket.end("done") : socket.write("got")),
      );
    });
    const session = proxy.open({ uri: one.uri, method: "POST", body: "first", more: true });
    const kinds: string[] = [];
    for (let i = 0; i < 2; i += 1) kinds.push((await session.next()).type);
    expect(kinds.sort()).toEqual(["credit", "data"]);
    session.send({ body: "last" });
    const { body, end } = await session.answer();
    expect([body, end]).toEqual(["done", "end"]);
  });

  test("when it is longer than its length, then the session fails and the backend gets no more", async () => {
    const one = await backend(() => {});
    const session = proxy.open({
      uri: one.uri,
      method: "POST",
      body: "abc",
      more: true,
      headers: ["Content-Length", "4"],
    });
    await session.next();
    session.send({ body: "defg" });
    expect((await session.answer()).end).toBe("bad-request");
    expect(one.received.join("")).not.toContain("defg");
  });

  test("when it ends short of its length, then the session fails", async () => {
    const one = await backend(() => {});
    const session = proxy.open({
      uri: one.uri,
      method: "POST",
      body: "abc",
      more: true,
      headers: ["Content-Length", "10"],
    });
    await session.next();
    session.send({ body: "d" });
    expect((await session.answer()).end).toBe("bad-request");
  });

  test("when the backend resets while it is sent, then the session fails", async () => {
    const one = await backend((socket) => void socket.resetAndDestroy());
    const session = proxy.open({ uri: one.uri, method: "POST", body: "abc", more: true });
    expect((await session.answer()).end).toBe("undefined-condition");
  });
});

describe("given a large response and a slow proxy", () => {
  test("when credits are missing, then the backend is not read on, and later all of it comes", async () => {
    const size = 20_000_000;
    let written = 0;
    const one = await backend((socket) => {
      socket.write(head(`Content-Length: ${size}`));
      const piece = Buffer.alloc(100_000, "x");
      const fill = (): void => {
        while (written < size) {
          written += piece.length;
          if (!socket.write(piece)) return void socket.once("drain", fill);
        }
      };
      fill();
    });
    const session = proxy.open({ uri: one.uri });
    await session.next();
    let last = -1;
    await until("the backend to stand still", () => {
      const still = last === written && one.sockets[0]?.writableLength !== 0;
      last = written;
      return still;
    });
    expect(written).toBeLessThan(size);
    session.send({ type: "credit", credits: size });
    const { end } = await session.answer();
    const bytes = session.packets.reduce((sum, { body }) => sum + body.length, 0);
    expect([bytes, end]).toEqual([size, "end"]);
  });
});
