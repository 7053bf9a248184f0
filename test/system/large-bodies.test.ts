import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { Installation } from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/** 192 MiB each way; CI asks for 1 GiB. */
const BYTES = Number(process.env.PUSHPIN_TEST_BODY_MIB ?? 192) * 1_048_576;
/** No process may need more than this for a body it only passes on. Unit: bytes. */
const RESIDENT_MAX_BYTES = 200 * 1_048_576;
const PIECE = Buffer.alloc(65_536, "0123456789abcdef");

describe("given bodies far larger than any buffer", () => {
  let server: Server;
  let installation: Installation;
  let received = 0;
  let isBackendSlow = false;

  beforeAll(async () => {
    server = createServer((request, response) => {
      if (request.url === "/down") {
        response.writeHead(200, { "Content-Length": String(BYTES) });
        let left = BYTES;
        const write = () => {
          while (left > 0) {
            const piece = left >= PIECE.length ? PIECE : PIECE.subarray(0, left);
            left -= piece.length;
            if (!response.write(piece)) break;
          }
          if (left === 0) response.end();
          else response.once("drain", write);
        };
        write();
        return;
      }
      received = 0;
      request.on("data", (data: Buffer) => {
        received += data.length;
        if (!isBackendSlow) return;
        request.pause();
        setImmediate(() => request.resume());
      });
      request.on("end", () => response.end(String(received)));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    installation = await Installation.start({ routes: [`* 127.0.0.1:${port}`] });
  });

  afterAll(async () => {
    await installation?.stop();
    server?.closeAllConnections();
    server?.close();
  });

  /** Largest resident set of our four processes while `run` runs. */
  async function peakWhile(run: () => Promise<void>): Promise<number> {
    const pids = childrenOf(installation.runner.pid);
    expect(pids.length).toBe(4);
    let peak = 0;
    const timer = setInterval(() => {
      for (const pid of pids) peak = Math.max(peak, residentBytes(pid));
    }, 50);
    try {
      await run();
    } finally {
      clearInterval(timer);
    }
    return peak;
  }

  test("when a slow reader downloads, then it gets every byte and no process grows", async () => {
    const peak = await peakWhile(async () => {
      let bytes = 0;
      const socket = connect(installation.port, "127.0.0.1");
      socket.write("GET /down HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
      let turns = 0;
      socket.on("data", (data: Buffer) => {
        bytes += data.length;
        turns += 1;
        // Stops now and then: everything in between has to wait, none may buffer.
        if (turns % 16 !== 0) return;
        socket.pause();
        setImmediate(() => socket.resume());
      });
      await new Promise<void>((resolve, reject) => {
        socket.on("end", resolve);
        socket.on("error", reject);
      });
      expect(bytes).toBeGreaterThan(BYTES);
      expect(bytes).toBeLessThan(BYTES + 1000);
    });
    expect(peak).toBeLessThan(RESIDENT_MAX_BYTES);
  }, 300_000);

  test("when a client uploads to a slow backend, then it gets every byte and no process grows", async () => {
    isBackendSlow = true;
    const peak = await peakWhile(async () => {
      const socket = connect(installation.port, "127.0.0.1");
      socket.write(
        `POST /up HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: ${BYTES}\r\n\r\n`,
      );
      let left = BYTES;
      let answer = "";
      socket.on("data", (data: Buffer) => {
        answer += data.toString();
      });
      const write = () => {
        while (left > 0) {
          const piece = left >= PIECE.length ? PIECE : PIECE.subarray(0, left);
          left -= piece.length;
          if (!socket.write(piece)) {
            socket.once("drain", write);
            return;
          }
        }
      };
      write();
      await new Promise<void>((resolve, reject) => {
        socket.on("close", () => resolve());
        socket.on("error", reject);
      });
      expect(answer.split("\r\n\r\n")[1]).toBe(String(BYTES));
    });
    expect(peak).toBeLessThan(RESIDENT_MAX_BYTES);
  }, 300_000);
});

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .trim()
    .split(" ")
    .map(Number);
}

function residentBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(text)?.[1] ?? 0) * 1024;
}
