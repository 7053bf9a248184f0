import { describe, expect, test } from "vitest";
import { ControlExchange, chooseFormat } from "./control-exchange.ts";

const LIMITS = { headerMaxBytes: 10_000, bodyMaxBytes: 1_000_000 };

function exchange(...pieces: string[]) {
  const one = new ControlExchange(LIMITS);
  return pieces.map((piece) => one.receive(piece));
}
const refused = (text: string, code: string) =>
  expect.objectContaining({
    end: true,
    send: expect.stringMatching(new RegExp(`^HTTP/1.[01] ${code}\r\n[^]*\r\n\r\n${text}\n$`)),
  });

describe("given a connection to the control port", () => {
  test("when a request comes byte by byte, then it is whole at its last byte", () => {
    const text = "POST /publish/ HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
    const steps = exchange(...text);
    expect(steps.slice(0, -1).every((one) => Object.keys(one).length === 0)).toBe(true);
    expect(steps.at(-1)?.request).toMatchObject({
      method: "POST",
      target: "/publish/",
      body: "{}",
    });
  });

  test("when lines end in LF alone, then it is taken all the same", () => {
    const [step] = exchange("POST /publish/ HTTP/1.0\nContent-Length: 2\n\n{}");
    expect(step?.request).toMatchObject({ minorVersion: 0, body: "{}" });
  });

  test("handler R107: when it answers, then the bytes are these", () => {
    const one = new ControlExchange(LIMITS);
    expect(one.receive("GET / HTTP/1.1\r\nHost: x\r\n\r\n").request?.method).toBe("GET");
    expect(
      one.respond({
        code: 200,
        contentType: "text/plain",
        body: "Pushpin API\n",
      }),
    ).toEqual({
      end: true,
      send: "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 12\r\n\r\nPushpin API\n",
    });
  });

  test("handler R111, R112: when the length is missing, bad or too large, then it is refused", () => {
    const post = (headers: string) => exchange(`POST /publish/ HTTP/1.1\r\n${headers}\r\n\r\n`)[0];
    const length = refused("Request requires Content-Length.", "411 Length Required");
    expect(post("Host: x")).toEqual(length);
    expect(post("Transfer-Encoding: chunked")).toEqual(length);
    expect(post("Content-Length: many")).toEqual(refused("Bad Content-Length.", "400 Bad Request"));
    expect(post("Content-Length: 1000001")).toEqual(
      refused("Request body too large.", "400 Bad Request"),
    );
    expect(post("Content-Length: -1")).toEqual(
      refused("Request body exceeded Content-Length.", "400 Bad Request"),
    );
  });

  test("when the head is no HTTP or too long, then it is refused", () => {
    expect(exchange("nonsense\r\n\r\n")[0]).toEqual(
      refused("Failed to parse request header.", "400 Bad Request"),
    );
    expect(exchange(`GET / HTTP/1.1\r\nX: ${"x".repeat(20_000)}`)[0]).toEqual(
      refused("Request header too large.", "400 Bad Request"),
    );
  });

  test("when the client waits to be told to go on, then it is told", () => {
    const steps = exchange(
      "POST /publish/ HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
      "{}",
    );
    expect(steps[0]).toEqual({ send: "HTTP/1.1 100 Continue\r\n\r\n" });
    expect(steps[1]?.request?.body).toBe("{}");
  });
});

describe("given a client that asks for its connection to be kept", () => {
  const ask = (body: string) =>
    `POST /publish/ HTTP/1.1\r\nConnection: keep-alive\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const answer = { code: 200, contentType: "text/plain", body: "Published\n" };

  test("when there is room, then the answer says so, and another request is read", () => {
    const one = new ControlExchange(LIMITS);
    for (const body of ["{1}", "{22}"]) {
      expect(one.receive(ask(body)).request?.body).toBe(body);
      const { send, end } = one.respond(answer, true);
      expect([send.includes("\r\nConnection: keep-alive\r\n"), end]).toEqual([true, false]);
      expect(one.next()).toEqual({});
      expect(one.isIdle).toBe(true);
    }
  });

  test("when requests come together, then each is answered before the next is read", () => {
    const one = new ControlExchange(LIMITS);
    const text = ask("{1}") + ask("{22}") + ask("{333}").slice(0, 20);
    expect(one.receive(text).request?.body).toBe("{1}");
    expect(one.receive("")).toEqual({});
    one.respond(answer, true);
    expect(one.next().request?.body).toBe("{22}");
    one.respond(answer, true);
    expect(one.next()).toEqual({});
    expect(one.isIdle).toBe(false);
    expect(one.receive(ask("{333}").slice(20)).request?.body).toBe("{333}");
  });

  test("when there is no room, or it did not ask, then the answer is the last", () => {
    const full = new ControlExchange(LIMITS);
    full.receive(ask("{}"));
    expect(full.respond(answer, false)).toMatchObject({ end: true });
    const silent = new ControlExchange(LIMITS);
    silent.receive("GET / HTTP/1.1\r\n\r\n");
    expect(silent.respond(answer, true).end).toBe(true);
    expect(silent.receive(ask("{}"))).toEqual({});
  });

  test("when a request is answered, then it is known whether more has come behind it", () => {
    const one = new ControlExchange(LIMITS);
    one.receive(ask("{}").slice(0, -1));
    expect(one.isWhole).toBe(false);
    one.receive("}");
    expect(one.isWhole).toBe(true);
    one.receive("P");
    expect(one.isWhole).toBe(false);
  });

  test("when a request of it is refused, then that is the last answer", () => {
    const one = new ControlExchange(LIMITS);
    const step = one.receive("POST / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n");
    expect(step).toEqual(refused("Request requires Content-Length.", "411 Length Required"));
  });
});

describe("given an Accept header", () => {
  test.each([
    ["application/json", "json"],
    ["application/json, text/plain", "text"],
    ["text/plain, application/json", "json"],
    ["text/html, application/json;q=0.5", "json"],
    ["application/json;q=0.5, text/plain;q=0.4", "json"],
    ["*/*", "text"],
    ["text/html", undefined],
    ["", undefined],
    ["text/plain;q=0", undefined],
  ])("handler R108, R109: when it is `%s`, then the answer is %s", (accept, format) => {
    expect(chooseFormat(["Accept", accept])).toBe(format);
  });

  test("when it is absent, then the answer is text", () => {
    expect(chooseFormat([])).toBe("text");
  });
});
