import { type Backend, Installation, SocketClient } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { crash } from "./crash.ts";
import { expectSafeOnesToBeRepeated } from "./slow-requests.ts";
import { expectUploadsToBeRepeated } from "./uploads.ts";

let backend: Backend;
let installation: Installation;

beforeAll(async () => {
  backend = await startGripBackend();
});
afterAll(() => backend.stop());

describe("given clients with and without a connection to the backend, when the HTTP client is killed", () => {
  beforeEach(async () => {
    installation = await Installation.start({
      routes: [`* ${backend.address},over_http`, `*,path_beg=/plain ${backend.address}`],
    });
  });
  afterEach(() => installation.stop());

  test("then WebSockets over HTTP go on, and those with a connection are closed with 1012", async () => {
    const url = installation.url.replace("http", "ws");
    const overHttp = await SocketClient.open(`${url}/woh?channel=a`);
    const through = await SocketClient.open(`${url}/plain`);
    through.send("echo");
    await through.received("echo");
    await crash(installation, "httpclient");
    expect((await through.end()).code).toBe(1012);
    overHttp.send("still here");
    await overHttp.received("still here");
    expect(overHttp.closed).toBeUndefined();
    overHttp.socket.close();
  });
});

describe("given requests that wait for a slow backend, when the HTTP client is killed", () => {
  test("then those that are safe to repeat are answered, others get 502 at once", () =>
    expectSafeOnesToBeRepeated("httpclient"));
});

describe("given requests in the middle of their bodies, when the HTTP client is killed", () => {
  test("then those that can be repeated go on, others get 502", () =>
    expectUploadsToBeRepeated("httpclient"));
});
