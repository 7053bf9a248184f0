import { ManualClock } from "@pushpin/clock";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type Connmgr, eventually, startConnmgr } from "../../../../test/connmgr/fixture.ts";
import { ClientConnection } from "./client-connection.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

let connmgr: Connmgr;
afterEach(async () => {
  vi.restoreAllMocks();
  await connmgr.stop();
});

describe("given an error of ours in the work for one client", () => {
  test.each(["received", "packet", "flush", "timedOut", "ended"] as const)(
    "when `%s` throws, then that client is lost, and no other",
    async (method) => {
      connmgr = await startConnmgr({ clock: new ManualClock() });
      const other = await connmgr.client();
      other.send(GET);
      const session = await connmgr.session();
      session.respond(200, "ab", [], true);
      await other.until("ab");

      const one = await connmgr.client();
      await eventually(() => connmgr.engine.connections === 2);
      if (method === "packet" || method === "flush") {
        one.send(GET);
        await connmgr.session(1);
      }
      const spy = vi.spyOn(ClientConnection.prototype, method).mockImplementationOnce(() => {
        throw new Error("a bug");
      });
      if (method === "received") one.send(GET);
      else if (method === "timedOut") {
        connmgr.pass(50_000);
        session.send({ type: "keep-alive" }); // the other's handler lives
        connmgr.pass(26_000);
      } else if (method === "ended") one.end();
      else (await connmgr.session(1)).respond(200, "hi");
      await one.closed();
      expect(spy).toHaveBeenCalled();
      expect(connmgr.engine.counts.get("error of ours")).toBe(1);
      await eventually(() => connmgr.engine.connections === 1);

      session.send({ body: "cd", more: true });
      await other.until("cd");
      const fresh = await connmgr.client();
      fresh.send(GET);
      await eventually(() =>
        connmgr.sessions.some((seen) => seen !== session && seen.packets.length === 0),
      );
    },
  );
});
