import type { FanOut } from "@pushpin/zhttp";
import type { ControlPacket } from "@pushpin/zrpc";
import { describe, expect, test } from "vitest";
import { type Controlled, type ControlHere, ControlSessions } from "./control-sessions.ts";

const HERE: ControlHere = {
  uri: "ws://a/",
  route: "",
  separateStats: false,
  channelPrefix: "",
  debug: false,
  trusted: false,
  logLevel: undefined,
  isSucceeded: true,
};
const NOBODY: Controlled = {
  command: () => {},
  share: () => false,
  anchorChanged: () => {},
  controlConfirmed: () => {},
  controlLost: () => {},
};

/** What the handler is told, as the types of the items of each packet. */
function given() {
  const told: string[][] = [];
  const note = ({ items }: ControlPacket) => told.push(items.map((one) => `${one.type} ${one.cid}`));
  const sessions = new ControlSessions(
    "proxy-0-b",
    { init: note, stream: (_to, packet) => note(packet), working: () => {}, dirty: () => {} },
    { end: () => {} } as unknown as FanOut,
    { debug: () => {} } as never,
  );
  return { sessions, told };
}

describe("given a handler that starts and waits to hear of all WebSockets", () => {
  test("when the proxy has started itself, then it says that these were all only when it has got them", () => {
    const { sessions, told } = given();
    sessions.open("1", NOBODY, HERE);
    sessions.handlerStarted("handler-0-b", 0);
    sessions.open("2", NOBODY, HERE);
    expect(told).toEqual([["here 1"], ["here 1"], ["here 2"]]);
    sessions.complete();
    expect(told.slice(3)).toEqual([[]]);
  });

  test("when the proxy has been there for long, then it says so at once, to each handler", () => {
    const { sessions, told } = given();
    sessions.complete();
    sessions.open("1", NOBODY, HERE);
    sessions.handlerStarted("handler-0-b", 0);
    sessions.handlerStarted("handler-0-c", 0);
    expect(told).toEqual([["here 1"], ["here 1"], [], ["here 1"], []]);
  });
});
