import { FanOut, Packet, Session } from "@pushpin/zhttp";
import { measure } from "./measure.mjs";

const session = (role) =>
  new Session({
    role,
    kind: "http",
    from: "proxy-0-18f3a",
    id: "0-1a-c",
    ...(role === "responder" ? { peer: "connmgr-0-18f3a" } : {}),
    nowMs: 0,
    credits: role === "responder" ? 0 : 200_000,
  });
const head = { code: 200, reason: "OK", headers: ["Content-Type", "text/plain"] };
const first = Object.assign(new Packet(), {
  from: "connmgr-0-18f3a",
  id: "0-1a-c",
  seq: 0,
  method: "GET",
  uri: "http://localhost/",
  headers: ["Host", "localhost"],
  credits: 200_000,
  stream: true,
  multi: true,
});
measure("session: a request and its whole response", () => {
  const one = session("responder");
  one.receive(first, 0, 1);
  one.respond(head, "hello\n", false);
  while (one.takePacket() !== undefined);
});
const stream = session("responder");
stream.receive(first, 0, 1);
stream.respond(head, "", true);
const credit = Object.assign(new Packet(), { type: "credit", credits: 50 });
const chunk = "x".repeat(50);
let seq = 1;
measure("session: a piece of a stream, and its credit", () => {
  stream.write(chunk, true);
  while (stream.takePacket() !== undefined);
  stream.receive(credit, seq, 1);
  seq += 1;
});

for (const count of [100, 10_000]) {
  const sessions = Array.from({ length: count }, (_, i) =>
    Session.resume({
      kind: "http",
      from: "handler-0-18f3a",
      peer: "connmgr-0-18f3a",
      id: `0-${i}-c`,
      inSeq: 1,
      outSeq: 2,
      outCredits: 2 ** 50,
      multi: true,
      nowMs: 0,
    }),
  );
  // Each tells its peer first that it is there.
  for (const one of sessions) while (one.takePacket() !== undefined);
  const fanOut = new FanOut("handler-0-18f3a", () => {});
  measure(`fan-out: one piece to ${count} sessions`, () => {
    fanOut.begin(chunk);
    for (const one of sessions) if (!fanOut.add(one)) throw new Error("refused");
    fanOut.end();
  });
}
