import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ClientListener, ClientRequest } from "../relay/client-request.ts";
import type { SocketClientEvents } from "../websocket/socket-ports.ts";
import { SocketTimers, TICK_MS } from "../websocket/socket-timers.ts";
import { PollingSession } from "./polling-session.ts";

interface Answer {
  code: number;
  headers: string[];
  body: string;
}

/** A request of a client, and how it was answered. */
class Asker {
  readonly info = { method: "POST", uri: "http://h/sj/0/a/xhr", headers: ["Host", "h"] };
  listener: ClientListener | undefined;
  answers: Answer[] = [];

  get body(): string | undefined {
    return this.answers[0]?.body;
  }

  answerWith(answer: Answer): void {
    this.answers.push(answer);
  }

  asRequest(): ClientRequest {
    return this as unknown as ClientRequest;
  }

  leave(): void {
    this.listener?.gone(this.asRequest());
  }
}

function make() {
  let nowMs = 0;
  const timers = new SocketTimers(0);
  const reported: string[] = [];
  const forgotten: PollingSession[] = [];
  const first = new Asker();
  const owner = {
    timers,
    nowMs: () => nowMs,
    forget: (one: PollingSession) => void forgotten.push(one),
  };
  const session = new PollingSession(owner, "key", first.asRequest(), undefined);
  /** The backend takes at once what it is sent. */
  const backend = { takes: true };
  const events: SocketClientEvents = {
    message: (_type, body) => {
      reported.push(`message ${String(body).slice(0, 20)}`);
      if (backend.takes && body.length > 0) session.grant(body.length);
    },
    ping: () => void reported.push("ping"),
    pong: () => void reported.push("pong"),
    close: (code, reason) => void reported.push(`close ${code ?? "-"} ${String(reason)}`.trim()),
    drained: () => void reported.push("drained"),
    gone: () => void reported.push("gone"),
  };
  session.events = events;
  return {
    session,
    first,
    reported,
    forgotten,
    backend,
    poll(callback?: string) {
      const asker = new Asker();
      session.poll(asker.asRequest(), callback);
      return asker;
    },
    send(messages: string[]) {
      const asker = new Asker();
      if (!session.answerIfClosed(asker.asRequest())) session.send(asker.asRequest(), messages);
      return asker;
    },
    advance(ms: number) {
      for (let left = ms; left > 0; left -= TICK_MS) {
        nowMs += TICK_MS;
        timers.advance(nowMs);
      }
    },
  };
}

type Rig = ReturnType<typeof make>;

function opened(): Rig {
  const rig = make();
  rig.session.accept({ code: 101, reason: "Switching Protocols", headers: [] });
  return rig;
}

const BIG = "x".repeat(100_000);

describe("given a session whose backend has not answered", () => {
  test("when messages are sent meanwhile, then they follow once it accepts", () => {
    const rig = make();
    const sent = rig.send(["early"]);
    expect(rig.poll().body).toBe('c[2010,"Another connection still open"]\n');
    expect(rig.send(["more"]).body).toBe("Already sending\n");
    expect([rig.reported, sent.body, rig.first.body]).toEqual([[], undefined, undefined]);
    rig.session.accept({ code: 101, reason: "", headers: [] });
    expect([rig.reported, sent.body, rig.first.body]).toEqual([["message early"], "ok", "o\n"]);
  });

  test("when it refuses, then the client gets its answer, with one permission for its origin", () => {
    const rig = make();
    const sent = rig.send(["early"]);
    const headers = [
      "X-Why",
      "so",
      "Content-Length",
      "99",
      "access-control-allow-origin",
      "http://o",
    ];
    rig.session.reject({ code: 403, reason: "No", headers }, "no\n");
    expect(rig.first.answers).toEqual([
      {
        code: 403,
        reason: "No",
        headers: [
          ...["X-Why", "so", "Content-Length", "3"],
          ...["Cache-Control", "no-store, no-cache, must-revalidate, max-age=0"],
          ...["Access-Control-Allow-Origin", "*", "Access-Control-Allow-Credentials", "true"],
        ],
        body: "no\n",
      },
    ]);
    expect(sent.answers[0]).toMatchObject({ code: 410, body: "Session terminated\n" });
    expect([rig.reported, rig.forgotten.length]).toEqual([[], 1]);
  });

  test("when the client leaves, then the backend is let go", () => {
    const rig = make();
    rig.first.leave();
    expect([rig.reported, rig.forgotten.length]).toEqual([["gone"], 1]);
  });
});

describe("given an open session", () => {
  test("when messages come between polls, then the next poll has all that are complete", () => {
    const rig = opened();
    rig.session.message("text", "one", false);
    rig.session.message("binary", "\xff\xc3\xa9", false);
    rig.session.message("text", "thr", true);
    expect(rig.poll().body).toBe('a["one","\xef\xbf\xbd\xc3\xa9"]\n');
    const poll = rig.poll();
    rig.session.message("text", "ee", false);
    expect(poll.body).toBe('a["three"]\n');
  });

  test("when messages wait, then they are counted, but not the one under way", () => {
    const rig = opened();
    rig.session.message("text", BIG, false);
    rig.session.message("text", BIG, true);
    expect(rig.session.queuedBytes).toBe(100_000);
    rig.poll();
    expect([rig.session.queuedBytes, rig.reported]).toEqual([0, ["drained"]]);
  });

  test("when a backend fills its window behind what is held back, then nothing is lost", () => {
    const rig = opened();
    for (let i = 0; i < 5; i += 1) rig.session.message("text", BIG, false);
    expect(rig.poll().body).toBe(`a${JSON.stringify([BIG, BIG, BIG, BIG, BIG])}\n`);
    expect(rig.forgotten).toEqual([]);
  });

  test("when more than that waits, then the session ends", () => {
    const rig = opened();
    for (let i = 0; i < 5; i += 1) rig.session.message("text", BIG, false);
    rig.session.message("text", "x", false);
    expect([rig.reported, rig.forgotten.length]).toEqual([["gone"], 1]);
  });

  test("when one message is over 200000 bytes, then the poll is told that the session has ended", () => {
    const rig = opened();
    const poll = rig.poll();
    rig.session.message("text", BIG, true);
    rig.session.message("text", BIG, true);
    expect(poll.answers).toEqual([]);
    rig.session.message("text", "x", true);
    expect(poll.answers[0]).toMatchObject({ code: 410, body: "Session terminated\n" });
    expect([rig.reported, rig.forgotten.length]).toEqual([["gone"], 1]);
  });

  test("proxy R149: when the backend closes behind messages, then they come before the close", () => {
    const rig = opened();
    rig.session.message("text", "last", false);
    rig.session.close(4007, "srv");
    expect(rig.reported).toEqual(["close -", "gone"]);
    expect(rig.send(["x"]).body).toBe('c[4007,"srv"]\n');
    expect(rig.poll().body).toBe('a["last"]\n');
    rig.advance(4000);
    expect(rig.poll().body).toBe('c[4007,"srv"]\n');
    rig.advance(4000);
    expect(rig.poll("cb").body).toBe('/**/cb("c[4007,\\"srv\\"]");\n');
    rig.advance(1500);
    expect(rig.forgotten.length).toBe(1);
    expect(rig.reported).toEqual(["close -", "gone"]);
  });

  test("proxy R149: when nobody fetches what came before the close, then the name is free after 5 s", () => {
    const rig = opened();
    rig.session.message("text", "last", false);
    rig.session.close(undefined, "");
    rig.advance(5200);
    expect([rig.reported, rig.forgotten.length]).toEqual([["close -", "gone"], 1]);
  });

  test("when it closes without a code, then the frame says so", () => {
    const rig = opened();
    const poll = rig.poll();
    rig.session.close(undefined, "");
    expect(poll.body).toBe('c[0,"Connection closed"]\n');
  });

  test("when the client gives up its poll, then that is its close", () => {
    const rig = opened();
    rig.poll().leave();
    expect(rig.reported).toEqual(["close -", "gone"]);
    expect(rig.poll().body).toBe('c[3000,"Client already closed connection"]\n');
    rig.advance(5200);
    expect(rig.forgotten.length).toBe(1);
  });

  test("when the backend goes during a poll, then the poll is told", () => {
    const rig = opened();
    const poll = rig.poll();
    rig.session.drop();
    expect(poll.answers[0]).toMatchObject({ code: 410, body: "Session terminated\n" });
    expect([rig.reported, rig.forgotten.length]).toEqual([[], 1]);
  });

  test("proxy R150, R151: when time passes, then a poll gets a heartbeat, and no poll is the end", () => {
    const rig = opened();
    rig.advance(4900);
    const poll = rig.poll();
    rig.advance(24_900);
    expect(poll.answers).toEqual([]);
    rig.advance(200);
    expect(poll.body).toBe("h\n");
    rig.send(["no extension"]);
    rig.advance(4800);
    expect(rig.forgotten.length).toBe(0);
    rig.advance(400);
    expect([rig.reported, rig.forgotten.length]).toEqual([["message no extension", "gone"], 1]);
  });

  test("when text is odd, then a script stays one for every browser", () => {
    const rig = opened();
    const poll = rig.poll("a.b");
    rig.session.message("text", '\xe2\x80\xa8"\\\x01</script>', false);
    expect(poll.body).toBe('/**/a.b("a[\\"\\u2028\\\\\\"\\\\\\\\\\\\u0001</script>\\"]");\n');
  });
});

describe("given a backend that takes nothing", () => {
  test("when messages are sent, then the request waits for the last of them", () => {
    const rig = opened();
    rig.backend.takes = false;
    const sent = rig.send(["one", "four"]);
    rig.session.grant(3);
    expect(sent.answers).toEqual([]);
    expect(rig.send(["x"]).answers[0]).toMatchObject({ code: 400, body: "Already sending\n" });
    rig.session.grant(4);
    expect(sent.body).toBe("ok");
  });

  test("when it took the first message only, then the request still waits", () => {
    const rig = opened();
    const { events } = rig.session;
    const passed: string[] = [];
    rig.session.events = {
      ...events,
      message: (_type, body) => {
        passed.push(String(body));
        if (passed.length === 1) rig.session.grant(body.length);
      },
    };
    const sent = rig.send(["a", "b"]);
    expect([passed, sent.answers]).toEqual([["a", "b"], []]);
  });

  test("when a sender gives up, then what it sent still counts", () => {
    const rig = opened();
    rig.backend.takes = false;
    rig.send(["one"]).leave();
    expect(rig.send(["two"]).body).toBe("Already sending\n");
    rig.session.grant(3);
    expect(rig.reported).toEqual(["message one"]);
    rig.backend.takes = true;
    expect(rig.send(["two"]).body).toBe("ok");
  });

  test("when the backend closes, then whoever still sends is told why", () => {
    const rig = opened();
    rig.backend.takes = false;
    const sent = rig.send(["one"]);
    rig.session.close(4000, "bye");
    expect(sent.body).toBe('c[4000,"bye"]\n');
  });
});

describe("given any order of calls", () => {
  const step = fc.constantFrom(
    "accept", "reject", "message", "part", "poll", "send", "close", "drop", "leave", "leave-send", "grant", "later", "much-later",
  ); // prettier-ignore

  test("then each request is answered at most once, the end is reported once, and nothing follows it", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const rig = make();
        const { session } = rig;
        rig.backend.takes = steps.length % 2 === 0;
        const polls = [rig.first];
        const sends: Asker[] = [];
        let isAnswered = false;
        let isDropped = false;
        for (const one of steps) {
          if (rig.forgotten.length > 0) break; // the manager has no way to it any more
          const isToldGone = rig.reported.includes("gone");
          if (one === "poll") polls.push(rig.poll());
          else if (one === "send") sends.push(rig.send(["m", ""]));
          else if (one === "leave") polls.at(-1)?.leave();
          else if (one === "leave-send") sends.at(-1)?.leave();
          else if (one === "later") rig.advance(1000);
          else if (one === "much-later") rig.advance(30_000);
          else if (isToldGone || isDropped)
            continue; // the relay has forgotten it
          else if (one === "accept" && !isAnswered) {
            isAnswered = true;
            session.accept({ code: 101, reason: "", headers: [] });
          } else if (one === "reject" && !isAnswered) {
            isAnswered = true;
            isDropped = true;
            session.reject({ code: 400, reason: "", headers: [] }, "");
          } else if (one === "message") session.message("text", "m", false);
          else if (one === "part") session.message("text", "m", true);
          else if (one === "close") session.close(undefined, "");
          else if (one === "drop") {
            isDropped = true;
            session.drop();
          } else if (one === "grant") session.grant(1);
        }
        for (const one of [...polls, ...sends]) expect(one.answers.length).toBeLessThan(2);
        const gone = rig.reported.indexOf("gone");
        if (gone >= 0) expect(gone).toBe(rig.reported.length - 1);
        rig.advance(60_000);
        rig.advance(60_000);
        if (isAnswered) expect(rig.forgotten.length).toBe(1);
      }),
      { numRuns: 500 },
    );
  });
});
