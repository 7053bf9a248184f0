import { type Backend, Installation, SocketClient } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { crash } from "./crash.ts";

let backend: Backend;
let installation: Installation;

beforeAll(async () => {
  backend = await startGripBackend();
});
afterAll(() => backend.stop());
beforeEach(async () => {
  installation = await Installation.start({
    routes: [`*,sockjs=/sock,sockjs_as_path=/woh ${backend.address},over_http`],
  });
});
afterEach(() => installation.stop());

const item = (content: string) => ({ channel: "test", formats: { "ws-message": { content } } });

describe("given SockJS sessions over WebSockets, when the proxy is killed", () => {
  test("then they go on, framed or raw, and nothing is lost in either direction", async () => {
    const url = installation.url.replace("http", "ws");
    const framed = await SocketClient.open(`${url}/sock/000/one/websocket`);
    const raw = await SocketClient.open(`${url}/sock/websocket`);
    await installation.runner.said(/(?:subscribe .*channel=test[^]*){2}/);
    const gone = crash(installation, "proxy");
    framed.send('["f"]');
    raw.send("r");
    await installation.publish(item("meanwhile"));
    await gone;
    await installation.publish(item("later"));
    await framed.received('a["f"]');
    await raw.received("r");
    await framed.received('a["later"]');
    await raw.received("later");
    const isPublished = (one: string | Buffer) => /meanwhile|later/.test(String(one));
    expect(framed.messages.filter(isPublished)).toEqual(['a["meanwhile"]', 'a["later"]']);
    expect(raw.messages.filter(isPublished)).toEqual(["meanwhile", "later"]);
    expect(framed.messages.filter((one) => one === "o")).toHaveLength(1);
    for (const { closed } of [framed, raw]) expect(closed).toBeUndefined();
    for (const { socket } of [framed, raw]) socket.close();
  });
});
