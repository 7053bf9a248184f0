import { join } from "node:path";
import { silentLog } from "@pushpin/log";
import { HttpStream, Installation } from "@pushpin/testkit";
import { decodePacket, encodePacket, Packet } from "@pushpin/zhttp";
import { ZmqSocket } from "@pushpin/zmq";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

describe("given routes to ZeroMQ services", () => {
  let installation: Installation;

  beforeAll(async () => {
    installation = await Installation.start({
      routes: ["req.test zhttpreq/ipc://run/req", "* test"],
    });
  });

  afterAll(() => installation?.stop());

  test("proxy R67: when a zhttpreq service is asked, then it gets all in one packet, and its answer is the client's", async () => {
    const seen: Packet[] = [];
    const socket = await ZmqSocket.open({
      type: "router",
      specs: [`ipc://${join(installation.directory, "run/req")}`],
      mode: "connect",
      log: silentLog,
      onMessage: (frames) => {
        const packet = decodePacket(frames.at(-1) as Buffer);
        if (!packet.ok) throw new Error(packet.error);
        seen.push(packet.value);
        const answer = new Packet();
        answer.id = packet.value.id;
        answer.code = 201;
        answer.reason = "Made";
        answer.headers = ["X-By", "service"];
        answer.body = "done\n";
        socket.send([...frames.slice(0, -1), encodePacket(answer)]);
      },
    });
    const response = await HttpStream.whole(`${installation.url}/x`, {
      method: "POST",
      headers: { Host: "req.test" },
      body: "hello",
    });
    expect([response.status, response.text, response.headers["x-by"]]).toEqual([
      201,
      "done\n",
      "service",
    ]);
    expect(seen[0]).toMatchObject({ method: "POST", body: "hello", maxSize: 1_000_000 });
    expect(seen[0]?.seq).toBeUndefined();
    await socket.close();
  });
});
