import { parseKey, signToken } from "@pushpin/grip";
import { toByteString } from "@pushpin/tnetstrings";
import { afterEach, describe, expect, test } from "vitest";
import { ProxyRig, valueOf } from "./proxy-rig.ts";

const rigs: ProxyRig[] = [];
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.stop();
});
function make(...args: ConstructorParameters<typeof ProxyRig>): ProxyRig {
  const rig = new ProxyRig(...args);
  rigs.push(rig);
  return rig;
}

const A = "127.0.0.1:1000";
const B = "127.0.0.1:1001";
const asking = (value = "text", more: readonly string[] = []) => ({
  headers: ["Host", "h", "Pushpin-Explain", value, ...more],
});
function signed(secret: string, expiresS: number): string {
  const key = parseKey(secret, () => Buffer.alloc(0));
  if (key === undefined) throw new Error("no key");
  return `json; sig=${signToken({ exp: expiresS }, key)}`;
}

describe("given a route with debug and two targets", () => {
  const route = `h,id=r,debug,header=X-Key:secret ${A} ${B}`;

  test("when the first cannot be connected, then the text names route, failure, headers and answer", () => {
    const rig = make([route, "h,ssl=yes test"]);
    const client = rig.request(asking("text", ["Connection", "X-Hop", "X-Hop", "1"]));
    rig.fail(rig.last, "remote-connection-failed");
    expect(valueOf(rig.last.headers, "pushpin-explain")).toBeUndefined();
    rig.answer(rig.last, 200, ["X-Own", "yes"], "body", true);
    expect(client).toMatchObject({ code: 200, end: "complete" });
    expect(valueOf(client.headers, "content-type")).toBe("text/plain");
    expect(client.body).toContain("line 1 (r): matches, and is the best\n");
    expect(client.body).toContain("line 2 (h,*,no-ssl,*): it is for ssl=yes only\n");
    expect(client.body).toContain("signature: signed with the global key, issuer pushpin\n");
    expect(client.body).toContain(`target 1: ${A}\n  result: failed: remote-connection-failed\n`);
    expect(client.body).toContain(`target 2: ${B}\n  result: answered 200 OK\n`);
    expect(client.body).toContain("  added: x-key, grip-sig, grip-feature\n");
    expect(client.body).toContain("  removed: connection, x-hop\n");
    expect(client.body).toContain("response: 200 OK\n  X-Own: yes\n");
    expect(client.body).toMatch(/answer: 200 OK, relayed\n$/);
    expect(rig.last.end).toBe("cancel");
  });

  test("when anybody may ask, then neither token nor values set by the route are shown", () => {
    const rig = make(route);
    const client = rig.request(asking());
    const token = valueOf(rig.last.headers, "grip-sig") ?? "none";
    expect(valueOf(rig.last.headers, "x-key")).toBe("secret");
    rig.answer(rig.last, 200);
    expect(client.body).toContain("Grip-Sig: <token>\n");
    expect(client.body).toContain("X-Key: <set by the route>\n");
    expect(client.body).not.toContain(token);
    expect(client.body).not.toContain("secret");
  });

  test("when no target can be connected, then the answer is the error a client would have got", () => {
    const rig = make(route);
    const client = rig.request(asking("json"));
    rig.fail(rig.last, "remote-connection-failed");
    rig.fail(rig.last, "tls-error");
    const explanation = JSON.parse(client.body) as Record<string, unknown>;
    expect(explanation).toMatchObject({
      route: { line: 1, id: "r" },
      targets: [
        { target: A, result: "failed: remote-connection-failed" },
        { target: B, result: "failed: tls-error" },
      ],
      outcome: { answer: `502 Unable to connect to any targets. Tried: ${A}, ${B}` },
    });
  });

  test("when the first target answers, then the second is said not to have been asked", () => {
    const rig = make(route);
    const client = rig.request(asking("json"));
    rig.answer(rig.last, 204, [], "", false, "No Content");
    expect(JSON.parse(client.body)).toMatchObject({
      targets: [{ result: "answered 204 No Content" }, { result: "not asked" }],
    });
    expect(valueOf(client.headers, "content-type")).toBe("application/json");
  });
});

describe("given a response with instructions on a route with debug", () => {
  const route = `h,debug,prefix=p- ${A},sub=own`;

  test("when it is a hold, then mode, channels and times are told, and nobody is held", () => {
    const rig = make(route);
    const client = rig.request(asking("json"));
    const headers = ["Grip-Hold", "response", "Grip-Channel", "a; prev-id=1; filter=skip-self"];
    rig.answer(rig.last, 200, [...headers, "Grip-Timeout", "20"], "later");
    expect(JSON.parse(client.body)).toMatchObject({
      outcome: {
        instruct: {
          hold: "response",
          channels: [{ name: "p-a", prevId: "1", filters: ["skip-self"] }, { name: "own" }],
          timeoutS: 20,
        },
        answer: "held for up to 20 s, then 200 OK",
      },
    });
    expect(rig.accepts).toHaveLength(0);
    expect(client.end).toBe("complete");
  });

  test("when the body is the instruction, then it is read to its end first", () => {
    const rig = make(route);
    const client = rig.request(asking());
    const type = ["Content-Type", "application/grip-instruct"];
    rig.answer(rig.last, 200, type, '{"hold":{"mode":"stream",', true);
    expect(client.code).toBe(0);
    rig.fromBackend(rig.last, (packet) => {
      packet.body = '"channels":[{"name":"c"}],"keep-alive":{"content":"x","timeout":9}}}';
    });
    expect(client.body).toContain("instruct: hold stream\n  channel p-c\n  channel own\n");
    expect(client.body).toContain("keep-alive: every 9 s");
    expect(client.body).toMatch(/answer: 200 OK, then held as a stream\n$/);
  });

  test("when it cannot be read, then the explanation says why", () => {
    const rig = make(route);
    const client = rig.request(asking());
    rig.answer(rig.last, 200, ["Grip-Hold", "bogus"]);
    expect(client.body).toContain(
      "answer: 502 Failed to parse accept instructions: Grip-Hold must be set to either",
    );
  });
});

describe("given a route without debug", () => {
  const nowS = 1_700_000_000;

  test("when somebody asks, then it is an ordinary request, and the backend does not see the question", () => {
    const rig = make(`h ${A}`);
    const client = rig.request(asking());
    expect(valueOf(rig.last.headers, "pushpin-explain")).toBeUndefined();
    rig.answer(rig.last, 200, [], "plain");
    expect(client.body).toBe("plain");
  });

  test("when the question is signed with the upstream key, then everything is shown", () => {
    const rig = make(`h,header=X-Key:secret ${A}`, { upstream_key: "up" });
    const client = rig.request(asking(signed("up", nowS + 60)));
    rig.answer(rig.last, 200);
    const explanation = JSON.parse(client.body) as { targets: { headers: string[] }[] };
    expect(valueOf(explanation.targets[0]?.headers ?? [], "x-key")).toBe("secret");
  });

  test.each([
    ["by another key", signed("other", nowS + 60)],
    ["in the past", signed("up", nowS - 1)],
    ["badly", "json; sig=x"],
    ["not at all", "json"],
    ["without a key", 'json; sig="'],
  ])("when it is signed %s, then it is an ordinary request", (_how, value) => {
    const rig = make(`h ${A}`, { upstream_key: "up" });
    const client = rig.request(asking(value));
    rig.answer(rig.last, 200, [], "plain");
    expect(client.body).toBe("plain");
  });

  test("when a trusted proxy passes on what its client asked, then that client learns nothing", () => {
    const key = parseKey("up", () => Buffer.alloc(0));
    if (key === undefined) throw new Error("no key");
    const rig = make(`h ${A}`, { upstream_key: "up" });
    const more = ["Grip-Sig", signToken({ exp: nowS + 60 }, key)];
    const client = rig.request(asking("json", more));
    rig.answer(rig.last, 200, [], "plain");
    expect(client.body).toBe("plain");
  });

  test("when there is no route and debug is on everywhere, then that is the explanation", () => {
    const client = make(`h ${A}`, { debug: true }).request({
      uri: "http://other/",
      headers: ["Host", "other", "Pushpin-Explain", "text"],
    });
    expect(client.code).toBe(200);
    expect(client.body).toContain("answer: 502 Route not found\n");
  });
});

test("given very many rules of a host, when a request is explained, then those that do not apply are counted only", () => {
  const lines = Array.from({ length: 1000 }, (_, i) => `h,path_beg=/no/${i} test`);
  const rig = make([...lines, "h,id=last test"], { debug: true });
  const client = rig.request(asking());
  expect(client.body).toContain("950 other rules of the host do not apply\nroute: line 1001, id last\n");
  expect(client.body.split("\n").length).toBeLessThan(100);
});

test("given a route with debug, when a WebSocket asks, then it is told what would be, and nobody is asked", () => {
  const rig = make(`h,debug ${A},over_http`);
  const client = rig.webSocket(asking());
  expect(client.code).toBe(200);
  expect(toByteString(client.body)).toContain("WebSocket-over-HTTP: events in POST requests");
  expect(rig.asked).toHaveLength(0);
});

test("given a route with reconnect, when a WebSocket is explained, then it says so where the target has a connection", () => {
  const told = (...lines: string[]) => toByteString(make(lines).webSocket(asking()).body);
  expect(told(`h,debug,reconnect ${A}`)).toContain("reconnect: connected again");
  expect(told(`h,debug,reconnect ${A},over_http`)).not.toContain("reconnect:");
  expect(told(`h,debug ${A}`)).not.toContain("reconnect:");
});
