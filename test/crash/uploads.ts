import { Installation, RawBackend, RawClient, until } from "@pushpin/testkit";
import { expect } from "vitest";
import { crash, type Role } from "./crash.ts";

const LENGTH = 20_000;
/** More than a proxy reads before it asks a backend. */
const BEGUN = 15_000;
const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async function upload(port: number, method: string, path: string, bytes: number): Promise<RawClient> {
  const client = await RawClient.open(port);
  client.send(`${method} ${path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${LENGTH}\r\n\r\n`);
  client.send("x".repeat(bytes));
  return client;
}

/** What happens to requests in the middle of their bodies when a process on their way dies. */
export async function expectUploadsToBeRepeated(role: Role): Promise<void> {
  const backend = await RawBackend.start(() => {});
  const installation = await Installation.start({ routes: [`* ${backend.address}`] });
  const seen = (path: string) => backend.connections.filter((one) => one.text.includes(` ${path} `));
  const clients: RawClient[] = [];
  try {
    const port = Number(new URL(installation.url).port);
    const put = await upload(port, "PUT", "/put", BEGUN);
    const post = await upload(port, "POST", "/post", BEGUN);
    const early = await upload(port, "POST", "/early", 5);
    clients.push(put, post, early);
    await until("two requests", () => seen("/put").length === 1 && seen("/post").length === 1);
    await crash(installation, role);
    expect((await post.response()).status).toBe(502);
    for (const [client, path, left] of [
      [put, "/put", LENGTH - BEGUN],
      [early, "/early", LENGTH - 5],
    ] as const) {
      client.send(`${"y".repeat(left - 4)}done`);
      const complete = await until(`the whole of ${path}`, () =>
        seen(path).find((one) => one.text.endsWith("done")),
      );
      const body = complete.text.slice(complete.text.lastIndexOf("\r\n\r\n") + 4);
      expect([body.length, body.indexOf("y")]).toEqual([LENGTH, LENGTH - left]);
      complete.socket.write(ANSWER);
      expect((await client.response()).body).toBe("ok");
    }
    expect(seen("/put").length).toBe(2);
    expect(seen("/post").length).toBe(1);
    expect(seen("/early").length).toBe(1);
  } finally {
    for (const client of clients) client.close();
    await installation.stop();
    await backend.stop();
  }
}
